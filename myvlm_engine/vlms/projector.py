"""VLMs whose projector puts image tokens into the language model's input: one class, and a table of what differs between them.

K placeholder tokens stand right after the last image token; a forward hook on the input embeddings puts the concept vectors there,
at the mean norm of the photo's image tokens (arXiv 2403.14599, section 3.2). Without concepts there are neither placeholders nor hook.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image

from ..messages import Box
from .answers import Answer, as_plain_words, encode_answer, label_rows, name_rows, opening_ids, reduce_logits, rows_at, tidy
from .attention import ColumnRecorder, register
from .base import Decoding, Recipe, View
from .batches import BatchedVlm, Row, with_fewer_beams
from .grounding import PALIGEMMA, QWEN2_5, QWEN3, Grounding, Verbatim
from .name_guard import guarded
from .writing import decoding_options, end_tokens, without_settings

POSITION_INPUTS = ("image_grid_thw",)  # what the language model needs of the pictures' layout beside their features
NOT_PARALLEL = ("input_ids", "attention_mask", "labels")


@dataclass(frozen=True)
class ProjectorFamily:
    """How one family differs from the others."""

    caption_prompt: str = "Describe this image in one short sentence."
    question: str = "{} Answer in a few words."
    template: str | None = None  # None: the processor's own chat template
    end: str | None = None  # what ends an answer; None: the tokenizer's eos
    lead: str = ""  # between the prompt and the answer
    answer_type: int = 0  # what parallel sequences (token types) hold for the answer's tokens
    processing: Mapping[str, Any] = field(default_factory=dict)  # for the image processor
    grounding: Grounding | None = None  # how it is asked where things are; None: it wasn't taught that, or in no way that is known

    def words(self, prompt: str | None) -> str:
        """What stands beside the photo."""
        if prompt is None:
            return self.caption_prompt
        return prompt if isinstance(prompt, Verbatim) else self.question.format(prompt)


ONE_TILE = {"do_image_splitting": False}  # one tile a photo, not seventeen: a photo is looked at a hundred times
SHORT = "{}\nAnswer the question using a single word or phrase."  # what LLaVA was trained with
FAMILIES = {
    "llava": ProjectorFamily(question=SHORT),
    "llava-next": ProjectorFamily(question=SHORT),
    "llava-onevision": ProjectorFamily(question=SHORT),
    "idefics3": ProjectorFamily(end="<end_of_utterance>", lead=" ", processing=ONE_TILE),
    "smolvlm": ProjectorFamily(end="<end_of_utterance>", lead=" ", processing=ONE_TILE),
    "qwen2.5-vl": ProjectorFamily(grounding=QWEN2_5),
    "qwen3-vl": ProjectorFamily(grounding=QWEN3),
    # trained on tasks, not on chats; its prompt sees itself from both sides (token type 0), its answer doesn't (1)
    "paligemma": ProjectorFamily("caption en", "answer en {}", "<image>{}", answer_type=1, grounding=PALIGEMMA),
    "gemma3": ProjectorFamily(end="<end_of_turn>"),
    "internvl": ProjectorFamily(processing={"crop_to_patches": False}),
}
# The paper's, for LLaVA; lambda is the published code's. There R is a sum over layers, here a mean: see ProjectorVlm.recipe.
LLAVA_RECIPE = Recipe(steps=100, steps_people=100, rate=1.0, regulariser=0.0075)


@dataclass(frozen=True)
class Features:
    """The projected image tokens of one photo, as transformers' get_image_features gives them."""

    pooled: torch.Tensor | tuple[torch.Tensor, ...]  # (tiles, N, D), or one (N, D) a picture
    deep: tuple[tuple[torch.Tensor, ...], ...] | None  # Qwen3-VL: what is added in the first layers

    def norm(self) -> torch.Tensor:
        """() float32: the mean norm of the image tokens."""
        tiles = [self.pooled] if isinstance(self.pooled, torch.Tensor) else self.pooled
        return torch.cat([t.flatten(0, -2) for t in tiles]).float().norm(dim=-1).mean()


@dataclass(frozen=True)
class Prompt:
    """A prompt as tokens, image tokens included."""

    ids: tuple[int, ...]
    parallel: Mapping[str, tuple[int, ...]]  # token types and the like, one a token
    slot: int  # where concept vectors stand: right after the last image token


@dataclass(frozen=True)
class Seen:
    """One photo after tower and projector."""

    image: Image.Image  # prompts are laid out around it
    features: Features
    positions: Mapping[str, torch.Tensor]
    norm: torch.Tensor  # ()
    prompts: dict[str | None, Prompt] = field(default_factory=dict)  # those that were asked


@dataclass(frozen=True)
class Batch:
    """Rows side by side, padded on the right: B rows of T tokens, K concept vectors at most in one."""

    inputs: dict[str, Any]  # for the model's forward and generate
    slots: torch.Tensor  # (B, T) bool: where concept vectors stand
    vectors: torch.Tensor  # (slots, D) those vectors, row after row
    columns: torch.Tensor  # (B, K) their indices, -1 where a row has fewer
    starts: list[int]  # of each row's answer


class ProjectorVlm(BatchedVlm):
    """A frozen model of transformers (`…ForConditionalGeneration`) with its processor. Errors: OutOfMemory."""

    norm_matching = True  # off for comparisons only: vectors stand among the tokens as they are

    def __init__(self, model, processor, family: ProjectorFamily, name: str, fingerprint: str):
        self.model, self.processor, self.family = model.eval().requires_grad_(False), processor, family
        self.tokenizer = processor.tokenizer
        self.name, self.fingerprint, self.dtype = name, fingerprint, str(model.dtype).removeprefix("torch.")
        self.width = model.config.get_text_config().hidden_size
        self.image_token = model.config.image_token_id
        model.get_decoder().set_attn_implementation(register())
        self.ends = end_tokens(model.generation_config.eos_token_id, self.tokenizer, family.end)
        model.generation_config = without_settings(model.generation_config)
        self.placeholder = self.ends[0]  # overwritten by the hook, so any token that isn't the image token

    @property
    def recipe(self) -> Recipe:
        """The published lambda weighs a sum over the layers, Losses.attention is their mean."""
        layers = self.model.config.get_text_config().num_hidden_layers
        return replace(LLAVA_RECIPE, regulariser=LLAVA_RECIPE.regulariser * layers)

    @cached_property
    def embedding_norm(self) -> float:
        """Of a plain picture's image tokens. At use it is the photo's own."""
        return float(self._see(Image.radial_gradient("L").convert("RGB")).norm)

    def starting_vectors(self, name: str, class_noun: str) -> None:
        """The paper starts at chance."""
        return None

    # -- seeing
    def views(self, images: Sequence[Image.Image]) -> list[View]:
        return [View(self._see(image), image.size) for image in images]

    @torch.no_grad()
    def _see(self, image: Image.Image) -> Seen:
        laid_out = self._laid_out(image, None)
        wanted = inspect.signature(self.model.base_model.get_image_features).parameters
        visual = {name: value.to(self.model.device) for name, value in laid_out.items() if name in wanted}
        visual["pixel_values"] = visual["pixel_values"].to(self.model.dtype)
        out = self.model.base_model.get_image_features(**visual, return_dict=True)
        pooled = out.pooler_output if isinstance(out.pooler_output, torch.Tensor) else tuple(out.pooler_output)
        deep = getattr(out, "deepstack_features", None)
        features = Features(pooled, None if deep is None else tuple(tuple(layer) for layer in deep))
        positions = {name: visual[name] for name in POSITION_INPUTS if name in visual}
        return Seen(image, features, positions, features.norm(), {None: self._prompt_of(laid_out)})

    def _laid_out(self, image: Image.Image, prompt: str | None) -> Mapping[str, torch.Tensor]:
        """What the processor makes of a photo and a prompt."""
        words = as_plain_words(self.tokenizer, self.family.words(prompt))
        if self.family.template is not None:
            text = self.family.template.format(words)
            return self.processor(text=[text], images=[image], return_tensors="pt", **self.family.processing)
        message = {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": words}]}
        return self.processor.apply_chat_template(
            [message],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=dict(self.family.processing),
        )

    def _prompt_of(self, laid_out: Mapping[str, torch.Tensor]) -> Prompt:
        ids = laid_out["input_ids"]
        parallel = {
            name: tuple(value[0].tolist())
            for name, value in laid_out.items()
            if name not in NOT_PARALLEL and isinstance(value, torch.Tensor) and value.shape == ids.shape
        }
        last = int((ids[0] == self.image_token).nonzero()[-1])
        return Prompt(tuple(ids[0].tolist()), parallel, last + 1)

    def _prompt(self, seen: Seen, prompt: str | None) -> Prompt:
        if prompt not in seen.prompts:
            seen.prompts[prompt] = self._prompt_of(self._laid_out(seen.image, prompt))
        return seen.prompts[prompt]

    # -- rows to tensors
    def _batch(self, rows: Sequence[Row], said: Sequence[Sequence[int]]) -> Batch:
        """Prompts with their concepts' places, followed by the tokens already said."""
        device = self.model.device
        prompts = [self._prompt(row.state, row.prompt) for row in rows]
        counts = [len(row.concepts) for row in rows]
        ids = [_inserted(p.ids, p.slot, [self.placeholder] * k, s) for p, k, s in zip(prompts, counts, said, strict=True)]
        longest = max(map(len, ids))
        padded = lambda sequences, fill=0: torch.tensor([[*s, *[fill] * (longest - len(s))] for s in sequences], device=device)
        inputs: dict[str, Any] = {
            "input_ids": padded(ids, self.ends[0]),
            "attention_mask": padded([[1] * len(i) for i in ids]),
            "mm_encoder_outputs": {"image": joined([row.state.features for row in rows])},
        }
        for name in prompts[0].parallel:
            types = [
                _inserted(p.parallel[name], p.slot, [0] * k, [self.family.answer_type] * len(s))
                for p, k, s in zip(prompts, counts, said, strict=True)
            ]
            inputs[name] = padded(types)
        for name in rows[0].state.positions:
            inputs[name] = torch.cat([row.state.positions[name] for row in rows])
        columns = torch.tensor([[p.slot + i if i < k else -1 for i in range(max(counts))] for p, k in zip(prompts, counts, strict=True)])
        slots = torch.zeros(len(rows), longest, dtype=torch.bool)
        for row, p in enumerate(prompts):
            slots[row, p.slot : p.slot + counts[row]] = True
        starts = [len(p.ids) + k for p, k in zip(prompts, counts, strict=True)]
        return Batch(inputs, slots.to(device), self._vectors(rows), columns.to(device), starts)

    def _vectors(self, rows: Sequence[Row]) -> torch.Tensor:
        """Norm matching: every concept vector at the mean norm of its photo's image tokens."""
        return torch.cat([self._scaled(row.concepts.to(self.model.device), row.state.norm) for row in rows])

    def _scaled(self, concepts: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        return F.normalize(concepts, dim=-1) * norm if self.norm_matching else concepts

    @contextmanager
    def _concepts_in(self, batch: Batch) -> Iterator[None]:
        """The hook, while there are concepts. Acts on the prompt's pass only: later ones are one token long."""
        if not len(batch.vectors):
            yield
            return

        def put_in(module, arguments, output: torch.Tensor) -> torch.Tensor:
            if output.shape[1] != batch.slots.shape[1]:
                return output
            beams = output.shape[0] // batch.slots.shape[0]
            vectors = batch.vectors if beams == 1 else batch.vectors.repeat(beams, 1)  # beams are made of one row only
            slots = batch.slots.repeat_interleave(beams, 0)[..., None]
            return output.masked_scatter(slots, vectors.to(output.dtype))

        hook = self.model.get_input_embeddings().register_forward_hook(put_in)
        try:
            yield
        finally:
            hook.remove()

    # -- learning
    def batch_losses(self, rows: Sequence[Row], attention: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        answers = [encode_answer(self.tokenizer, r.text, self.ends[0], r.identifier, self.family.lead) for r in rows]
        batch = self._batch(rows, [a.ids[:-1] for a in answers])
        recorder = self._recorder(batch, answers) if attention and len(batch.vectors) else None
        labels = label_rows(answers).to(self.model.device)
        first = min(batch.starts) - 1  # logits are made from there on only
        with self._concepts_in(batch):
            extra = {"column_recorder": recorder} if recorder else {}
            keep = torch.arange(first, batch.slots.shape[1], device=self.model.device)
            logits = self.model(**batch.inputs, use_cache=False, logits_to_keep=keep, **extra).logits
        own = rows_at(logits, [start - 1 - first for start in batch.starts], labels.shape[1])
        cross_entropy, name_probability = reduce_logits(own, labels, name_rows(answers).to(labels.device))
        recorded = recorder.mean() if recorder else torch.zeros_like(cross_entropy)
        return cross_entropy, recorded, name_probability

    def _recorder(self, batch: Batch, answers: Sequence[Answer]) -> ColumnRecorder:
        """The tokens that write the answer count."""
        queries = torch.zeros_like(batch.slots)
        for row, (start, answer) in enumerate(zip(batch.starts, answers, strict=True)):
            queries[row, start - 1 : start - 1 + len(answer.ids)] = True
        return ColumnRecorder(batch.columns, queries)

    # -- speaking
    @torch.no_grad()
    def candidates(self, view: View, prompt: str | None, concepts: torch.Tensor, decoding: Decoding = Decoding()) -> list[str]:
        opening = opening_ids(self.tokenizer, decoding.opening, self.family.lead)
        batch = self._batch([Row(view.state, prompt, "", concepts)], [opening])
        start = batch.starts[0]
        guard = guarded(self.tokenizer, replace(decoding, opening=""), self.ends, prompt_tokens=start)

        def write(beams: int) -> torch.Tensor:
            inputs = batch.inputs | {"mm_encoder_outputs": {"image": joined([view.state.features])}}  # generate repeats it in place
            with self._concepts_in(batch):
                return self.model.generate(**inputs, **decoding_options(decoding, beams, self.ends), logits_processor=guard)

        out = with_fewer_beams(write, max(decoding.beams, decoding.candidates))
        return [tidy(text) for text in self.tokenizer.batch_decode(out[:, start:], skip_special_tokens=True)]

    # -- grounding
    @property
    def grounds(self) -> bool:
        return self.family.grounding is not None

    def places(self, view: View, class_noun: str) -> list[Box]:
        grounding = self.family.grounding
        if grounding is None:
            return []
        decoding = Decoding(beams=1, max_tokens=grounding.max_tokens)
        said = self.candidates(view, grounding.asked(class_noun), torch.zeros(0, self.width), decoding)
        return grounding.read(said[0], self._size_of(view))

    def _size_of(self, view: View) -> tuple[int, int]:
        """(width, height) px of the photo as the model sees it: Qwen-VL resizes it to whole patches, others to a square."""
        grid = view.state.positions.get("image_grid_thw")
        if grid is None:
            return view.image_size
        _, rows, columns = grid[0].tolist()
        patch = self.model.config.vision_config.patch_size
        return columns * patch, rows * patch


def _inserted(sequence: Sequence[int], at: int, new: Sequence[int], after: Sequence[int]) -> list[int]:
    return [*sequence[:at], *new, *sequence[at:], *after]


def joined(features: Sequence[Features]) -> Any:
    """Several photos' features as one output of get_image_features, made anew: transformers changes it in place."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    pooled = [f.pooled for f in features]
    if isinstance(pooled[0], torch.Tensor):
        out = BaseModelOutputWithPooling(pooler_output=torch.cat(pooled))  # type: ignore[arg-type]
    else:
        out = BaseModelOutputWithPooling(pooler_output=[tile for tiles in pooled for tile in tiles])  # type: ignore[arg-type]
    if features[0].deep is not None:
        out.deepstack_features = [[t for f in features for t in f.deep[layer]] for layer in range(len(features[0].deep))]  # type: ignore[index]
    return out


def make_projector(model, processor, family: str, name: str, fingerprint: str) -> ProjectorVlm:
    return ProjectorVlm(model, processor, FAMILIES[family], name, fingerprint)

"""VLMs that look at a photo through a Q-Former: BLIP-2 (OPT, Flan-T5) and InstructBLIP.

Concept vectors stand after the photo's tokens as the last ViT layer leaves them. In every cross-attention layer of the Q-Former their
keys and values are rescaled to the photo's, before the heads are split (arXiv 2403.14599, section 3.2). The ViT runs once a photo.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from .answers import IGNORED, as_plain_words, encode_answer, label_rows, name_rows, opening_ids, reduce_logits, rows_at, shortened, tidy
from .attention import column_probabilities
from .base import Decoding, Recipe, View
from .batches import BatchedVlm, Row, with_fewer_beams
from .name_guard import guarded
from .writing import decoding_options, end_tokens, without_settings


@dataclass(frozen=True)
class QFormerFamily:
    """How one family differs from the others."""

    caption_prompt: str
    question: str
    instructed: bool  # the Q-Former reads the prompt too
    answer_lead: str = ""  # between a question and its answer


# Of a question. OPT has places for 2048 tokens and a Q-Former for 512: one token too many ends a GPU's work for the whole process.
MAX_QUESTION_TOKENS = 256
FAMILIES = {
    "blip2": QFormerFamily("", "Question: {} Answer:", instructed=False, answer_lead=" "),
    "instructblip": QFormerFamily("A short image description.", "Question: {} Short answer:", instructed=True),
}
# The paper's, for BLIP-2. There R is a sum over layers, here a mean: see QFormerVlm.recipe.
BLIP2_RECIPE = Recipe(steps=75, steps_people=100, rate=1.0, regulariser=0.04)


@dataclass(frozen=True)
class Seen:
    """One photo after the ViT's last layer, before its closing layer norm."""

    tokens: torch.Tensor  # (N, width)
    norm: torch.Tensor  # () float32, mean over the tokens


class CrossAttention:
    """One cross-attention layer of the Q-Former while concepts are there: rescales their keys and values, and remembers queries and keys
    for the regulariser."""

    def __init__(self, module, image_tokens: int, norm_matching: bool = True):
        self.module, self.image_tokens = module, image_tokens
        self.query = self.key = torch.empty(0)
        rescale = lambda module, arguments, output: matched(output, image_tokens) if norm_matching else output
        self.hooks = [
            module.key.register_forward_hook(rescale),
            module.value.register_forward_hook(rescale),
            module.query.register_forward_hook(lambda module, arguments, output: setattr(self, "query", output)),
            module.key.register_forward_hook(lambda module, arguments, output: setattr(self, "key", output)),  # after rescaling
        ]

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()

    def recorded(self, mask: torch.Tensor) -> torch.Tensor:
        """(B, N + K) bool, which keys there are -> (B,) mean of P[queries -> concepts]^2 over heads, queries and concepts."""
        split = lambda x: x.unflatten(-1, (self.module.num_attention_heads, -1)).transpose(1, 2)  # (B, H, T, d)
        query, key = split(self.query), split(self.key)
        concepts = torch.arange(self.image_tokens, key.shape[2], device=key.device).expand(len(key), -1)
        rows = torch.arange(query.shape[2], device=key.device)
        found = column_probabilities(query, key, mask[:, None, None], self.module.scaling, False, rows, concepts)  # (B, H, Q, K)
        return found.pow(2).mean((1, 2)).sum(1) / mask[:, self.image_tokens :].sum(1).clamp(min=1)


def matched(states: torch.Tensor, image_tokens: int) -> torch.Tensor:
    """k' = k / |k| * mean |k_image|: (B, N + K, D) keys or values -> the same, the last K at the mean norm of the first N."""
    image, concepts = states[:, :image_tokens], states[:, image_tokens:]
    norm = image.norm(dim=-1, keepdim=True).mean(1, keepdim=True)
    return torch.cat([image, F.normalize(concepts, dim=-1) * norm], 1)


def ends_of(model: Any, tokenizer: Any) -> list[int]:
    """Ids that end an answer. OPT's captions end with a new line, which only the config says; what the config of InstructBLIP's Vicuna
    says is wrong (`<s>`), so a tokenizer's own end comes before any other special token."""
    configured = model.config.text_config.eos_token_id
    ends = end_tokens(model.language_model.generation_config.eos_token_id, tokenizer, None)
    written = isinstance(configured, int) and tokenizer.decode([configured]).isspace()
    return list(dict.fromkeys([configured, *ends])) if written else ends


class QFormerVlm(BatchedVlm):
    """A frozen model of transformers with its processor. Errors: OutOfMemory."""

    norm_matching = True  # off for comparisons only: keys and values of concepts are left as they come
    among_words = False  # concept vectors stand behind the ViT's tokens; the language model never meets them

    def __init__(self, model, processor, family: QFormerFamily, name: str, fingerprint: str):
        self.model, self.processor, self.family = model.eval().requires_grad_(False), processor, family
        self.tokenizer = processor.tokenizer
        self.narrow: torch.dtype = model.vision_model.dtype  # in float16 the queries, the first of all weights, stay in float32
        self.name, self.fingerprint, self.dtype = name, fingerprint, str(self.narrow).removeprefix("torch.")
        self.width = model.config.vision_config.hidden_size
        self.cross_attentions = [layer.crossattention.attention for layer in model.qformer.encoder.layer if layer.has_cross_attention]
        self.ends = ends_of(model, self.tokenizer)
        model.language_model.generation_config = without_settings(model.language_model.generation_config)

    @property
    def recipe(self) -> Recipe:
        """The published lambda weighs a sum over the cross-attention layers, Losses.attention is their mean."""
        return replace(BLIP2_RECIPE, regulariser=BLIP2_RECIPE.regulariser * len(self.cross_attentions))

    @cached_property
    def embedding_norm(self) -> float:
        """Of a plain picture's tokens. At use it is the photo's own."""
        return float(self.views([Image.radial_gradient("L").convert("RGB")])[0].state.norm)

    def starting_vectors(self, name: str, class_noun: str) -> None:
        """The paper starts at chance."""
        return None

    # -- seeing
    @torch.no_grad()
    def views(self, images: Sequence[Image.Image]) -> list[View]:
        tower = self.model.vision_model
        found = []
        for image in images:
            pixels = self.processor.image_processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"]
            embedded = tower.embeddings(pixels.to(self.model.device, self.narrow))
            tokens = tower.encoder(inputs_embeds=embedded).last_hidden_state[0]
            found.append(View(Seen(tokens, tokens.float().norm(dim=-1).mean()), image.size))
        return found

    def _prompt(self, prompt: str | None) -> str:
        if prompt is None:
            return self.family.caption_prompt
        asked = shortened(self.tokenizer, prompt, MAX_QUESTION_TOKENS)
        return as_plain_words(self.tokenizer, self.family.question.format(asked))

    def _soft_prompts(self, rows: Sequence[Row], attention: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """What the language model gets of the photos: (B, queries, D), and (B,) R(e)."""
        tokens, there = self._tokens(rows)
        image_tokens = len(rows[0].state.tokens)
        seen = self.model.vision_model.post_layernorm(tokens)
        with self._concepts_in(tokens.shape[1] - image_tokens, image_tokens) as layers:
            queries = self.model.query_tokens.expand(len(rows), -1, -1)
            out = self.model.qformer(
                query_embeds=queries, encoder_hidden_states=seen, encoder_attention_mask=there.long(), **self._instructions(rows)
            ).last_hidden_state[:, : queries.shape[1]]
            recorded = [layer.recorded(there) for layer in layers] if attention else []
        mean = torch.stack(recorded).mean(0) if recorded else torch.zeros(len(rows), device=out.device)
        return self.model.language_projection(out.to(seen.dtype)), mean

    def _tokens(self, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
        """The photos' tokens with their concepts behind: (B, N + K, width), and which of them there are: (B, N + K) bool."""
        device, dtype = self.model.device, self.narrow
        both = [torch.cat([r.state.tokens, (F.normalize(r.concepts.to(device), dim=-1) * r.state.norm).to(dtype)]) for r in rows]
        return pad_sequence(both, batch_first=True), pad_sequence([torch.ones(len(b), dtype=torch.bool, device=device) for b in both], True)

    @contextmanager
    def _concepts_in(self, concepts: int, image_tokens: int) -> Iterator[list[CrossAttention]]:
        """The hooks, while there are concepts."""
        layers = [CrossAttention(module, image_tokens, self.norm_matching) for module in self.cross_attentions] if concepts else []
        try:
            yield layers
        finally:
            for layer in layers:
                layer.close()

    def _instructions(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """For a Q-Former that reads the prompt: its tokens, and a mask over queries and tokens."""
        if not self.family.instructed:
            return {}
        words = [self._prompt(r.prompt) for r in rows]
        most = self.model.config.qformer_config.max_position_embeddings
        found = self.processor.qformer_tokenizer(words, padding=True, truncation=True, max_length=most, return_tensors="pt")
        found = found.to(self.model.device)
        queries = torch.ones(len(rows), self.model.query_tokens.shape[1], dtype=torch.long, device=self.model.device)
        return {"input_ids": found["input_ids"], "attention_mask": torch.cat([queries, found["attention_mask"]], 1)}

    # -- the language model's input
    def _embedded(self, ids: Sequence[int]) -> torch.Tensor:
        return self.model.get_input_embeddings()(torch.tensor(list(ids), dtype=torch.long, device=self.model.device))

    def _inputs(self, rows: Sequence[Row], soft: torch.Tensor, said: Sequence[Sequence[int]]) -> tuple[dict[str, torch.Tensor], list[int]]:
        """Embeddings and mask, padded on the right: soft prompt, prompt, tokens already said; and how long each row is without these."""
        prompts = [self.tokenizer(self._prompt(r.prompt))["input_ids"] for r in rows]
        embeds = [torch.cat([s, self._embedded([*p, *a])]) for s, p, a in zip(soft, prompts, said, strict=True)]
        mask = pad_sequence([torch.ones(len(e), dtype=torch.long, device=soft.device) for e in embeds], batch_first=True)
        return {"inputs_embeds": pad_sequence(embeds, batch_first=True), "attention_mask": mask}, [soft.shape[1] + len(p) for p in prompts]

    def _lead(self, prompt: str | None) -> str:
        return "" if prompt is None else self.family.answer_lead

    # -- learning
    def batch_losses(self, rows: Sequence[Row], attention: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        answers = [encode_answer(self.tokenizer, r.text, self.ends[0], r.identifier, self._lead(r.prompt)) for r in rows]
        labels = label_rows(answers).to(self.model.device)
        soft, recorded = self._soft_prompts(rows, attention)
        read = self._read_by_decoder if self.model.language_model.config.is_encoder_decoder else self._read_on
        cross_entropy, name_probability = reduce_logits(read(rows, soft, labels), labels, name_rows(answers).to(labels.device))
        return cross_entropy, recorded, name_probability

    def _read_on(self, rows: Sequence[Row], soft: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(B, T, V) logits of the labels where the language model goes on from the prompt (OPT, Vicuna)."""
        said = [[i for i in row.tolist() if i != IGNORED][:-1] for row in labels]
        inputs, starts = self._inputs(rows, soft, said)
        logits = self.model.language_model(**inputs, use_cache=False).logits
        return rows_at(logits, [start - 1 for start in starts], labels.shape[1])

    def _read_by_decoder(self, rows: Sequence[Row], soft: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(B, T, V) the same where a decoder of its own says it (Flan-T5)."""
        inputs, _ = self._inputs(rows, soft, [[]] * len(rows))
        begun = torch.full_like(labels[:, :1], self._decoder_start)
        said = torch.cat([begun, labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, self._decoder_start)], 1)
        return self.model.language_model(**inputs, decoder_input_ids=said, use_cache=False).logits

    @property
    def _decoder_start(self) -> int:
        return self.model.config.text_config.decoder_start_token_id

    # -- speaking
    @torch.no_grad()
    def candidates(self, view: View, prompt: str | None, concepts: torch.Tensor, decoding: Decoding = Decoding()) -> list[str]:
        rows = [Row(view.state, prompt, "", concepts)]
        soft, _ = self._soft_prompts(rows, attention=False)
        opening = opening_ids(self.tokenizer, decoding.opening, self._lead(prompt))
        if self.model.language_model.config.is_encoder_decoder:
            inputs, begun = self._inputs(rows, soft, [[]])[0], [self._decoder_start, *opening]
            inputs["decoder_input_ids"] = torch.tensor([begun], device=soft.device)
            opening = []  # generate hands it back
            guard = guarded(self.tokenizer, replace(decoding, opening=""), self.ends)
        else:
            inputs = self._inputs(rows, soft, [opening])[0]
            guard = guarded(self.tokenizer, decoding, self.ends)

        def write(beams: int) -> torch.Tensor:
            return self.model.language_model.generate(**inputs, **decoding_options(decoding, beams, self.ends), logits_processor=guard)

        out = with_fewer_beams(write, max(decoding.beams, decoding.candidates))
        return [tidy(text) for text in self.tokenizer.batch_decode([[*opening, *o] for o in out.tolist()], skip_special_tokens=True)]


def make_qformer(model: Any, processor: Any, family: str, name: str, fingerprint: str) -> QFormerVlm:
    return QFormerVlm(model, processor, FAMILIES[family], name, fingerprint)

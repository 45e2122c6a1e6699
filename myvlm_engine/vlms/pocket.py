"""The embedded VLM behind the Vlm Protocol: EfficientNet-Lite2 -> projector -> SmolLM2-135M, all offline.

A concept's vectors stand right after the 26 visual tokens, rescaled to their norm (the projector family's seam). Everything
before them is constant, so its keys and values are computed once per view and training runs on the few tokens behind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from PIL import Image

from ..devices import embedded_device
from ..pocket.dataset import CAPTION_PROMPT, in_pairs, labelled_pet, tidy, with_article
from ..pocket.eight_bits import eight_bits_are_fast, in_eight_bits
from ..pocket.prompts import END, Hints, answer_opening, prefix_texts
from ..pocket.slots import slot_text
from ..pocket.tree import Batch, Tree, collate, encode, grow_tree
from ..pocket.vision import KINDS, VisionTower, half_is_fast, imagenet_names, square_pixels, tags_of
from ..pocket.weights import SHIPPED, Trained, file_hash, load_merged_lm, load_trained
from .attention import ColumnRecorder, register
from .base import Asked, Decoding, Losses, Target, View
from .batches import parted
from .name_guard import guarded
from .name_rule import NameRule

if TYPE_CHECKING:
    from transformers import DynamicCache

# Nats a token; chosen with an earlier single drafter: of 40 photos like its own, 36 captions lay within; of 40 others, nearly all wrong
# ones didn't.
BELIEVED_WITHIN = 0.35
# Of a pet nobody needs to be told: photos that had a label and no caption taught it.
SAYS_LITTLE = re.compile(r"\bclose-up\b|\bat home\b|^A (photo|picture) of\b")
# "A white and white dog", and what ran out of words: of 111 photos of things eleven drafts and two, of 150 of flickr8k one and none.
AGAIN, UNFINISHED = re.compile(r"\b(\w+)(?:(?: and)? \1\b)+"), re.compile(r"\b(?:a|an|the|and|of|in|on|at|with|to|is|are)$")
# Drafters take most things for a cat or a dog; the classifier knows better. The least probability of all its cats and dogs together with
# which a draft of one is believed: of 263 photos of pets two have less, of 82 things that were drafted so 72.
PET, PET_CLASSES, PET_SEEN = re.compile(r"\b(dogs?|cats?|puppy|puppies)\b"), [*KINDS["dog"], *KINDS["cat"]], 0.14


@dataclass(frozen=True)
class PocketState:
    """A photo as the language model sees it, up to where concept embeddings stand."""

    prefix: torch.Tensor  # (T0, 576) text before + visual tokens
    keys: torch.Tensor  # (L, Hkv, T0, d) cached of the prefix
    values: torch.Tensor  # (L, Hkv, T0, d)
    draft: str


class PocketVlm:
    name = "pocket"
    width = 576
    norm_matching = True  # off for comparisons only: vectors stand among the tokens as they are

    def __init__(self, tower: VisionTower, trained: Trained, lm, tokenizer, fingerprint: str):
        self.tower, self.trained, self.lm, self.tokenizer = tower, trained, lm, tokenizer
        self.fingerprint = fingerprint
        self.embedding_norm = float(trained.projector.embedding_norm)
        self.names = imagenet_names()
        self.device = str(tower.device)  # of everything in it
        self.lm.set_attn_implementation(register())
        self.stop = tokenizer.convert_tokens_to_ids(END)
        self.lm.generation_config.pad_token_id = self.stop
        self.writer = in_eight_bits(lm) if eight_bits_are_fast(tower.device) else lm

    # -- seeing
    @torch.no_grad()
    def views(self, images: Sequence[Image.Image]) -> list[View]:
        found: list[View] = []
        for image in images:
            tokens, probabilities = self.tower.tokens(square_pixels(image)[None], half_is_fast(self.tower.device))
            tokens = tokens.clone()  # out of inference mode
            visual = self.trained.projector(tokens)[0]  # (26, 576)
            draft = self._draft(tokens, probabilities[0])
            before, _ = prefix_texts(Hints(tags_of(probabilities[0], self.names), self.trained.spotter.words(tokens)[0], draft))
            prefix = torch.cat([self._embed(encode(self.tokenizer, before)), visual])
            cache = self.lm.model(inputs_embeds=prefix[None], use_cache=True).cache
            keys, values = (torch.stack([getattr(layer, part)[0] for layer in cache.layers]) for part in ("keys", "values"))
            found.append(View(PocketState(prefix, keys, values, draft), image.size))
        return found

    def _draft(self, tokens: torch.Tensor, probabilities: torch.Tensor) -> str:
        """The drafters' caption, or the classifier's surest class where they see a pet that it doesn't, or don't come to an end.
        `probabilities` (1000,)."""
        draft = in_pairs(AGAIN.sub(r"\1", self.trained.drafter.drafts(tokens, self.trained.second)[0]))
        if UNFINISHED.search(draft) or (PET.search(draft) and probabilities[PET_CLASSES].sum() < PET_SEEN):
            return f"a photo of {with_article(self.names[int(probabilities.argmax())].lower())}"
        return draft

    def _embed(self, ids: Sequence[int]) -> torch.Tensor:
        return self.lm.get_input_embeddings()(torch.tensor(list(ids), dtype=torch.long, device=self.device))

    def _scaled(self, concepts: torch.Tensor) -> torch.Tensor:
        """Norm matching: every vector at the visual tokens' norm."""
        there = concepts.to(self.device)
        return F.normalize(there, dim=-1) * self.embedding_norm if self.norm_matching else there

    def starting_vectors(self, name: str, class_noun: str) -> torch.Tensor:
        """The word vectors of noun and name: what the model practised with in its slot (pocket/slots.py)."""
        return self._embed(encode(self.tokenizer, slot_text(class_noun, name))).detach().cpu().clone()

    # -- learning
    def losses(self, views: Sequence[View], targets: Sequence[Target], concepts: torch.Tensor, identifier: str, attention: bool) -> Losses:
        return self.losses_together([Asked(views, targets, concepts, identifier)], attention)[0]

    def losses_together(self, asked: Sequence[Asked], attention: bool) -> list[Losses]:
        """Of several concepts in one batch: a tree for each view of each."""
        grown = [(a, state, _of_view(a, v)) for a in asked for v, state in _used(a)]
        trees = [self._tree(state, targets, len(a.concepts)) for a, state, targets in grown]
        batch, states, concepts = collate(trees).to(self.device), [state for _, state, _ in grown], [a.concepts for a, _, _ in grown]
        recorder = self._recorder(batch, states, [len(c) for c in concepts]) if attention and any(map(len, concepts)) else None
        logits = self._logits(batch, states, concepts, recorder)  # (M, vocabulary)
        order = [(t, a.identifier, tree) for tree, (a, _, targets) in enumerate(grown) for t in targets]
        losses = self._reduce(logits, batch, order, recorder)
        back = torch.tensor([_position(order, t) for a in asked for t in a.targets])
        inorder = Losses(losses.cross_entropy[back], losses.attention[back], losses.name_probability[back])
        return parted(inorder, [len(a.targets) for a in asked])

    def _tree(self, state: PocketState, targets: list[Target], concepts: int) -> Tree:
        answers: dict[str, list[str]] = {}
        for target in targets:
            answers.setdefault(target.prompt or CAPTION_PROMPT, []).append(target.text)
        root = [-1] * concepts + encode(self.tokenizer, prefix_texts()[1])
        return grow_tree(self.tokenizer, root, answers, start=len(state.prefix))

    def _logits(
        self, batch: Batch, states: list[PocketState], concepts: list[torch.Tensor], recorder: ColumnRecorder | None
    ) -> torch.Tensor:
        from transformers import DynamicCache

        embeds = self.lm.get_input_embeddings()(batch.ids.clamp(min=0))
        if any(map(len, concepts)):
            embeds = embeds.masked_scatter((batch.ids == -1)[..., None], torch.cat([self._scaled(c) for c in concepts]).to(embeds.dtype))
        past, seen = _left_padded(states)
        cache = DynamicCache(ddp_cache_data=past)
        allowed = torch.cat([seen[:, None].expand(-1, batch.mask.shape[1], -1), batch.mask], 2)[:, None]
        bias = torch.zeros(allowed.shape, dtype=embeds.dtype, device=self.device).masked_fill(~allowed, torch.finfo(embeds.dtype).min)
        extra = {"column_recorder": recorder} if recorder else {}
        hidden = self.lm.model(
            inputs_embeds=embeds, attention_mask=bias, position_ids=batch.position, cache=cache, use_cache=True, **extra
        ).last_hidden_state
        return self.lm.lm_head(hidden.flatten(0, 1)[batch.rows]).float()

    def _recorder(self, batch: Batch, states: list[PocketState], concepts: list[int]) -> ColumnRecorder:
        start = max(len(s.prefix) for s in states)
        queries = torch.zeros_like(batch.ids, dtype=torch.bool)
        queries.view(-1)[batch.rows] = True  # the tokens that write the answer
        columns = torch.tensor([[start + i if i < count else -1 for i in range(max(concepts))] for count in concepts])
        return ColumnRecorder(columns, queries)

    def _reduce(self, logits, batch: Batch, order: list[tuple[Target, str, int]], recorder: ColumnRecorder | None) -> Losses:
        """`order`: of each answer its target, its identifier and its tree."""
        nll = F.cross_entropy(logits, batch.labels, reduction="none")
        count = torch.bincount(batch.answers, minlength=len(order)).clamp(min=1)
        none = nll.new_zeros(len(order))
        ce = none.index_add(0, batch.answers, nll) / count
        in_name = torch.cat([self._name_mask(t.text, identifier) for t, identifier, _ in order]).to(nll)
        name_count = none.index_add(0, batch.answers, in_name)
        name_nll = none.index_add(0, batch.answers, nll.detach() * in_name)
        attention = recorder.mean()[torch.tensor([tree for _, _, tree in order])] if recorder else none
        return Losses(ce, attention, (-name_nll / name_count.clamp(min=1)).exp())

    def _name_mask(self, text: str, identifier: str) -> torch.Tensor:
        """(tokens of text + end,) bool: which tokens write the identifier."""
        found = self.tokenizer(text + END, add_special_tokens=False, return_offsets_mapping=True)
        start = text.lower().find(identifier.lower()) if identifier else -1
        spans = found.offset_mapping[:40]
        return torch.tensor([start >= 0 and b > start and a < start + len(identifier) for a, b in spans])

    # -- speaking
    def candidates(self, view: View, prompt: str | None, concepts: torch.Tensor, decoding: Decoding = Decoding()) -> list[str]:
        """A caption of the base model is the drafters', where the language model believes it, else its own."""
        if prompt is not None or len(concepts) or decoding.opening:
            return self._written(view, prompt, concepts, decoding)
        beams = self._written(view, prompt, concepts, replace(decoding, candidates=max(decoding.beams, decoding.candidates)))
        draft = tidy(view.state.draft)
        allowed = not NameRule(decoding.forbidden, decoding.allowed).broken_by(draft)
        first = self._said_first(view, draft, beams) if allowed else []
        return list(dict.fromkeys([*first, *beams]))[: decoding.candidates]

    @torch.no_grad()
    def _said_first(self, view: View, draft: str, beams: list[str]) -> list[str]:
        """The draft, where it is nearly as likely as the best beam: the drafters know nothing of a teapot, and say a dog. Where it only
        says that there is a cat or a dog, the beam that says so too and more."""
        targets = [Target(0, None, text) for text in (draft, *beams)]
        surprise = self.losses([view], targets, torch.zeros(0, self.width), "", attention=False).cross_entropy.tolist()
        if surprise[0] > min(surprise) + BELIEVED_WITHIN:
            return []
        pet = labelled_pet(draft)
        if pet is None:
            return [draft]
        alike = [(beam, cost) for beam, cost in zip(beams, surprise[1:], strict=True) if re.search(rf"\b{pet}\b", beam)]
        more = [(bool(SAYS_LITTLE.search(beam)), cost, beam) for beam, cost in alike]
        return [min(more)[2] if more else draft]

    @torch.no_grad()
    def _written(self, view: View, prompt: str | None, concepts: torch.Tensor, decoding: Decoding) -> list[str]:
        parts = [view.state.prefix]
        if len(concepts):
            parts.append(self._scaled(concepts))
        asked = prefix_texts()[1] + answer_opening(prompt or CAPTION_PROMPT)
        ids = encode(self.tokenizer, asked) + encode(self.tokenizer, decoding.opening)
        embeds = torch.cat([*parts, self._embed(ids)])[None]
        beams = max(decoding.beams, decoding.candidates)
        out = self.writer.generate(
            inputs_embeds=embeds,
            cache=_known_cache(view.state, beams),
            attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long, device=self.device),
            do_sample=False,
            num_beams=beams,
            num_return_sequences=decoding.candidates,
            max_new_tokens=decoding.max_tokens,
            eos_token_id=self.stop,
            pad_token_id=self.stop,
            logits_processor=guarded(self.tokenizer, decoding, [self.stop]),
        )
        return [_tidy(decoding.opening + text) for text in self.tokenizer.batch_decode(out, skip_special_tokens=True)]


def _known_cache(state: PocketState, rows: int) -> DynamicCache:
    """What is known of a photo before anything is asked, for each of so many beams: generating begins behind it."""
    from transformers import DynamicCache

    repeated = [part[:, None].expand(-1, rows, -1, -1, -1) for part in (state.keys, state.values)]  # (L, rows, Hkv, T0, d), no copy
    return DynamicCache(ddp_cache_data=list(zip(*repeated, strict=True)))


def _used(asked: Asked) -> list[tuple[int, PocketState]]:
    """The views that are spoken of, by number."""
    return [(v, asked.views[v].state) for v in sorted({t.view for t in asked.targets})]


def _of_view(asked: Asked, view: int) -> list[Target]:
    """A view's targets in the order grow_tree writes them: prompt by prompt."""
    targets = [t for t in asked.targets if t.view == view]
    return [t for p in dict.fromkeys(t.prompt for t in targets) for t in targets if t.prompt == p]


def _position(order: list[tuple[Target, str, int]], target: Target) -> int:
    return next(i for i, (t, _, _) in enumerate(order) if t is target)


def _left_padded(states: list[PocketState]) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
    """Per layer (B, Hkv, T, d) keys and values of the states, padded on the left; and (B, T) bool: which are real."""
    longest = max(len(s.prefix) for s in states)
    pad = lambda x: F.pad(x, (0, 0, longest - x.shape[2], 0))
    keys, values = (torch.stack([pad(getattr(s, part)) for s in states], 1) for part in ("keys", "values"))  # (L, B, Hkv, T, d)
    before = torch.arange(longest, device=keys.device)
    seen = torch.stack([before >= longest - len(s.prefix) for s in states])
    return list(zip(keys, values, strict=True)), seen


def _tidy(text: str) -> str:
    """One sentence on one line; a caption that ran out of tokens in mid-sentence keeps what it has."""
    return in_pairs(" ".join(text.split()))


def load_pocket(device: str = "cpu") -> PocketVlm:
    """The shipped weights. Errors: PocketMissing (a sentence that says how to install the language model)."""
    place = embedded_device(device)
    tower = VisionTower(place)
    lm, tokenizer, hashes = load_merged_lm(SHIPPED)
    return PocketVlm(tower, load_trained(SHIPPED).to(place), lm.to(place), tokenizer, f"pocket-{hashes}-{file_hash(tower.weights_path)}")

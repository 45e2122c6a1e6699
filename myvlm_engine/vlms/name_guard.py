"""Names that can't be said: decides on the text, token by token, so no spelling, splitting or script of a name slips through.

A name stands in a text where it stands as whole words, in any case, whatever its spaces and its Unicode form. Used by every
family's decoding (`guarded`) and once more on the finished text. Knows a tokenizer's decode and neither models nor concepts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from .base import Decoding

Decode = Callable[[list[list[int]]], list[str]]  # token sequences -> their texts
CHECKED = 16  # likeliest tokens a beam that are looked at first; twice the beams are all that beam search can take
MOST = 4096  # and no more than so many, however few of them may be said


def folded(text: str) -> str:
    """Equal for texts that differ in case, in spaces, in invisible characters or only in how Unicode writes them."""
    composed = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    seen = "".join(c for c in composed if unicodedata.category(c) != "Cf")  # "Bis\u200bcuit" reads as Biscuit
    return re.sub(r"\s+", " ", seen)


@dataclass(frozen=True)
class NameRule:
    """`forbidden` names may not be said; `allowed` ones may, though a forbidden one may stand in them ("Corgi Joe" and "Joe")."""

    forbidden: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    @cached_property
    def _forbidden(self) -> tuple[str, ...]:
        return tuple(f for name in self.forbidden if (f := folded(name).strip()))

    @cached_property
    def _allowed(self) -> tuple[str, ...]:
        return tuple(sorted((f for name in self.allowed if (f := folded(name).strip())), key=len, reverse=True))

    def broken_by(self, text: str, unfinished: bool = False) -> str | None:
        """The first forbidden name (folded) that stands in the text; None when none does. In an `unfinished` text the beginning of
        an allowed name at its very end may still become that name."""
        text = folded(text)
        there = [name for name in self._forbidden if name in text]  # cheap, and almost always all there is to do
        if not there:
            return None
        for name in self._allowed:
            text = _whole(name).sub("\n", text)
        if unfinished:
            text = text[: len(text) - self._begun(text)]
        return next((name for name in there if _whole(name).search(text)), None)

    def _begun(self, text: str) -> int:
        """How many letters at the end of the text are the beginning of an allowed name."""
        longest = 0
        for name in self._allowed:
            for size in range(min(len(name) - 1, len(text)), longest, -1):
                if text.endswith(name[:size]) and _bounded(text, len(text) - size):
                    longest = size
                    break
        return longest


@cache
def _whole(name: str) -> re.Pattern[str]:
    """The name as whole words. A side on which it has no letter (or whose script has no spaces) counts as it stands."""
    before = r"(?<![^\W_])" if _spaced(name[0]) else ""  # "_Biscuit_" is the name in italics
    after = r"(?![^\W_])" if _spaced(name[-1]) else ""
    return re.compile(before + re.escape(name) + after)


def _spaced(letter: str) -> bool:
    """Whether words of this letter's script are kept apart by something: no for Han, Kana, Thai, Lao, Khmer, Burmese and symbols."""
    unspaced = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
    return letter.isalnum() and not unicodedata.name(letter, "").startswith(unspaced)


def _bounded(text: str, at: int) -> bool:
    return at == 0 or not (_spaced(text[at - 1]) and _spaced(text[at]))


class NameGuard(LogitsProcessor):
    """Leaves a beam only tokens whose text keeps the rule. A name is refused at the token that completes it, and the end of the
    answer where an allowed name is only half said; whatever wasn't looked at can't be chosen, so nothing is left to luck."""

    def __init__(
        self, rule: NameRule, decode: Decode, ends: Sequence[int], opening: str = "", prompt_tokens: int = 0, checked: int = CHECKED
    ):
        self.rule, self.decode, self.ends = rule, decode, frozenset(ends)
        self.opening, self.prompt_tokens, self.checked = opening, prompt_tokens, checked

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens so far, (B, vocabulary) scores -> scores with everything but the kept tokens at -inf."""
        kept = torch.full_like(scores, -torch.inf)
        for row in range(scores.shape[0]):
            tokens = self.keepers(input_ids[row, self.prompt_tokens :].tolist(), scores[row])
            kept[row, tokens] = scores[row, tokens]
        return kept

    def keepers(self, said: list[int], scores: torch.Tensor) -> list[int]:
        """Tokens that may follow `said`, from the likeliest on: `checked` of them, or fewer where few are left among the first."""
        found: list[int] = []
        if self._keeps(-1, self.decode([said])[0]):
            for some in likeliest(scores, self.checked):
                texts = self.decode([[*said, token] for token in some])
                found += [token for token, text in zip(some, texts, strict=True) if self._keeps(token, text)]
                if len(found) >= self.checked:
                    break
        return found or list(self.ends)  # no word is left: better a short answer, which is checked once more

    def _keeps(self, token: int, text: str) -> bool:
        return self.rule.broken_by(self.opening + text, unfinished=token not in self.ends) is None


def likeliest(scores: torch.Tensor, first: int) -> Iterator[list[int]]:
    """Token ids by falling score in growing lots, `first` in the first and MOST in all; those at -inf are left out."""
    start, size = 0, first
    while start < min(MOST, scores.shape[0]):
        top = torch.topk(scores, min(size, scores.shape[0]))
        lot = [i for i, s in zip(top.indices[start:].tolist(), top.values[start:].tolist(), strict=True) if s != -torch.inf]
        if lot:
            yield lot
        start, size = size, min(4 * size, MOST)


def guarded(tokenizer, decoding: Decoding, ends: Sequence[int], prompt_tokens: int = 0) -> LogitsProcessorList | None:
    """For `generate(logits_processor=…)`: None when nothing is forbidden, so that the base model's answer stays bit-identical.
    `prompt_tokens`: how many of the ids that `generate` hands on are the prompt's (0 with `inputs_embeds`)."""
    if not decoding.forbidden:
        return None
    rule = NameRule(decoding.forbidden, decoding.allowed)
    decode = lambda sequences: tokenizer.batch_decode(sequences, skip_special_tokens=True)
    checked = max(CHECKED, 4 * max(decoding.beams, decoding.candidates))
    return LogitsProcessorList([NameGuard(rule, decode, ends, decoding.opening, prompt_tokens, checked)])

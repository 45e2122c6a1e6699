"""Decoding that can't say a forbidden name: decides on the decoded text, token by token, so no spelling and no splitting slips through.

Used by every family's `generate` through `guarded`. Knows a tokenizer's decode and neither models nor concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from .base import Decoding
from .name_rule import NameRule

Decode = Callable[[list[list[int]]], list[str]]  # token sequences -> their texts
CHECKED = 16  # likeliest tokens a beam that are looked at first; twice the beams are all that beam search can take
MOST = 4096  # and no more than so many, however few of them may be said


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

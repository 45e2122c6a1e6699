"""Training sentences as tokens, and what a forward pass says about them: cross-entropy and the probability of the name.

Shared by the families that transformers implements. Knows a tokenizer and logits; no pictures, no concepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

MAX_TOKENS = 64  # of one sentence; longer ones are cut
IGNORED = -100  # cross_entropy's own mark for "no label"


@dataclass(frozen=True)
class Answer:
    """One sentence to be said, end token last unless it was cut."""

    ids: tuple[int, ...]
    name: tuple[bool, ...]  # which tokens write the identifier


def encode_answer(tokenizer, text: str, end: int, identifier: str = "", lead: str = "") -> Answer:
    """`lead` is what stands between prompt and answer where the family's training texts have something there (a space)."""
    said = lead + text
    found = tokenizer(said, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True)  # a name may be "<image>"
    start = said.lower().find(identifier.lower()) if identifier else -1
    stop = start + len(identifier)
    in_name = [start >= 0 and b > start and a < stop for a, b in found["offset_mapping"]]
    return Answer(tuple([*found["input_ids"], end][:MAX_TOKENS]), tuple([*in_name, False][:MAX_TOKENS]))


def opening_ids(tokenizer, opening: str, lead: str = "") -> list[int]:
    """The tokens an answer is made to begin with; none for an empty opening."""
    return list(tokenizer(lead + opening, add_special_tokens=False, split_special_tokens=True)["input_ids"]) if opening else []


def as_plain_words(tokenizer, question: str) -> str:
    """What a person asks, without the tokenizer's special tokens: "<image>" typed by a member is no second photo."""
    specials = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    for special in sorted(specials, key=len, reverse=True):
        question = question.replace(special, " ")
    return question


def shortened(tokenizer, text: str, most: int) -> str:
    """As much of the text's beginning as `most` tokens write."""
    places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True)["offset_mapping"]
    return text if len(places) <= most else text[: places[most - 1][1]]


def name_rows(answers: Sequence[Answer]) -> torch.Tensor:
    """(M, T) bool, padded: which tokens write the identifier."""
    return pad_sequence([torch.tensor(a.name) for a in answers], batch_first=True)


def label_rows(answers: Sequence[Answer]) -> torch.Tensor:
    """(M, T) token ids, padded with IGNORED."""
    return pad_sequence([torch.tensor(a.ids) for a in answers], batch_first=True, padding_value=IGNORED)


def reduce_logits(logits: torch.Tensor, labels: torch.Tensor, names: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(M, T, V) logits of the labels' own positions, (M, T) labels, (M, T) names -> (M,) mean cross-entropy and (M,) geometric mean
    probability of the name's tokens (1 where there are none)."""
    nll = F.cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")  # (M, T)
    cross_entropy = nll.sum(1) / (labels != IGNORED).sum(1).clamp(min=1)
    name_nll = (nll.detach() * names).sum(1) / names.sum(1).clamp(min=1)
    return cross_entropy, (-name_nll).exp()


def rows_at(sequences: torch.Tensor, starts: Sequence[int], length: int) -> torch.Tensor:
    """(M, T, V) -> (M, length, V): `length` positions of each row from its own start on; past the end the last one is repeated."""
    wanted = torch.tensor(starts, device=sequences.device)[:, None] + torch.arange(length, device=sequences.device)
    wanted = wanted.clamp(max=sequences.shape[1] - 1)
    return sequences.gather(1, wanted[..., None].expand(-1, -1, sequences.shape[2]))


def tidy(text: str) -> str:
    """One sentence on one line."""
    return " ".join(text.split())

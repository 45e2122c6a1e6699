"""Training sentences nobody had to write: the frozen VLM drafts captions, and the class noun in them becomes the name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..vlms.base import Decoding, View, Vlm
from .phrases import mentions, named_in, opening_with, put_name, put_names, tidy

DRAFTS = 3  # sentences per photo: several keep the embedding from learning one photo's words


@dataclass(frozen=True)
class Drafts:
    """What may be said of one photo."""

    captions: list[str]
    noun_seen: bool  # the VLM itself speaks of the class noun, or of a word like it


def draft_captions(vlm: Vlm, view: View, name: str, class_noun: str, written: Sequence[str] = ()) -> Drafts:
    """Up to DRAFTS captions of one photo that name the concept, the teacher's own first. Never empty."""
    own = [c if mentions(c, name) else put_name(c, class_noun, name) or f"{name}: {c}" for c in map(tidy, written) if c]
    none = torch.zeros(0, vlm.width)
    free = vlm.candidates(view, None, none, Decoding(candidates=2))
    named = with_name(free, class_noun, name)
    seen = bool(named)
    if len(named) < 2:  # the VLM doesn't call it so: make it begin with the class noun and go on from there
        begun = vlm.candidates(view, None, none, Decoding(opening=opening_with(class_noun), candidates=2))
        named += with_name(begun, class_noun, name)
    return Drafts(list(dict.fromkeys([*own, *named]))[:DRAFTS] or [f"A photo of {name}."], seen)


def with_name(captions: Sequence[str], class_noun: str, name: str) -> list[str]:
    """Those that have a place for the name, with the name in it."""
    put = [put_names(c, [(class_noun, name)]) for c in captions]
    return [p for p in put if named_in(p, [name])]

"""Training sentences nobody had to write: the frozen VLM drafts captions, and the class noun in them becomes the name."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..vlms.base import Decoding, View, Vlm
from .phrases import mentions, opening_with, put_name, tidy

DRAFTS = 3  # sentences per photo: several keep the embedding from learning one photo's words


def draft_captions(vlm: Vlm, view: View, name: str, class_noun: str, written: Sequence[str] = ()) -> list[str]:
    """Up to DRAFTS captions of one photo that name the concept, the teacher's own first. Never empty."""
    own = [c if mentions(c, name) else put_name(c, class_noun, name) or f"{name}: {c}" for c in map(tidy, written) if c]
    none = torch.zeros(0, vlm.width)
    free = vlm.candidates(view, None, none, Decoding(candidates=2))
    named = [t for c in free if (t := put_name(c, class_noun, name))]
    if len(named) < 2:  # the VLM doesn't call it so: make it begin with the class noun and go on from there
        begun = vlm.candidates(view, None, none, Decoding(opening=opening_with(class_noun), candidates=2))
        named += [t for c in begun if (t := put_name(c, class_noun, name))]
    return list(dict.fromkeys([*own, *named]))[:DRAFTS] or [f"A photo of {name}."]

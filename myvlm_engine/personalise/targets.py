"""Training targets nobody had to write: the frozen VLM drafts captions and answers, and the class noun in them becomes the name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..vlms.base import Decoding, View, Vlm, generate
from .phrases import mentions, named_in, opening_with, put_name, put_names, tidy

DRAFTS = 3  # sentences per photo: several keep the embedding from learning one photo's words
QUESTIONS = ("What is {} doing?", "Where is {}?", "What colour is {}?", "What is next to {}?", "What does {} look like?")


@dataclass(frozen=True)
class Sentence:
    """What is to be said, and asked what."""

    text: str
    prompt: str | None = None  # None: a caption


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


def draft_answers(vlm: Vlm, view: View, name: str, class_noun: str, count: int) -> list[Sentence]:
    """The first `count` QUESTIONS about one photo, asked with the name and answered as the frozen VLM answers them of "the dog"
    (the paper's recipe for VQA), and who it is."""
    if not count:
        return []
    answered = [(q.format(name), generate(vlm, view, q.format(f"the {class_noun}"))) for q in QUESTIONS[:count]]
    return [Sentence(put_names(a, [(class_noun, name)]), q) for q, a in answered if a] + [Sentence(name, "Who is this?")]

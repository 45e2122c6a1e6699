"""How well captions name the concepts that are in the photos: pure counting over what was said. Knows no model and no file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from .vlms.name_rule import core, folded


@dataclass(frozen=True)
class Said:
    """One photo, described."""

    photo: str  # its path in the set
    subject: str | None  # the concept that is in it; None: a photo with none of them
    fired: tuple[str, ...]  # concepts whose heads fired, surest first
    scores: dict[str, float]  # of the fired ones and of the photo's own, 0..1
    text: str
    base_text: str  # what the frozen model says of the same photo
    seconds: float


@dataclass(frozen=True)
class Called:
    """What a concept is called in this run, and the noun its name takes the place of."""

    name: str
    class_noun: str


def names_in(text: str, names: Collection[str]) -> set[str]:
    """Names that stand in a text as words of their own, in any case and spelling. "Corgi Joe" doesn't say "Joe"; of names that are spelled
    alike the one is said that is written so."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(core(name), []).append(name)
    said = {found[0] for found in _any_of(alike).finditer(folded(text))}
    return {next((name for name in alike[one] if name in text), alike[one][0]) for one in said}


def without_names(text: str, called: Collection[Called]) -> str:
    """The text with "a dog" where it says Biscuit, so that it can be compared with the base caption."""
    nouns = {one.name.lower(): f"{'an' if one.class_noun[:1].lower() in 'aeiou' else 'a'} {one.class_noun}" for one in called}
    text = _any_of(nouns).sub(lambda found: nouns.get(found[0].lower(), found[0]), text)
    return text[:1].upper() + text[1:]


def _any_of(names: Collection[str]) -> re.Pattern[str]:
    """The longest of them first; with none of them, nothing."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?![^\W_])", re.IGNORECASE)


def caption_scores(
    said: Sequence[Said], called: dict[str, Called], similarity: Callable[[Sequence[str], Sequence[str]], np.ndarray]
) -> dict[str, float]:
    """Over one seed's photos:

    name_recall: share of subjects' photos whose caption says the name
    name_recall_recognised: the same over those whose own head fired
    name_precision: share of the names in captions, all photos, that belong there
    name_f1: harmonic mean of name_recall and name_precision
    text_similarity: mean cosine of a subject's caption, its names turned back into nouns, and the base caption of that photo
    """
    own = [s for s in said if s.subject]
    names = [c.name for c in called.values()]
    right = [called[s.subject].name in names_in(s.text, names) for s in own if s.subject]
    recognised = [hit for s, hit in zip(own, right, strict=True) if s.subject in s.fired]
    named = sum(len(names_in(s.text, names)) for s in said)
    recall, precision = share(right), sum(right) / named if named else 1.0
    plain = [without_names(s.text, called.values()) for s in own]
    return {
        "name_recall": recall,
        "name_recall_recognised": share(recognised),
        "name_precision": precision,
        "name_f1": 2 * recall * precision / (recall + precision) if recall + precision else 0.0,
        "text_similarity": float(similarity(plain, [s.base_text for s in own]).mean()) if own else 0.0,
    }


def share(hits: Sequence[bool]) -> float:
    """0 where there is nothing to count."""
    return sum(hits) / len(hits) if hits else 0.0

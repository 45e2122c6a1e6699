"""Answering with concepts: a caption or an answer that names whoever's head fired, and nobody else.

Nothing fired: the base model's own words. Something fired: candidate sentences are collected (the VLM's own with the learned
embeddings, its base caption with noun phrases replaced, sentences made to begin with the names) and the one that names everybody
and that the VLM, embeddings in place, finds likeliest is said. Names of absent concepts can't be generated, and what was
generated is checked once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch

from ..messages import NamedConcept
from ..vlms.base import Decoding, Target, View, Vlm, generate
from ..vlms.name_rule import NameRule
from .phrases import listing, named_in, opening_with, places, polished, put_names, replaced, tidy, unstammered

NAMELESS = ("A photo.", "…", "")  # captions where nothing else may be said; the last can't name anybody
UNTOLD = ("I can't tell.", "…", "")  # answers


class Fired(Protocol):
    """A concept whose head fired."""

    name: str
    class_noun: str
    embedding: np.ndarray | None  # (K, D)


Answered = tuple[str, str, list[NamedConcept]]  # text, the base model's text, who was named and how


def answer(
    vlm: Vlm, view: View, question: str | None, concepts: Sequence[Fired], absent_names: Sequence[str], guided: bool = True
) -> Answered:
    """`concepts` are those that fired, surest first; `absent_names` the scope's others. Not `guided`: a caption is what the VLM
    itself writes with the embeddings in place, named or not, and a concept that has none is put in the place of its noun, if that
    was said (the paper's settings, for comparisons)."""
    from .questions import reply

    if question is not None:
        return reply(vlm, view, question, concepts, absent_names)
    return describe(vlm, view, concepts, absent_names) if guided else describe_freely(vlm, view, concepts, absent_names)


# -- captions
def describe(vlm: Vlm, view: View, concepts: Sequence[Fired], absent_names: Sequence[str]) -> Answered:
    base, rule = generate(vlm, view, None), rule_of(concepts, absent_names)
    if not concepts:
        return permitted(vlm, view, None, base, rule), base, []
    vectors = stacked(vlm, concepts)
    found = [f for f in candidates(vlm, view, base, concepts, vectors, rule) if rule.broken_by(f) is None]
    found = found or [permitted(vlm, view, None, base, rule)]  # somebody absent is called "Biscuit and Rex"
    text = likeliest(vlm, view, most_complete(found, concepts), concepts, vectors)
    return text, base, named(text, concepts)


def describe_freely(vlm: Vlm, view: View, concepts: Sequence[Fired], absent_names: Sequence[str]) -> Answered:
    base, rule, vectors = generate(vlm, view, None), rule_of(concepts, absent_names), stacked(vlm, concepts)
    said = generate(vlm, view, None, vectors, decoding(rule)) if len(vectors) else base
    said = with_names(polished(said, names_of(concepts)), [c for c in concepts if c.embedding is None])
    text = permitted(vlm, view, None, said, rule)
    return text, base, named(text, concepts)


def rule_of(concepts: Sequence[Fired], absent_names: Sequence[str], asked: Sequence[str] = ()) -> NameRule:
    """Who may not be named. A name that two concepts share isn't absent; neither is one that was `asked` about."""
    allowed = (*names_of(concepts), *asked)
    return NameRule(tuple(n for n in absent_names if n not in allowed), allowed)


def names_of(concepts: Sequence[Fired]) -> list[str]:
    return [c.name for c in concepts]


def decoding(rule: NameRule, opening: str = "", candidates: int = 1) -> Decoding:
    return Decoding(forbidden=rule.forbidden, allowed=rule.allowed, opening=opening, candidates=candidates)


def permitted(vlm: Vlm, view: View, prompt: str | None, text: str, rule: NameRule) -> str:
    """`text` where it keeps the rule; else what the VLM says under it, which is checked too; else a sentence with no name in it."""
    if rule.broken_by(text) is None:
        return text
    instead = generate(vlm, view, prompt, None, decoding(rule))
    return next(t for t in (instead, *(UNTOLD if prompt else NAMELESS)) if rule.broken_by(t) is None)


def stacked(vlm: Vlm, concepts: Sequence[Fired]) -> torch.Tensor:
    """(K, width) the learned vectors of all concepts that have some."""
    learned = [torch.from_numpy(np.array(c.embedding, dtype=np.float32)) for c in concepts if c.embedding is not None]
    return torch.cat(learned) if learned else torch.zeros(0, vlm.width)


def candidates(vlm: Vlm, view: View, base: str, concepts: Sequence[Fired], vectors: torch.Tensor, rule: NameRule) -> list[str]:
    """Sentences that may be said, each with as many of the names as have a place in it. The last resort names everybody."""
    said = vlm.candidates(view, None, vectors, decoding(rule, candidates=3)) if len(vectors) else []
    found = [with_names(s, concepts) for s in (*said, base)]
    if not any(complete(f, concepts) and rule.broken_by(f) is None for f in found):
        found += [with_names(s, concepts) for o in openings(concepts) for s in vlm.candidates(view, None, vectors, decoding(rule, o))]
    if not any(complete(f, concepts) and rule.broken_by(f) is None for f in found):
        found += last_resorts(names_of(concepts))
    return list(dict.fromkeys(found))


def last_resorts(names: Sequence[str]) -> list[str]:
    """The second where "photo" is somebody's name, the others where "Biscuit and Rex" is."""
    return [f"A photo of {listing(names)}.", f"{listing(names)}.", *(f"{sign.join(names)}." for sign in (", ", "; ", " / "))]


def openings(concepts: Sequence[Fired]) -> list[str]:
    """How a sentence about all of them begins: with their names (the embeddings know them), with their nouns (the VLM knows those)."""
    nouns = listing([opening_with(c.class_noun).lower() for c in concepts])
    return [listing(names_of(concepts)), nouns[:1].upper() + nouns[1:]]


def with_names(text: str, concepts: Sequence[Fired]) -> str:
    """The text with noun phrases replaced for the concepts that it doesn't name yet."""
    names = names_of(concepts)
    text = unstammered(polished(tidy(text), names), names)
    there = named_in(text, names)
    return put_names(text, [(c.class_noun, c.name) for c in concepts if c.name not in there], keep=names)


def complete(text: str, concepts: Sequence[Fired]) -> bool:
    return named_in(text, names_of(concepts)) == set(names_of(concepts))


def most_complete(found: Sequence[str], concepts: Sequence[Fired]) -> list[str]:
    """Those that name the most concepts, and of these the ones that stammer least ("Biscuit and Biscuit")."""
    names = names_of(concepts)
    there = [[hit.name for hit in places(f, names)] for f in found]
    rank = [(-len(set(named)), len(named) - len(set(named))) for named in there]
    return [f for f, r in zip(found, rank, strict=True) if r == min(rank)]


def likeliest(vlm: Vlm, view: View, found: Sequence[str], concepts: Sequence[Fired], vectors: torch.Tensor) -> str:
    """The sentence with the lowest mean token cross-entropy, as it stands with the embeddings and, with plain nouns for the
    names, without them: an embedding that learned its teacher's sofa can't put every photo on it."""
    if len(found) == 1:
        return found[0]
    none = torch.zeros(0, vlm.width)
    with torch.no_grad():
        named = vlm.losses([view], [Target(0, None, f) for f in found], vectors, "", attention=False).cross_entropy
        plain = vlm.losses([view], [Target(0, None, with_nouns(f, concepts)) for f in found], none, "", attention=False).cross_entropy
    return found[int((named + plain).argmin())]


def with_nouns(text: str, concepts: Sequence[Fired]) -> str:
    """'Biscuit is asleep.' becomes 'A dog is asleep.'."""
    nouns = {c.name: opening_with(c.class_noun) for c in concepts}
    small = {name: noun[:1].lower() + noun[1:] for name, noun in nouns.items()}
    there = places(text, nouns)
    return replaced(replaced(text, [hit for hit in there if hit.start], small), [hit for hit in there if not hit.start], nouns)


def named(text: str, concepts: Sequence[Fired], others: Sequence[str] = ()) -> list[NamedConcept]:
    there = named_in(text, names_of(concepts), others)
    return [NamedConcept(name=c.name, how=how_named(c, c.name in there)) for c in concepts]


def how_named(concept: Fired, there: bool) -> Literal["embedding", "substitution", "missing"]:
    if not there:
        return "missing"
    return "substitution" if concept.embedding is None else "embedding"

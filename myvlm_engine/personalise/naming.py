"""Answering with concepts: a caption or an answer that names whoever's head fired, and nobody else.

Nothing fired: the base model's own words. Something fired: candidate sentences are collected (the VLM with the learned
embeddings, its base caption with the class noun replaced, sentences made to begin with the class noun) and the one that
names everybody and that the VLM, embeddings in place, finds likeliest is said. Names of absent concepts can't be generated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch

from ..messages import NamedConcept
from ..vlms.base import Decoding, Target, View, Vlm, generate
from .phrases import mentions, opening_with, put_name, words_for


class Fired(Protocol):
    """A concept whose head fired."""

    name: str
    class_noun: str
    embedding: np.ndarray | None  # (K, D)


Answered = tuple[str, str, list[NamedConcept]]  # text, the base model's text, who was named and how


def answer(vlm: Vlm, view: View, question: str | None, concepts: Sequence[Fired], absent_names: Sequence[str]) -> Answered:
    """`concepts` are those that fired, surest first; `absent_names` the scope's others."""
    if question is None:
        return describe(vlm, view, concepts, absent_names)
    return reply(vlm, view, question, concepts, absent_names)


# -- captions
def describe(vlm: Vlm, view: View, concepts: Sequence[Fired], absent_names: Sequence[str]) -> Answered:
    base = generate(vlm, view, None)
    if not concepts:
        return base, base, []
    vectors = stacked(vlm, concepts)
    # a name that is an ordinary word of the caption language ("Cookie") may only stand for its concept
    forbidden = tuple(n for n in absent_names if not any(mentions(c.name, n) for c in concepts))
    found = candidates(vlm, view, base, concepts, vectors, forbidden)
    text = likeliest(vlm, view, most_complete(found, concepts), concepts, vectors)
    return text, base, [NamedConcept(name=c.name, how=how_named(text, c)) for c in concepts]


def stacked(vlm: Vlm, concepts: Sequence[Fired]) -> torch.Tensor:
    """(K, width) the learned vectors of all concepts that have some."""
    learned = [torch.from_numpy(np.array(c.embedding, dtype=np.float32)) for c in concepts if c.embedding is not None]
    return torch.cat(learned) if learned else torch.zeros(0, vlm.width)


def candidates(vlm: Vlm, view: View, base: str, concepts: Sequence[Fired], vectors: torch.Tensor, forbidden: tuple[str, ...]) -> list[str]:
    """Sentences that may be said, each with as many of the names as could be put in."""
    said = vlm.candidates(view, None, vectors, Decoding(forbidden=forbidden, candidates=3)) if len(vectors) else []
    found = [with_names(s, concepts) for s in (*said, base)]
    if not any(complete(f, concepts) for f in found):
        begun = " and ".join(opening_with(c.class_noun).lower() for c in concepts)
        sentence = vlm.candidates(view, None, vectors, Decoding(forbidden=forbidden, opening=begun[:1].upper() + begun[1:]))[0]
        found.append(with_names(sentence, concepts))
    return list(dict.fromkeys(found))


def with_names(text: str, concepts: Sequence[Fired]) -> str:
    """The text with a class noun replaced for every concept that it doesn't name yet."""
    names = [c.name for c in concepts]
    for concept in concepts:
        if not mentions(text, concept.name):
            text = put_name(text, concept.class_noun, concept.name, keep=names) or text
    return text


def complete(text: str, concepts: Sequence[Fired]) -> bool:
    return all(mentions(text, c.name) for c in concepts)


def most_complete(found: Sequence[str], concepts: Sequence[Fired]) -> list[str]:
    """Those that name the most concepts."""
    counts = [sum(mentions(f, c.name) for c in concepts) for f in found]
    return [f for f, n in zip(found, counts, strict=True) if n == max(counts)]


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
    for concept in concepts:
        noun = opening_with(concept.class_noun)
        text = re.sub(rf"^{re.escape(concept.name)}(?!\w)", noun, text)
        text = re.sub(rf"(?<!\w){re.escape(concept.name)}(?!\w)", noun[:1].lower() + noun[1:], text)
    return text


def how_named(text: str, concept: Fired) -> Literal["embedding", "substitution", "missing"]:
    if not mentions(text, concept.name):
        return "missing"
    return "substitution" if concept.embedding is None else "embedding"


# -- questions
def reply(vlm: Vlm, view: View, question: str, concepts: Sequence[Fired], absent_names: Sequence[str]) -> Answered:
    """The VLM is asked about "the dog"; the member asked about Biscuit. "Who is this?" is answered with the name."""
    plain = question
    for concept in sorted(concepts, key=lambda c: -len(c.name)):
        plain = without_name(plain, concept)
    base = generate(vlm, view, plain)
    text = with_names(base, concepts)
    asked = {n for n in absent_names if mentions(question, n)}
    if any(mentions(text, n) for n in absent_names if n not in asked):
        text = generate(vlm, view, plain, None, Decoding(forbidden=tuple(n for n in absent_names if n not in asked)))
    return sentence(text), base, [NamedConcept(name=c.name, how=how_named(text, c)) for c in concepts]


def without_name(question: str, concept: Fired) -> str:
    """ "Is Biscuit asleep?" -> "Is the dog asleep?", in any case, possessives kept."""
    noun = words_for(concept.class_noun)[0]
    return re.sub(rf"(?<!\w){re.escape(concept.name)}(?!\w)", f"the {noun}", question, flags=re.IGNORECASE)


def sentence(text: str) -> str:
    """Short answers as a person writes them: capital first, full stop last."""
    text = text.strip()
    if not text:
        return "I can't tell."
    return text[:1].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")

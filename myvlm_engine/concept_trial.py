"""One seed of `myvlm eval concepts` beyond the heads: every concept is taught through the Engine, then the held photos are described.

The same path as a member's photo: see, match, answer. The name is never in a prompt. Knows no folder layout and draws no figure.
"""

from __future__ import annotations

import base64
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from .caption_scores import Called, Said
from .engine import MAX_CONCEPTS, PLAIN_NOUNS, Engine
from .messages import AnswerRequest, Base64, Box, Head, Kind, KnownConcept, SeeRequest, Sight, TaughtPhoto, TeachEvent, TeachRequest
from .photo_sets import NAME_MARK, Split


class Match(NamedTuple):
    """One head on one photo, after heads have been held against each other."""

    subject: str
    score: float  # 0..1
    box: Box | None


Closer = Callable[[Sequence[Box]], list[Sight]]  # sees places of a photo again, larger
Looked = tuple[str, float, Box | None]  # a match as it is handed in
# How the store holds heads against each other on a photo, surest first: without a closer look at first sight.
Looking = Callable[[Mapping[str, Head]], Callable[[Sequence[Sight], Closer | None], Sequence[Looked]]]


class Look(Protocol):
    """Every enrolled head on one photo, surest first; with a `closer` look at doubtful places where one can be had."""

    def __call__(self, sights: Sequence[Sight], closer: Closer | None = None) -> list[Match]: ...


FIRES_AT = 0.6


@dataclass(frozen=True)
class Enrolled:
    """A subject whose head is fitted."""

    split: Split
    called: Called
    boxes: tuple[Box | None, ...]  # where it is in the taught photos
    usable_s: float  # seeing the taught photos and fitting the head


@dataclass(frozen=True)
class Photo:
    """One to describe."""

    name: str  # in the set
    path: Path
    subject: str | None  # who is in it


@dataclass(frozen=True)
class Learned:
    """A subject whose embedding is learned."""

    embedding: Base64
    sample: str | None
    seconds: float  # of the teach alone


Matches = Callable[[Photo, Base64], list[Match]]  # who is found in a photo (its bytes), surest first


def enrolled(engine: Engine, part: Split, name: str, boxes: Sequence[Box | None], fit_s: float) -> Enrolled:
    """A subject with what it is called. Its photos are seen once more, so that `usable_s` is what a member waits."""
    teaches = part.subject.kind != "person"
    started = time.monotonic()
    nouns = [engine.see(SeeRequest(photo=encoded(path), taught=teaches)).noun for path in part.taught]
    usable_s = time.monotonic() - started + fit_s
    return Enrolled(part, Called(name, part.subject.class_noun or agreed_noun(part.subject.kind, nouns)), tuple(boxes), usable_s)


def agreed_noun(kind: Kind, hints: Sequence[str | None]) -> str:
    """What the encoder calls most of the photos, as in the bot; the kind's own word where it isn't sure."""
    noun, votes = Counter(h for h in hints if h).most_common(1)[0] if any(hints) else ("", 0)
    return noun if 2 * votes > len(hints) else PLAIN_NOUNS[kind]


def learn(engine: Engine, concept: Enrolled, seed: int) -> Learned:
    """Teaches one concept as the bot does. Errors: what Engine.teach raises."""
    started = time.monotonic()
    last: TeachEvent | None = None
    for event in engine.teach(teach_request(concept, seed)):
        last = event
    if last is None or last.embedding is None:
        raise RuntimeError(f"The teach of {concept.split.subject.name} ended without an embedding.")
    return Learned(last.embedding, last.sample, time.monotonic() - started)


def teach_request(concept: Enrolled, seed: int) -> TeachRequest:
    subject, called = concept.split.subject, concept.called
    photos = [
        TaughtPhoto(photo=encoded(path), captions=[c.replace(NAME_MARK, called.name) for c in subject.captions.get(path.name, ())], box=box)
        for path, box in zip(concept.split.taught, concept.boxes, strict=True)
    ]
    return TeachRequest(name=called.name, class_noun=called.class_noun, kind=subject.kind, photos=photos, seed=seed)


def by_heads(engine: Engine, look: Look) -> Matches:
    """As in a server that knows all these concepts: every head."""
    return lambda photo, data: looked_at(engine, look, data)


def looked_at(engine: Engine, look: Look, data: Base64) -> list[Match]:
    """A photo through the engine, as the bot does it."""
    return look(engine.see(SeeRequest(photo=data)).sights, lambda places: engine.see(SeeRequest(photo=data, places=list(places))).sights)


def handed_in(learned: Mapping[str, Learned], seed: int) -> Matches:
    """Without heads: the concept that is in the photo among others, as if all had fired; who comes first is chance."""

    def matches(photo: Photo, data: Base64) -> list[Match]:
        rng = random.Random(f"{seed}/{photo.name}")
        own = [name for name in learned if name == photo.subject]
        others = sorted(set(learned) - set(own))
        chosen = [*own, *rng.sample(others, min(len(others), MAX_CONCEPTS - len(own)))]
        return [Match(subject, 1.0, None) for subject in rng.sample(chosen, len(chosen))]

    return matches


def describe(
    engine: Engine, matches: Matches, known: Mapping[str, Enrolled], learned: Mapping[str, Learned], photos: Sequence[Photo]
) -> Iterator[Said]:
    """Every photo, as a member would get it described."""
    for photo in photos:
        data = encoded(photo.path)
        started = time.monotonic()
        found = matches(photo, data)
        fired = those_fired(found)
        reply = engine.answer(answer_request(data, fired, known, learned))
        seconds = time.monotonic() - started
        scores = {m.subject: m.score for m in found if m in fired or m.subject == photo.subject}
        yield Said(photo.name, photo.subject, tuple(m.subject for m in fired), scores, reply.text, reply.base_text, seconds)


def those_fired(matches: Sequence[Match]) -> list[Match]:
    """The surest, no more than an answer can hold."""
    return [m for m in matches if m.score >= FIRES_AT][:MAX_CONCEPTS]


def answer_request(photo: Base64, fired: Sequence[Match], known: Mapping[str, Enrolled], learned: Mapping[str, Learned]) -> AnswerRequest:
    """A caption is asked for: no question, so no name in the prompt."""
    concepts = [
        KnownConcept(
            name=known[m.subject].called.name,
            class_noun=known[m.subject].called.class_noun,
            kind=known[m.subject].split.subject.kind,
            embedding=learned[m.subject].embedding if m.subject in learned else None,
            box=m.box,
        )
        for m in fired
    ]
    named = {m.subject for m in fired}
    return AnswerRequest(photo=photo, concepts=concepts, absent_names=[e.called.name for s, e in known.items() if s not in named])


def encoded(path: Path) -> Base64:
    return base64.b64encode(path.read_bytes()).decode()

"""The hardest test of names: embeddings handed in where they don't belong, heads that are off, and whose name is said all the same.

Every second answer gets the embedding of one concept under the name of another, the rest none at all; captions and questions in turn.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from .concept_trial import Enrolled, Learned, Photo, encoded
from .engine import Engine
from .messages import AnswerRequest, KnownConcept
from .vlms.name_rule import NameRule

QUESTIONS = (None, None, "Who is this?", "What is in the photo?", "What is it doing?", "Is there an animal in the photo?")


def wrong_references(
    engine: Engine, known: Mapping[str, Enrolled], learned: Mapping[str, Learned], photos: Sequence[Photo], answers: int, seed: int
) -> Iterator[str | None]:
    """For each of `answers` answers the absent name that it says; None where, as it must be, it says none."""
    rng = random.Random(seed)
    for number in range(answers):
        request = mistaken(encoded(photos[number % len(photos)].path), known, learned, QUESTIONS[number // 2 % len(QUESTIONS)], number, rng)
        reply = engine.answer(request)
        yield NameRule(tuple(request.absent_names), tuple(c.name for c in request.concepts)).broken_by(reply.text)


def mistaken(
    photo: str, known: Mapping[str, Enrolled], learned: Mapping[str, Learned], question: str | None, number: int, rng: random.Random
) -> AnswerRequest:
    """Even numbers: nobody's head fired. Odd ones: somebody's did, and another's embedding came along."""
    concepts: list[KnownConcept] = []
    if number % 2 and len(known) > 1 and learned:
        handed_in = rng.choice(list(learned))
        called = known[rng.choice([name for name in known if name != handed_in])].called
        concepts = [KnownConcept(name=called.name, class_noun=called.class_noun, embedding=learned[handed_in].embedding)]
    named = {c.name for c in concepts}
    absent = [e.called.name for e in known.values() if e.called.name not in named]
    return AnswerRequest(photo=photo, question=question, concepts=concepts, absent_names=absent)

"""The hardest test of names: embeddings handed in where they don't belong, heads that are off, and whose name is said all the same.

Most answers get the embedding of one concept under the name of another; of each photo one caption and one answer to each question get
none at all. Beside whoever may be named somebody absent has a longer name, and a shorter one where it has several words. Whether a name
is said is told by its words, not by the rule that keeps it from being said.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice

from .caption_scores import names_in
from .concept_trial import Enrolled, Learned, Photo, encoded
from .engine import Engine
from .messages import AnswerRequest, KnownConcept
from .remembering import Memory, remembering

QUESTIONS = (None, None, "Who is this?", "What is in the photo?", "What is it doing?", "Is there an animal in the photo?")

Pair = tuple[str, str]  # whose embedding is handed in, and whose name it gets


def wrong_references(
    engine: Engine, known: Mapping[str, Enrolled], learned: Mapping[str, Learned], photos: Sequence[Photo], answers: int, seed: int
) -> Iterator[str | None]:
    """For each of `answers` answers an absent name that it says; None where, as it must be, it says none. No two are asked alike before a
    photo has been given every pair of concepts."""
    rng = random.Random(seed)
    pairs = [(mine, other) for mine in learned for other in known if other != mine]
    for path, numbers in groupby(range(answers), lambda number: photos[number * len(photos) // answers].path):
        once = Engine(replace(engine.parts, vlm=remembering(engine.parts.vlm, Memory())))  # each photo is seen once
        photo, asked = encoded(path), islice(questions(rng.sample(pairs, len(pairs))), len(list(numbers)))
        for question, pair in asked:
            request = mistaken(photo, known, learned, question, pair)
            names = [*(c.name for c in request.concepts), *request.absent_names]
            yield min(names_in(once.answer(request).text, names) & set(request.absent_names), default=None)


def questions(pairs: Sequence[Pair]) -> Iterator[tuple[str | None, Pair | None]]:
    """What is asked of one photo, without end: each question once with no pair, in turn with those that have one."""
    unasked, number = set(QUESTIONS), 0
    while True:
        question = QUESTIONS[number // 2 % len(QUESTIONS)]
        nobody = not pairs or (number % 2 == 0 and question in unasked)
        unasked -= {question} if nobody else set()
        yield question, None if nobody else pairs[number % len(pairs)]
        number += 1


def mistaken(
    photo: str, known: Mapping[str, Enrolled], learned: Mapping[str, Learned], question: str | None, pair: Pair | None
) -> AnswerRequest:
    """Without a pair nobody's head fired; with one somebody's did, and another's embedding came along."""
    concepts: list[KnownConcept] = []
    if pair:
        mine, other = pair
        called = known[other].called
        concepts = [KnownConcept(name=called.name, class_noun=called.class_noun, embedding=learned[mine].embedding)]
    named = {c.name for c in concepts}
    absent = [e.called.name for e in known.values() if e.called.name not in named]
    absent += [name for c in concepts for name in nested(c) if name not in absent]
    return AnswerRequest(photo=photo, question=question, concepts=concepts, absent_names=absent)


def nested(concept: KnownConcept) -> list[str]:
    """What is easily said with the name and isn't it: "Corgi Joe Dog" (a VLM likes to put the noun behind a name), and "Joe"."""
    return [f"{concept.name} {concept.class_noun.title()}", *concept.name.split()[1:][-1:]]

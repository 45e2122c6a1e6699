"""Practice for the place where concept embeddings stand: photos whose subject is given a made-up name.

The embedded VLM is trained to use what stands after its visual tokens: "dog" and the word vectors of an invented name there,
and the captions call the dog by that name. A concept embedding then starts as noun + name and needs few steps; several
concepts are told apart by their nouns. Names are random, so that none is learned by heart. Knows captions, no model.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..personalise.phrases import mentions, put_name, words_for

# fmt: off
NOUNS = (
    "dog", "cat", "man", "woman", "boy", "girl", "child", "person", "horse", "bird", "ball", "car", "bike", "bicycle", "boat",
    "motorcycle", "surfboard", "skateboard", "bench", "hat", "umbrella", "cow", "sheep", "bear", "elephant", "giraffe", "zebra",
    "train", "bus", "truck", "plane", "table", "chair", "couch", "bed", "cup", "bowl", "plate", "pizza", "cake", "phone", "laptop",
    "clock", "vase", "teddy", "toy", "backpack", "bag", "bottle", "kite", "frisbee", "snowboard", "kayak", "raft", "tent", "bridge",
    "fountain", "swing", "slide",
)
# fmt: on
# fmt: off
FIRST = (
    "Biscuit", "Milo", "Luna", "Bella", "Charlie", "Max", "Rocky", "Daisy", "Coco", "Oscar", "Simba", "Nala", "Pepper", "Ziggy",
    "Mochi", "Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Leo", "Maria", "Nils",
    "Olga", "Paul", "Rosa", "Sven", "Tara", "Umar", "Vera", "Will", "Yuki", "Zoe", "Joe", "Kim", "Lars", "Mina", "Noah", "Ruby",
    "Sam", "Toby", "Waffles", "Pickle", "Shadow", "Tiger", "Smokey", "Ginger", "Buddy", "Rusty", "Sunny", "Marble", "Pixel",
    "Turbo", "Captain", "Duchess", "Nugget", "Peanut", "Cleo", "Juno", "Otto", "Fritz", "Maple", "Hazel", "Bruno",
)
# fmt: on
TITLES = ["Mr", "Mrs", "Sir", "Lady", "Little", "Big", "Old", "Uncle", "Princess", "Doctor", "Super"]
# fmt: off
SYLLABLES = (
    "ba", "be", "bi", "bo", "bu", "da", "de", "di", "do", "du", "fa", "fi", "ga", "go", "ha", "he", "ja", "jo", "ka", "ke", "ki",
    "ko", "la", "le", "li", "lo", "lu", "ma", "me", "mi", "mo", "na", "ne", "no", "pa", "pe", "po", "ra", "re", "ri", "ro", "ru",
    "sa", "se", "shi", "so", "ta", "te", "ti", "to", "tu", "va", "vi", "wa", "xa", "ya", "yo", "za", "ze", "zo", "zu", "bra", "cla",
    "dri", "flo", "gru", "kra", "pli", "sto", "tri",
)
# fmt: on


@dataclass(frozen=True)
class Slot:
    """What stands for one concept: its class noun, then its name."""

    noun: str
    name: str

    @property
    def text(self) -> str:
        return slot_text(self.noun, self.name)


def slot_text(noun: str, name: str) -> str:
    """The words whose vectors a concept embedding starts from."""
    return f" {noun} {name}"


def random_name(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(FIRST)
    if kind < 0.5:
        return f"{rng.choice(TITLES if rng.random() < 0.5 else FIRST)} {rng.choice(FIRST)}"
    made_up = "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 4))).capitalize()
    return made_up if kind < 0.92 else f"{made_up} {rng.choice(FIRST)}"


def nouns_in(captions: Sequence[str], labels: Sequence[str] = ()) -> list[str]:
    """Class nouns that at least two captions (or the only one) speak of, as single things."""
    least = min(2, len(captions))
    found = [n for n in (*labels, *NOUNS) if sum(mentions(c, n) for c in captions) >= least]
    return [n for i, n in enumerate(found) if not any(n in words_for(m) for m in found[:i])]


def name_subjects(
    answers: Mapping[str, Sequence[str]], caption_prompt: str, rng: random.Random, labels: Sequence[str] = (), at_most: int = 2
) -> tuple[list[Slot], dict[str, list[str]]]:
    """The photo's answers with one or two of its things named. No slots, and the answers as they were, where nothing fits."""
    captions = list(answers.get(caption_prompt, []))
    nouns = nouns_in(captions, labels)
    if not nouns:
        return [], {p: list(a) for p, a in answers.items()}
    rng.shuffle(nouns)
    chosen = nouns[: at_most if rng.random() < 0.3 else 1]
    names = list(dict.fromkeys(random_name(rng) for _ in range(2 * len(chosen))))[: len(chosen)]
    slots = [Slot(noun, name) for noun, name in zip(chosen, names, strict=False)]
    named = [c for c in (_named(caption, slots) for caption in captions) if c]
    if not named:
        return [], {p: list(a) for p, a in answers.items()}
    questions = {_asked(p, slots): list(a) for p, a in answers.items() if p != caption_prompt}
    who = {"Who is in this photo?": [" and ".join(s.name for s in slots)]} if rng.random() < 0.3 else {}
    return slots, {caption_prompt: named} | questions | who


def _named(caption: str, slots: Sequence[Slot]) -> str | None:
    names = [s.name for s in slots]
    for slot in slots:
        text = put_name(caption, slot.noun, slot.name, keep=names)
        if text is None:
            return None
        caption = text
    return caption


def _asked(question: str, slots: Sequence[Slot]) -> str:
    for slot in slots:
        question = re.sub(rf"\bthe {re.escape(slot.noun)}\b", slot.name, question)
    return question

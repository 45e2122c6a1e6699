"""Small VLMs that say what a test tells them to, behind the real Protocol."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch

from myvlm_engine.vlms.base import Decoding, Losses, View

VIEW = View(None, (320, 240))
NONE = np.zeros((1, 4), np.float32)


def concept(name: str, class_noun: str = "dog", learned: bool = True) -> SimpleNamespace:
    return SimpleNamespace(name=name, class_noun=class_noun, embedding=NONE if learned else None)


@dataclass
class Speaker:
    """`says(prompt, vectors, opening)` -> sentences; `costs(prompt, vectors, text)` -> cross-entropy. It obeys no rule."""

    says: Callable[[str | None, int, str], list[str]]
    costs: Callable[[str | None, int, str], float] = lambda prompt, vectors, text: float(len(text))
    asked: list[Decoding] = field(default_factory=list)
    name, fingerprint, width, embedding_norm = "speaker", "speaker-0", 4, 1.0

    def views(self, images):
        return [VIEW for _ in images]

    def starting_vectors(self, name, class_noun):
        return None

    def candidates(self, view, prompt, concepts, decoding=Decoding()):
        self.asked.append(decoding)
        return (self.says(prompt, len(concepts), decoding.opening) * decoding.candidates)[: decoding.candidates]

    def losses(self, views, targets, concepts, identifier, attention):
        cost = torch.tensor([self.costs(t.prompt, len(concepts), t.text) for t in targets])
        return Losses(cost, torch.zeros(len(targets)), torch.ones(len(targets)))


def always(*texts: str) -> Speaker:
    """Says these of everything; where it must begin somehow, it goes on with "is there."."""
    return Speaker(lambda prompt, vectors, opening: [f"{opening} is there."] if opening else list(texts))


def babbling(names: list[str], seed: int) -> Speaker:
    """Throws names into everything it says, in many spellings."""
    rng = random.Random(seed)

    def says(prompt, vectors, opening):
        spell = rng.choice([str, str.upper, str.lower, str.title, lambda n: f"_{n}_", lambda n: n.replace(" ", "  ")])
        words = [rng.choice(["a dog", "the cat", "and", "runs", "yes", spell(rng.choice(names))]) for _ in range(rng.randrange(1, 7))]
        return [" ".join([opening, *words]).strip() + "."]

    return Speaker(says, lambda prompt, vectors, text: rng.random())

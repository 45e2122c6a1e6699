"""Which caption says what many say: minimum Bayes risk decoding (Kumar and Byrne, 2004) with a CIDEr-like utility.

The drafter's samples stand for the captions people might write; the candidate that agrees with most of them is taken, not the
likeliest one. Knows texts and how rare words are; no model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..text_metrics import words

ORDERS = 4  # n-grams of one to four words
LENGTH_DEVIATION = 6.0  # words; CIDEr-D's (Vedantam et al., 2015)
Vectors = tuple[list[dict[tuple[str, ...], float]], list[float], int]  # per order: weights and norm; words in all


@dataclass(frozen=True, eq=False)
class Consensus:
    """How much texts agree. An n-gram weighs the sum of its words' idf: measured better than its own idf, and a thousandth the size."""

    idf: Mapping[str, float]  # word -> log(photos / photos whose captions use it)
    unknown: float  # idf of any other word

    def best(self, candidates: Sequence[str], evidence: Sequence[str]) -> list[str]:
        """The candidates, the one that agrees most first; their own order where they agree alike."""
        scores = self.agreement(candidates, evidence)
        return [candidates[i] for i in sorted(range(len(candidates)), key=lambda i: -scores[i])]

    def agreement(self, candidates: Sequence[str], evidence: Sequence[str]) -> np.ndarray:
        """(N,) mean likeness 0..1 of each candidate to the evidence; zeros where there is none."""
        known = [self._vectors(text) for text in evidence]
        return np.array([np.mean([_likeness(self._vectors(c), k) for k in known]) if known else 0.0 for c in candidates])

    def _vectors(self, text: str) -> Vectors:
        tokens = words(text).split()
        grams = [Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)) for n in range(1, ORDERS + 1)]
        weigh = lambda gram: sum(self.idf.get(word, self.unknown) for word in gram)
        parts = [{gram: count * weigh(gram) for gram, count in order.items()} for order in grams]
        return parts, [math.sqrt(sum(v * v for v in part.values())) for part in parts], len(tokens)


def _likeness(one: Vectors, other: Vectors) -> float:
    """CIDEr-D of two texts, 0..1: clipped cosine per order, less for different lengths."""
    penalty = math.exp(-((one[2] - other[2]) ** 2) / (2 * LENGTH_DEVIATION**2))
    cosines = [
        sum(min(v, b.get(gram, 0.0)) * b.get(gram, 0.0) for gram, v in a.items()) / (n * m)
        for a, b, n, m in zip(one[0], other[0], one[1], other[1], strict=True)
        if n and m
    ]
    return penalty * sum(cosines) / ORDERS

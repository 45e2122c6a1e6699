"""The reward of self-critical training: CIDEr-D of one caption against a photo's references. Knows texts, no model."""

from __future__ import annotations

import math
from collections import Counter

from ..text_metrics import words


class CiderReward:
    """CIDEr-D of one caption against a photo's references, with document frequencies of the training captions. `ending`: the end
    counts as a word, so that a caption that breaks off gains nothing."""

    def __init__(self, references: dict[int, list[str]], ending: bool = False):
        self.documents: Counter = Counter()
        self.end = " </s>" if ending else ""
        self.grams = {i: [_grams(words(r) + self.end) for r in refs] for i, refs in references.items()}
        for refs in self.grams.values():
            self.documents.update({gram for r in refs for gram in r})
        self.log_count = math.log(len(references))
        self.vectors = {i: [self._vector(g) for g in refs] for i, refs in self.grams.items()}

    def _vector(self, grams: Counter):
        vector: list[dict] = [{} for _ in range(4)]
        for gram, count in grams.items():
            vector[len(gram) - 1][gram] = count * (self.log_count - math.log(max(1.0, self.documents[gram])))
        norms = [math.sqrt(sum(v * v for v in part.values())) for part in vector]
        return vector, norms, sum(c for g, c in grams.items() if len(g) == 1)

    def __call__(self, caption: str, photo: int) -> float:
        own, norms, length = self._vector(_grams(words(caption) + self.end))
        total = 0.0
        for other, other_norms, other_length in self.vectors[photo]:
            penalty = math.exp(-((length - other_length) ** 2) / (2 * 6.0**2))
            for part, ref, n, m in zip(own, other, norms, other_norms, strict=True):
                if n and m:
                    total += penalty * sum(min(v, ref.get(g, 0.0)) * ref.get(g, 0.0) for g, v in part.items()) / (n * m) / 4
        return total / len(self.vectors[photo]) * 10


def _grams(text: str) -> Counter:
    tokens = text.split()
    return Counter(tuple(tokens[i : i + n]) for n in range(1, 5) for i in range(len(tokens) - n + 1))

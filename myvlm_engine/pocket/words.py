"""Which caption words fit a photo: ridge regression from the tower's features, solved in closed form.

A language model this small reads words better than vectors: "dog, snow, running" in its prompt is worth more than twenty-six
visual tokens it learned for an hour. For training photos the words come from folds that never saw them, so that they are as
wrong in training as they will be in use. Knows features and captions, no language model.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from .vision import HEAD_CHANNELS

WORD_COUNT, VOCABULARY, LEAST_PHOTOS = 12, 1000, 12
RIDGE = 1e4  # measured on flickr8k dev: 44 % of the ten best words stand in a caption (30 nearest photos: 40 %)
FOLDS = 5
# Words that say nothing about a photo.
STOP_WORDS = frozenset(
    """a an the of in on with and is are at to his her its their it by for from as that this he she they be while who which has have
    there some one into up out over through off down around another near next other him them what or not very""".split()  # noqa: SIM905
)


@dataclass(frozen=True, eq=False)
class WordSpotter:
    """score of word v = weight_v . (x - mean) / std + bias_v: about the square root of the share of captions that use it."""

    vocabulary: tuple[str, ...]  # V
    weight: torch.Tensor  # (V, F)
    bias: torch.Tensor  # (V,)
    mean: torch.Tensor  # (F,)
    std: torch.Tensor  # (F,)

    def words(self, tokens: torch.Tensor) -> list[list[str]]:
        """The WORD_COUNT best words of each photo, best first. `tokens` (B, 26, C) of VisionTower.tokens."""
        return self.best(self.scores(word_features(tokens.float())))

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """(B, F) -> (B, V)."""
        return (features - self.mean) / self.std @ self.weight.T + self.bias

    def best(self, scores: torch.Tensor) -> list[list[str]]:
        return [[self.vocabulary[i] for i in row] for row in scores.topk(WORD_COUNT, 1).indices.tolist()]

    def to(self, device: str) -> WordSpotter:
        return replace(self, **{part: getattr(self, part).to(device) for part in ("weight", "bias", "mean", "std")})

    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"words.{name}": getattr(self, name) for name in ("weight", "bias", "mean", "std")}


def word_features(tokens: torch.Tensor) -> torch.Tensor:
    """(B, 26, C) tower tokens -> (B, C + 1280): the pooled token, and each head channel's strongest cell."""
    return torch.cat([tokens[:, 0], tokens[:, 1:, :HEAD_CHANNELS].amax(1)], 1)


def words_in(caption: str) -> set[str]:
    return set(re.findall(r"[a-z]+", caption.lower()))


def word_shares(captions: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> torch.Tensor:
    """(N, V): the share of each photo's captions that use each word."""
    column = {w: i for i, w in enumerate(vocabulary)}
    share = torch.zeros(len(captions), len(vocabulary))
    for row, of_photo in enumerate(captions):
        for caption in of_photo:
            for word in words_in(caption) & column.keys():
                share[row, column[word]] += 1 / len(of_photo)
    return share


def load_spotter(path: Path) -> WordSpotter:
    """From safetensors with `words.*` tensors and the vocabulary in the header."""
    with safe_open(path, "pt") as file:
        tensors = {k.removeprefix("words."): file.get_tensor(k).float() for k in file.keys() if k.startswith("words.")}  # noqa: SIM118
        return WordSpotter(tuple(json.loads(file.metadata()["vocabulary"])), **tensors)


def fit_words(features: torch.Tensor, captions: Sequence[Sequence[str]]) -> WordSpotter:
    """`features` (N, views, F) of N captioned photos."""
    photos = Counter(w for of_photo in captions for w in set().union(*map(words_in, of_photo)))
    vocabulary = tuple(w for w, n in photos.most_common() if n >= LEAST_PHOTOS and w not in STOP_WORDS)[:VOCABULARY]
    mean, std = features.flatten(0, 1).mean(0), features.flatten(0, 1).std(0) + 1e-3
    x = ((features - mean) / std).flatten(0, 1)
    y = word_shares(captions, vocabulary).sqrt().repeat_interleave(features.shape[1], 0)
    bias = y.mean(0)
    weight = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1]), x.T @ (y - bias)).T
    return WordSpotter(vocabulary, weight.contiguous(), bias, mean, std)


def words_of_all(tokens: np.ndarray, captions: Sequence[Sequence[str]], train: Sequence[int]) -> tuple[WordSpotter, list[list[str]]]:
    """The spotter fitted on photos `train`, and words for every photo: those of `train` by folds that left them out.
    `tokens` (N, views, 26, C); `captions` N, empty where a photo has none (such photos are never in `train`)."""
    features = torch.stack([word_features(torch.from_numpy(np.asarray(row, dtype=np.float32))) for row in tokens])  # (N, views, F)
    pick = lambda rows: (features[list(rows)], [captions[i] for i in rows])
    spotter = fit_words(*pick(train))
    words = spotter.best(spotter.scores(features[:, 0]))
    for fold in range(FOLDS):
        held = [i for n, i in enumerate(train) if n % FOLDS == fold]
        seen = [i for n, i in enumerate(train) if n % FOLDS != fold]
        other = fit_words(*pick(seen))
        for i, found in zip(held, other.best(other.scores(features[held, 0])), strict=True):
            words[i] = found
    return spotter, words

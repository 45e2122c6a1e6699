"""A few taught photos to a head: which of their regions are the subject, the vector that finds it again, and how sure a score is.

Works on region vectors of one encoder only: numpy, no pixels, no network, no store. The user supplies no negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..messages import FitRequest, Head, Sight, pack
from .negatives import Bank, load_bank
from .windows import Box

if TYPE_CHECKING:
    from .encoders import Encoder

SUBJECT_REGIONS = 3  # of each photo make its prototype: windows overlap, so the subject fills a few
RARE_NEIGHBOURS = 20  # bank regions a region is compared with to see how common it is
ROUNDS = 2  # of choosing regions by the head itself
SURE_SHARE = 0.55  # of a taught photo's expected score is where the head says yes
FLOOR_DEVIATIONS = 4.5  # above the bank's mean; never says yes below
STEEPNESS = 8.0  # of the probability around that point
ONE_PHOTO_SHARE = 0.6  # of its own score that another photo of the subject is expected to reach
CORRECTED_LOGIT = -1.5  # a photo that was wrongly named is told off at least this clearly


@dataclass(frozen=True, eq=False)
class Views:
    """The region vectors of one photo."""

    vectors: np.ndarray  # (n, d) float32, rows L2-normalised
    boxes: Sequence[Box]  # n


@dataclass(frozen=True, eq=False)
class LinearHead:
    """probability = sigmoid(slope * max(region . vector + bias) + offset)."""

    vectors: np.ndarray  # (k, d) float32
    biases: np.ndarray  # (k,) float32
    slope: float
    offset: float

    def logit(self, vectors: np.ndarray) -> float:
        """Of a photo's (n, d) regions."""
        return self.slope * float((vectors @ self.vectors.T + self.biases).max()) + self.offset


@dataclass(frozen=True)
class Fit:
    """A head and where the subject is in each taught photo."""

    head: LinearHead
    boxes: list[Box]


def fit_head(encoder: Encoder, request: FitRequest) -> tuple[Head, list[Box]]:
    """A request's head, and the box of the subject in each taught photo. Errors: NoBank."""
    fit = fit_views(views_of(request.positives), views_of(request.negatives), views_of(request.corrections), load_bank(encoder.fingerprint))
    head = fit.head
    message = Head(
        encoder=encoder.fingerprint,
        width=head.vectors.shape[1],
        vectors=pack(head.vectors, "float32"),
        biases=head.biases.tolist(),
        slope=head.slope,
        offset=head.offset,
    )
    return message, fit.boxes


def views_of(sights: Sequence[Sight]) -> list[Views]:
    return [Views(sight.array(), sight.boxes) for sight in sights]


def fit_views(positives: Sequence[Views], negatives: Sequence[Views], corrections: Sequence[Views], bank: Bank) -> Fit:
    """Learns one head from 1 to 10 photos. `negatives`: photos of the scope's other concepts that look alike. `corrections`: photos
    that were wrongly named."""
    photos = [p.vectors for p in positives]
    common = np.vstack([bank.vectors, *(v.vectors for v in (*negatives, *corrections))])
    special = subject_likeness(photos, common)
    vector = prototype(photos, special)
    mean, deviation = bank_scores(bank, vector)
    expected = expected_score(photos, special, bank)
    yes_at = max(FLOOR_DEVIATIONS, SURE_SHARE * expected)
    head = LinearHead(
        vectors=(vector / deviation)[None].astype(np.float32),
        biases=np.array([-mean / deviation], dtype=np.float32),
        slope=STEEPNESS / yes_at,
        offset=-STEEPNESS,
    )
    head = corrected(head, [c.vectors for c in corrections])
    return Fit(head, [p.boxes[int((p.vectors @ vector + s).argmax())] for p, s in zip(positives, special, strict=True)])


def subject_likeness(photos: Sequence[np.ndarray], common: np.ndarray) -> list[np.ndarray]:
    """Per photo (n,): how much each region repeats in the other taught photos, less how common it is elsewhere."""
    return [repetition(photos, index) - commonness(photo, common) for index, photo in enumerate(photos)]


def repetition(photos: Sequence[np.ndarray], index: int) -> np.ndarray:
    """(n,) mean over the other photos of the likeness to their nearest region; 0 for a single photo."""
    others = [p for i, p in enumerate(photos) if i != index]
    return np.mean([(photos[index] @ p.T).max(1) for p in others], axis=0) if others else np.zeros(len(photos[index]))


def commonness(photo: np.ndarray, common: np.ndarray) -> np.ndarray:
    """(n,) mean likeness to the nearest regions of other photos."""
    likeness = photo @ common.T
    count = min(RARE_NEIGHBOURS, likeness.shape[1])
    return np.partition(likeness, -count, axis=1)[:, -count:].mean(1)


def prototype(photos: Sequence[np.ndarray], special: Sequence[np.ndarray]) -> np.ndarray:
    """(d,) mean direction of the subject's regions; they are chosen again by their likeness to it."""
    vector = _mean_direction(photos, special)
    for _ in range(ROUNDS):
        vector = _mean_direction(photos, [p @ vector + s for p, s in zip(photos, special, strict=True)])
    return vector


def _mean_direction(photos: Sequence[np.ndarray], preference: Sequence[np.ndarray]) -> np.ndarray:
    chosen = [p[np.argsort(-s)[:SUBJECT_REGIONS]].mean(0) for p, s in zip(photos, preference, strict=True)]
    return unit(np.mean([unit(c) for c in chosen], axis=0))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def bank_scores(bank: Bank, vector: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the bank photos' best scores."""
    best = bank.best(bank.vectors @ vector)
    return float(best.mean()), float(best.std()) + 1e-6


def expected_score(photos: Sequence[np.ndarray], special: Sequence[np.ndarray], bank: Bank) -> float:
    """What an unseen photo of the subject scores, in deviations above the bank's mean: each photo by a head of the others."""
    if len(photos) == 1:
        vector = prototype(photos, special)
        return ONE_PHOTO_SHARE * _score(photos[0], vector, bank)
    return float(np.mean([_left_out(photos, special, bank, i) for i in range(len(photos))]))


def _left_out(photos: Sequence[np.ndarray], special: Sequence[np.ndarray], bank: Bank, index: int) -> float:
    others = [i for i in range(len(photos)) if i != index]
    return _score(photos[index], prototype([photos[i] for i in others], [special[i] for i in others]), bank)


def _score(photo: np.ndarray, vector: np.ndarray, bank: Bank) -> float:
    mean, deviation = bank_scores(bank, vector)
    return (float((photo @ vector).max()) - mean) / deviation


def corrected(head: LinearHead, wrong: Sequence[np.ndarray]) -> LinearHead:
    """The same head, stricter where a corrected photo would still be named."""
    worst = max((head.logit(vectors) for vectors in wrong), default=CORRECTED_LOGIT)
    return LinearHead(head.vectors, head.biases, head.slope, head.offset - max(0.0, worst - CORRECTED_LOGIT))

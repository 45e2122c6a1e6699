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

SHARPNESS = 10.0  # of choosing the regions that are the subject: weights are exp(SHARPNESS * preference)
RARE_SAMPLE, RARE_NEIGHBOURS = 5000, 20  # bank regions a region is compared with, and the nearest of them, to see how common it is
ROUNDS = 2  # of choosing regions again by the vector they gave
HARD_REGIONS = 1000  # bank regions nearest to the subject: what it has to be told from
RIVAL_REGIONS = 30  # of each photo of other concepts
RIVAL_SHARE = 0.5  # of the weight of all negatives, where there are rivals
RIDGE = 1.0  # times the mean variance, added to the negatives' covariance
FOLDS = 5  # at most so many photos are left out in turn
SURE_SHARE = 0.6  # of a taught photo's expected score is where the head says yes
FLOOR_DEVIATIONS = 7.5  # above the bank's mean; never says yes below
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
    rivals = [v.vectors for v in (*negatives, *corrections)]
    special = subject_likeness(photos, bank.sample(RARE_SAMPLE))
    vector = discriminant(photos, special, rivals, bank)
    mean, deviation = bank_scores(bank, vector)
    yes_at = decision_point(expected_score(photos, special, rivals, bank))
    head = LinearHead(
        vectors=(vector / deviation)[None].astype(np.float32),
        biases=np.array([-mean / deviation], dtype=np.float32),
        slope=STEEPNESS / yes_at,
        offset=-STEEPNESS,
    )
    head = corrected(head, [c.vectors for c in corrections])
    return Fit(head, [p.boxes[int((p.vectors @ vector + s).argmax())] for p, s in zip(positives, special, strict=True)])


# -- which regions are the subject
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


def subject_mean(photos: Sequence[np.ndarray], preference: Sequence[np.ndarray]) -> np.ndarray:
    """(d,) mean over photos of their regions weighted by preference."""
    return np.mean([softmax(SHARPNESS * p) @ photo for photo, p in zip(photos, preference, strict=True)], axis=0)


def softmax(values: np.ndarray) -> np.ndarray:
    weights = np.exp(values - values.max())
    return weights / weights.sum()


# -- the vector
def prototype(photos: Sequence[np.ndarray], special: Sequence[np.ndarray]) -> np.ndarray:
    """(d,) mean direction of the subject's regions; they are chosen again by their likeness to it."""
    vector = unit(subject_mean(photos, special))
    for _ in range(ROUNDS):
        vector = unit(subject_mean(photos, [p @ vector + s for p, s in zip(photos, special, strict=True)]))
    return vector


def discriminant(photos: Sequence[np.ndarray], special: Sequence[np.ndarray], rivals: Sequence[np.ndarray], bank: Bank) -> np.ndarray:
    """(d,) unit vector: linear discriminant of the subject's mean against what is nearest to it in the bank and in rivals' photos.
    Whitening by those alone, not by everyday photos, is what tells one dog from another."""
    vector = prototype(photos, special)
    for _ in range(ROUNDS):
        mean = subject_mean(photos, [p @ vector for p in photos])
        vector = unit(lda(mean, *hard_negatives(vector, rivals, bank)))
    return vector


def hard_negatives(vector: np.ndarray, rivals: Sequence[np.ndarray], bank: Bank) -> tuple[np.ndarray, np.ndarray]:
    """Regions (m, d) that score highest, and their weights (m,), which sum to 1."""
    near = bank.vectors[top(bank.vectors @ vector, HARD_REGIONS)]
    if not rivals:
        return near, np.full(len(near), 1 / len(near))
    theirs = np.vstack([r[top(r @ vector, RIVAL_REGIONS)] for r in rivals])
    weights = np.r_[np.full(len(near), (1 - RIVAL_SHARE) / len(near)), np.full(len(theirs), RIVAL_SHARE / len(theirs))]
    return np.vstack([near, theirs]), weights


def lda(mean: np.ndarray, negatives: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ridge linear discriminant: (covariance + ridge)^-1 (mean - negatives' mean)."""
    centre = weights @ negatives
    centred = (negatives - centre) * np.sqrt(weights)[:, None]
    covariance = centred.T @ centred
    covariance[np.diag_indices_from(covariance)] += RIDGE * np.trace(covariance) / len(covariance) + 1e-9
    return np.linalg.solve(covariance, mean - centre)


def top(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` largest, in no order."""
    return np.arange(len(scores)) if count >= len(scores) else np.argpartition(scores, -count)[-count:]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


# -- how sure a score is
def bank_scores(bank: Bank, vector: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the bank photos' best scores."""
    best = bank.best(bank.vectors @ vector)
    return float(best.mean()), float(best.std()) + 1e-6


def expected_score(photos: Sequence[np.ndarray], special: Sequence[np.ndarray], rivals: Sequence[np.ndarray], bank: Bank) -> float:
    """What an unseen photo of the subject scores, in deviations above the bank's mean: each photo by a head of the others."""
    if len(photos) == 1:
        return ONE_PHOTO_SHARE * _score(photos[0], discriminant(photos, special, rivals, bank), bank)
    left_out = range(min(len(photos), FOLDS))
    return float(np.mean([_left_out(photos, special, rivals, bank, index) for index in left_out]))


def _left_out(photos: Sequence[np.ndarray], special: Sequence[np.ndarray], rivals: Sequence[np.ndarray], bank: Bank, index: int) -> float:
    others = [i for i in range(len(photos)) if i != index]
    vector = discriminant([photos[i] for i in others], [special[i] for i in others], rivals, bank)
    return _score(photos[index], vector, bank)


def _score(photo: np.ndarray, vector: np.ndarray, bank: Bank) -> float:
    mean, deviation = bank_scores(bank, vector)
    return (float((photo @ vector).max()) - mean) / deviation


def decision_point(expected: float) -> float:
    """Where the head says yes, in deviations above the bank's mean."""
    return max(FLOOR_DEVIATIONS, SURE_SHARE * expected)


def corrected(head: LinearHead, wrong: Sequence[np.ndarray]) -> LinearHead:
    """The same head, stricter where a corrected photo would still be named."""
    worst = max((head.logit(vectors) for vectors in wrong), default=CORRECTED_LOGIT)
    return LinearHead(head.vectors, head.biases, head.slope, head.offset - max(0.0, worst - CORRECTED_LOGIT))

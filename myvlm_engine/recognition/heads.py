"""A few taught photos to a head: which of their regions are the subject, the vectors that find it again, and how sure a score is.

Works on region vectors of one encoder only: numpy, no pixels, no network, no store. The user supplies no negatives. What was tried and
what it gave is in README.md beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..messages import FitRequest, Head, Kind, Sight, pack
from .negatives import Bank, load_bank
from .windows import Box

if TYPE_CHECKING:
    from .encoders import Encoder

SHARPNESS = 10.0  # of choosing the regions that are the subject: weights are exp(SHARPNESS * preference)
RARE_SAMPLE, RARE_NEIGHBOURS = 5000, 20  # bank regions a region is compared with, and the nearest of them, to see how common it is
ROUNDS = 2  # of choosing regions again by the vector they gave
HARD_REGIONS = 1000  # bank regions nearest to the subject: what it has to be told from
PHOTO_REGIONS = 30  # of each other photo that it has to be told from
# Of the weight of all negatives, where there are any: photos of other concepts, the taught photos' own surroundings.
RIVAL_SHARE, SURROUNDINGS_SHARE = 0.5, 0.2
CORRECTION_SHARE, MOST_CORRECTION_SHARE = 0.03, 0.3  # of each corrected photo, and of all of them: one look-alike isn't half the world
MARGIN, OUTSIDE = 1.0, 0.2  # surroundings: at most OUTSIDE of a region lies in the subject's box made larger by MARGIN sizes on each side
RIDGE = 1.0  # times the mean variance, added to the negatives' covariance
ASPECTS = 16  # directions of one subject, beside their mean: at most so many groups of like photos
OWN_SHARE = 0.8  # of its own photos in each, the rest is the mean of all
AGREEING = 5.0  # deviations: what a taught photo has to score under the others for its aspect to count
LEFT_OUT = 10  # photos, at most, that are left out in turn to see what an unseen one scores
# Likeness of two photos' regions, mean of the best, from which on they are one picture: of 3,935 pairs of photos of one subject 99 % are
# below .83, copies that were brightened, turned by 3 degrees or cut by 6 % above .90, photos of one burst about there. And of the whole.
TWIN, TWIN_WHOLE = 0.85, 0.7
SURE_SHARE = 0.7  # of a taught photo's expected score is where the head says yes
# Above the bank's mean; never says yes below. Pets of one breed look more alike than the things of a household do.
FLOOR_DEVIATIONS = {"pet": 9.0, "object": 8.0}
STEEPNESS = 8.0  # of the probability around that point
ONE_PHOTO_SHARE = 0.6  # of its own score that another photo of the subject is expected to reach
DOUBT_LOGIT = -1.05  # where the question begins: a probability of 0.26 (bot: BALANCES)
CONFIRMED_LOGIT = 1.5  # a photo that somebody said the subject is in is named, on a strict server too (bot: BALANCES)
# As the store has them (concept_store/matching.py): small regions, of the photo's area at most; and the share of a score that is enough
# where two looks agree.
SMALL, TWO_LOOKS = 0.3, 0.95
HEEDED = 10  # of the confirmed photos, the newest: each is looked at as closely as the taught ones, which takes time
CORRECTING = 30  # rounds of lowering scores of corrected photos; each goes at least half of the way
CORRECTED_LOGIT = -1.2  # a photo that was wrongly named is told off at least this clearly: neither named nor asked about (bot: BALANCES)


@dataclass(frozen=True, eq=False)
class Views:
    """The region vectors of one photo."""

    vectors: np.ndarray  # (n, d) float32, rows L2-normalised
    boxes: Sequence[Box]  # n


@dataclass(frozen=True, eq=False)
class LinearHead:
    """probability = sigmoid(slope * max(region . vector + bias) + offset), the largest over regions and over the subject's aspects: its
    sides, poses and distances. From a score of `doubtful_at` on it is at least that of DOUBT_LOGIT, rising to even odds: whoever was taught
    in close-ups scores far less where it is small in the photo, and still more than strangers do."""

    vectors: np.ndarray  # (k, d) float32
    biases: np.ndarray  # (k,) float32
    slope: float
    offset: float
    doubtful_at: float | None = None  # None, or where the head says yes already: no score is

    @property
    def yes_at(self) -> float:
        return -self.offset / self.slope

    def score(self, vectors: np.ndarray) -> float:
        """Of a photo's (n, d) regions."""
        return float((vectors @ self.vectors.T + self.biases).max())

    def logit(self, vectors: np.ndarray) -> float:
        """Of a photo's (n, d) regions."""
        return self.logit_of(self.score(vectors))

    def logit_of(self, score: float) -> float:
        steep = self.slope * score + self.offset
        if self.doubtful_at is None or not self.doubtful_at <= score < self.yes_at:
            return steep
        return max(steep, DOUBT_LOGIT * (self.yes_at - score) / (self.yes_at - self.doubtful_at))


@dataclass(frozen=True)
class Fit:
    """A head and where the subject is in each taught photo."""

    head: LinearHead
    boxes: list[Box]


@dataclass(frozen=True, eq=False)
class Photos:
    """What a head learns from, photo by photo: (n, d) region vectors each."""

    taught: list[np.ndarray]
    confirmed: int  # how many of the taught ones, the last, are corrected photos
    special: list[np.ndarray]  # (n,) of each taught photo: how likely a region is the subject; 0 where that wasn't looked at (HEEDED)
    afar: list[np.ndarray]  # the first of the taught ones, as they look from afar
    special_afar: list[np.ndarray]
    rivals: list[np.ndarray]
    surroundings: list[np.ndarray]
    corrections: list[np.ndarray]
    bank: Bank
    left_out: dict[int, list[int]]  # photos that are left out in turn, each with its near copies among the taught ones


def fit_head(encoder: Encoder, request: FitRequest) -> tuple[Head, list[Box]]:
    """A request's head, and the box of the subject in each taught photo. Errors: NoBank."""
    positives, negatives, corrections = (views_of(s) for s in (request.positives, request.negatives, request.corrections))
    afar = views_of(request.afar)
    fit = fit_views(positives, negatives, corrections, load_bank(encoder.fingerprint), request.confirmed, request.kind, afar)
    head = fit.head
    message = Head(
        encoder=encoder.fingerprint,
        width=head.vectors.shape[1],
        vectors=pack(head.vectors, "float32"),
        biases=head.biases.tolist(),
        slope=head.slope,
        offset=head.offset,
        doubtful_at=head.doubtful_at,
    )
    return message, fit.boxes


def views_of(sights: Sequence[Sight]) -> list[Views]:
    return [Views(sight.array(), sight.boxes) for sight in sights]


def fit_views(
    positives: Sequence[Views],
    negatives: Sequence[Views],
    corrections: Sequence[Views],
    bank: Bank,
    confirmed: int = 0,
    kind: Kind = "object",
    afar: Sequence[Views] = (),
) -> Fit:
    """Learns one head from 1 to 10 photos and those that were `confirmed`, the last of the positives. `negatives`: photos of the scope's
    other concepts that look alike. `corrections`: photos that were wrongly named. `kind`: a key of FLOOR_DEVIATIONS. `afar`: the first
    positives once more, in this order, as they look from afar."""
    photos = gathered(positives, negatives, corrections, bank, afar, confirmed)
    groups = discriminants(photos)
    whole, *left_out = standardised(groups, bank)
    expected = scores_when_left_out(photos, whole, left_out)
    whole = standardised([agreeing(groups[0], photos, expected, left_out)], bank)[0]
    floor = FLOOR_DEVIATIONS[kind]
    yes_at = max(floor, SURE_SHARE * float(np.mean(list(expected.values()))))
    head = LinearHead(whole.vectors, whole.biases, STEEPNESS / yes_at, -STEEPNESS, floor if floor < yes_at else None)
    head = corrected(head, corrections)
    places = [int((p @ whole.vectors[0] + s).argmax()) for p, s in zip(photos.taught, photos.special, strict=True)]
    head = remembering(head, photos, places)
    return Fit(head, [view.boxes[place] for view, place in zip(positives, places, strict=True)])


def gathered(
    positives: Sequence[Views],
    negatives: Sequence[Views],
    corrections: Sequence[Views],
    bank: Bank,
    afar: Sequence[Views],
    confirmed: int,
) -> Photos:
    """What is taught, and everything it has to be told from. What repeats, and what is around the subject, is looked for in the taught
    photos and in the newest HEEDED of the confirmed ones alone: it takes the square of their number in time. An older one still gives its
    aspect (`discriminants`) and is remembered, if it has to be (`remembering`)."""
    taught, small, common = [p.vectors for p in positives], [a.vectors for a in afar], bank.sample(RARE_SAMPLE)
    heeded = heeded_photos(len(taught), confirmed)
    near = [taught[index] for index in heeded]
    # apart from each other: a photo's own background repeats in what it looks like from afar
    likely, special_afar = subject_likeness(near, common), subject_likeness(small, common)
    vector, special = prototype(near, likely), [np.zeros(len(photo), np.float32) for photo in taught]
    around = []
    for index, likeness in zip(heeded, likely, strict=True):
        special[index] = likeness
        around.append(surroundings(positives[index], int((taught[index] @ vector + likeness).argmax())))
    others, said = [v.vectors for v in negatives], [v.vectors for v in corrections]
    around = [a for a in around if len(a)]
    return Photos(taught, confirmed, special, small, special_afar, others, around, said, bank, left_out_photos(taught))


def heeded_photos(count: int, confirmed: int) -> list[int]:
    """Of `count` photos, of which the last were `confirmed` from old to new: the others, one at least, and the newest HEEDED."""
    others = max(1, count - confirmed)
    return [*range(others), *range(max(others, count - HEEDED), count)]


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


def surroundings(view: Views, place: int) -> np.ndarray:
    """(m, d) the regions of a taught photo that are away from region `place`, the subject: the same room, light and camera without it.
    With a margin, because the surest region may be a face and what is next to it the body."""
    boxes, (left, upper, right, bottom) = np.array(view.boxes, dtype=np.float64), view.boxes[place]
    width, height = MARGIN * (right - left), MARGIN * (bottom - upper)
    box = np.array([left - width, upper - height, right + width, bottom + height])
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    inside = np.clip(high - low, 0, None).prod(1)
    return view.vectors[inside <= OUTSIDE * (boxes[:, 2:] - boxes[:, :2]).prod(1)]


def subject_means(photos: Sequence[np.ndarray], preference: Sequence[np.ndarray]) -> np.ndarray:
    """(photos, d): the mean of each photo's regions, weighted by preference."""
    return np.array([softmax(SHARPNESS * p) @ photo for photo, p in zip(photos, preference, strict=True)])


def softmax(values: np.ndarray) -> np.ndarray:
    weights = np.exp(values - values.max())
    return weights / weights.sum()


# -- the vector
def prototype(photos: Sequence[np.ndarray], special: Sequence[np.ndarray]) -> np.ndarray:
    """(d,) mean direction of the subject's regions; they are chosen again by their likeness to it."""
    vector = unit(subject_means(photos, special).mean(0))
    for _ in range(ROUNDS):
        vector = unit(subject_means(photos, [p @ vector + s for p, s in zip(photos, special, strict=True)]).mean(0))
    return vector


def discriminants(photos: Photos) -> list[np.ndarray]:
    """Each (k, d), unit rows: linear discriminants of the subject's aspects against what looks most like them, first of all taught photos,
    then of all but one. Whitening by the near ones alone, not by everyday photos, is what tells one dog from another. Confirmed photos are
    mostly those that the head missed, the unusual ones: they give aspects and have no part in what is usual."""
    count, small, usual = len(photos.taught), len(photos.afar), max(1, len(photos.taught) - photos.confirmed)
    vector = prototype(photos.taught[:usual], photos.special[:usual])
    for _ in range(ROUNDS):
        means = subject_means(photos.taught, [p @ vector for p in photos.taught])
        negatives = hard_negatives(vector[None], photos)
        vector = lda(means[:usual].mean(0)[None], *negatives)[0]
    if photos.afar:
        likely = [a @ vector + s for a, s in zip(photos.afar, photos.special_afar, strict=True)]
        means = np.vstack([means, subject_means(photos.afar, likely)])
    rows = np.arange(len(means))
    unusual = (usual <= rows) & (rows < count)

    def aspects_without(*left_out: int) -> np.ndarray:
        kept = ~np.isin(rows, left_out)
        middle = means[kept & ~unusual] if (kept & ~unusual).any() else means[kept]
        return aspects(means[kept], middle.mean(0))

    whole = aspects_without()
    negatives = hard_negatives(lda(whole, *negatives), photos)
    without = lambda copies: aspects_without(*copies, *(count + index for index in copies if index < small))
    wanted = [whole, *map(without, photos.left_out.values())]
    found = lda(np.vstack(wanted), *negatives)
    return np.split(found, np.cumsum([len(rows) for rows in wanted])[:-1])


def left_out_photos(taught: Sequence[np.ndarray]) -> dict[int, list[int]]:
    """Which photos are left out in turn, each with those that show the same picture: under a head of its own copies a photo scores what no
    other one will. None of which nothing would be left."""
    in_turn = sorted({round(i) for i in np.linspace(0, len(taught) - 1, min(len(taught), LEFT_OUT))})
    groups = {index: [other for other in range(len(taught)) if other == index or twins(taught[index], taught[other])] for index in in_turn}
    return {index: copies for index, copies in groups.items() if len(copies) < len(taught)}


def twins(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two photos' regions (n, d) and (m, d), the whole photo first, are of one picture: saved again, cut a little, of one burst."""
    if one[0] @ other[0] < TWIN_WHOLE:
        return False
    likeness = one @ other.T
    return bool(min(likeness.max(1).mean(), likeness.max(0).mean()) >= TWIN)


def aspects(means: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(n, d) photos' means and (d,) their middle -> (1 + at most ASPECTS, d): the middle, then each group of like photos drawn towards it.
    A dog's head and the whole dog, its left and its right side: one direction between them would find neither well."""
    return middle[None] if len(means) == 1 else np.vstack([middle, (1 - OWN_SHARE) * middle + OWN_SHARE * grouped(means, ASPECTS)])


def grouped(means: np.ndarray, at_most: int) -> np.ndarray:
    """(n, d) -> (<= at_most, d): themselves, or the means of groups around those that are farthest from each other."""
    if len(means) <= at_most:
        return means
    chosen = [int(((means - means.mean(0)) ** 2).sum(1).argmax())]
    for _ in range(at_most - 1):
        distance = ((means[:, None] - means[chosen]) ** 2).sum(2).min(1)
        chosen.append(int(distance.argmax()))
    group = ((means[:, None] - means[chosen]) ** 2).sum(2).argmin(1)
    return np.array([means[group == g].mean(0) for g in np.unique(group)])  # the same photo many times is one group


def hard_negatives(vectors: np.ndarray, photos: Photos) -> tuple[np.ndarray, np.ndarray]:
    """Regions (m, d) that score highest under any of the (k, d) vectors, and their weights (m,), which sum to 1."""
    highest = lambda regions: (regions @ vectors.T).max(1)
    parts = [photos.bank.vectors[top(highest(photos.bank.vectors), HARD_REGIONS)]]
    weights = [np.full(len(parts[0]), 1 / len(parts[0]))]
    for others, share in (
        (photos.rivals, RIVAL_SHARE),
        (photos.surroundings, SURROUNDINGS_SHARE),
        (photos.corrections, min(CORRECTION_SHARE * len(photos.corrections), MOST_CORRECTION_SHARE)),
    ):
        if others:
            parts.append(np.vstack([other[top(highest(other), PHOTO_REGIONS)] for other in others]))
            weights = [*(w * (1 - share) for w in weights), np.full(len(parts[-1]), share / len(parts[-1]))]
    return np.vstack(parts), np.concatenate(weights).astype(np.float32)


def lda(means: np.ndarray, negatives: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ridge linear discriminants (k, d) of means (k, d), unit rows: (covariance + ridge)^-1 (mean - negatives' mean)."""
    centre = weights @ negatives
    centred = (negatives - centre) * np.sqrt(weights)[:, None]
    covariance = centred.T @ centred
    covariance[np.diag_indices_from(covariance)] += RIDGE * np.trace(covariance) / len(covariance) + 1e-9
    found = np.linalg.solve(covariance, (means - centre).T).T
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def top(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` largest, in no order."""
    return np.arange(len(scores)) if count >= len(scores) else np.argpartition(scores, -count)[-count:]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


# -- how sure a score is
@dataclass(frozen=True, eq=False)
class Scorer:
    """max(region . vector + bias) is in deviations above the mean of the bank photos' best."""

    vectors: np.ndarray  # (k, d) float32
    biases: np.ndarray  # (k,) float32

    def score(self, photo: np.ndarray) -> float:
        """Of a photo's (n, d) regions."""
        return float((photo @ self.vectors.T + self.biases).max())


def standardised(groups: Sequence[np.ndarray], bank: Bank) -> list[Scorer]:
    """Of each (k, d) group of vectors: first every vector by itself, so that none speaks louder than the others, then their largest."""
    best = bank.best(bank.vectors @ np.vstack(groups).T)  # (photos, all vectors)
    scorers = []
    for vectors, own in zip(groups, np.split(best, np.cumsum([len(g) for g in groups])[:-1], axis=1), strict=True):
        mean, deviation = own.mean(0), own.std(0) + 1e-6
        largest = ((own - mean) / deviation).max(1)
        scale = deviation * (largest.std() + 1e-6)
        bias = -mean / scale - largest.mean() / (largest.std() + 1e-6)
        scorers.append(Scorer((vectors / scale[:, None]).astype(np.float32), bias.astype(np.float32)))
    return scorers


def scores_when_left_out(photos: Photos, whole: Scorer, left_out: Sequence[Scorer]) -> dict[int, float]:
    """By photo: what it scores under the vectors of the others, in deviations above the bank's mean. Their mean is what an unseen photo of
    the subject is expected to score."""
    if not left_out:
        return {0: ONE_PHOTO_SHARE * whole.score(photos.taught[0])}
    return {index: scorer.score(photos.taught[index]) for index, scorer in zip(photos.left_out, left_out, strict=True)}


def agreeing(vectors: np.ndarray, photos: Photos, expected: dict[int, float], left_out: Sequence[Scorer]) -> np.ndarray:
    """The (k, d) vectors without the aspects of taught photos that have nothing in common with the others: what was found in those is the
    room, and the head would call the empty room by the subject's name. A photo that somebody has confirmed counts all the same. Where
    photos were grouped none is left out."""
    count, small = len(photos.taught), len(photos.afar)
    if len(vectors) != 1 + count + small:
        return vectors
    alike = [index for index in range(count) if index >= count - photos.confirmed or expected.get(index, AGREEING) >= AGREEING]
    scorers = dict(zip(photos.left_out, left_out, strict=True))
    far = [i for i in range(small) if i in alike and (i not in scorers or scorers[i].score(photos.afar[i]) >= AGREEING)]
    return vectors[[0, *(1 + index for index in alike), *(1 + count + index for index in far)]]


def remembering(head: LinearHead, photos: Photos, places: Sequence[int]) -> LinearHead:
    """The same head with a direction more for each confirmed photo that it would still miss: that of the region where the subject is
    (`places`, of every taught photo). Not where that direction would name a corrected photo again. Each is told from what looks most like
    it; those older than the newest HEEDED all together from what looks most like any of them."""
    first, newest = len(photos.taught) - photos.confirmed, len(photos.taught) - HEEDED
    missed = [index for index in range(first, len(photos.taught)) if not remembers(head, photos.taught[index])]
    wrong = [head.score(regions) for regions in photos.corrections]
    for group in ([i for i in missed if i < newest], *([i] for i in missed if i >= newest)):
        if all(remembers(head, photos.taught[index]) for index in group):
            continue
        found = np.array([photos.taught[index][places[index]] for index in group])
        directions = standardised([row[None] for row in lda(found, *hard_negatives(found, photos))], photos.bank)
        for index, scorer in zip(group, directions, strict=True):
            if not remembers(head, photos.taught[index]):
                head, wrong = with_direction(head, scorer, photos.taught[index], photos.corrections, wrong)
    return head


def remembers(head: LinearHead, regions: np.ndarray) -> bool:
    return head.logit(regions) >= CONFIRMED_LOGIT


def with_direction(
    head: LinearHead, scorer: Scorer, regions: np.ndarray, corrections: Sequence[np.ndarray], wrong: list[float]
) -> tuple[LinearHead, list[float]]:
    """The head with one direction more, as loud as the photo with these (n, d) regions needs it, and what the corrected photos score then;
    `wrong`: what they score without it. Unchanged where one of them would be named again."""
    # a region scores far above the bank's mean under its own direction
    louder = max(1.0, (CONFIRMED_LOGIT - head.offset) / (head.slope * max(scorer.score(regions), 1.0)))
    added = Scorer(scorer.vectors * louder, scorer.biases * louder)
    after = [max(before, added.score(photo)) for before, photo in zip(wrong, corrections, strict=True)]
    if any(head.logit_of(now) > max(CORRECTED_LOGIT, head.logit_of(before)) for now, before in zip(after, wrong, strict=True)):
        return head, wrong
    rows, biases = np.vstack([head.vectors, added.vectors]), np.append(head.biases, added.biases)
    return replace(head, vectors=rows, biases=biases), after


def by_looks(vectors: np.ndarray, view: Views) -> np.ndarray:
    """(1 or 2, k) highest product of each of the (k, d) vectors in a photo's large regions and in its small ones, where it has such."""
    areas = np.array([(right - left) * (bottom - top) for left, top, right, bottom in view.boxes])
    products = view.vectors @ vectors.T
    return np.array([products[which].max(0) for which in (areas > SMALL, areas <= SMALL) if which.any()])


def agreed(highest: np.ndarray) -> float:
    """The score of a photo by two looks, from each aspect's highest in each (1 or 2, k); by one, where it has no other. Small regions may
    be of two looks, the first and the closer one."""
    looks = highest.max(1)
    return float(looks[0]) if len(looks) == 1 else float(max(looks.mean(), looks[1])) / TWO_LOOKS


def corrected(head: LinearHead, wrong: Sequence[Views]) -> LinearHead:
    """The same head, stricter by those of its aspects that would still name a corrected photo: a stranger who looks like it from the left
    says nothing of its right side."""
    if not wrong:
        return head
    at_most, biases = (CORRECTED_LOGIT - head.offset) / head.slope, head.biases
    products = [by_looks(head.vectors, view) for view in wrong]
    for _ in range(CORRECTING):
        before = biases
        for product in products:
            highest = product + biases
            excess = agreed(highest) - at_most
            if excess > 0:
                biases = biases - np.maximum(highest.max(0) - (highest.max() - excess), 0).astype(np.float32)
        if biases is before:
            break
    worst = max(agreed(product + biases) for product in products)
    # small in a photo the head says yes from `doubtful_at` on (concept_store/matching.py): no more of those it was told off for
    doubtful_at = None if head.doubtful_at is None else max(head.doubtful_at, worst / (1 + CORRECTED_LOGIT / STEEPNESS))
    return replace(head, biases=biases, doubtful_at=doubtful_at)

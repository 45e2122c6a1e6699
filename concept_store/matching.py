"""Which heads fire on a photo, how sure and where: one matrix product, then arbitration between heads. numpy only; knows no database.

Before anybody is named, places where somebody may be are seen once more, larger, and two looks have to agree (`worth_a_closer_look`,
`_disagreement`); who is small in the photo is named at lower scores (`_smallness`). A region can speak for one concept only: where several
heads fire on overlapping regions, the surest wins and pushes the others down. So it does in every other region by what it says of that one:
a large thing has parts, and its look-alike may fire on one of them. One that is nearly as sure makes it a question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import WrongFingerprint
from .records import Box, Head, Regions

ARBITRATED_FROM = 0.02  # probability below which a head takes no part in arbitration
SAME_PLACE = 0.5  # share of the smaller of two boxes that lies in the other: they show the same thing
DOUBT_LOGIT = -1.05  # of a head's score that is worth a question; rises to even odds where the head says yes
# A closer look: before anybody is named. Only at small regions: larger ones were seen as large as they get.
HALF_FIRES = 0.02  # probability of some head
SMALL = 0.3  # of the photo's area
PLACES = 3  # in one photo
AGREEING = 0.95  # of the score that says yes at first sight is enough where two looks agree
# Deviations by which small regions score higher than large ones: below the first that tells nothing, from the second on it is small.
SMALLER, MUCH_SMALLER = 1.0, 3.0
SURE_THERE = 0.75  # deviations above where the question begins: there a head says yes to what is small
# Of the odds of a surer head, where windows that show its subject show a place beside it, too: the pot beside the vase is no teapot. With
# all of them a second subject beside the first would be asked about (F1 of names in photos of four .86 for .91).
NEIGHBOUR = 0.1
MAX_LOGIT = 30.0  # odds beyond e^30 say nothing more
# Where it is: regions of the same place weigh as their odds to this power, times the root of their area (of small ones there are more).
PLACED_BY, PLACED_FROM = 0.6, 0.02  # and from which probability on; below, the best region tells


@dataclass(frozen=True, eq=False)
class Group:
    """The heads of one encoder as one matrix."""

    heads: np.ndarray  # (H,) indices into the list that was stacked
    rows: np.ndarray  # (d, K) float32: all vectors of all heads side by side
    biases: np.ndarray  # (K,)
    starts: np.ndarray  # (H,) first column of each head
    slopes: np.ndarray  # (H,)
    offsets: np.ndarray  # (H,)
    doubtful_at: np.ndarray  # (H,) scores; infinite where a head has none


@dataclass(frozen=True, eq=False)
class Stacked:
    """Heads ready for matching; worth keeping while they don't change."""

    groups: dict[str, Group]  # by encoder fingerprint
    count: int


@dataclass(frozen=True)
class Scored:
    """One head on one photo."""

    index: int  # of the head in the list that was stacked
    score: float  # probability after arbitration, 0..1
    raw: float  # probability before
    region: int  # of the sight of its encoder: the one that spoke
    box: Box | None  # where it is, by all regions of that place
    spoke: Box | None  # that region's own


def stack(heads: Sequence[Head]) -> Stacked:
    """Heads of any encoders; heads of one encoder must have one width. Errors: WrongFingerprint."""
    encoders = {head.encoder for head in heads}
    return Stacked({e: _group([(i, h) for i, h in enumerate(heads) if h.encoder == e]) for e in encoders}, len(heads))


def _group(numbered: Sequence[tuple[int, Head]]) -> Group:
    heads = [head for _, head in numbered]
    if len({head.vectors.shape[1] for head in heads}) > 1:
        raise WrongFingerprint()
    return Group(
        heads=np.array([index for index, _ in numbered]),
        rows=np.ascontiguousarray(np.vstack([head.vectors for head in heads]).astype(np.float32).T),
        biases=np.concatenate([head.biases for head in heads]).astype(np.float32),
        starts=np.cumsum([0, *(len(head.vectors) for head in heads[:-1])]),
        slopes=np.array([head.slope for head in heads], dtype=np.float32),
        offsets=np.array([head.offset for head in heads], dtype=np.float32),
        doubtful_at=np.array([np.inf if head.doubtful_at is None else head.doubtful_at for head in heads], dtype=np.float32),
    )


def match_heads(heads: Sequence[Head], sights: Sequence[Regions]) -> list[Scored]:
    """Every head that has a sight of its encoder, surest first."""
    return match_stacked(stack(heads), sights)


def match_stacked(stacked: Stacked, sights: Sequence[Regions]) -> list[Scored]:
    """Every head that has a sight of its encoder, surest first. Errors: WrongFingerprint when widths differ."""
    found = [scored for group, sight in _compared(stacked, sights) for scored in _match_group(group, sight)]
    return sorted(found, key=lambda scored: (-scored.score, -scored.raw, scored.index))


def _compared(stacked: Stacked, sights: Sequence[Regions]) -> Iterator[tuple[Group, Regions]]:
    """Each sight in which something was seen, with the heads of its encoder."""
    for sight in sights:
        group = stacked.groups.get(sight.encoder)
        if group is not None and len(sight.vectors):
            yield group, sight


def _match_group(group: Group, sight: Regions) -> list[Scored]:
    logits = region_logits(group, sight)  # (n, H)
    best = logits.argmax(0)
    raw = logits[best, np.arange(len(best))]
    boxes = np.array(sight.boxes)
    same_place = overlaps(boxes)
    score, region = arbitrate(logits, same_place)
    spoke = [sight.boxes[r] for r in region]
    placed = [place(logits[:, h], boxes, same_place[r]) if score[h] >= PLACED_FROM else spoke[h] for h, r in enumerate(region)]
    return [
        Scored(int(index), float(score[h]), float(_sigmoid(raw[h])), int(region[h]), placed[h], spoke[h])
        for h, index in enumerate(group.heads)
    ]


def place(logits: np.ndarray, boxes: np.ndarray, there: np.ndarray) -> Box:
    """Where a head's subject is, of the log-odds (n,) of regions with boxes (n, 4); `there` (n,): those that show the same place as the one
    that spoke. That one is a window of a fixed size and seldom fits; the mean of all that see the subject, by how surely they do, does."""
    odds = np.exp(PLACED_BY * (logits - logits[there].max()))
    weights = np.where(there, odds * np.sqrt(_areas(boxes)), 0)
    left, top, right, bottom = (weights / weights.sum()) @ boxes
    return float(left), float(top), float(right), float(bottom)


def worth_a_closer_look(stacked: Stacked, sights: Sequence[Regions]) -> list[Box]:
    """Places in a photo where somebody may be who is small there, likeliest first; none where no head half fires. To be cut out, seen again
    by the encoder and matched together with all the rest. Errors: WrongFingerprint."""
    compared = _compared(stacked, sights)
    return [box for group, sight in compared for box in _places(region_logits(group, sight), np.array(sight.boxes))][:PLACES]


def _places(logits: np.ndarray, boxes: np.ndarray) -> list[Box]:
    """Of (n, H) log-odds of regions with boxes (n, 4)."""
    likely = logits.max(1)
    if _sigmoid(likely.max()) < HALF_FIRES:
        return []
    small, same_place = _areas(boxes) <= SMALL, overlaps(boxes)
    chosen: list[int] = []
    for region in np.argsort(-likely):
        if len(chosen) < PLACES and small[region] and not same_place[region, chosen].any():
            chosen.append(int(region))
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in boxes[chosen]]


def region_logits(group: Group, sight: Regions) -> np.ndarray:
    """(n, H) calibrated log-odds of every region under every head."""
    if sight.vectors.shape[1] != group.rows.shape[0]:
        raise WrongFingerprint()
    scores = np.maximum.reduceat(sight.vectors.astype(np.float32) @ group.rows + group.biases, group.starts, axis=1)
    slopes = group.slopes
    if sight.closer_from is not None:
        small = _areas(np.array(sight.boxes)) <= SMALL
        slopes = slopes * _raised(group, _smallness(scores, small))
        scores -= _disagreement(scores, small, sight.closer_from)
    logits = scores * slopes + group.offsets
    where = np.nonzero((scores >= group.doubtful_at) & (logits < 0))
    logits[where] = np.maximum(logits[where], _doubt(scores[where], -(group.offsets / slopes)[where[1]], group.doubtful_at[where[1]]))
    return np.clip(logits, -MAX_LOGIT, MAX_LOGIT)


def _smallness(scores: np.ndarray, small: np.ndarray) -> np.ndarray:
    """(H,) From 0 to 1: how much better small regions fit a head than large ones do. Who is small in a photo never scores what close-ups
    taught to expect, so that the head may say yes at what strangers don't reach; a look-alike in a close-up fills large regions too."""
    if small.all() or not small.any():
        return np.zeros(scores.shape[1])
    more = scores[small].max(0) - scores[~small].max(0)
    return np.clip((more - SMALLER) / (MUCH_SMALLER - SMALLER), 0, 1)


def _disagreement(scores: np.ndarray, small: np.ndarray, closer_from: int) -> np.ndarray:
    """(H,) What every score of a head is lowered by, so that its highest becomes the mean of the best two of three: of large regions, of
    small ones, and of the closer look. Chance seldom gives a look-alike two of them."""
    first = np.arange(len(small)) < closer_from
    highest = np.sort([scores[rows].max(0) for rows in (first & ~small, first & small, ~first) if rows.any()], axis=0)
    return highest[-1] - highest[-2:].mean(0) / AGREEING


def _raised(group: Group, smallness: np.ndarray) -> np.ndarray:
    """(H,) What scores are multiplied by where the subject is small (`smallness` 1): a head then says yes where otherwise it asks."""
    yes_at, raised, asks = -group.offsets / group.slopes, np.ones_like(group.slopes), np.isfinite(group.doubtful_at)
    lowest = np.minimum(group.doubtful_at + SURE_THERE, yes_at)
    return np.divide(yes_at, yes_at - smallness * (yes_at - lowest), out=raised, where=asks)


def _doubt(scores: np.ndarray, yes_at: np.ndarray, doubtful_at: np.ndarray) -> np.ndarray:
    """Log-odds of scores between where the question begins and where the head says yes."""
    return DOUBT_LOGIT * (yes_at - scores) / np.maximum(yes_at - doubtful_at, 1e-6)


def overlaps(boxes: np.ndarray) -> np.ndarray:
    """(n, n) bool: boxes (n, 4) that show the same place."""
    low, high = np.maximum(boxes[:, None, :2], boxes[None, :, :2]), np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = _areas(boxes)
    return shared >= SAME_PLACE * np.minimum(areas[:, None], areas[None, :])


def _areas(boxes: np.ndarray) -> np.ndarray:
    """(n,) of boxes (n, 4), as shares of the photo."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def arbitrate(logits: np.ndarray, same_place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (H,) and regions (H,) when one place can have one name: from the surest head down, each is held against
    "none of them", against the surer heads (what those say of the same region, and of their own where it overlaps), and against whoever
    else would speak for its place: where two are nearly as sure of it nobody should be named, but asked about."""
    best = logits.max(0)
    probability, region = _sigmoid(best), logits.argmax(0)
    taken = np.zeros(len(logits))  # odds of surer heads at each region
    order = np.argsort(-best)
    for rank, head in enumerate(order):
        if probability[head] < ARBITRATED_FROM:
            break
        share = logits[:, head] - np.log1p(taken)
        region[head] = share.argmax()
        claims = logits[same_place[region[head]]].max(0)  # (H,) what each says of this place
        weaker, surer = (np.exp(claims[others].max(initial=-np.inf)) for others in (order[rank + 1 :], order[:rank]))
        probability[head] = _sigmoid(share[region[head]] - np.log1p(max(weaker, NEIGHBOUR * surer)))
        odds = np.exp(logits[:, head])
        taken += np.where(same_place[region[head]], odds[region[head]], odds)
    return probability, region


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))

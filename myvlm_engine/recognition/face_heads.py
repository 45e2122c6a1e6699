"""A few taught photos of a person to a head: which face is meant, and its vectors. Nothing is trained: the head is the faces themselves.

Works on the face encoder's vectors only: numpy, no pixels. Whose consent there is, the bot knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import NoFace, SeveralFaces
from ..messages import Box, FitRequest, Head, pack
from .face_vectors import descriptors, distances, within

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)  # of a taught photo in which the face is not to be seen


@dataclass(frozen=True)
class Measure:
    """How far apart descriptors of one family are."""

    same_within: float  # distance of two faces of one person: enough to tell whose face repeats in a few photos
    yes_within: float  # from the taught faces, at which a head says yes; stricter, since strangers meet all heads of a server
    slope: float  # of the log-odds over the lifted score
    spread: float = 0.0  # share of the taught faces' own mean squared distance that is added to yes_within's square


# dlib: 0.6 is its own threshold; how the others were chosen: FACES.md. facenet: cosine 0.325, the paper's threshold.
MEASURES = {
    "dlib": Measure(0.6, 0.405, 60.0, spread=0.3),
    "dlib_sface": Measure(0.85, 0.81, 90.0),
    "facenet": Measure(1.16, 1.16, 12.0),
}
TOGETHER = 0.5  # share of the mean distance to all taught faces in the score, beside the distance to the nearest
CORRECTED_LOGIT = -1.5  # a face that was wrongly named is told off at least this clearly


@dataclass(frozen=True)
class Seen:
    """The faces of one taught photo."""

    vectors: np.ndarray  # (n, d) descriptors
    boxes: Sequence[Box]


def fit_faces(request: FitRequest) -> tuple[Head, list[Box]]:
    """A person's head, and the box of the face in each taught photo. Errors: NoFace, SeveralFaces."""
    photos = [Seen(descriptors(sight.array()), sight.boxes) for sight in request.positives]
    first = request.positives[0]
    measure = measure_of(first.encoder)
    meant = meant_faces(photos, measure.same_within)
    faces = np.stack([photo.vectors[face] for photo, face in zip(photos, meant, strict=True) if face is not None])
    head = face_head(faces, first.encoder, [sight.array() for sight in request.corrections])
    return head, [WHOLE if face is None else photo.boxes[face] for photo, face in zip(photos, meant, strict=True)]


def face_head(faces: np.ndarray, encoder: str, wrong: Sequence[np.ndarray] = ()) -> Head:
    """(k, d) taught faces -> k rows: score = how much nearer than `reach` a face is to one of them and, in part, to all.
    `wrong`: (n, d + 2) region vectors of photos that were wrongly named."""
    measure = measure_of(encoder)
    rows = within(faces, reach(faces, measure))
    rows = (1 - TOGETHER) * rows + TOGETHER * rows.mean(0)
    worst = max((measure.slope * float((photo @ rows.T).max()) for photo in wrong if len(photo)), default=CORRECTED_LOGIT)
    return Head(
        encoder=encoder,
        width=rows.shape[1],
        vectors=pack(rows, "float32"),
        biases=[0.0] * len(rows),
        slope=measure.slope,
        offset=-max(0.0, worst - CORRECTED_LOGIT),
    )


def reach(faces: np.ndarray, measure: Measure) -> float:
    """The distance within which a head says yes: further for a person whose taught faces differ more, up to what two faces of one
    person are apart. A single face tells nothing of that: half as much is taken."""
    most, pairs = measure.same_within**2, len(faces) * (len(faces) - 1)
    apart = min(float((distances(faces, faces) ** 2).sum()) / pairs, most) if pairs else most / 2
    return math.sqrt(measure.yes_within**2 + measure.spread * apart)


def measure_of(encoder: str) -> Measure:
    """By the describer's name in the fingerprint."""
    return next((measure for family, measure in MEASURES.items() if f"-{family}-" in encoder), MEASURES["dlib"])


# -- which face is meant
def meant_faces(photos: Sequence[Seen], same_within: float) -> list[int | None]:
    """In each photo the index of the face that is meant; None where it isn't to be seen. The only face of a photo is meant; in
    the others it is the one that repeats. Errors: NoFace where no photo has any; SeveralFaces where several repeat alike, or none."""
    if not any(len(photo.vectors) for photo in photos):
        raise NoFace(photos=range(len(photos)))
    alone = [photo.vectors[0] for photo in photos if len(photo.vectors) == 1]
    anchors = np.stack(alone) if alone else repeating(photos, same_within)
    return [nearest(photo.vectors, anchors, same_within) for photo in photos]


def nearest(faces: np.ndarray, anchors: np.ndarray, same_within: float) -> int | None:
    """The face most like the anchors, if it is the same person's; an only face always."""
    if len(faces) < 2:
        return 0 if len(faces) else None
    apart = distances(faces, anchors).min(1)
    return int(apart.argmin()) if apart.min() <= same_within else None


def repeating(photos: Sequence[Seen], same_within: float) -> np.ndarray:
    """(m, d) the face that is in more photos than any other, as it looks in each. Every photo has none or several."""
    crowded = [index for index, photo in enumerate(photos) if len(photo.vectors)]
    groups = [group_of(face, photos, same_within) for index in crowded for face in photos[index].vectors]
    support = [sum(one is not None for one in group) for group in groups]
    best = max(support)
    winners = {tuple(group) for group, count in zip(groups, support, strict=True) if count == best}
    if best < 2 or any(rivals(one, other) for one in winners for other in winners):
        raise SeveralFaces(crowded[0], photos[crowded[0]].boxes)
    chosen = min(winners, key=str)
    return np.stack([photo.vectors[face] for photo, face in zip(photos, chosen, strict=True) if face is not None])


def group_of(face: np.ndarray, photos: Sequence[Seen], same_within: float) -> list[int | None]:
    """Per photo the face of the same person as this one, None where there is none."""
    apart = [distances(photo.vectors, face[None])[:, 0] for photo in photos]
    return [int(values.argmin()) if len(values) and values.min() <= same_within else None for values in apart]


def rivals(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Two groups that are different faces wherever both are."""
    return not any(a == b for a, b in zip(one, other, strict=True) if a is not None)

"""A few taught photos of a person to a head: which face is meant, and its vectors. Nothing is trained: the head is the faces themselves.

Works on the face encoder's vectors only: numpy, no pixels. Whose consent there is, the bot knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import NoFace, SeveralFaces
from ..messages import Box, FitRequest, Head, Sight, pack

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)  # of a taught photo in which the face is not to be seen
# Cosine of two faces of one person. dlib's own threshold, distance 0.6 of descriptors about 1.35 long, is a cosine of 0.90.
REPEATS_AT = 0.90
YES_AT = {"dlib": 0.93, "facenet": 0.60}  # cosine at which the head says yes; how they were chosen: FACES.md
SLOPE = {"dlib": 120.0, "facenet": 16.0}  # of the log-odds over the cosine
TOGETHER = 0.5  # how far each taught face is drawn towards the mean of all
CORRECTED_LOGIT = -1.5  # a face that was wrongly named is told off at least this clearly


@dataclass(frozen=True)
class Seen:
    """The faces of one taught photo."""

    vectors: np.ndarray  # (n, d) float32, unit rows
    boxes: Sequence[Box]


def fit_faces(request: FitRequest) -> tuple[Head, list[Box]]:
    """A person's head, and the box of the face in each taught photo. Errors: NoFace, SeveralFaces."""
    photos = [Seen(sight.array(), sight.boxes) for sight in request.positives]
    meant = meant_faces(photos)
    faces = np.stack([photo.vectors[face] for photo, face in zip(photos, meant, strict=True) if face is not None])
    first = request.positives[0]
    head = face_head(faces, first.encoder, _wrong(request.corrections))
    return head, [WHOLE if face is None else photo.boxes[face] for photo, face in zip(photos, meant, strict=True)]


def face_head(faces: np.ndarray, encoder: str, wrong: np.ndarray | None = None) -> Head:
    """(k, d) taught faces -> k vectors: score = max over them of their cosine, drawn towards the mean cosine."""
    family = family_of(encoder)
    vectors = (1 - TOGETHER) * faces + TOGETHER * faces.mean(0)
    slope, offset = SLOPE[family], -SLOPE[family] * YES_AT[family]
    if wrong is not None and len(wrong):
        worst = slope * float((wrong @ vectors.T).max()) + offset
        offset -= max(0.0, worst - CORRECTED_LOGIT)
    return Head(
        encoder=encoder,
        width=vectors.shape[1],
        vectors=pack(vectors, "float32"),
        biases=[0.0] * len(vectors),
        slope=slope,
        offset=offset,
    )


def family_of(encoder: str) -> str:
    """Whose vectors these are: the describer's name in the fingerprint."""
    return next((family for family in YES_AT if f"-{family}-" in encoder), "dlib")


def _wrong(corrections: Sequence[Sight]) -> np.ndarray:
    """All faces of the photos that were wrongly named."""
    return np.concatenate([sight.array() for sight in corrections]) if corrections else np.zeros((0, 0))


# -- which face is meant
def meant_faces(photos: Sequence[Seen]) -> list[int | None]:
    """In each photo the index of the face that is meant; None where it isn't to be seen. The only face of a photo is meant; in
    the others it is the one that repeats. Errors: NoFace where no photo has any; SeveralFaces where several repeat alike, or none."""
    if not any(len(photo.vectors) for photo in photos):
        raise NoFace(photos=range(len(photos)))
    alone = [photo.vectors[0] for photo in photos if len(photo.vectors) == 1]
    anchors = np.stack(alone) if alone else repeating(photos)
    return [nearest(photo.vectors, anchors) for photo in photos]


def nearest(faces: np.ndarray, anchors: np.ndarray) -> int | None:
    """The face most like the anchors, if it is the same person's; an only face always."""
    if len(faces) < 2:
        return 0 if len(faces) else None
    likeness = (faces @ anchors.T).max(1)
    return int(likeness.argmax()) if likeness.max() >= REPEATS_AT else None


def repeating(photos: Sequence[Seen]) -> np.ndarray:
    """(m, d) the face that is in more photos than any other, as it looks in each. Every photo has none or several."""
    crowded = [index for index, photo in enumerate(photos) if len(photo.vectors)]
    groups = [group_of(face, photos) for index in crowded for face in photos[index].vectors]
    support = [sum(one is not None for one in group) for group in groups]
    best = max(support)
    winners = {tuple(group) for group, count in zip(groups, support, strict=True) if count == best}
    if best < 2 or any(rivals(one, other) for one in winners for other in winners):
        raise SeveralFaces(crowded[0], photos[crowded[0]].boxes)
    chosen = min(winners, key=str)
    return np.stack([photo.vectors[face] for photo, face in zip(photos, chosen, strict=True) if face is not None])


def group_of(face: np.ndarray, photos: Sequence[Seen]) -> list[int | None]:
    """Per photo the face of the same person as this one, None where there is none."""
    likeness = [photo.vectors @ face for photo in photos]
    return [int(values.argmax()) if len(values) and values.max() >= REPEATS_AT else None for values in likeness]


def rivals(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Two groups that are different faces wherever both are."""
    return not any(a == b for a, b in zip(one, other, strict=True) if a is not None)

"""Why somebody was recognised: the region that spoke, how surely, and the taught photo it looks most like. Knows no Discord."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from concept_store.records import Box, Match, Photo, Regions
from concept_store.store import ConceptStore

from .answering import Look


@dataclass(frozen=True)
class Reason:
    name: str
    score: float
    box: Box | None  # None: no head said so, but a member
    number: int = 0  # of the taught photo, from 1; 0: none can be told
    of: int = 0
    thumbnail: bytes | None = None
    told: bool = False


async def reasons(store: ConceptStore, look: Look) -> list[Reason]:
    """One for everybody who was named, surest first."""
    return [await _reason(store, look, match) for match in look.certain]


async def _reason(store: ConceptStore, look: Look, match: Match) -> Reason:
    plain = Reason(match.concept.name, match.score, match.box, told=match.told)
    sight = next((sight for sight in look.sights if match.spoke in sight.boxes), None)
    if sight is None or match.spoke is None:
        return plain
    photos = await store.photos(match.concept.id)
    taught = await store.regions(match.concept.id, sight.encoder)
    if not photos or len(taught) != len(photos):  # this encoder hasn't seen them all: which is which can't be told
        return plain
    alike = most_alike(sight.vectors[sight.boxes.index(match.spoke)], taught)
    return replace(plain, number=alike + 1, of=len(photos), thumbnail=_shown(photos[alike]))


def most_alike(vector: np.ndarray, taught: list[Regions]) -> int:
    """Index of the photo that has the region nearest to this one, by cosine."""
    return int(np.argmax([(regions.vectors.astype(np.float32) @ vector.astype(np.float32)).max(initial=-1.0) for regions in taught]))


def _shown(photo: Photo) -> bytes:
    return photo.thumbnail

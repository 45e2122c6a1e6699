"""The engine's messages as the store's records, and back. Pure; knows neither network nor Discord."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from concept_store.records import Head, Kind, Regions
from myvlm_engine import messages


def regions_of(sight: messages.Sight) -> Regions:
    vectors = messages.unpack(sight.vectors).reshape(-1, sight.width)
    return Regions(sight.encoder, vectors, tuple(sight.boxes))


def united(seen: Sequence[Regions], closer: Sequence[Regions]) -> list[Regions]:
    """What each encoder saw of a photo, together with what it saw of places in it that it looked at once more."""
    more = {regions.encoder: regions for regions in closer}
    return [_both(regions, more[regions.encoder]) if regions.encoder in more else regions for regions in seen]


def _both(one: Regions, other: Regions) -> Regions:
    return Regions(one.encoder, np.vstack([one.vectors, other.vectors]), (*one.boxes, *other.boxes), closer_from=len(one.boxes))


def sight_of(regions: Regions) -> messages.Sight:
    width = int(regions.vectors.shape[1])
    return messages.Sight(encoder=regions.encoder, width=width, vectors=messages.pack(regions.vectors), boxes=list(regions.boxes))


def head_of(head: messages.Head) -> Head:
    vectors = messages.unpack(head.vectors, "float32").reshape(-1, head.width)
    return Head(head.encoder, vectors, np.asarray(head.biases, dtype=np.float32), head.slope, head.offset, head.doubtful_at)


def afar_of(encoder: str) -> str:
    """Under which fingerprint it is kept how an encoder sees taught photos from afar."""
    return f"{encoder}+afar"


def without_faces(seen: Sequence[Regions]) -> list[Regions]:
    """What may be kept of a photo in which somebody was corrected: people in it have agreed to nothing."""
    return [regions for regions in seen if not regions.encoder.startswith(messages.FACES)]


def encoder_for(kind: Kind, encoders: list[str]) -> str:
    """Which encoder's head recognises this kind: an encoder of faces for people, the first other one for the rest. Where
    there is none the first: the engine then says why it can't."""
    mine = [encoder for encoder in encoders if encoder.startswith(messages.FACES) == (kind is Kind.PERSON)]
    return mine[0] if mine else encoders[0]

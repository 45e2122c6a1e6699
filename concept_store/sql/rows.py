"""Between rows and records, both ways. Knows the tables' columns; runs nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Row, Select, exists, func, select

from ..errors import WrongFingerprint
from ..names import name_key
from ..records import (
    Announce,
    Box,
    Concept,
    ConceptId,
    Embedding,
    GuildId,
    Head,
    Kind,
    NewConcept,
    NewPhoto,
    Photo,
    PhotoId,
    Regions,
    State,
    UserId,
)
from .tables import concepts, embeddings, heads, photos

REGION = np.dtype("<f2")
HEAD = np.dtype("<f4")
BOX = np.dtype("<f8")


def select_concepts() -> Select[Any]:
    """The rows that `concept_of` reads."""
    of_it = concepts.c.id
    return select(
        concepts,
        exists().where(heads.c.concept_id == of_it).label("has_head"),
        exists().where(embeddings.c.concept_id == of_it, embeddings.c.finished).label("has_embedding"),
        select(func.count()).select_from(photos).where(photos.c.concept_id == of_it).scalar_subquery().label("photo_count"),
    )


def concept_of(row: Row[Any]) -> Concept:
    return Concept(
        id=ConceptId(row.id),
        name=row.name,
        kind=Kind(row.kind),
        class_noun=row.class_noun,
        owner_id=UserId(row.owner_id),
        guild_id=None if row.guild_id is None else GuildId(row.guild_id),
        private=row.private,
        announce=announce_of(row),
        state=State(row.state),
        failure=row.failure,
        attempts=row.attempts,
        created_at=row.created_at,
        ready_at=row.ready_at,
        has_head=bool(row.has_head),
        has_embedding=bool(row.has_embedding),
        photo_count=row.photo_count,
        sample=row.sample,
        announced=row.announced,
        subject_id=None if row.subject_id is None else UserId(row.subject_id),
        ticket=row.ticket,
    )


def announce_of(row: Row[Any]) -> Announce | None:
    if row.announce_channel_id is None:
        return None
    return Announce(row.announce_channel_id, row.announce_message_id, row.announce_locale)


def announce_values(announce: Announce | None) -> dict[str, Any]:
    return {
        "announce_channel_id": announce and announce.channel_id,
        "announce_message_id": announce and announce.message_id,
        "announce_locale": announce and announce.locale,
    }


def concept_values(new: NewConcept, concept_id: str, ticket: int, now: datetime) -> dict[str, Any]:
    return {
        "id": concept_id,
        "name": new.name,
        "name_key": name_key(new.name),
        "kind": new.kind.value,
        "class_noun": new.class_noun,
        "owner_id": new.owner_id,
        "guild_id": new.guild_id,
        "private": new.private,
        "subject_id": new.subject_id,
        **announce_values(new.announce),
        "announced": False,
        "state": State.QUEUED.value,
        "attempts": 0,
        "ticket": ticket,
        "created_at": now,
    }


def photo_values(new: NewPhoto, concept_id: str, photo_id: str, position: int) -> dict[str, Any]:
    return {
        "id": photo_id,
        "concept_id": concept_id,
        "position": position,
        "digest": new.digest,
        "captions": list(new.captions),
        "thumbnail": new.thumbnail,
        "data": new.data,
    }


def photo_of(row: Row[Any]) -> Photo:
    return Photo(
        id=PhotoId(row.id),
        concept_id=ConceptId(row.concept_id),
        data=row.data,
        thumbnail=row.thumbnail,
        digest=row.digest,
        captions=tuple(row.captions),
        box=None if row.box is None else box_of(row.box),
        faces=tuple(box_of(face) for face in row.faces or ()),
        face=None if row.face is None else box_of(row.face),
    )


def box_of(numbers: Any) -> Box:
    left, top, right, bottom = (float(n) for n in numbers)
    return left, top, right, bottom


def fingerprint(text: str) -> str:
    """Errors: WrongFingerprint when there is none: such a vector could be taken for anybody's."""
    if not text:
        raise WrongFingerprint("These vectors don't say which encoder or model they belong to.")
    return text


def regions_values(regions: Regions) -> dict[str, Any]:
    vectors = np.asarray(regions.vectors)
    if vectors.ndim != 2 or len(vectors) != len(regions.boxes):
        raise ValueError(f"{len(regions.boxes)} boxes for vectors of shape {vectors.shape}: one row a box is needed.")
    return {
        "encoder": fingerprint(regions.encoder),
        **vector_values(vectors, REGION),
        "boxes": np.asarray(regions.boxes, BOX).tobytes(),
    }


def regions_of(row: Row[Any]) -> Regions:
    boxes = np.frombuffer(row.boxes, BOX).reshape(-1, 4)
    return Regions(row.encoder, vectors_of(row, REGION), tuple(box_of(box) for box in boxes))


def head_values(head: Head) -> dict[str, Any]:
    vectors, biases = np.asarray(head.vectors), np.asarray(head.biases)
    if vectors.ndim != 2 or biases.shape != (len(vectors),) or not len(vectors):
        raise ValueError(f"Biases of shape {biases.shape} for vectors of shape {vectors.shape}: one a row is needed.")
    return {
        "encoder": fingerprint(head.encoder),
        **vector_values(vectors, HEAD),
        "biases": biases.astype(HEAD).tobytes(),
        "calibration_slope": float(head.slope),
        "calibration_offset": float(head.offset),
        "calibration_doubt": head.doubtful_at,
    }


def head_of(row: Row[Any]) -> Head:
    biases = np.frombuffer(row.biases, HEAD)
    return Head(row.encoder, vectors_of(row, HEAD), biases, row.calibration_slope, row.calibration_offset, row.calibration_doubt)


def vector_values(vectors: np.ndarray, dtype: np.dtype) -> dict[str, Any]:
    number, width = vectors.shape
    return {"number": number, "width": width, "vectors": vectors.astype(dtype).tobytes()}


def vectors_of(row: Row[Any], dtype: np.dtype) -> np.ndarray:
    return np.frombuffer(row.vectors, dtype).reshape(row.number, row.width)


def embedding_of(row: Row[Any]) -> Embedding:
    return Embedding(row.vlm, row.data, row.step, row.finished)

"""What was learned of concepts: heads and embeddings. Knows no image and no matching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import WrongFingerprint
from ..records import Box, Claim, Concept, ConceptId, Embedding, Head, PhotoId, State
from .part import Part, must_exist, must_hold, next_number, put
from .rows import concept_of, embedding_of, fingerprint, head_of, head_values, select_concepts
from .tables import concepts, embeddings, heads, photos
from .training import NO_CLAIM, PLACE, change_held


class Learned(Part):
    async def save_head(self, claim: Claim, head: Head, boxes: Mapping[PhotoId, Box] = MappingProxyType({})) -> None:
        values = {"concept_id": claim.concept_id, **head_values(head)}
        async with self._db.write() as connection:
            await must_hold(connection, claim)
            await put_head(connection, values)
            for photo_id, box in boxes.items():
                this = and_(photos.c.id == photo_id, photos.c.concept_id == claim.concept_id)
                await connection.execute(update(photos).where(this).values(box=list(box)))

    async def refit_head(self, concept_id: ConceptId, head: Head) -> None:
        values = {"concept_id": concept_id, **head_values(head)}
        async with self._db.write() as connection:
            await must_exist(connection, concept_id)
            await put_head(connection, values)

    async def head(self, concept_id: ConceptId, encoder: str) -> Head | None:
        chosen = select(heads).where(heads.c.concept_id == concept_id, heads.c.encoder == encoder)
        async with self._db.read() as connection:
            row = (await connection.execute(chosen)).one_or_none()
        return None if row is None else head_of(row)

    async def save_embedding(self, claim: Claim, embedding: Embedding, sample: str | None = None) -> None:
        values = {"concept_id": claim.concept_id, **embedding_values(embedding)}
        change: dict[str, Any] = {"sample": sample} if sample else {"token": claim.token}
        if embedding.finished:
            change |= {"state": State.READY.value, "ready_at": self._clock(), "failure": None, "announced": False, **NO_CLAIM}
        async with self._db.write() as connection:
            await change_held(connection, claim, change)
            if embedding.finished:
                await connection.execute(delete(embeddings).where(of_model(claim.concept_id, embedding.vlm)))
            await put(connection, embeddings, values)

    async def embedding(self, concept_id: ConceptId, vlm: str) -> Embedding | None:
        return await self._embedding(select(embeddings).where(of_model(concept_id, vlm)).order_by(embeddings.c.finished.desc()))

    async def progress(self, concept_id: ConceptId, vlm: str) -> Embedding | None:
        return await self._embedding(select(embeddings).where(of_model(concept_id, vlm), ~embeddings.c.finished))

    async def _embedding(self, chosen: Any) -> Embedding | None:
        async with self._db.read() as connection:
            row = (await connection.execute(chosen.limit(1))).one_or_none()
        return None if row is None else embedding_of(row)

    async def outdated(self, encoders: Sequence[str], vlm: str) -> list[Concept]:
        of_it = concepts.c.id
        seen = exists().where(heads.c.concept_id == of_it, heads.c.encoder.in_(encoders))
        said = exists().where(embeddings.c.concept_id == of_it, embeddings.c.vlm == vlm, embeddings.c.finished)
        chosen = select_concepts().where(concepts.c.state == State.READY.value, or_(not_(seen), not_(said))).order_by(*PLACE)
        async with self._db.read() as connection:
            return [concept_of(row) for row in await connection.execute(chosen)]


def of_model(concept_id: ConceptId, vlm: str) -> ColumnElement[bool]:
    return and_(embeddings.c.concept_id == concept_id, embeddings.c.vlm == vlm)


def embedding_values(embedding: Embedding) -> dict[str, Any]:
    return {"vlm": fingerprint(embedding.vlm), "finished": embedding.finished, "step": embedding.step, "data": embedding.data}


async def put_head(connection: AsyncConnection, values: dict[str, Any]) -> None:
    """Errors: WrongFingerprint."""
    of_encoder = and_(heads.c.encoder == values["encoder"], heads.c.width != values["width"])
    width = await connection.scalar(select(heads.c.width).where(of_encoder).limit(1))
    if width is not None:
        raise WrongFingerprint(f"Heads of {values['encoder']} have {width} numbers a vector; this one has {values['width']}.")
    await put(connection, heads, values)
    await next_number(connection, "heads")

"""Taught photos and what encoders saw in them. Knows nothing of training and matching."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import NotFound
from ..records import Box, Claim, ConceptId, Photo, PhotoId, Regions
from .part import Part, must_hold, put
from .rows import photo_of, regions_of, regions_values
from .tables import photo_regions
from .tables import photos as photo_table


class Photos(Part):
    async def photos(self, concept_id: ConceptId) -> list[Photo]:
        chosen = select(photo_table).where(photo_table.c.concept_id == concept_id).order_by(photo_table.c.position)
        async with self._db.read() as connection:
            return [photo_of(row) for row in await connection.execute(chosen)]

    async def thumbnail(self, concept_id: ConceptId) -> bytes:
        first = select(photo_table.c.thumbnail).where(photo_table.c.concept_id == concept_id).order_by(photo_table.c.position).limit(1)
        async with self._db.read() as connection:
            thumbnail = await connection.scalar(first)
        if thumbnail is None:
            raise NotFound
        return bytes(thumbnail)

    async def save_regions(self, photo_id: PhotoId, regions: Regions) -> None:
        # forgets: what it replaces may be of others' faces
        values = {"photo_id": photo_id, **regions_values(regions)}
        async with self._db.write(forgets=True) as connection:
            await photo_must_exist(connection, photo_id)
            await put(connection, photo_regions, values)

    async def save_box(self, photo_id: PhotoId, box: Box) -> None:
        async with self._db.write() as connection:
            await photo_must_exist(connection, photo_id)
            await connection.execute(update(photo_table).where(photo_table.c.id == photo_id).values(box=list(box)))

    async def offer_faces(self, photo_id: PhotoId, faces: Sequence[Box], claim: Claim | None = None) -> None:
        concept = select(photo_table.c.concept_id).where(photo_table.c.id == photo_id).scalar_subquery()
        offered = {"faces": [list(face) for face in faces], "face": None}
        unknown = select(photo_table.c.id).where(photo_table.c.concept_id == concept, photo_table.c.box.is_(None))
        async with self._db.write(forgets=True) as connection:
            await must_hold(connection, claim)
            await photo_must_exist(connection, photo_id)
            await connection.execute(delete(photo_regions).where(photo_regions.c.photo_id.in_(unknown)))
            await connection.execute(update(photo_table).where(photo_table.c.concept_id == concept).values(faces=None))
            await connection.execute(update(photo_table).where(photo_table.c.id == photo_id).values(offered))

    async def choose_face(self, photo_id: PhotoId, face: Box) -> None:
        async with self._db.write() as connection:
            await photo_must_exist(connection, photo_id)
            await connection.execute(update(photo_table).where(photo_table.c.id == photo_id).values(face=list(face)))

    async def regions(self, concept_id: ConceptId, encoder: str) -> list[Regions]:
        chosen = (
            select(photo_regions)
            .join(photo_table)
            .where(photo_table.c.concept_id == concept_id, photo_regions.c.encoder == encoder)
            .order_by(photo_table.c.position)
        )
        async with self._db.read() as connection:
            return [regions_of(row) for row in await connection.execute(chosen)]


async def photo_must_exist(connection: AsyncConnection, photo_id: PhotoId) -> None:
    """Errors: NotFound."""
    if await connection.scalar(select(photo_table.c.id).where(photo_table.c.id == photo_id)) is None:
        raise NotFound("There is no such photo; its concept was deleted.")

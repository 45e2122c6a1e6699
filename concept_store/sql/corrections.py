"""Corrections: what members said of photos that were answered. Knows nothing of the photos but their digest and vectors.

One is kept for each member, concept and photo. Of one photo what its teacher said holds, else what was said last (`holds`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, ScalarSelect, case, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..records import ConceptId, Correction, Regions, Said, SaidOf, UserId
from .part import Part, must_exist, next_number
from .rows import regions_of, regions_values
from .tables import concepts, correction_regions
from .tables import corrections as correction_table


class Corrections(Part):
    async def add_correction(
        self,
        concept_id: ConceptId,
        regions: Sequence[Regions],
        present: bool,
        digest: str,
        user_id: UserId | None = None,
        at_most: int | None = None,
    ) -> None:
        correction_id = uuid.uuid4().hex
        seen = [{"correction_id": correction_id, **regions_values(one)} for one in regions]
        said = {"id": correction_id, "concept_id": concept_id, "digest": digest, "present": present, "user_id": user_id}
        table = correction_table.c
        earlier = (table.concept_id == concept_id, table.digest == digest, table.user_id.is_not_distinct_from(user_id))
        async with self._db.write(forgets=True) as connection:
            await must_exist(connection, concept_id)
            ticket = await next_number(connection, "ticket")
            await connection.execute(delete(correction_table).where(*earlier))
            await connection.execute(insert(correction_table).values(**said, ticket=ticket, made_at=self._clock()))
            if seen:
                await connection.execute(insert(correction_regions), seen)
            if at_most is not None:
                await drop_vectors(connection, concept_id, at_most, present, ticket)

    async def corrections(self, concept_id: ConceptId, encoder: str) -> list[Correction]:
        chosen = (
            select(correction_table.c.digest, correction_table.c.present, correction_regions)
            .join(correction_regions)
            .where(correction_table.c.concept_id == concept_id, correction_regions.c.encoder == encoder, holds())
            .order_by(correction_table.c.ticket)
        )
        async with self._db.read() as connection:
            return [Correction(row.digest, row.present, regions_of(row)) for row in await connection.execute(chosen)]

    async def said(self, concept_id: ConceptId, digest: str, user_id: UserId | None = None) -> Said | None:
        table = correction_table.c
        whose = holds() if user_id is None else table.user_id == user_id
        chosen = select(table.present, table.user_id).where(table.concept_id == concept_id, table.digest == digest, whose)
        async with self._db.read() as connection:
            row = (await connection.execute(chosen)).one_or_none()
        return row and Said(row.present, None if row.user_id is None else UserId(row.user_id))

    async def remove_corrections(self, concept_id: ConceptId, digest: str | None = None, user_id: UserId | None = None) -> int:
        chosen = delete(correction_table).where(correction_table.c.concept_id == concept_id)
        if digest is not None:
            chosen = chosen.where(correction_table.c.digest == digest)
        if user_id is not None:
            chosen = chosen.where(correction_table.c.user_id == user_id)
        async with self._db.write(forgets=True) as connection:
            return (await connection.execute(chosen)).rowcount

    async def corrected_by(self, user_id: UserId) -> list[ConceptId]:
        table = correction_table.c
        chosen = select(table.concept_id).where(table.user_id == user_id).order_by(table.ticket)
        async with self._db.read() as connection:
            return [ConceptId(concept_id) for concept_id in await connection.scalars(chosen)]

    async def said_by(self, user_id: UserId) -> list[SaidOf]:
        table = correction_table.c
        of_it = (concepts.c.name, table.digest, table.present, table.made_at)
        chosen = select(*of_it).join(concepts, concepts.c.id == table.concept_id).where(table.user_id == user_id).order_by(table.ticket)
        async with self._db.read() as connection:
            return [SaidOf(row.name, row.digest, row.present, row.made_at) for row in await connection.execute(chosen)]


def holds() -> ColumnElement[bool]:
    """The concept's teacher said it, or nobody has said anything of that photo later."""
    table, other, teacher = correction_table.c, correction_table.alias().c, teacher_of_it()
    of_photo = select(other.id).where(other.concept_id == table.concept_id, other.digest == table.digest).correlate(correction_table)
    overruled = or_(of_photo.where(other.user_id == teacher).exists(), of_photo.where(other.ticket > table.ticket).exists())
    return or_(table.user_id == teacher, ~overruled)


def teacher_of_it() -> ScalarSelect[int]:
    """Who teaches the concept of a correction; where many are looked at, of each its own."""
    taught = concepts.alias().c
    return select(taught.owner_id).where(taught.id == correction_table.c.concept_id).correlate(correction_table).scalar_subquery()


async def drop_vectors(connection: AsyncConnection, concept_id: ConceptId, at_most: int, present: bool, newest: int) -> None:
    """Down to `at_most` corrections of the concept with vectors, the newest (a ticket) among them. What was said stays, a digest and little
    more: the photo is never named wrongly again. What holds no longer goes first, and what its own teacher said last. Between these, what
    says the same goes first, so that many clicks on one side don't push out what was said on the other."""
    table = correction_table.c
    seen = (table.concept_id == concept_id, table.id.in_(select(correction_regions.c.correction_id)))
    number = await connection.scalar(select(func.count()).select_from(correction_table).where(*seen)) or 0
    if number <= at_most:
        return
    older = select(table.id).where(*seen, table.ticket < newest)
    by_teacher = case((table.user_id == teacher_of_it(), 1), else_=0)
    holding = case((holds(), 1), else_=0)
    dropped = older.order_by(holding, by_teacher, table.present != present, table.ticket).limit(number - at_most)
    await connection.execute(delete(correction_regions).where(correction_regions.c.correction_id.in_(dropped)))

"""The queue: who waits, who trains what until when, and how it ended. Knows nothing of vectors."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import LeaseLost, NotFound, TooManyPhotos
from ..records import Announce, Claim, Concept, ConceptId, NewPhoto, PhotoId, State
from .concepts import insert_photos
from .part import Part, at_ticket, concept_in, held_by, next_number
from .rows import announce_values, concept_of, select_concepts
from .tables import concepts, embeddings
from .tables import photos as photo_table

NO_CLAIM: dict[str, Any] = {"worker": None, "token": None, "lease_until": None}
PLACE = (concepts.c.ticket, concepts.c.id)
DONE = (State.READY.value, State.FAILED.value)


class Training(Part):
    async def claim_next(self, worker: str, lease_s: float) -> Claim | None:
        now = self._clock()
        # PostgreSQL: others take the next row instead of waiting for this one; SQLite has it alone anyway
        first = select(concepts.c.id).where(waiting(now)).order_by(*PLACE).limit(1).with_for_update(skip_locked=True)
        async with self._db.write() as connection:
            concept_id = await connection.scalar(first)
            if concept_id is None:
                return None
            claim = Claim(ConceptId(concept_id), worker, now + timedelta(seconds=lease_s), token=uuid.uuid4().hex)
            taken = {"state": State.TRAINING.value, "attempts": concepts.c.attempts + 1, "failure": None}
            await connection.execute(update(concepts).where(concepts.c.id == concept_id).values(**taken, **claim_values(claim)))
        return claim

    async def renew(self, claim: Claim, lease_s: float) -> Claim:
        renewed = replace(claim, expires_at=self._clock() + timedelta(seconds=lease_s))
        await self._change(claim, {"lease_until": renewed.expires_at})
        return renewed

    async def release(self, claim: Claim) -> None:
        await self._change(claim, {"state": State.QUEUED.value, "attempts": concepts.c.attempts - 1, **NO_CLAIM})

    async def waits(self, claim: Claim, waiting: bool) -> None:
        await self._change(claim, {"attempts": concepts.c.attempts + (-1 if waiting else 1)})

    async def fail(self, claim: Claim, failure: str) -> None:
        await self._change(claim, {"state": State.FAILED.value, "failure": failure, "announced": False, **NO_CLAIM})

    async def take_back(self, claim: Claim, failure: str) -> None:
        of_it = photo_table.c.concept_id == claim.concept_id
        boxed = select(func.max(photo_table.c.position)).where(of_it, photo_table.c.box.is_not(None))
        finished = select(exists().where(embeddings.c.concept_id == claim.concept_id, embeddings.c.finished))
        async with self._db.write(forgets=True) as connection:
            state = State.READY if await connection.scalar(finished) else State.FAILED
            await change_held(connection, claim, {"state": state.value, "failure": failure, "announced": False, **NO_CLAIM})
            last = await connection.scalar(boxed)
            if last is None:
                raise ValueError("No photo of it has a box: none would be left.")
            await connection.execute(delete(photo_table).where(of_it, photo_table.c.position > last))

    async def _change(self, claim: Claim, values: dict[str, Any]) -> None:
        async with self._db.write() as connection:
            await change_held(connection, claim, values)

    async def retry(self, concept_id: ConceptId, announce: Announce | None = None) -> Concept:
        again = queued_again(announce)
        async with self._db.write() as connection:
            done = and_(concepts.c.id == concept_id, concepts.c.state.in_(DONE))
            again["ticket"] = await next_number(connection, "ticket")
            await connection.execute(update(concepts).where(done).values(again))
            return await concept_in(connection, concept_id)

    async def add_photos(
        self, concept_id: ConceptId, photos: Sequence[NewPhoto], announce: Announce | None = None, at_most: int | None = None
    ) -> Concept:
        if not photos:
            raise ValueError("There is no photo to add.")
        async with self._db.write() as connection:
            ticket = await next_number(connection, "ticket")  # first: two who add at once wait here, not on the photos' positions
            old = await concept_in(connection, concept_id)
            if at_most is not None and old.photo_count + len(photos) > at_most:
                raise TooManyPhotos
            await insert_photos(connection, concept_id, photos, first=old.photo_count)
            return await begun_anew(connection, old, ticket, announce)

    async def remove_photo(self, photo_id: PhotoId, announce: Announce | None = None) -> Concept:
        this = photo_table.c.id == photo_id
        async with self._db.write(forgets=True) as connection:
            ticket = await next_number(connection, "ticket")
            row = (await connection.execute(select(photo_table.c.concept_id, photo_table.c.position).where(this))).one_or_none()
            if row is None:
                raise NotFound
            old = await concept_in(connection, ConceptId(row.concept_id))
            if old.photo_count == 1:
                raise ValueError("It is the only photo.")
            await connection.execute(delete(photo_table).where(this))
            of_it = photo_table.c.concept_id == row.concept_id
            for position in range(row.position + 1, old.photo_count):  # one after another: no two may have the same at any moment
                here = and_(of_it, photo_table.c.position == position)
                await connection.execute(update(photo_table).where(here).values(position=position - 1))
            await connection.execute(update(photo_table).where(of_it).values(box=None))
            return await begun_anew(connection, old, ticket, announce)

    async def queue_position(self, concept_id: ConceptId) -> int:
        now = self._clock()
        async with self._db.read() as connection:
            place = select(*PLACE, waiting(now).label("waits")).where(concepts.c.id == concept_id)
            row = (await connection.execute(place)).one_or_none()
            if row is None:
                raise NotFound
            if not row.waits:
                return 0
            before = tuple_(*PLACE) < tuple_(row.ticket, row.id)
            return 1 + await count(connection, and_(waiting(now), before))

    async def queue_length(self) -> int:
        async with self._db.read() as connection:
            return await count(connection, waiting(self._clock()))

    async def unannounced(self) -> list[Concept]:
        chosen = select_concepts().where(concepts.c.state.in_(DONE), ~concepts.c.announced).order_by(*PLACE)
        async with self._db.read() as connection:
            return [concept_of(row) for row in await connection.execute(chosen)]

    async def mark_announced(self, concept_id: ConceptId, ticket: int | None = None) -> None:
        async with self._db.write() as connection:
            await connection.execute(update(concepts).where(at_ticket(concept_id, ticket)).values(announced=True))

    async def set_announce_message(self, concept_id: ConceptId, message_id: int) -> None:
        there = and_(concepts.c.id == concept_id, concepts.c.announce_channel_id.is_not(None))
        async with self._db.write() as connection:
            await connection.execute(update(concepts).where(there).values(announce_message_id=message_id))


def waiting(now: datetime) -> ColumnElement[bool]:
    """Queued, or the worker has not been heard of for longer than its lease."""
    abandoned = and_(concepts.c.state == State.TRAINING.value, concepts.c.lease_until <= now)
    return or_(concepts.c.state == State.QUEUED.value, abandoned)


async def begun_anew(connection: AsyncConnection, old: Concept, ticket: int, announce: Announce | None) -> Concept:
    """With other photos than before: whoever trains it loses the lease, and what was begun of an embedding is dropped."""
    await connection.execute(delete(embeddings).where(embeddings.c.concept_id == old.id, ~embeddings.c.finished))
    place = {"ticket": ticket} if old.state.value in DONE else {}
    again = {**queued_again(announce), **NO_CLAIM, **place}
    await connection.execute(update(concepts).where(concepts.c.id == old.id).values(again))
    return await concept_in(connection, old.id)


def queued_again(announce: Announce | None) -> dict[str, Any]:
    again: dict[str, Any] = {"state": State.QUEUED.value, "attempts": 0, "failure": None, "announced": False}
    return again | announce_values(announce) if announce else again


def claim_values(claim: Claim) -> dict[str, Any]:
    return {"worker": claim.worker, "token": claim.token, "lease_until": claim.expires_at}


async def change_held(connection: AsyncConnection, claim: Claim, values: dict[str, Any]) -> None:
    """Changes the concept that this very claim holds. Errors: LeaseLost."""
    if not (await connection.execute(update(concepts).where(held_by(claim)).values(values))).rowcount:
        raise LeaseLost


async def count(connection: AsyncConnection, chosen: ColumnElement[bool]) -> int:
    return int(await connection.scalar(select(func.count()).select_from(concepts).where(chosen)) or 0)

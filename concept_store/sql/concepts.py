"""Concepts: taught, found, renamed, forgotten. Knows nothing of training and vectors."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table, and_, delete, func, insert, or_, select, union, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import NameTaken, NoConsent, NotFound, TooManyConcepts
from ..names import name_key
from ..records import Concept, ConceptId, GuildId, Kept, NewConcept, NewPhoto, Scope, UserId
from .part import Part, at_ticket, concept_in, next_number, visible
from .rows import concept_of, concept_values, photo_values, select_concepts
from .tables import concepts, consents, correction_regions, corrections, heads, photo_regions, photos, settings


class Concepts(Part):
    async def create_concept(self, new: NewConcept, photos: Sequence[NewPhoto], limit_per_owner: int | None = None) -> Concept:
        if not photos:
            raise ValueError("A concept is taught with at least one photo.")
        concept_id = ConceptId(uuid.uuid4().hex)
        try:
            async with self._db.write() as connection:
                await subject_must_agree(connection, new)
                await name_must_be_free(connection, new.name, new)
                await owner_must_have_room(connection, new.owner_id, limit_per_owner)
                ticket = await next_number(connection, "ticket")
                await connection.execute(insert(concepts).values(concept_values(new, concept_id, ticket, self._clock())))
                await insert_photos(connection, concept_id, photos)
                created = await concept_in(connection, concept_id)
        except IntegrityError as e:
            raise NameTaken from e
        return created

    async def concept(self, concept_id: ConceptId) -> Concept:
        async with self._db.read() as connection:
            return await concept_in(connection, concept_id)

    async def known(self, scope: Scope) -> list[Concept]:
        chosen = select_concepts().where(visible(scope)).order_by(concepts.c.name_key, concepts.c.ticket)
        async with self._db.read() as connection:
            return [concept_of(row) for row in await connection.execute(chosen)]

    async def find(self, scope: Scope, name: str) -> Concept:
        chosen = select_concepts().where(visible(scope), concepts.c.name_key == name_key(name))
        async with self._db.read() as connection:
            found = [concept_of(row) for row in await connection.execute(chosen)]
        if not found:
            raise NotFound
        return next((concept for concept in found if concept.owner_id == scope.user_id), found[0])

    async def rename_concept(self, concept_id: ConceptId, name: str) -> Concept:
        try:
            async with self._db.write() as connection:
                old = await concept_in(connection, concept_id)
                await name_must_be_free(connection, name, old, but=concept_id)
                of_it = concepts.c.id == concept_id
                await connection.execute(update(concepts).where(of_it).values(name=name, name_key=name_key(name)))
                return await concept_in(connection, concept_id)
        except IntegrityError as e:
            raise NameTaken from e

    async def set_class_noun(self, concept_id: ConceptId, class_noun: str) -> Concept:
        async with self._db.write() as connection:
            await connection.execute(update(concepts).where(concepts.c.id == concept_id).values(class_noun=class_noun))
            return await concept_in(connection, concept_id)

    async def delete_concept(self, concept_id: ConceptId, ticket: int | None = None) -> None:
        async with self._db.write(forgets=True) as connection:
            if not await delete_concepts(connection, at_ticket(concept_id, ticket)):
                raise NotFound

    async def delete_user(self, user_id: UserId) -> int:
        async with self._db.write(forgets=True) as connection:
            await connection.execute(delete(corrections).where(corrections.c.user_id == user_id))
            await connection.execute(delete(consents).where(consents_of(user_id)))
            return await delete_concepts(connection, about(user_id))

    async def delete_guild(self, guild_id: GuildId) -> int:
        async with self._db.write(forgets=True) as connection:
            await connection.execute(delete(settings).where(settings.c.guild_id == guild_id))
            await connection.execute(delete(consents).where(consents.c.guild_id == guild_id))
            return await delete_concepts(connection, concepts.c.guild_id == guild_id)

    async def about(self, user_id: UserId) -> list[Concept]:
        chosen = select_concepts().where(about(user_id)).order_by(concepts.c.name_key, concepts.c.ticket)
        async with self._db.read() as connection:
            return [concept_of(row) for row in await connection.execute(chosen)]

    async def guilds(self) -> list[GuildId]:
        kept = [select(table.c.guild_id).where(table.c.guild_id.is_not(None)) for table in (concepts, settings, consents)]
        async with self._db.read() as connection:
            return sorted(GuildId(guild_id) for guild_id in await connection.scalars(union(*kept)))

    async def kept_about(self, user_id: UserId) -> Kept:
        theirs = about(user_id)
        async with self._db.read() as connection:
            named = (await connection.execute(select(concepts.c.name, concepts.c.created_at).where(theirs))).all()
            photo_count, photo_bytes = await count_photos(connection, theirs)
            vectors = await count_vectors(connection, theirs, or_(theirs, corrections.c.user_id == user_id))
            corrected = await count(connection, corrections, corrections.c.user_id == user_id)
            agreed = await count(connection, consents, consents_of(user_id))
        return Kept(
            concepts=len(named),
            photos=photo_count,
            photo_bytes=photo_bytes,
            vectors=vectors,
            oldest=min((row.created_at for row in named), default=None),
            names=tuple(sorted(row.name for row in named)),
            corrections=corrected,
            consents=agreed,
        )

    async def kept_in(self, guild_id: GuildId) -> Kept:
        here = concepts.c.guild_id == guild_id
        async with self._db.read() as connection:
            photo_count, photo_bytes = await count_photos(connection, here)
            return Kept(
                concepts=await count(connection, concepts, here),
                photos=photo_count,
                photo_bytes=photo_bytes,
                vectors=await count_vectors(connection, here, here),
                oldest=await connection.scalar(select(func.min(concepts.c.created_at)).where(here)),
                corrections=await count(connection, corrections.join(concepts), here),
                consents=await count(connection, consents, consents.c.guild_id == guild_id),
            )


def about(user_id: UserId) -> ColumnElement[bool]:
    """Concepts a person owns, or is shown by."""
    return or_(concepts.c.owner_id == user_id, concepts.c.subject_id == user_id)


def consents_of(user_id: UserId) -> ColumnElement[bool]:
    """Given by this person, or given to them."""
    return or_(consents.c.subject_id == user_id, consents.c.teacher_id == user_id)


async def name_must_be_free(connection: AsyncConnection, name: str, of_it: NewConcept | Concept, but: ConceptId | None = None) -> None:
    """Among what the owner could meet. Errors: NameTaken."""
    own = concepts.c.owner_id == of_it.owner_id
    met = own if of_it.guild_id is None else or_(own, and_(concepts.c.guild_id == of_it.guild_id, ~concepts.c.private))
    taken = select(concepts.c.id).where(concepts.c.name_key == name_key(name), met)
    if [found for found in await connection.scalars(taken) if found != but]:
        raise NameTaken


async def owner_must_have_room(connection: AsyncConnection, owner_id: UserId, limit: int | None) -> None:
    """Errors: TooManyConcepts."""
    if limit is None:
        return
    count = await connection.scalar(select(func.count()).select_from(concepts).where(concepts.c.owner_id == owner_id))
    if (count or 0) >= limit:
        raise TooManyConcepts


async def subject_must_agree(connection: AsyncConnection, new: NewConcept) -> None:
    """Errors: NoConsent."""
    if new.subject_id is not None and not await has_agreed(connection, new.subject_id, new.owner_id, new.guild_id):
        raise NoConsent


async def has_agreed(connection: AsyncConnection, subject_id: UserId, teacher_id: UserId, guild_id: GuildId | None) -> bool:
    given = (consents.c.subject_id == subject_id, consents.c.teacher_id == teacher_id, consents.c.guild_id == guild_id)
    return await connection.scalar(select(consents.c.given_at).where(*given)) is not None


async def insert_photos(connection: AsyncConnection, concept_id: ConceptId, new: Sequence[NewPhoto], first: int = 0) -> None:
    """`first`: the position of the first of them."""
    rows = [photo_values(photo, concept_id, uuid.uuid4().hex, position) for position, photo in enumerate(new, first)]
    await connection.execute(insert(photos), rows)


async def delete_concepts(connection: AsyncConnection, chosen: ColumnElement[bool]) -> int:
    """And, by the foreign keys, all that came from them."""
    deleted = (await connection.execute(delete(concepts).where(chosen))).rowcount
    await next_number(connection, "heads")
    return deleted


async def count(connection: AsyncConnection, table: FromClause, chosen: ColumnElement[bool]) -> int:
    return int(await connection.scalar(select(func.count()).select_from(table).where(chosen)) or 0)


async def count_photos(connection: AsyncConnection, chosen: ColumnElement[bool]) -> tuple[int, int]:
    """How many, and their bytes with thumbnails."""
    size = func.length(photos.c.data) + func.length(photos.c.thumbnail)
    counted = select(func.count(), func.coalesce(func.sum(size), 0)).select_from(photos.join(concepts)).where(chosen)
    count, size_bytes = (await connection.execute(counted)).one()
    return int(count), int(size_bytes)


async def count_vectors(connection: AsyncConnection, chosen: ColumnElement[bool], corrected: ColumnElement[bool]) -> int:
    """Of regions and heads of the chosen concepts, and of these corrections."""
    places: list[tuple[Table, Any, ColumnElement[bool]]] = [
        (photo_regions, photo_regions.join(photos).join(concepts), chosen),
        (heads, heads.join(concepts), chosen),
        (correction_regions, correction_regions.join(corrections).join(concepts), corrected),
    ]
    total = 0
    for table, joined, of_them in places:
        total += int(await connection.scalar(select(func.coalesce(func.sum(table.c.number), 0)).select_from(joined).where(of_them)) or 0)
    return total

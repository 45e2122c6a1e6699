"""What every part of the SQL store has: the database, the clock, and the few statements that several of them need."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import LeaseLost, NotFound
from ..records import Claim, Concept, ConceptId, Scope, State
from .database import Database
from .rows import concept_of, select_concepts
from .tables import concepts, counters

Clock = Callable[[], datetime]  # now, aware, UTC


class Part:
    def __init__(self, database: Database, clock: Clock):
        self._db = database
        self._clock = clock


def visible(scope: Scope) -> ColumnElement[bool]:
    """Which concepts are known in a scope (`ConceptStore.known`)."""
    own = concepts.c.owner_id == scope.user_id
    if scope.guild_id is None:
        return own
    here = concepts.c.guild_id == scope.guild_id
    return or_(and_(here, ~concepts.c.private), and_(own, or_(here, concepts.c.private)))


async def concept_in(connection: AsyncConnection, concept_id: ConceptId) -> Concept:
    """Errors: NotFound."""
    row = (await connection.execute(select_concepts().where(concepts.c.id == concept_id))).one_or_none()
    if row is None:
        raise NotFound
    return concept_of(row)


async def must_exist(connection: AsyncConnection, concept_id: ConceptId) -> None:
    """Errors: NotFound."""
    if await connection.scalar(select(concepts.c.id).where(concepts.c.id == concept_id)) is None:
        raise NotFound


def at_ticket(concept_id: ConceptId, ticket: int | None) -> ColumnElement[bool]:
    """The concept; with `ticket` only while it hasn't been queued again since it had that one."""
    of_it = concepts.c.id == concept_id
    return of_it if ticket is None else and_(of_it, concepts.c.ticket == ticket)


def held_by(claim: Claim) -> ColumnElement[bool]:
    """The concept, while this very claim holds it."""
    return and_(concepts.c.id == claim.concept_id, concepts.c.token == claim.token, concepts.c.state == State.TRAINING.value)


async def must_hold(connection: AsyncConnection, claim: Claim | None) -> None:
    """Errors: LeaseLost."""
    if claim and await connection.scalar(select(concepts.c.id).where(held_by(claim)).with_for_update()) is None:
        raise LeaseLost


async def next_number(connection: AsyncConnection, counter: str) -> int:
    """Adds one; the row stays locked until the transaction ends, so no two get the same."""
    of_it = counters.c.name == counter
    await connection.execute(update(counters).where(of_it).values(value=counters.c.value + 1))
    return int(await connection.scalar(select(counters.c.value).where(of_it)) or 0)


async def put(connection: AsyncConnection, table: Table, values: dict[str, Any]) -> None:
    """Replaces the row of this primary key."""
    key = and_(*(column == values[column.name] for column in table.primary_key))
    await connection.execute(delete(table).where(key))
    await connection.execute(insert(table).values(values))

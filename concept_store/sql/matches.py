"""Which concepts of a scope are in a photo. Knows where heads are; how they score is matching.py's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..matching import Scored
from ..records import Box, Concept, ConceptId, Match, Regions, Scope
from .corrections import holds
from .database import Database
from .head_cache import HeadCache, ScopeHeads, stack_heads
from .part import Clock, Part, visible
from .rows import concept_of, head_of, select_concepts
from .tables import concepts, corrections, counters, heads


@dataclass(frozen=True)
class Found:
    score: float
    box: Box | None = None
    spoke: Box | None = None
    told: bool = False


class Matches(Part):
    def __init__(self, database: Database, clock: Clock):
        super().__init__(database, clock)
        self._cache = HeadCache()

    async def match(
        self, scope: Scope, sights: Sequence[Regions], threshold: float = 0.5, at_most: int = 4, digest: str | None = None
    ) -> list[Match]:
        async with self._db.read() as connection:
            known = await self._heads(connection, scope)
            said = await corrections_of(connection, scope, digest)
        found = surest(await asyncio.to_thread(known.scores, sights)) if known else {}
        return await self._matches(corrected(found, said, threshold), at_most)

    async def worth_a_closer_look(self, scope: Scope, sights: Sequence[Regions]) -> list[Box]:
        async with self._db.read() as connection:
            known = await self._heads(connection, scope)
        return await asyncio.to_thread(known.places, sights) if known else []

    async def neighbours(self, scope: Scope, sights: Sequence[Regions], at_most: int = 8) -> list[ConceptId]:
        async with self._db.read() as connection:
            known = await self._heads(connection, scope)
        if not known:
            return []
        highest = await asyncio.to_thread(highest_scores, known, sights)
        return sorted(highest, key=lambda concept_id: -highest[concept_id])[:at_most]

    async def _heads(self, connection: AsyncConnection, scope: Scope) -> ScopeHeads | None:
        """None: no head is known there."""
        change = await connection.scalar(select(counters.c.value).where(counters.c.name == "heads")) or 0
        self._cache.now(change)
        concept_ids = self._cache.known(scope)
        if concept_ids is None:
            concept_ids = await known_with_head(connection, scope)
            self._cache.know(scope, concept_ids, change)
        if not concept_ids:
            return None
        found = self._cache.get(concept_ids)
        if found is None:
            found = await load_heads(connection, scope)
            self._cache.keep(concept_ids, found, change)
        return found

    async def _matches(self, found: dict[ConceptId, Found], at_most: int) -> list[Match]:
        chosen = sorted(found, key=lambda concept_id: -found[concept_id].score)[:at_most]
        if not chosen:
            return []
        async with self._db.read() as connection:
            rows = await connection.execute(select_concepts().where(concepts.c.id.in_(chosen)))
            named: dict[ConceptId, Concept] = {row.id: concept_of(row) for row in rows}
        # one that was deleted a moment ago is nobody's match any more
        return [Match(named[one], found[one].score, found[one].box, found[one].spoke, found[one].told) for one in chosen if one in named]


def surest(scores: Sequence[tuple[ConceptId, Scored]]) -> dict[ConceptId, Found]:
    """Of each concept the head that is surest: a concept may have one per encoder."""
    best: dict[ConceptId, Found] = {}
    for concept_id, scored in scores:
        if concept_id not in best or scored.score > best[concept_id].score:
            best[concept_id] = Found(scored.score, scored.box, scored.spoke)
    return best


def corrected(found: dict[ConceptId, Found], said: dict[ConceptId, bool], threshold: float) -> dict[ConceptId, Found]:
    """What a member has said of this very photo counts more than any head; where it is, the head tells if it fires, too."""
    fired = {concept_id: one for concept_id, one in found.items() if one.score >= threshold}
    present = [concept_id for concept_id, is_there in said.items() if is_there]
    there = {concept_id: replace(fired.get(concept_id, Found(1.0)), score=1.0, told=True) for concept_id in present}
    return there | {concept_id: one for concept_id, one in fired.items() if concept_id not in said}


def highest_scores(known: ScopeHeads, sights: Sequence[Regions]) -> dict[ConceptId, float]:
    """Before arbitration, over several photos: each sight by itself."""
    highest: dict[ConceptId, float] = {}
    for sight in sights:
        for concept_id, scored in known.scores([sight]):
            highest[concept_id] = max(scored.raw, highest.get(concept_id, 0.0))
    return highest


async def known_with_head(connection: AsyncConnection, scope: Scope) -> tuple[ConceptId, ...]:
    chosen = select(concepts.c.id).where(visible(scope), concepts.c.id.in_(select(heads.c.concept_id))).order_by(concepts.c.id)
    return tuple(ConceptId(concept_id) for concept_id in await connection.scalars(chosen))


async def load_heads(connection: AsyncConnection, scope: Scope) -> ScopeHeads:
    chosen = select(heads).join(concepts).where(visible(scope)).order_by(heads.c.concept_id, heads.c.encoder)
    rows = (await connection.execute(chosen)).all()
    return await asyncio.to_thread(lambda: stack_heads([row.concept_id for row in rows], [head_of(row) for row in rows]))


async def corrections_of(connection: AsyncConnection, scope: Scope, digest: str | None) -> dict[ConceptId, bool]:
    """What was said of the photo with this digest, about concepts of the scope."""
    if digest is None:
        return {}
    of_photo = (visible(scope), corrections.c.digest == digest, holds())
    chosen = select(corrections.c.concept_id, corrections.c.present).join(concepts).where(*of_photo)
    return {row.concept_id: row.present for row in await connection.execute(chosen)}

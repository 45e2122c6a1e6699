"""One photo, one question (or none): see -> match -> answer. Knows concepts and the engine, neither Discord nor sentences."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from concept_store.names import name_key
from concept_store.records import Concept, Kind, Match, Scope, State
from concept_store.store import ConceptStore
from myvlm_engine.messages import AnswerReply, AnswerRequest, KnownConcept

from .engine_client import Engine, EngineError
from .names import DEFAULT_NOUNS
from .permissions import PEOPLE_SETTING
from .photos import Photo
from .sights import regions_of

AT_MOST = 4  # concepts in one answer, the engine's own limit


@dataclass(frozen=True)
class Recognised:
    """A concept whose head fired. `score`: 0..1; `learning`: its embedding isn't finished yet."""

    name: str
    class_noun: str
    score: float
    how: Literal["embedding", "substitution", "missing"]
    learning: bool


@dataclass(frozen=True)
class Answer:
    text: str
    question: str | None
    recognised: tuple[Recognised, ...]  # surest first


class Answerer:
    def __init__(self, store: ConceptStore, engine: Engine, people_allowed: bool = False):
        self.store, self.engine, self.people_allowed = store, engine, people_allowed
        self._vlm: str | None = None  # the engine's fingerprint as it was last heard

    async def answer(self, photo: Photo, scope: Scope, question: str | None = None) -> Answer:
        """Errors: EngineError, EngineUnreachable, StoreError."""
        reply = await self.engine.see(photo.data)
        sights = [regions_of(sight) for sight in reply.sights]
        matches = await self._allowed(await self.store.match(scope, sights, at_most=AT_MOST, digest=photo.digest))
        said = await self._said(photo, scope, question, matches)
        return Answer(said.text, question, recognised(matches, said))

    async def _allowed(self, matches: Sequence[Match]) -> list[Match]:
        """People fire only while the operator and the server they were taught on both allow it."""
        return [match for match in matches if match.concept.kind is not Kind.PERSON or await self._allows(match.concept)]

    async def _allows(self, person: Concept) -> bool:
        return self.people_allowed and person.guild_id is not None and bool(await self.store.setting(person.guild_id, PEOPLE_SETTING))

    async def _said(self, photo: Photo, scope: Scope, question: str | None, matches: Sequence[Match]) -> AnswerReply:
        """Once more with the new fingerprint, when the engine was given another model since it was last asked."""
        try:
            return await self.engine.answer(await self._request(photo, scope, question, matches))
        except EngineError as error:
            if error.code != "other_vlm":
                raise
        self._vlm = None
        return await self.engine.answer(await self._request(photo, scope, question, matches))

    async def _request(self, photo: Photo, scope: Scope, question: str | None, matches: Sequence[Match]) -> AnswerRequest:
        fired = {name_key(match.concept.name) for match in matches}
        return AnswerRequest(
            photo=base64.b64encode(photo.data).decode(),
            question=question,
            concepts=[await self._known(match) for match in matches],
            absent_names=[concept.name for concept in await self.store.known(scope) if name_key(concept.name) not in fired],
        )

    async def _known(self, match: Match) -> KnownConcept:
        concept = match.concept
        return KnownConcept(
            name=concept.name,
            class_noun=concept.class_noun or DEFAULT_NOUNS[concept.kind.value],
            kind=concept.kind.value,
            embedding=await self._embedding(match),
            box=match.box,
        )

    async def _embedding(self, match: Match) -> str | None:
        """Only of a concept that is ready: while one that was renamed learns again, its old embedding says the old name."""
        if match.concept.state is not State.READY:
            return None
        self._vlm = self._vlm or (await self.engine.health()).vlm
        embedding = await self.store.embedding(match.concept.id, self._vlm)
        return base64.b64encode(embedding.data).decode() if embedding and embedding.finished else None


def recognised(matches: Sequence[Match], reply: AnswerReply) -> tuple[Recognised, ...]:
    how = {named.name: named.how for named in reply.named}
    return tuple(
        Recognised(
            name=match.concept.name,
            class_noun=match.concept.class_noun or DEFAULT_NOUNS[match.concept.kind.value],
            score=match.score,
            how=how.get(match.concept.name, "missing"),
            learning=match.concept.state is not State.READY,
        )
        for match in matches
    )

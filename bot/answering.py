"""One photo, one question (or none): see -> match (-> look closer -> match) -> answer. Knows neither Discord nor sentences."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from concept_store.names import name_key
from concept_store.records import Box, Concept, ConceptId, Kind, Match, Regions, Scope, State
from concept_store.store import ConceptStore
from myvlm_engine.messages import AnswerReply, AnswerRequest, KnownConcept, LocateRequest, overlap

from .engine_client import Engine, EngineError, EngineUnreachable
from .errors import Refusal
from .names import DEFAULT_NOUNS, mentioned
from .permissions import PEOPLE_SETTING
from .photos import Photo
from .sights import regions_of, united, without_faces

NOBODY = ConceptId("")
AT_MOST = 4  # concepts in one answer, the engine's own limit
LOOKED_AT = 12  # matches that are asked of the store: those named, those that are doubtful, and people who may be off
EVERYBODY = 1000
DOUBTS = 2  # questions "Is this …?" under one answer
AGREES = 0.3  # overlap from which on a box of the VLM is of the place that the head found
BALANCE_SETTING = "balance"  # of a guild in the store: one of BALANCES


@dataclass(frozen=True)
class Balance:
    """Probabilities from which somebody is named, and from which the bot asks instead."""

    named_from: float
    asked_from: float


NORMAL = "normal"  # where nobody has chosen
BALANCES = {"strict": Balance(0.8, 0.25), NORMAL: Balance(0.6, 0.25), "eager": Balance(0.4, 0.25)}  # named at odds of 4:1, 3:2, 2:3


@dataclass(frozen=True, eq=False)
class Look:
    """One photo as it was seen: who is in it (surest first), and of whom the heads aren't sure."""

    photo: Photo
    scope: Scope
    sights: tuple[Regions, ...]
    certain: tuple[Match, ...]
    doubtful: tuple[Match, ...] = ()


def fitting(look: Look, question: str | None) -> Look:
    """As many as one answer holds, surest first: those asked about by name before others."""
    asked = set(mentioned(question, [match.concept.name for match in (*look.certain, *look.doubtful)])) if question else set()

    def first(matches: Sequence[Match], at_most: int) -> tuple[Match, ...]:
        kept = sorted(matches, key=lambda match: match.concept.name not in asked)[:at_most]
        return tuple(match for match in matches if match in kept)

    return replace(look, certain=first(look.certain, AT_MOST), doubtful=first(look.doubtful, DOUBTS))


@dataclass(frozen=True)
class Recognised:
    """A concept whose head fired. `score`: 0..1; `learning`: its embedding isn't finished yet; `told`: a member said so of this photo."""

    name: str
    class_noun: str
    score: float
    how: Literal["embedding", "substitution", "missing"]
    learning: bool
    concept_id: ConceptId = NOBODY
    told: bool = False


@dataclass(frozen=True)
class Answer:
    text: str
    question: str | None
    recognised: tuple[Recognised, ...]  # surest first
    doubtful: tuple[Concept, ...] = ()  # not named; whether they are in it is asked
    missed: tuple[str, ...] = ()  # asked about by name and not seen: then `text` is empty
    others: tuple[Concept, ...] = ()  # known and not seen, the likeliest first
    look: Look | None = field(default=None, compare=False, repr=False)


class Answerer:
    def __init__(self, store: ConceptStore, engine: Engine, people_allowed: bool = False):
        self.store, self.engine, self.people_allowed = store, engine, people_allowed
        self._vlm: str | None = None  # the engine's fingerprint as it was last heard

    async def answer(self, photo: Photo, scope: Scope, question: str | None = None) -> Answer:
        """Errors: EngineError, EngineUnreachable, Refusal (`refuse_person`), StoreError."""
        return await self.said_of(await self.look(photo, scope), question)

    async def look(self, photo: Photo, scope: Scope) -> Look:
        """Errors: EngineError, EngineUnreachable, StoreError."""
        seen = [regions_of(sight) for sight in (await self.engine.see(photo.data, faces=await self._people_on(scope))).sights]
        # people are looked for by their faces, which are all found as they are
        if places := await self.store.worth_a_closer_look(scope, without_faces(seen)):
            closer = await self.engine.see(photo.data, places=places)
            seen = united(seen, [regions_of(sight) for sight in closer.sights])
        return await self.look_again(Look(photo, scope, tuple(seen), ()))

    async def look_again(self, look: Look) -> Look:
        """What was seen, matched anew: heads and corrections may have changed."""
        balance = await self.balance(look.scope)
        found = await self.store.match(look.scope, look.sights, balance.asked_from, LOOKED_AT, look.photo.digest)
        allowed = await self._allowed(found, look.scope)
        certain = [match for match in allowed if match.score >= balance.named_from]
        doubtful = [match for match in allowed if match.score < balance.named_from]
        return Look(look.photo, look.scope, look.sights, tuple(certain), tuple(doubtful))

    async def find(self, look: Look, concept: Concept) -> Match | None:
        """This one, however many others are in the photo; None below the doubtful."""
        asked_from = (await self.balance(look.scope)).asked_from
        found = await self.store.match(look.scope, look.sights, asked_from, EVERYBODY, look.photo.digest)
        return next((match for match in await self._allowed(found, look.scope) if match.concept.id == concept.id), None)

    async def place(self, look: Look, match: Match) -> Box | None:
        """Where it is. A VLM that grounds knows better where a dog ends, and not which dog: of its boxes the one counts that fits the
        head's best, if any does. A person is where the face is."""
        if match.box is None or match.concept.kind is Kind.PERSON:
            return match.box
        noun = noun_of(match.concept)
        try:
            if not (await self.engine.health()).grounds:
                return match.box
            reply = await self.engine.locate(LocateRequest(photo=base64.b64encode(look.photo.data).decode(), class_noun=noun))
        except (EngineError, EngineUnreachable):
            return match.box  # what the head says is an answer
        fits = {overlap(box, match.box): box for box in reply.boxes}
        return fits[max(fits)] if fits and max(fits) >= AGREES else match.box

    async def balance(self, scope: Scope) -> Balance:
        chosen = await self.store.setting(scope.guild_id, BALANCE_SETTING) if scope.guild_id else None
        return BALANCES.get(str(chosen), BALANCES[NORMAL])

    async def said_of(self, look: Look, question: str | None) -> Answer:
        """Whoever is asked about by name and isn't seen is said to be missed, without asking the model."""
        missed = await self._missed(look, question)
        look = fitting(look, question)
        said = None if missed else await self._said(look.photo, look.scope, question, look.certain)
        return Answer(
            text=said.text if said else "",
            question=question,
            recognised=recognised(look.certain, said),
            doubtful=tuple(match.concept for match in look.doubtful),
            missed=missed,
            others=await self._others(look),
            look=look,
        )

    async def _missed(self, look: Look, question: str | None) -> tuple[str, ...]:
        """Errors: Refusal not_met, and of `refuse_person` where nobody else has that name; StoreError."""
        if not question:
            return ()
        # first, since of names that sound alike theirs are meant
        named: dict[str, list[Concept]] = {match.concept.name: [] for match in look.certain}
        for concept in await self.store.known(look.scope):
            named.setdefault(concept.name, []).append(concept)
        fired = {name_key(match.concept.name) for match in look.certain}
        missed = tuple(name for name in mentioned(question, list(named)) if name_key(name) not in fired)
        for name in missed:
            met = [one for one in named[name] if one.has_head]
            if not met:
                raise Refusal("not_met", name=name)
            if not any([await self.allows(one, look.scope) for one in met]):
                await self.refuse_person(met[0], look.scope)
        return missed

    async def _others(self, look: Look) -> tuple[Concept, ...]:
        seen = {match.concept.id for match in (*look.certain, *look.doubtful)}
        known = {concept.id: concept for concept in await self.store.known(look.scope)}
        likely = await self.store.neighbours(look.scope, look.sights, len(seen) + 25)
        others = [known[one] for one in likely if one in known and one not in seen]
        return tuple([one for one in others if await self.allows(one, look.scope)])

    async def _allowed(self, matches: Sequence[Match], scope: Scope) -> list[Match]:
        return [match for match in matches if await self.allows(match.concept, scope)]

    async def allows(self, concept: Concept, scope: Scope) -> bool:
        """Errors: StoreError."""
        try:
            await self.refuse_person(concept, scope)
        except Refusal:
            return False
        return True

    async def refuse_person(self, concept: Concept, scope: Scope) -> None:
        """People are named on the server only where they agreed to it, while it and the operator allow it.
        Errors: Refusal people_off_everywhere, person_elsewhere, people_off_here; StoreError."""
        if concept.kind is not Kind.PERSON:
            return
        if not self.people_allowed:
            raise Refusal("people_off_everywhere")
        if concept.guild_id is None or concept.guild_id != scope.guild_id:
            raise Refusal("person_elsewhere", name=concept.name)
        if not await self._people_on(scope):
            raise Refusal("people_off_here")

    async def _people_on(self, scope: Scope) -> bool:
        return self.people_allowed and scope.guild_id is not None and bool(await self.store.setting(scope.guild_id, PEOPLE_SETTING))

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
            class_noun=noun_of(concept),
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


def noun_of(concept: Concept) -> str:
    """What it is called where its name isn't said; the kind's own word where nobody said."""
    return concept.class_noun or DEFAULT_NOUNS[concept.kind.value]


def recognised(matches: Sequence[Match], reply: AnswerReply | None) -> tuple[Recognised, ...]:
    how = {named.name: named.how for named in reply.named} if reply else {}
    return tuple(
        Recognised(
            name=match.concept.name,
            class_noun=noun_of(match.concept),
            score=match.score,
            how=how.get(match.concept.name, "missing"),
            learning=match.concept.state is not State.READY,
            concept_id=match.concept.id,
            told=match.told,
        )
        for match in matches
    )

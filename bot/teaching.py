"""The trainer: claim -> see -> fit -> teach -> ready, for every concept that waits in the store, whoever is killed meanwhile.

The queue is the store; this only wakes, works and tells a listener. Knows nothing of Discord and no sentence.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

import structlog

from concept_store.errors import LeaseLost, NotFound, StoreError
from concept_store.records import (
    Announce,
    Box,
    Claim,
    Concept,
    ConceptId,
    Correction,
    Embedding,
    GuildId,
    Kind,
    Photo,
    Regions,
    Scope,
    State,
)
from concept_store.store import ConceptStore
from myvlm_engine.messages import FACES, FitRequest, HealthReply, Sight, TaughtPhoto, TeachEvent, TeachRequest

from .asking import SEVERAL, meant_in, offered, only
from .engine_client import Engine, EngineError, EngineUnreachable
from .names import DEFAULT_NOUNS
from .permissions import PEOPLE_SETTING
from .portraits import ADDED_PERSON, SHOWS_PERSON, Pictured, depicts, show_person
from .sights import afar_of, encoder_for, head_of, regions_of, sight_of

log = structlog.get_logger("myvlm.teaching")

Result = TypeVar("Result")
Stage = Literal["queued", "seeing", "usable", "learning", "waiting", "asking", "elsewhere", "ready", "unchanged", "failed"]
PASSING = ("busy", "not_ready", "other_encoder", "other_vlm")  # codes that go away by waiting or by asking again
PEOPLE_OFF = "people_off"  # `failure` of a person whose turn came when their server had switched people off
LOST = "lost"  # tried as often as is allowed, and broken off each time
HARD_NEGATIVES = 8  # neighbours whose photos a new head learns not to fire on
EVERYWHERE = GuildId(0)  # the store's settings are a guild's; this is none's
REFITS = "refits"  # a setting of EVERYWHERE: concepts whose heads have yet to learn what was said, or of a new neighbour
REFIT_TRIES = 8  # of one head that the engine refuses to fit, or where something fails: about two minutes (app.py: TICK_S)
SAID_BYTES = 28 * 2**20  # of corrections' vectors in one request; in base64 and with all the rest below the engine's max_body_bytes
NOWHERE = Announce(channel_id=0, message_id=None)  # of a training nobody waits for: no last word is said
REFITTED = 4  # neighbours that learn not to fire on the new concept; each costs the engine up to two seconds


@dataclass(frozen=True)
class Progress:
    """Where one teach is. `ahead`: how many others come first; `reason`: why it waits ("unreachable", or an error code)."""

    stage: Stage
    step: int = 0
    of: int = 0
    sample: str | None = None
    ahead: int = 0
    reason: str | None = None
    broken: bool = False  # of "not_ready": the models couldn't be loaded, so waiting alone doesn't help
    noun_seen: bool = True  # the model itself calls what is in the photos by the class noun


class GivenUp(Exception):
    """It was tried as often as is allowed."""


class PeopleOff(Exception):
    """The person's server has switched people off since."""


class ShowsPerson(Exception):
    """A pet or a thing was to be learned, and the photos have a face in common. `known`: they came to others, which had been learned."""

    def __init__(self, known: bool):
        self.known = known


class Listener(Protocol):
    async def progress(self, concept: Concept, progress: Progress) -> None: ...

    async def finished(self, concept: Concept) -> None:
        """Ready or failed; the last word is to be said and marked in the store."""


@dataclass
class Lease:
    """The claim as it was last renewed."""

    claim: Claim
    ending: bool = False  # what ends the claim is being written: nothing is left to renew
    waiting: bool = False  # in line: no attempt is counted meanwhile


@dataclass(frozen=True)
class TrainerLimits:
    lease_s: float = 60.0
    max_attempts: int = 5
    at_once: int = 4  # whose heads are fitted; who has one waits in line beside them, so that everybody's is usable within seconds
    first_pause_s: float = 2.0  # after the engine wasn't there; doubles
    longest_pause_s: float = 60.0


class Teacher:
    """`spawn` starts background work and cancels it when the bot ends."""

    def __init__(
        self,
        store: ConceptStore,
        engine: Engine,
        listener: Listener,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        worker: str,
        limits: TrainerLimits = TrainerLimits(),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self.store, self.engine, self.listener, self.worker, self.limits = store, engine, listener, worker, limits
        self._spawn, self._sleep = spawn, sleep
        self._workers = 0
        self._models: tuple[str, ...] = ()  # the engine's fingerprints when they were last compared with the store's
        self._pause_s = limits.first_pause_s
        self.paused: str | None = None  # why nothing is begun at the moment ("unreachable" or an engine's code)
        self.broken = False  # and whether it won't go away by waiting (Progress.broken)
        self._moved_up = asyncio.Condition()  # somebody left the line
        self._lessons = 1  # how many embeddings the engine learns at the same time
        self._refitting, self._noting = asyncio.Lock(), asyncio.Lock()
        self._noted: set[ConceptId] = set()  # since their last refit began
        self._refused: Counter[ConceptId] = Counter()  # refits, one after another
        self._line: list[object] = []  # the trainings of those that are fitted, and wait to learn or are learning
        self._broken_off: Counter[ConceptId] = Counter()

    # -- waking
    async def wake(self) -> None:
        """Starts as many workers as there is work for. Call it whenever there may be some; it is cheap."""
        if self.paused:
            return
        waiting = await self.store.queue_length()
        for _ in range(min(waiting, self._free_seats())):
            self._workers += 1
            self._spawn(self._work())

    def _free_seats(self) -> int:
        """How many more may be seen and fitted; below 0 where some have learned and come back for another."""
        return self.limits.at_once - (self._workers - len(self._line))

    async def people_allowed(self) -> None:
        """Somewhere they are again: those who were passed over meanwhile are learned for the models of now."""
        self._models = ()
        await self.relearn_outdated()
        await self.wake()

    async def relearn_outdated(self) -> None:
        """After the engine was given other models: what was taught for the old ones is learned again, without a word. People keep what was
        learned of them while the engine sees no faces: it would refuse them, and switching them off is no reason to have failed."""
        try:
            health = await self._ready_health()
        except (EngineError, EngineUnreachable):
            return  # asked again the next time
        models = (health.vlm, *health.encoders)
        if models == self._models:
            return
        faces = any(encoder.startswith(FACES) for encoder in health.encoders)
        for concept in await self.store.outdated(health.encoders, health.vlm):
            if concept.kind is Kind.PERSON and not (faces and await self._may_learn(concept)):
                continue
            log.info("learned_again", concept=concept.id)
            with suppress(NotFound):  # forgotten meanwhile
                await self.store.retry(concept.id, NOWHERE)
        self._models = models

    async def _work(self) -> None:
        try:
            while not self.paused and self._free_seats() >= 0 and (claim := await self.store.claim_next(self.worker, self.limits.lease_s)):
                await self._train(Lease(claim))
        except StoreError as error:
            log.error("store_failed", error=str(error))
        finally:
            self._workers -= 1

    def _pause(self, reason: str) -> None:
        """Gives the engine time, longer each time."""
        if self.paused:
            return  # another worker has just found the same
        self.paused = reason
        self._spawn(self._resume_after(self._pause_s))
        self._pause_s = min(2 * self._pause_s, self.limits.longest_pause_s)

    async def _resume_after(self, pause_s: float) -> None:
        await self._sleep(pause_s)
        self.paused = None
        await self.wake()

    # -- one training, from its claim to its end
    async def _train(self, lease: Lease) -> None:
        concept_id = lease.claim.concept_id
        try:
            learned_name = await self._held(lease, self._learn(lease, await self.store.concept(concept_id)))
            self._pause_s = self.limits.first_pause_s
            self._broken_off.pop(concept_id, None)
            await self._tell_learned(concept_id, learned_name)
        except (LeaseLost, NotFound):
            log.info("dropped", concept=concept_id)  # forgotten meanwhile, or another worker has it
        except GivenUp:
            self._broken_off.pop(concept_id, None)
            await self._failed(lease, LOST)
        except PeopleOff:
            await self._failed(lease, PEOPLE_OFF)
        except ShowsPerson as found:
            await (self._ended(lease, self.store.take_back, ADDED_PERSON) if found.known else self._failed(lease, SHOWS_PERSON))
        except (EngineUnreachable, EngineError) as error:
            await self._met(lease, error)
        except asyncio.CancelledError:
            await asyncio.shield(self._given_back(lease))
            raise
        except StoreError:
            raise
        except Exception:
            log.exception("training_failed", concept=concept_id)
            await self._failed(lease, "internal")

    async def _held(self, lease: Lease, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs the work while the lease is renewed beside it. Errors: the work's own, LeaseLost."""
        working = asyncio.ensure_future(work)
        renewing = asyncio.ensure_future(self._renew(lease))
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await renewing
            return await working
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)

    async def _renew(self, lease: Lease) -> None:
        """Until the work ends the claim itself. Errors: LeaseLost."""
        while not lease.ending:
            await asyncio.sleep(self.limits.lease_s / 3)
            try:
                lease.claim = await self.store.renew(lease.claim, self.limits.lease_s)
            except LeaseLost:
                if not lease.ending:
                    raise

    async def _met(self, lease: Lease, error: EngineUnreachable | EngineError) -> None:
        """The engine wasn't there, or refused: what goes away by itself is waited for, the rest is told."""
        if isinstance(error, EngineError) and error.code not in PASSING:
            log.warning("refused", concept=lease.claim.concept_id, code=error.code)
            await self._offer_faces(lease.claim, error)
            return await self._failed(lease, error.code)
        reason = error.code if isinstance(error, EngineError) else "unreachable"
        self.broken = isinstance(error, EngineError) and bool(error.facts.get("why"))
        log.info("waiting", concept=lease.claim.concept_id, reason=reason)
        await self._given_back(lease)
        self._pause(reason)
        await self._tell(lease.claim.concept_id, Progress("waiting", reason=reason, broken=self.broken))

    async def _offer_faces(self, claim: Claim, error: EngineError) -> None:
        """Where nothing tells whose face is meant, the faces to choose from are kept: its teacher is asked as soon as it has failed."""
        if error.code != SEVERAL:
            return
        photos = await self.store.photos(claim.concept_id)
        if found := offered(error.facts, len(photos)):
            with suppress(NotFound, LeaseLost):
                await self.store.offer_faces(photos[found[0]].id, found[1], claim)

    async def _given_back(self, lease: Lease) -> None:
        with suppress(LeaseLost, NotFound):
            await self._attempted(lease)
            await self.store.release(lease.claim)

    async def _failed(self, lease: Lease, code: str) -> None:
        await self._ended(lease, self.store.fail, code)

    async def _ended(self, lease: Lease, end: Callable[[Claim, str], Awaitable[None]], code: str) -> None:
        """By the store's `fail`, or by its `take_back`: what was known before stays as it was."""
        with suppress(LeaseLost, NotFound):
            await end(lease.claim, code)
            await self.listener.finished(await self.store.concept(lease.claim.concept_id))

    async def _tell(self, concept_id: ConceptId, progress: Progress) -> None:
        with suppress(NotFound):
            await self.listener.progress(await self.store.concept(concept_id), progress)

    # -- the method's steps
    async def _learn(self, lease: Lease, concept: Concept) -> str:
        """Gives the name that it can say now. Errors: GivenUp, PeopleOff, ShowsPerson, EngineError, EngineUnreachable, StoreError."""
        if not await self._may_learn(concept):
            raise PeopleOff
        if concept.attempts > self.limits.max_attempts or self._broken_off[concept.id] >= self.limits.max_attempts:
            raise GivenUp
        await self._meet(lease, concept)
        concept = await self.store.concept(concept.id)
        async with self._turn(lease, concept):
            return await self._embed(lease, concept)

    async def _meet(self, lease: Lease, concept: Concept) -> None:
        """What is read for it is let go before it waits in line: many may wait there."""
        photos = await self.store.photos(concept.id)
        concept, seen, pictured = await self._see(concept, photos)
        await self._fit(lease, concept, photos, seen, pictured)

    async def _may_learn(self, concept: Concept) -> bool:
        """A person only while their server allows it: it may have been switched off since they were taught."""
        if concept.kind is not Kind.PERSON:
            return True
        return concept.guild_id is not None and bool(await self.store.setting(concept.guild_id, PEOPLE_SETTING))

    async def _tell_learned(self, concept_id: ConceptId, learned_name: str) -> None:
        """The claim has ended: however long Discord takes, no lease can run out over it."""
        concept = await self.store.concept(concept_id)
        if concept.name != learned_name:  # renamed while it learned
            await self.store.retry(concept.id)
            self._spawn(self.wake())
        elif concept.state is State.READY:  # and not queued again in this moment, with more photos
            await self.listener.finished(concept)

    async def _see(self, concept: Concept, photos: Sequence[Photo]) -> tuple[Concept, list[Regions], list[Pictured]]:
        """Region vectors of every photo, from the store where this encoder has seen them all, and a noun if none was given. What else was
        seen isn't kept: it is empty then."""
        encoder = encoder_for(concept.kind, (await self._ready_health()).encoders)
        known = await self.store.regions(concept.id, encoder)
        if len(known) == len(photos) and concept.class_noun:
            return concept, await self._meant(photos, known), []
        hints: Counter[str] = Counter()
        pictured = []
        for number, photo in enumerate(photos, 1):
            await self.listener.progress(concept, Progress("seeing", step=number, of=len(photos)))
            person = concept.kind is Kind.PERSON
            reply = await self.engine.see(photo.data, taught=not person, faces=person)
            pictured.append(Pictured(reply.faces, reply.noun))
            for sight in reply.sights:
                if sight.encoder == encoder:  # whoever's face is beside a pet has agreed to nothing
                    await self.store.save_regions(photo.id, regions_of(sight))
            for sight in reply.afar:
                if sight.encoder == encoder:
                    await self.store.save_regions(photo.id, replace(regions_of(sight), encoder=afar_of(encoder)))
            hints.update([reply.noun] if reply.noun else [])
        if not concept.class_noun:
            concept = await self.store.set_class_noun(concept.id, agreed_noun(concept.kind, hints, len(photos)))
        return concept, await self._meant(photos, await self.store.regions(concept.id, encoder)), pictured

    async def _meant(self, photos: Sequence[Photo], seen: Sequence[Regions]) -> list[Regions]:
        """Where its teacher chose a face, that one alone: what the others in the photo looked like is forgotten."""
        kept = list(seen)
        for at, (photo, regions) in enumerate(zip(photos, seen, strict=False)):
            if photo.face is None or not regions.encoder.startswith(FACES):
                continue
            kept[at] = only(regions, photo.face)
            if kept[at] is not regions:
                await self.store.save_regions(photo.id, kept[at])
        return kept

    async def _fit(
        self, lease: Lease, concept: Concept, photos: Sequence[Photo], seen: list[Regions], pictured: Sequence[Pictured]
    ) -> None:
        """The head: from here on the concept is recognised, and named by its name in place of its class noun. A photo without a box was
        added since the head was fitted."""
        added, encoder = any(photo.box is None for photo in photos), seen[0].encoder
        fresh = added or await self.store.head(concept.id, encoder) is None
        boxes = [photo.box for photo in photos if photo.box]
        if fresh:
            said = await self.store.corrections(concept.id, encoder)
            reply = await self.engine.fit(await self._fit_request(concept, seen, said))
            boxes = list(reply.photo_boxes)
            only_taken_out = concept.has_head and not pictured and all(photo.box is None for photo in photos)
            if added and not only_taken_out:
                await self._refuse_people(concept, photos, pictured, boxes)
            of_photos = {photo.id: box for photo, box in zip(photos, boxes, strict=False)}
            await self.store.save_head(lease.claim, head_of(reply.head), of_photos)
            await self._learn_what_came_between(concept.id, seen, said)
        if concept.kind is Kind.PERSON:  # also where a process was killed in between
            await self._keep_their_face_only(photos, seen, boxes)
        await self.listener.progress(await self.store.concept(concept.id), Progress("usable"))
        if fresh:
            await self._refit_neighbours(concept, seen)

    async def _keep_their_face_only(self, photos: Sequence[Photo], seen: Sequence[Regions], boxes: Sequence[Box]) -> None:
        for photo, regions, box in zip(photos, seen, boxes, strict=False):
            kept = meant_in(regions, box)
            if kept is not regions:
                await self.store.save_regions(photo.id, kept)

    async def _refuse_people(self, concept: Concept, photos: Sequence[Photo], pictured: Sequence[Pictured], boxes: Sequence[Box]) -> None:
        """Nobody's face is learned as a thing: people are asked first. Errors: ShowsPerson, EngineError, EngineUnreachable."""
        if concept.kind is Kind.PERSON or depicts(concept.class_noun):
            return
        if not pictured:  # the photos were looked at before a restart
            replies = [await self.engine.see(photo.data, taught=True, faces=False) for photo in photos]
            pictured = [Pictured(reply.faces, reply.noun) for reply in replies]
        if show_person(pictured, boxes):
            raise ShowsPerson(known=any(photo.box for photo in photos))

    async def _fit_request(self, concept: Concept, seen: Sequence[Regions], said: Sequence[Correction]) -> FitRequest:
        encoder = seen[0].encoder
        negatives: list[Sight] = []
        for other in await self.store.neighbours(scope_of(concept), seen, HARD_NEGATIVES + 1):
            if other != concept.id:
                negatives += await self._photos_of_other(other, encoder)
        told = newest_within(said, SAID_BYTES)
        there = [c.regions for c in told if c.present]
        afar = await self.store.regions(concept.id, afar_of(encoder))
        return FitRequest(
            kind=concept.kind.value,
            positives=[sight_of(regions) for regions in [*seen, *there]],
            confirmed=len(there),
            afar=[sight_of(replace(regions, encoder=encoder)) for regions in afar] if len(afar) == len(seen) else [],
            negatives=negatives,
            corrections=[sight_of(c.regions) for c in told if not c.present],
        )

    async def _photos_of_other(self, concept_id: ConceptId, encoder: str) -> list[Sight]:
        """None where they can't be read: one damaged row is no reason that its neighbours learn nothing."""
        try:
            return [sight_of(regions) for regions in await self.store.regions(concept_id, encoder)]
        except StoreError:
            raise
        except Exception:
            log.exception("neighbour_left_out", concept=concept_id)
            return []

    # -- heads that learn more
    async def _refit_neighbours(self, concept: Concept, seen: Sequence[Regions]) -> None:
        """Those that look most like the new one learn its photos as negatives, while it learns its name."""
        near = (await self.store.neighbours(scope_of(concept), seen, REFITTED + 1))[: REFITTED + 1]
        if others := [other for other in near if other != concept.id]:
            await self.note(*others)
            self._spawn(self.refit(*others))

    async def refit(self, *corrected: ConceptId) -> None:
        """Heads learn what members said of answers: those of these concepts, or all that wait. Which ones wait is kept in the store, from
        before anything else is waited for until they have learned, so that nothing that was said is lost with a process or an engine."""
        if corrected:
            await self.note(*corrected)
        for concept_id in dict.fromkeys(corrected) or await self._waiting():
            async with self._refitting:
                if concept_id in await self._waiting():  # nobody else has just done it
                    await self._refit_one(concept_id)

    async def note(self, *concept_ids: ConceptId) -> None:
        """Their heads have something to learn, now or after a restart."""
        self._noted.update(concept_ids)
        async with self._noting:
            waiting = await self._waiting()
            if new := [concept_id for concept_id in dict.fromkeys(concept_ids) if concept_id not in waiting]:
                await self.store.set_setting(EVERYWHERE, REFITS, [*waiting, *new])

    async def _waiting(self) -> list[ConceptId]:
        return [ConceptId(concept_id) for concept_id in await self.store.setting(EVERYWHERE, REFITS, [])]

    async def _refit_one(self, concept_id: ConceptId) -> None:
        """It waits on where more was said meanwhile."""
        self._noted.discard(concept_id)
        done = await self._refitted(concept_id)
        async with self._noting:
            if done and concept_id not in self._noted:
                left = [other for other in await self._waiting() if other != concept_id]
                await self.store.set_setting(EVERYWHERE, REFITS, left or None)

    async def _refitted(self, concept_id: ConceptId) -> bool:
        """False: to be tried again later."""
        try:
            kind = (await self.store.concept(concept_id)).kind
            await self._refit(concept_id, encoder_for(kind, (await self._ready_health()).encoders))
        except NotFound:
            log.info("not_refitted", concept=concept_id, error="forgotten")
        except EngineUnreachable:
            return False
        except EngineError as error:
            log.info("not_refitted", concept=concept_id, error=error.code)
            return error.code not in PASSING and self._tried_enough(concept_id)
        except Exception:  # whatever is wrong with one, the others learn
            log.exception("refit_failed", concept=concept_id)
            return self._tried_enough(concept_id)
        self._refused.pop(concept_id, None)
        return True

    def _tried_enough(self, concept_id: ConceptId) -> bool:
        self._refused[concept_id] += 1
        if self._refused[concept_id] < REFIT_TRIES:
            return False
        log.warning("refit_given_up", concept=concept_id)
        del self._refused[concept_id]
        return True

    async def _refit(self, concept_id: ConceptId, encoder: str) -> None:
        """Its head anew, with all that was said meanwhile. Does nothing while it has none. Errors: NotFound, EngineError."""
        concept = await self.store.concept(concept_id)
        known = await self.store.regions(concept_id, encoder)
        if known and await self.store.head(concept_id, encoder) is not None:
            said = await self.store.corrections(concept_id, encoder)
            reply = await self.engine.fit(await self._fit_request(concept, known, said))
            await self.store.refit_head(concept_id, head_of(reply.head))
            await self._learn_what_came_between(concept_id, known, said)

    async def _learn_what_came_between(self, concept_id: ConceptId, seen: Sequence[Regions], said: Sequence[Correction]) -> None:
        """A head was just saved that was fitted from these photos and corrections. Where there are others by now, a head that knew them may
        have been overwritten."""
        encoder = seen[0].encoder
        photos, more = await self.store.regions(concept_id, encoder), await self.store.corrections(concept_id, encoder)
        if len(photos) != len(seen) or verdicts(more) != verdicts(said):
            await self.note(concept_id)
            self._spawn(self.refit(concept_id))

    @asynccontextmanager
    async def _turn(self, lease: Lease, concept: Concept) -> AsyncIterator[None]:
        """Waits until it is among the first in the line, who learn at the same time. A concept can be there twice: when photos came to it
        while it learned, until the earlier training finds out."""
        place = object()
        self._line.append(place)
        self._spawn(self.wake())  # its seat is free for another's head
        try:
            await self._wait_in_line(lease, concept, place)
            yield
        finally:
            self._line.remove(place)
            await asyncio.shield(self._move_up())

    async def _wait_in_line(self, lease: Lease, concept: Concept, place: object) -> None:
        """How many come first is told whenever it changes. Whoever ends the process meanwhile costs nobody in line an attempt."""
        async with self._moved_up:
            while (ahead := self._line.index(place) + 1 - self._lessons) > 0:
                if not lease.waiting:
                    await self.store.waits(lease.claim, True)
                    lease.waiting = True
                await self.listener.progress(concept, Progress("usable", ahead=ahead))
                await self._moved_up.wait()
        await self._attempted(lease)

    async def _attempted(self, lease: Lease) -> None:
        if lease.waiting:
            await self.store.waits(lease.claim, False)
            lease.waiting = False

    async def _move_up(self) -> None:
        async with self._moved_up:
            self._moved_up.notify_all()

    async def _embed(self, lease: Lease, concept: Concept) -> str:
        """The concept embedding, each part kept as it comes, so that a broken-off run goes on from there. Gives the name it says."""
        request = await self._teach_request(concept)
        await self.listener.progress(concept, Progress("learning"))
        try:
            async with aclosing(self.engine.teach(request)) as events:  # type: ignore[type-var]
                async for event in events:
                    await self._keep(lease, concept, event)
        except EngineUnreachable:
            self._broken_off[concept.id] += 1
            raise
        return request.name

    async def _keep(self, lease: Lease, concept: Concept, event: TeachEvent) -> None:
        if event.embedding and event.vlm:
            done = event.stage == "done"
            lease.ending = done
            part = Embedding(event.vlm, base64.b64decode(event.embedding), event.step, finished=done)
            await self.store.save_embedding(lease.claim, part, event.sample if done else None)
        if event.stage in ("drafting", "learning"):
            await self.listener.progress(concept, Progress("learning", event.step, event.of, event.sample, noun_seen=event.noun_seen))

    async def _teach_request(self, concept: Concept) -> TeachRequest:
        vlm = (await self._ready_health()).vlm
        begun = await self.store.progress(concept.id, vlm)
        photos = await self.store.photos(concept.id)
        return TeachRequest(
            name=concept.name,
            class_noun=concept.class_noun,
            kind=concept.kind.value,
            photos=[TaughtPhoto(photo=base64.b64encode(p.data).decode(), captions=list(p.captions), box=p.box) for p in photos],
            resume=base64.b64encode(begun.data).decode() if begun else None,
        )

    async def _ready_health(self) -> HealthReply:
        health = await self.engine.health()
        if not health.ready:
            raise EngineError("not_ready", {"why": health.failure} if health.failure else {})
        self._lessons = health.lessons
        return health


def agreed_noun(kind: str, hints: Counter[str], photos: int) -> str:
    """What the encoder called most of the photos; the kind's own word where it wasn't sure."""
    noun, votes = hints.most_common(1)[0] if hints else ("", 0)
    return noun if 2 * votes > photos else DEFAULT_NOUNS[str(kind)]


def verdicts(said: Sequence[Correction]) -> list[tuple[str, bool]]:
    return [(correction.digest, correction.present) for correction in said]


def newest_within(said: Sequence[Correction], limit_bytes: int) -> Sequence[Correction]:
    """Of corrections, oldest first, the newest whose vectors are no larger together: photos that were looked at closely have many."""
    for at in range(len(said), 0, -1):
        limit_bytes -= said[at - 1].regions.vectors.nbytes
        if limit_bytes < 0:
            return said[at:]
    return said


def scope_of(concept: Concept) -> Scope:
    return Scope(concept.owner_id, concept.guild_id)

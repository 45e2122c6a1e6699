"""The trainer: what it does in which order, and that nothing accepted is lost, whoever goes away and whenever."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from bot_fakes import BLUE, ENCODER, GREEN, RED, VLM, FakeEngine, learning_begun, photo_of, refusal_of, sight_of_colour

from bot import teaching
from bot.engine_client import EngineError
from bot.permissions import PEOPLE_SETTING
from bot.portraits import SHOWS_PERSON
from bot.replies import failure_sentence, waiting
from bot.sights import afar_of, regions_of
from bot.teaching import EVERYWHERE, LOST, NOWHERE, REFIT_TRIES, REFITS, Progress, Teacher, TrainerLimits, agreed_noun
from concept_store.records import Concept, ConceptId, GuildId, Kind, NewConcept, NewPhoto, Regions, Scope, State, UserId
from concept_store.store import ConceptStore
from myvlm_engine.messages import FitReply, FitRequest

ALICE, HERE = UserId(1), GuildId(100)
SCOPE = Scope(ALICE, HERE)


@dataclass
class Listening:
    """Remembers what it was told."""

    told: list[tuple[str, Progress]] = field(default_factory=list)
    ended: list[Concept] = field(default_factory=list)

    async def progress(self, concept: Concept, progress: Progress) -> None:
        self.told.append((concept.name, progress))

    async def finished(self, concept: Concept) -> None:
        self.ended.append(concept)

    def stages(self, name: str = "Biscuit") -> list[str]:
        return [progress.stage for told, progress in self.told if told == name]


class Room:
    """A trainer with its store and engine; `done` waits until nothing runs."""

    def __init__(self, store: ConceptStore, engine: FakeEngine, **limits: Any):
        self.store, self.engine, self.listener = store, engine, Listening()
        self.tasks: set[asyncio.Task[None]] = set()
        self.pauses: list[float] = []
        self.pause: asyncio.Future[None] | None = None
        self.teacher = Teacher(store, engine, self.listener, self.spawn, "worker", TrainerLimits(**limits), self.sleep)

    async def sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self.pause = asyncio.get_running_loop().create_future()
        await self.pause

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.add(asyncio.get_running_loop().create_task(work))

    async def done(self) -> None:
        """Until nothing runs but a pause."""
        async with asyncio.timeout(60):
            while len(self.tasks) > (self.pause is not None):
                done, _ = await asyncio.wait(self.tasks, timeout=0.01)
                self.tasks -= done
                for task in done:
                    task.result()

    async def run(self) -> None:
        await self.teacher.wake()
        await self.done()

    async def pass_pause(self) -> None:
        pause, self.pause = self.pause, None
        assert pause is not None
        pause.set_result(None)
        await self.done()

    async def killed(self) -> None:
        """As far as the store can tell, what kill -9 leaves behind: a lease nobody renews."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()


async def taught(
    store: ConceptStore, name: str = "Biscuit", colour: tuple[int, int, int] = RED, noun: str = "dog", kind: Kind = Kind.PET
) -> Concept:
    new = NewConcept(name, kind, noun, ALICE, HERE, False, None)
    pictures = [photo_of(colour, seed) for seed in range(3)]
    return await store.create_concept(new, [NewPhoto(data, b"small", str(at)) for at, data in enumerate(pictures)])


@pytest.fixture
def room(store, engine) -> Room:
    return Room(store, engine)


async def matched(store: ConceptStore, colour: tuple[int, int, int]) -> list[str]:
    seen = regions_of(sight_of_colour(photo_of(colour, 99)))
    return [match.concept.name for match in await store.match(SCOPE, [seen])]


async def test_a_concept_goes_from_queued_to_ready(room):
    concept = await taught(room.store)
    await room.run()
    learned = await room.store.concept(concept.id)
    assert (learned.state, learned.sample) == (State.READY, "Biscuit on the grass.")
    assert (await room.store.embedding(concept.id, VLM)).data == b"Biscuit:4"
    assert room.listener.stages() == ["seeing"] * 3 + ["usable"] + ["learning"] * 5
    assert [ended.name for ended in room.listener.ended] == ["Biscuit"]
    assert await matched(room.store, RED) == ["Biscuit"]


async def test_it_is_usable_before_it_is_learned(room):
    room.engine.gate.clear()
    concept = await taught(room.store)
    await room.teacher.wake()
    async with asyncio.timeout(30):
        while "usable" not in room.listener.stages():
            await asyncio.sleep(0.01)
    assert (await room.store.concept(concept.id)).state is State.TRAINING
    assert await matched(room.store, RED) == ["Biscuit"]
    room.engine.gate.set()
    await room.done()


async def test_several_are_usable_while_one_learns_and_only_one_learns_at_a_time(room):
    room.engine.gate.clear()
    for name, colour in (("Red", RED), ("Green", GREEN), ("Blue", BLUE)):
        await taught(room.store, name, colour)
    await room.teacher.wake()
    async with asyncio.timeout(30):
        while {name for name, progress in room.listener.told if progress.stage == "usable" and progress.ahead} != {"Green", "Blue"}:
            await asyncio.sleep(0.01)
    assert await matched(room.store, RED) == ["Red"] and await matched(room.store, BLUE) == ["Blue"]
    room.engine.gate.set()
    await room.done()
    assert room.engine.most_teaching == 1
    assert [concept.state for concept in await room.store.known(SCOPE)] == [State.READY] * 3


async def test_as_many_learn_at_a_time_as_the_engine_takes(room):
    room.engine.lessons = 2
    room.engine.gate.clear()
    for name, colour in (("Red", RED), ("Green", GREEN), ("Blue", BLUE)):
        await taught(room.store, name, colour)
    await room.teacher.wake()
    async with asyncio.timeout(30):
        while room.engine.teaching < 2 or not [p for _, p in room.listener.told if p.stage == "usable" and p.ahead]:
            await asyncio.sleep(0.01)
    assert [p.ahead for _, p in room.listener.told if p.stage == "usable" and p.ahead] == [1]  # the third waits for one of them
    room.engine.gate.set()
    await room.done()
    assert room.engine.most_teaching == 2
    assert [concept.state for concept in await room.store.known(SCOPE)] == [State.READY] * 3


async def test_who_waits_to_learn_takes_nobodys_seat_whose_head_is_to_be_fitted(store, engine):
    """However many wait: usable within seconds is everybody's, not only the first few's."""
    room = Room(store, engine, at_once=2)
    engine.gate.clear()
    see, seen, most = engine.see, 0, 0

    async def counted(*photo, **how):
        nonlocal seen, most
        seen += 1
        most = max(most, seen)
        await asyncio.sleep(0.02)
        seen -= 1
        return await see(*photo, **how)

    engine.see = counted
    names = [f"Pet {number}" for number in range(6)]
    for name in names:
        await taught(store, name)
    await room.teacher.wake()
    async with asyncio.timeout(30):
        while {name for name, progress in room.listener.told if progress.stage == "usable"} != set(names):
            await asyncio.sleep(0.01)
    assert engine.teaching == 1 and most == 2
    for name in (more := [f"Another {number}" for number in range(6)]):
        await taught(store, name)
    engine.gate.set()
    await room.run()
    assert engine.most_teaching == 1 and most <= 3 and sorted(one.name for one in room.listener.ended) == sorted(names + more)


async def test_who_waits_is_told_whenever_there_is_one_less_before_them(room):
    for number in range(4):
        await taught(room.store, f"Pet {number}")
    await room.run()
    ahead = [progress.ahead for name, progress in room.listener.told if name == "Pet 3" and progress.stage == "usable" and progress.ahead]
    assert ahead[-1] == 1 and ahead == sorted(set(ahead), reverse=True) and len(ahead) > 1


async def test_however_often_the_bot_is_killed_whoever_only_waits_is_not_given_up(store, engine):
    class Killed(DeafStore):
        async def waits(self, claim, waiting):
            if waiting:  # it is counted again at its turn or when the bot ends in good order; killed, it does neither
                await self._store.waits(claim, True)

    engine.gate.clear()
    ids = [(await taught(store, f"Pet {number}")).id for number in range(5)]
    for _ in range(6):
        killed = Room(store, engine, lease_s=0.5)
        killed.store = killed.teacher.store = Killed(store)  # type: ignore[assignment]
        await killed.teacher.wake()
        async with asyncio.timeout(30):
            while len(killed.teacher._line) + [(await store.concept(one)).state for one in ids].count(State.FAILED) < len(ids):
                await asyncio.sleep(0.01)
        await killed.killed()
        await asyncio.sleep(0.6)
    engine.gate.set()
    await Room(store, engine).run()
    assert [(await store.concept(one)).state for one in ids].count(State.READY) >= 4, "at most the one that was at its lesson each time"


async def test_a_new_concept_and_its_neighbours_are_negatives_of_each_other(room):
    red = await taught(room.store, "Red", RED)
    await room.run()
    before = await room.store.head(red.id, sight_of_colour(photo_of(RED)).encoder)
    await taught(room.store, "Orange", (200, 120, 40))
    await room.run()
    new, refit = room.engine.fitted[1:]
    assert (len(new.positives), len(new.negatives)) == (3, 3)
    assert (refit.positives, refit.negatives) == (new.negatives, new.positives)
    after = await room.store.head(red.id, before.encoder)
    assert after is not None


async def test_corrections_go_into_the_next_fit(room):
    concept = await taught(room.store)
    right, wrong = (regions_of(sight_of_colour(photo_of(colour, 50))) for colour in (RED, GREEN))
    await room.store.add_correction(concept.id, [right], True, "d1")
    await room.store.add_correction(concept.id, [wrong], False, "d2")
    await room.run()
    assert len(room.engine.fitted[0].positives) == 4
    assert len(room.engine.fitted[0].corrections) == 1


# -- what is said while something else goes on
def held_fits(room: Room) -> tuple[asyncio.Event, asyncio.Event]:
    """From now on fits wait at their end: (one has begun, they may end)."""
    begun, go_on, fit = asyncio.Event(), asyncio.Event(), room.engine.fit

    async def held(request: FitRequest) -> FitReply:
        reply = await fit(request)
        begun.set()
        await go_on.wait()
        return reply

    room.engine.fit = held  # type: ignore[method-assign]
    return begun, go_on


async def said_of(room: Room, concept: Concept, *seeds: int, present: bool = False) -> None:
    for seed in seeds:
        await room.store.add_correction(concept.id, [regions_of(sight_of_colour(photo_of(BLUE, seed)))], present, f"photo {seed}", ALICE)


async def to_refit(room: Room) -> list[str]:
    return await room.store.setting(EVERYWHERE, REFITS, [])


async def two_learned(room: Room) -> tuple[Concept, Concept]:
    red, green = await taught(room.store, "Red", RED), await taught(room.store, "Green", GREEN)
    await room.run()
    room.engine.fitted.clear()
    return red, green


def mark_heads(room: Room) -> None:
    """From now on a head tells from how many photos and corrections it was fitted: `in_the_head`."""
    fit = room.engine.fit

    async def marking(request: FitRequest) -> FitReply:
        reply = await fit(request)
        marks = {"slope": float(len(request.positives)), "offset": -float(len(request.corrections))}
        return reply.model_copy(update={"head": reply.head.model_copy(update=marks)})

    room.engine.fit = marking  # type: ignore[method-assign]


async def in_the_head(room: Room, concept: Concept) -> tuple[float, float]:
    head = await room.store.head(concept.id, ENCODER)
    return head.slope, -head.offset


def learned_from(room: Room, colour: tuple[int, int, int]) -> list[int]:
    """Of how many corrections, in each fit of the concept of this colour."""
    first = sight_of_colour(photo_of(colour, 0))
    return [len(request.corrections) for request in room.engine.fitted if request.positives[0] == first]


async def test_what_was_said_while_another_head_is_fitted_is_learned_after_a_restart(store, engine):
    first = Room(store, engine)
    red, green = await two_learned(first)
    fit, (begun, _) = engine.fit, held_fits(first)
    await said_of(first, red, 1)
    first.spawn(first.teacher.refit(red.id))
    await begun.wait()
    await said_of(first, green, 2)
    first.spawn(first.teacher.refit(green.id))
    async with asyncio.timeout(30):
        while len(await to_refit(first)) < 2:
            await asyncio.sleep(0.01)
    await first.killed()
    engine.fit = fit
    engine.fitted.clear()
    second = Room(store, engine)
    await second.teacher.refit()
    assert learned_from(second, RED) == [1] and learned_from(second, GREEN) == [1]
    assert await to_refit(second) == []


async def test_what_was_said_of_a_concept_while_its_own_head_is_fitted_is_learned_after_a_restart(store, engine):
    first = Room(store, engine)
    red, _ = await two_learned(first)
    fit, (begun, go_on) = engine.fit, held_fits(first)
    await said_of(first, red, 1)
    refit = asyncio.ensure_future(first.teacher.refit(red.id))
    await begun.wait()
    await said_of(first, red, 2)
    await first.teacher.note(red.id)
    go_on.set()
    await refit
    await first.killed()
    engine.fit = fit
    second = Room(store, engine)
    await second.teacher.refit()
    assert learned_from(second, RED) == [1, 2] and await to_refit(second) == []


async def test_many_who_speak_of_one_concept_at_once_cost_it_no_fit_each(room):
    red, _ = await two_learned(room)
    begun, go_on = held_fits(room)
    room.spawn(room.teacher.refit(red.id))
    await begun.wait()
    for seed in range(5):
        await said_of(room, red, seed)
        room.spawn(room.teacher.refit(red.id))
    await asyncio.sleep(0.05)
    go_on.set()
    await room.done()
    assert learned_from(room, RED) == [0, 5] and await to_refit(room) == []


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this process", "in another one"])
async def test_a_head_that_was_fitted_without_what_was_said_meanwhile_is_fitted_again(room, elsewhere):
    """A training's: what was refitted while it was fitted is overwritten by it."""
    red, _ = await two_learned(room)
    mark_heads(room)
    fit, (begun, go_on) = room.engine.fit, held_fits(room)
    await room.store.add_photos(red.id, [NewPhoto(photo_of(RED, 7), b"small", "7")])
    await room.teacher.wake()
    await begun.wait()
    await said_of(room, red, 1)
    room.engine.fit = fit
    if not elsewhere:
        await room.teacher.refit(red.id)
        assert await to_refit(room) == []
        assert await in_the_head(room, red) == (4, 1)
    go_on.set()
    await room.done()
    assert await in_the_head(room, red) == (4, 1) and await to_refit(room) == []


async def test_a_refit_that_ends_after_a_training_with_more_photos_is_done_again(room):
    red, _ = await two_learned(room)
    mark_heads(room)
    fit, (begun, go_on) = room.engine.fit, held_fits(room)
    refit = asyncio.ensure_future(room.teacher.refit(red.id))
    await begun.wait()
    room.engine.fit = fit
    await room.store.add_photos(red.id, [NewPhoto(photo_of(RED, 7), b"small", "7")])
    await room.teacher.wake()
    async with asyncio.timeout(30):
        while (await room.store.concept(red.id)).state is not State.READY:
            await asyncio.sleep(0.01)
    go_on.set()
    await refit
    await room.done()
    assert await in_the_head(room, red) == (4, 0) and await to_refit(room) == []


@pytest.mark.parametrize("fault", [refusal_of("out_of_memory", needed=1), refusal_of("internal")], ids=str)
async def test_a_head_that_could_not_be_fitted_is_tried_again_a_few_times(room, fault):
    red, _ = await two_learned(room)
    await said_of(room, red, 1)
    for _ in range(2):
        room.engine.refuse["fit"] = fault
        await room.teacher.refit(red.id)
        for _ in range(REFIT_TRIES - 2):
            await room.teacher.refit()
        assert await to_refit(room) == [red.id]
        room.engine.refuse.clear()
        await room.teacher.refit()
        assert learned_from(room, RED)[-1] == 1 and await to_refit(room) == []
    room.engine.refuse["fit"] = fault
    await room.teacher.refit(red.id)
    for _ in range(REFIT_TRIES - 1):
        await room.teacher.refit()
    assert await to_refit(room) == []
    room.engine.refuse.clear()
    room.engine.fitted.clear()
    await room.teacher.refit()
    assert room.engine.fitted == []  # not for ever
    await room.teacher.refit(red.id)
    assert learned_from(room, RED) == [1]  # until somebody says more


async def test_what_is_wrong_with_one_concept_keeps_no_other_from_learning(room, monkeypatch):
    red, green = await two_learned(room)
    regions = room.store.regions

    async def damaged(concept_id: ConceptId, encoder: str) -> list[Regions]:
        if concept_id == red.id:
            raise ValueError("cannot reshape")
        return await regions(concept_id, encoder)

    room.store.regions = damaged
    await said_of(room, green, 1)
    await room.teacher.refit(red.id, green.id)
    assert learned_from(room, GREEN) == [1] and await to_refit(room) == [red.id]
    monkeypatch.setattr(teaching, "REFIT_TRIES", 2)
    await room.teacher.refit()
    assert await to_refit(room) == []


async def test_a_refit_can_be_broken_off(room):
    red, _ = await two_learned(room)
    begun, _ = held_fits(room)
    refit = asyncio.ensure_future(room.teacher.refit(red.id))
    await begun.wait()
    refit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await refit
    assert await to_refit(room) == [red.id]


@pytest.mark.parametrize("fault", [refusal_of("out_of_memory", needed=1), ValueError("cannot reshape")], ids=str)
async def test_a_neighbour_that_could_not_be_refitted_spares_the_new_one_and_learns_later(room, fault):
    red, _ = await two_learned(room)
    fit = room.engine.fit

    async def only_new(request: FitRequest) -> FitReply:
        if request.positives[0] == sight_of_colour(photo_of(RED, 0)):
            raise fault
        return await fit(request)

    room.engine.fit = only_new
    new = await taught(room.store, "Orange", (200, 120, 40))
    await room.run()
    assert (await room.store.concept(new.id)).state is State.READY and await to_refit(room) == [red.id]
    room.engine.fit = fit
    await room.teacher.refit()
    assert len(room.engine.fitted[-1].negatives) == 6 and await to_refit(room) == []


async def test_the_oldest_corrections_are_left_out_where_all_together_are_more_than_the_engine_takes(room, monkeypatch):
    red, _ = await two_learned(room)
    await said_of(room, red, 1, 2, 3, 4)
    one = (await room.store.corrections(red.id, ENCODER))[0].regions.vectors.nbytes
    for limit, of_it in ((4 * one, 4), (4 * one - 1, 3), (one, 1)):
        monkeypatch.setattr(teaching, "SAID_BYTES", limit)
        await room.teacher.refit(red.id)
        newest = [sight_of_colour(photo_of(BLUE, seed)) for seed in (1, 2, 3, 4)[4 - of_it :]]
        assert room.engine.fitted[-1].corrections == newest


# -- the class noun
async def test_a_noun_the_encoder_is_sure_of_is_kept_where_none_was_given(room):
    room.engine.noun = "corgi"
    concept = await taught(room.store, noun="")
    await room.run()
    assert (await room.store.concept(concept.id)).class_noun == "corgi"
    assert room.engine.taught[0].class_noun == "corgi"


async def test_the_teachers_own_noun_stays(room):
    room.engine.noun = "corgi"
    concept = await taught(room.store, noun="puppy")
    await room.run()
    assert (await room.store.concept(concept.id)).class_noun == "puppy"


@pytest.mark.parametrize(
    "kind, hints, photos, noun",
    [
        ("pet", ["dog", "dog", "fox"], 4, "pet"),
        ("pet", ["dog", "dog", "dog"], 4, "dog"),
        ("object", [], 3, "thing"),
        ("person", [], 1, "person"),
    ],
)
def test_the_kinds_own_word_stands_in_for_an_unsure_noun(kind, hints, photos, noun):
    from collections import Counter

    assert agreed_noun(kind, Counter(hints), photos) == noun


# -- the engine goes away
async def test_without_an_engine_the_concept_stays_queued_and_goes_on_when_it_is_back(room):
    room.engine.down = True
    concept = await taught(room.store)
    await room.run()
    assert (await room.store.concept(concept.id)).state is State.QUEUED
    assert room.listener.told[-1][1] == Progress("waiting", reason="unreachable")
    assert room.teacher.paused == "unreachable" and len(room.pauses) == 1

    room.engine.down = False
    await room.run()
    assert room.engine.taught == []  # it is given time
    await room.pass_pause()
    assert (await room.store.concept(concept.id)).state is State.READY
    assert (await room.store.concept(concept.id)).attempts == 1


async def test_the_pauses_grow_up_to_a_limit_and_shrink_after_success(room):
    room.engine.down = True
    await taught(room.store)
    await room.run()
    for _ in range(7):
        await room.pass_pause()
    assert room.pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    room.engine.down = False
    await room.pass_pause()
    room.engine.down = True
    await taught(room.store, "Milo", GREEN)
    await room.run()
    assert room.pauses[-1] == 2


@pytest.mark.parametrize("after", range(4))
async def test_an_engine_killed_at_any_step_goes_on_from_the_last_part(room, after):
    room.engine.break_after = after
    concept = await taught(room.store)
    await room.run()
    assert (await room.store.concept(concept.id)).state is State.QUEUED
    await room.pass_pause()
    assert (await room.store.concept(concept.id)).state is State.READY
    first, second = room.engine.taught
    assert first.resume is None
    assert second.resume == (base64.b64encode(f"Biscuit:{after}".encode()).decode() if after else None)
    assert room.engine.calls.count("see") == 3 and room.engine.calls.count("fit") == 1  # not done twice


@pytest.mark.parametrize("verb", ["see", "fit", "teach"])
@pytest.mark.parametrize("code", ["busy", "not_ready", "other_vlm"])
async def test_what_passes_is_waited_for(room, verb, code):
    room.engine.refuse[verb] = EngineError(code)
    concept = await taught(room.store)
    await room.run()
    assert (await room.store.concept(concept.id)).state is State.QUEUED
    assert room.listener.told[-1][1].reason == code and room.listener.ended == []
    room.engine.refuse.clear()
    await room.pass_pause()
    assert (await room.store.concept(concept.id)).state is State.READY


async def test_models_that_are_still_loading_are_waited_for(room):
    room.engine.ready = False
    await taught(room.store)
    await room.run()
    assert room.listener.told[-1][1].reason == "not_ready" and "see" not in room.engine.calls


@pytest.mark.parametrize("verb", ["see", "fit", "teach"])
async def test_a_lasting_refusal_fails_the_concept_with_its_code(room, verb):
    room.engine.refuse[verb] = refusal_of("no_face")
    concept = await taught(room.store)
    await room.run()
    failed = await room.store.concept(concept.id)
    assert (failed.state, failed.failure) == (State.FAILED, "no_face")
    assert [ended.id for ended in room.listener.ended] == [concept.id]


@pytest.mark.parametrize("noun", [None, "dog"])
async def test_a_large_face_is_somebodys_unless_the_encoder_sees_an_animal(room, noun):
    room.engine.faces, room.engine.noun = [(0.3, 0.2, 0.7, 0.8)], noun
    concept = await taught(room.store)
    await room.run()
    ended = await room.store.concept(concept.id)
    assert (ended.state, ended.failure) == ((State.READY, None) if noun else (State.FAILED, SHOWS_PERSON))
    assert (await room.store.head(concept.id, ENCODER) is None) is (noun is None)


async def test_faces_are_looked_for_again_where_a_restart_came_between_seeing_and_fitting(room):
    room.engine.faces = [(0.3, 0.2, 0.7, 0.8)]
    concept = await taught(room.store)
    for photo in await room.store.photos(concept.id):
        await room.store.save_regions(photo.id, regions_of(sight_of_colour(photo.data)))
    await room.store.set_class_noun(concept.id, "thing")
    await room.run()
    assert (await room.store.concept(concept.id)).failure == SHOWS_PERSON


async def test_how_a_taught_photo_looks_from_afar_is_kept_and_learned_and_of_a_corrected_one_nothing_is(room):
    room.engine.sees_from_afar = True
    concept = await taught(room.store)
    await room.run()
    photos = len(await room.store.photos(concept.id))
    assert len(await room.store.regions(concept.id, afar_of(ENCODER))) == photos
    (first,) = room.engine.fitted
    assert [sight.encoder for sight in first.afar] == [ENCODER] * photos and len(first.positives) == photos
    await room.store.add_correction(concept.id, [regions_of(sight_of_colour(photo_of(RED, 77)))], True, "digest", ALICE)
    await room.teacher.refit(concept.id)
    again = room.engine.fitted[-1]
    assert (len(again.positives), again.confirmed, len(again.afar)) == (photos + 1, 1, photos)


async def test_photos_of_which_some_were_never_seen_from_afar_are_learned_as_they_are(room):
    concept = await taught(room.store)
    first, *_ = await room.store.photos(concept.id)
    await room.store.save_regions(first.id, replace(regions_of(sight_of_colour(first.data)), encoder=afar_of(ENCODER)))
    await room.run()
    assert room.engine.fitted[0].afar == []


async def test_what_was_learned_before_is_learned_again_whatever_it_looks_like(room):
    """Its teacher was let through when the photos were new."""
    concept = await taught(room.store)
    await room.run()
    room.engine.faces, room.engine.encoders = [(0.3, 0.2, 0.7, 0.8)], ["colours:2"]
    await room.teacher.relearn_outdated()
    await room.run()
    assert (await room.store.concept(concept.id)).failure != SHOWS_PERSON


async def test_what_was_learned_is_not_refused_because_a_photo_was_taken_out(room):
    concept = await taught(room.store)
    await room.run()
    room.engine.faces = [(0.3, 0.2, 0.7, 0.8)]
    await room.store.remove_photo((await room.store.photos(concept.id))[0].id)
    await room.run()
    ended = await room.store.concept(concept.id)
    assert (ended.state, ended.failure, ended.photo_count) == (State.READY, None, concept.photo_count - 1)


async def test_a_fault_of_ours_fails_the_concept_and_spares_the_next(room):
    async def broken(request: object) -> None:
        raise KeyError("surprise")

    original, room.engine.fit = room.engine.fit, broken  # type: ignore[method-assign]
    concept = await taught(room.store)
    await room.run()
    assert (await room.store.concept(concept.id)).failure == "internal"
    room.engine.fit = original  # type: ignore[method-assign]
    milo = await taught(room.store, "Milo", GREEN)
    await room.run()
    assert (await room.store.concept(milo.id)).state is State.READY


async def test_what_breaks_off_every_time_is_given_up_and_can_be_tried_again(store, engine):
    room = Room(store, engine, max_attempts=3)
    concept = await taught(store)
    engine.break_after = 0
    await room.run()
    for _ in range(3):
        engine.break_after = 0
        await room.pass_pause()
    failed = await store.concept(concept.id)
    assert (failed.state, failed.failure, len(engine.taught)) == (State.FAILED, LOST, 3)
    engine.break_after = None
    await store.retry(concept.id)
    await room.run()
    assert (await store.concept(concept.id)).state is State.READY


# -- the bot goes away
@pytest.mark.parametrize("verb", ["see", "fit", "teach"])
async def test_a_bot_killed_at_any_moment_is_followed_by_one_that_goes_on(store, engine, verb):
    """No release, no goodbye: the lease runs out, and the next process takes over where the store stands."""
    hanging = asyncio.Event()

    async def hang(*_: object, **more: object) -> None:
        hanging.set()
        await asyncio.sleep(60)

    first = Room(store, engine, lease_s=0.2)
    first.store = DeafStore(store)  # type: ignore[assignment]
    first.teacher.store = first.store
    if verb == "teach":
        engine.gate.clear()
    else:
        original = getattr(engine, verb)
        setattr(engine, verb, hang)
    concept = await taught(store)
    await first.teacher.wake()
    async with asyncio.timeout(30):
        while not hanging.is_set() and not engine.teaching:
            await asyncio.sleep(0.01)
    await first.killed()
    assert (await store.concept(concept.id)).state is State.TRAINING  # still claimed by the dead
    if verb == "teach":
        engine.gate.set()
    else:
        setattr(engine, verb, original)
    await asyncio.sleep(0.25)
    second = Room(store, engine)
    await second.run()
    assert (await store.concept(concept.id)).state is State.READY
    assert len(second.listener.ended) == 1


class DeafStore:
    """The store of a process that was killed: what it would have said at the end never arrives."""

    def __init__(self, store: ConceptStore):
        self._store = store

    async def release(self, claim: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_bot_that_is_stopped_gives_its_work_back_at_once(room):
    room.engine.gate.clear()
    concept = await taught(room.store)
    await room.teacher.wake()
    async with asyncio.timeout(30):
        while not room.engine.teaching:
            await asyncio.sleep(0.01)
    await room.killed()
    assert (await room.store.concept(concept.id)).state is State.QUEUED
    assert room.engine.teaching == 0  # and it hung up


async def test_the_lease_is_renewed_for_as_long_as_it_takes(store, engine):
    room = Room(store, engine, lease_s=3)
    engine.gate.clear()
    concept = await taught(store)
    await room.teacher.wake()
    await asyncio.sleep(4)
    assert (await store.concept(concept.id)).state is State.TRAINING and await store.claim_next("thief", 60) is None
    engine.gate.set()
    await room.done()
    assert len(room.listener.ended) == 1


# -- forgotten, renamed, changed meanwhile
async def test_what_is_forgotten_while_it_learns_is_dropped_without_a_word(store, engine):
    room = Room(store, engine, lease_s=0.3)
    engine.gate.clear()
    concept = await taught(store)
    await room.teacher.wake()
    await learning_begun(engine)
    await store.delete_concept(concept.id)
    await room.done()  # the next renewal notices, long before the engine is done
    assert room.listener.ended == [] and engine.teaching == 0


async def test_a_concept_renamed_while_it_learns_learns_its_new_name(room):
    room.engine.gate.clear()
    concept = await taught(room.store)
    await room.teacher.wake()
    async with asyncio.timeout(30):
        while not room.engine.teaching:
            await asyncio.sleep(0.01)
    await room.store.rename_concept(concept.id, "Muffin")
    room.engine.gate.set()
    await room.done()
    assert [request.name for request in room.engine.taught] == ["Biscuit", "Muffin"]
    assert room.engine.taught[1].resume is None
    assert [ended.name for ended in room.listener.ended] == ["Muffin"]


async def test_after_the_engine_was_given_another_model_everything_is_learned_again_silently(room):
    concept = await taught(room.store)
    await room.run()
    await room.teacher.relearn_outdated()
    assert (await room.store.concept(concept.id)).state is State.READY
    room.engine.vlm = "raven:1"
    await room.teacher.relearn_outdated()
    again = await room.store.concept(concept.id)
    assert again.state is State.QUEUED and again.announce == NOWHERE
    await room.run()
    assert (await room.store.embedding(concept.id, "raven:1")).finished
    await room.teacher.relearn_outdated()
    assert (await room.store.concept(concept.id)).state is State.READY


async def test_people_keep_what_was_learned_of_them_while_the_engine_sees_no_faces(room):
    await room.store.set_setting(HERE, PEOPLE_SETTING, True)
    person = await taught(room.store, "Anna", kind=Kind.PERSON)
    await room.run()
    assert (await room.store.concept(person.id)).state is State.READY
    await room.teacher.relearn_outdated()
    room.engine.vlm = "raven:1"
    await room.teacher.relearn_outdated()
    assert (await room.store.concept(person.id)).state is State.READY
    room.engine.encoders = [*room.engine.encoders, "faces-9"]  # the operator has switched them on again
    await room.teacher.relearn_outdated()
    assert (await room.store.concept(person.id)).state is State.QUEUED


async def test_a_person_is_not_looked_at_once_their_server_has_switched_people_off(room):
    person = await taught(room.store, "Anna", kind=Kind.PERSON)
    room.engine.encoders = [*room.engine.encoders, "faces-9"]
    await room.run()
    ended = await room.store.concept(person.id)
    assert (ended.state, ended.failure) == (State.FAILED, "people_off")
    assert not {"see", "fit", "teach"} & set(room.engine.calls)
    assert "/people allow" in failure_sentence(ended.failure)


async def test_a_person_is_learned_for_other_models_once_their_server_allows_people_again(room):
    await room.store.set_setting(HERE, PEOPLE_SETTING, True)
    person = await taught(room.store, "Anna", kind=Kind.PERSON)
    await room.run()
    await room.store.set_setting(HERE, PEOPLE_SETTING, None)
    room.engine.vlm, room.engine.encoders = "raven:1", [*room.engine.encoders, "faces-9"]
    await room.teacher.relearn_outdated()
    assert (await room.store.concept(person.id)).state is State.READY, "kept, and not used"
    await room.store.set_setting(HERE, PEOPLE_SETTING, True)
    await room.teacher.people_allowed()
    assert (await room.store.concept(person.id)).state is State.QUEUED


async def test_models_that_could_not_be_loaded_are_not_said_to_be_loading(room):
    await taught(room.store)
    room.engine.ready = False
    for failure, broken in ((None, False), ("out of memory", True)):
        room.engine.failure = failure
        await (room.pass_pause() if room.pause else room.run())
        _, last = room.listener.told[-1]
        assert (last.stage, last.reason, last.broken) == ("waiting", "not_ready", broken)
        assert ("can't be loaded" in waiting(last.reason, last.broken)) is broken


async def test_a_last_word_that_takes_longer_than_the_lease_is_said_to_its_end(store, engine):
    """Nothing is left to renew once it is learned: a slow Discord must not look like a lost lease."""
    room = Room(store, engine, lease_s=0.15)
    told = room.listener.finished

    async def slowly(concept: Concept) -> None:
        await asyncio.sleep(0.4)
        await told(concept)

    room.listener.finished = slowly  # type: ignore[method-assign]
    await taught(store)
    await room.run()
    assert [ended.state for ended in room.listener.ended] == [State.READY]


async def test_a_finished_embedding_that_takes_longer_to_keep_than_the_lease_is_no_lost_lease(store, engine):
    room = Room(store, engine, lease_s=0.15)

    class SlowStore(DeafStore):
        async def save_embedding(self, claim: Any, embedding: Any, sample: str | None = None) -> None:
            await self._store.save_embedding(claim, embedding, sample)
            await asyncio.sleep(0.3 if embedding.finished else 0)

    room.teacher.store = SlowStore(store)  # type: ignore[assignment]
    await taught(store)
    await room.run()
    assert [ended.state for ended in room.listener.ended] == [State.READY]

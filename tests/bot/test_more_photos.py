"""/concepts add: a teacher gives more photos to what they taught, and it is learned again with all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bot_fakes import BLUE, GREEN, RED, learning_begun, photo_of, refusal_of, upload, uploads
from test_teacher import DeafStore, Room, taught

from bot.engine_client import EngineError
from bot.permissions import PEOPLE_SETTING
from bot.portraits import ADDED_PERSON, SHOWS_PERSON
from concept_store.records import Kind, NewPhoto, Scope, State


async def teach(town, name="Biscuit", colour=RED, who=None, number=2, **more):
    return await (who or town.alice).slash(town.channel, "teach", **{"name": name, "kind": "pet", **uploads(colour, number), **more})


async def add(town, colour=RED, who=None, number=2, first=20, name="Biscuit", **more):
    return await (who or town.alice).slash(town.channel, "concepts add", **{"name": name, **uploads(colour, number, first), **more})


async def the_concept(town, name="Biscuit"):
    return await town.store.find(Scope(town.alice.id, town.guild.id), name)


async def test_it_is_learned_again_with_all_its_photos_and_its_teacher_is_told(town, read):
    await teach(town)
    told = await add(town, name=" biscuit ")
    assert not told.ephemeral and "Biscuit is ready" in read(told.response) and "Learned from 4 photos" in read(told.response)
    assert [one.content for one in told.followups] == [f"{town.alice.mention} **Biscuit** is ready. For example: “Biscuit on the grass.”"]
    concept = await the_concept(town)
    assert (concept.state, concept.photo_count, concept.announced) == (State.READY, 4, True)
    assert len(town.engine.fitted[-1].positives) == 4 and len(town.engine.taught[-1].photos) == 4
    assert all(photo.box for photo in town.engine.taught[-1].photos)


async def test_meanwhile_it_is_recognised_as_before_and_its_name_is_put_in(town, env, read):
    await teach(town)
    town.engine.refuse["fit"] = EngineError("busy")
    told = await add(town)
    assert "Kept: Biscuit" in read(told.response) and "I'm busy" in read(told.response)
    described = await town.bob.slash(town.channel, "describe", photo=upload(RED, 77))
    assert "Biscuit on the grass." in read(described.response)
    assert town.engine.answered[-1].concepts[0].embedding is None  # as with every concept that learns
    town.engine.refuse.clear()
    await env.advance_time(130)
    assert "Biscuit is ready" in read(told.response) and len(town.engine.taught[-1].photos) == 4


async def test_what_waits_is_learned_once_and_its_first_reply_says_where_it_goes_on(town, env, read):
    town.engine.down = True
    first = await teach(town)
    second = await add(town)
    assert "learned anew" in read(first.response) and "newer answer" in read(first.response)
    town.engine.down = False
    await env.advance_time(130)
    assert "Biscuit is ready" in read(second.response) and "learned anew" in read(first.response)
    assert [len(request.photos) for request in town.engine.taught] == [4] and first.followups == []


async def test_photos_it_has_already_are_left_out_and_told(town, read):
    await teach(town)
    copies = {"photo3": ("again.jpg", photo_of(RED, 1)), "photo4": ("saved.png", photo_of(RED, 20, form="PNG"))}
    told = await add(town, **copies)
    assert "2 of 4 photos I had already or twice, so I add 2" in read(told.response)
    assert (await the_concept(town)).photo_count == 4


@pytest.mark.parametrize(
    "photos, words",
    [
        ({"photo1": upload(RED, 0)}, "That photo is known to me already"),
        ({"photo1": upload(RED, 0), "photo2": upload(RED, 1)}, "Both of these photos are known to me already"),
        ({"photo1": upload(RED, 30), "photo2": upload(RED, 30)}, "Both photos are the same picture"),
        ({"photo2": ("a.jpg", b"hello, I am a text file")}, "Photo 2 isn't a picture"),
        ({"photo1": ("a.jpg", b"")}, "is empty (0 bytes)"),
        ({"name": "Milo"}, "I don't know anyone or anything called `Milo` here"),
    ],
)
async def test_what_cannot_be_added_gets_its_sentence_and_nothing_changes(town, read, photos, words):
    await teach(town)
    before = await the_concept(town)
    told = await town.alice.slash(town.channel, "concepts add", **{"name": "Biscuit", "photo1": upload(RED, 40), **photos})
    assert words in read(told.response)
    assert await the_concept(town) == before and len(town.engine.taught) == 1


async def test_a_concept_keeps_ten_photos_and_how_many_fit_is_said_before_any_is_read(town, read):
    await teach(town, number=8)
    told = await add(town, number=3)
    assert "**Biscuit** has 8 photos of the 10 I keep of one, so 2 more fit." in read(told.response) and told.ephemeral
    assert "Biscuit is ready" in read((await add(town)).response)
    full = await add(town, number=1, first=50)
    assert "**Biscuit** has 10 photos, and I keep up to 10 of one, so no more fit." in read(full.response)
    assert "`/concepts show` has the button" in read(full.response) and (await the_concept(town)).photo_count == 10
    shown = await town.alice.slash(town.channel, "concepts show", name="Biscuit")
    assert len(shown.response.attachments) == 10


async def test_only_its_teacher_adds_photos(town, read):
    await teach(town)
    told = await add(town, who=town.bob)
    assert f"**Biscuit** was taught by <@{town.alice.id}>" in read(told.response) and told.ephemeral
    assert (await the_concept(town)).photo_count == 2


async def test_of_a_private_one_only_its_teacher_sees_the_reply(town, read):
    await teach(town, private=True)
    told = await add(town)
    assert told.ephemeral and told.followups[0].ephemeral and "Biscuit is ready" in read(told.response)


async def test_in_a_direct_message_too(town, read):
    await teach(town, private=True)
    told = await town.alice.user.slash("concepts add", name="Biscuit", **uploads(RED, 1, 20))
    assert "Learned from 3 photos" in read(told.response)


async def test_photos_of_a_face_can_be_added_where_none_had_one(town, read):
    """What failed because of its photos is mended by others."""
    town.engine.refuse["fit"] = refusal_of("no_face")
    assert "didn't work" in read((await teach(town)).response)
    town.engine.refuse.clear()
    assert "Biscuit is ready" in read((await add(town)).response)


async def test_names_are_suggested(town):
    await teach(town)
    assert [one["name"] for one in await town.alice.autocomplete(town.channel, "concepts add", "name", "bi")] == ["Biscuit"]


async def test_ones_own_name_taught_again_points_here_and_anothers_does_not(town, read):
    await teach(town)
    mine = await teach(town, " BISCUIT ", GREEN)
    assert "you have taught me **Biscuit** already" in read(mine.response) and "`/concepts add`" in read(mine.response)
    theirs = await teach(town, "biscuit", GREEN, town.bob)
    assert "That name is taken" in read(theirs.response) and "/concepts add" not in read(theirs.response)


# -- people
@pytest.fixture
async def bobby(town):
    town.bot.people_allowed = town.bot.answerer.people_allowed = True
    await town.store.set_setting(town.guild.id, PEOPLE_SETTING, True)
    return await teach(town, "Bobby", BLUE, town.bob, kind="person", member=town.bob)


async def test_a_person_gets_photos_as_long_as_people_are_allowed_here(town, bobby, read):
    assert "Bobby is ready" in read(bobby.response)
    told = await add(town, BLUE, town.bob, name="Bobby")
    assert "Learned from 4 photos" in read(told.response)
    await town.store.set_setting(town.guild.id, PEOPLE_SETTING, None)
    looked = town.engine.calls.count("see")
    off_here = await add(town, BLUE, town.bob, name="Bobby", first=40)
    assert "People are off on this server" in read(off_here.response)
    town.bot.people_allowed = False
    off = read((await add(town, BLUE, town.bob, name="Bobby", first=40)).response)
    assert "switched off for all servers" in off and "`kind`" not in off  # which this command hasn't
    assert (await the_concept(town, "Bobby")).photo_count == 4 and town.engine.calls.count("see") == looked


async def test_a_persons_photos_are_added_where_they_have_agreed(town, bobby, read):
    told = await town.bob.user.slash("concepts add", name="Bobby", **uploads(BLUE, 1, 20))
    assert "on a server only" in read(told.response) and (await the_concept(town, "Bobby")).photo_count == 2


# -- the trainer
def more(first: int) -> list[NewPhoto]:
    return [NewPhoto(photo_of(RED, seed), b"small", str(seed)) for seed in range(first, first + 2)]


async def test_photos_added_while_it_learns_begin_the_learning_anew(store, engine):
    room = Room(store, engine, lease_s=0.3)
    engine.gate.clear()
    concept = await taught(store)
    await room.teacher.wake()
    await learning_begun(engine)
    await store.add_photos(concept.id, more(10))
    async with asyncio.timeout(30):
        while len(engine.taught) < 2:  # the next renewal notices
            await asyncio.sleep(0.01)
    assert room.listener.ended == [] and engine.teaching == 1
    engine.gate.set()
    await room.done()
    assert [(len(one.photos), one.resume) for one in engine.taught] == [(3, None), (5, None)]
    assert [len(one.positives) for one in engine.fitted] == [3, 5] and [one.state for one in room.listener.ended] == [State.READY]


async def test_what_was_begun_with_fewer_photos_keeps_its_place_until_it_ends_and_nobody_is_passed(store, engine):
    room = Room(store, engine, lease_s=60)
    engine.gate.clear()
    red = await taught(store, "Red", RED)
    await room.teacher.wake()
    await learning_begun(engine)
    await taught(store, "Blue", BLUE)
    await room.teacher.wake()
    await told_usable(room, "Blue")
    await store.add_photos(red.id, more(10))
    await room.teacher.wake()
    async with asyncio.timeout(30):
        while len(engine.fitted[-1].positives) != 5:
            await asyncio.sleep(0.01)
    assert engine.teaching == 1
    engine.gate.set()
    await room.done()
    assert [(one.name, len(one.photos)) for one in engine.taught] == [("Red", 3), ("Blue", 3), ("Red", 5)] and engine.most_teaching == 1


async def told_usable(room, name):
    async with asyncio.timeout(30):
        while "usable" not in room.listener.stages(name):
            await asyncio.sleep(0.01)


async def test_a_photo_taken_out_while_its_head_is_kept_is_out_of_the_head(store, engine):
    concept, room = await taught(store), Room(store, engine)
    *_, last = await store.photos(concept.id)

    class Late(DeafStore):
        async def save_head(self, *what: Any) -> None:
            if last in await self._store.photos(concept.id):
                await self._store.remove_photo(last.id)
            await self._store.save_head(*what)

    room.teacher.store = Late(store)  # type: ignore[assignment]
    await room.run()
    assert [len(one.positives) for one in engine.fitted] == [3, 2]
    assert [(one.state, one.photo_count) for one in room.listener.ended] == [(State.READY, 2)]


@pytest.mark.parametrize("when", ["before the head", "after the head", "after one was taken out"])
async def test_photos_that_come_in_any_moment_are_looked_at_for_faces(store, engine, when):
    """A thing is taught with three photos, and seven with a face in them come."""
    concept, room = await taught(store, kind=Kind.OBJECT, noun="mug"), Room(store, engine)
    (first, *_) = before = await store.photos(concept.id)
    faces = [NewPhoto(photo_of(RED, seed), b"small", f"face {seed}") for seed in range(20, 27)]

    async def come(*removed: Any) -> None:
        for photo in removed:
            await store.remove_photo(photo.id)
        engine.faces = [(0.3, 0.2, 0.7, 0.8)]
        await store.add_photos(concept.id, faces)

    class Late(DeafStore):
        async def save_head(self, *what: Any) -> None:
            if when == "before the head" and not engine.faces:
                await come()
            await self._store.save_head(*what)
            if when == "after the head" and not engine.faces:
                await come()

    room.teacher.store = Late(store)  # type: ignore[assignment]
    await room.run()
    if when == "after one was taken out":
        await come(first)
        await room.run()
    now, kept = await store.concept(concept.id), [photo.id for photo in await store.photos(concept.id)]
    assert now.failure in (SHOWS_PERSON, ADDED_PERSON) and all(len(one.positives) == 3 for one in engine.fitted[:-1])
    if when == "after the head":
        assert kept == [photo.id for photo in before], "those it was learned from stay, all of them"


async def test_photos_with_somebodys_face_are_deleted_again_and_it_stays_as_it_was(town, read):
    await teach(town, kind="object")
    before = await town.store.photos((await the_concept(town)).id)
    town.engine.faces = [(0.3, 0.2, 0.7, 0.8)]
    told = await add(town)
    assert "Biscuit stays as it was" in read(told.response) and "I deleted the added photos again" in read(told.response)
    assert [one.content.split(". ")[0] for one in told.followups] == [f"{town.alice.mention} **Biscuit** stays as it was"]
    assert "Try again" not in str(told.response.components) and "Forget" not in str(told.response.components)
    concept = await the_concept(town)
    assert (concept.state, concept.announced) == (State.READY, True)
    assert [photo.id for photo in await town.store.photos(concept.id)] == [photo.id for photo in before]
    town.engine.faces = []
    described = await town.bob.slash(town.channel, "describe", photo=upload(RED, 77))
    assert "Biscuit on the grass." in read(described.response) and town.engine.answered[-1].concepts[0].embedding is not None
    assert "Learned from 4 photos" in read((await add(town, first=40)).response)


async def test_where_it_was_still_being_learned_the_rest_can_be_learned_after_photos_were_taken_back(town, read):
    town.engine.refuse["teach"] = refusal_of("out_of_memory")
    await teach(town, kind="object")
    town.engine.faces = [(0.3, 0.2, 0.7, 0.8)]
    told = await add(town)
    assert "I deleted the added photos again" in read(told.response) and (await the_concept(town)).photo_count == 2
    town.engine.refuse.clear()
    again = await town.alice.click(told.response, label="Try again")
    assert "Learned from 2 photos" in read(again.response)


async def test_a_bot_killed_while_the_head_is_kept_is_followed_by_one_that_fits_it_with_all_photos(store, engine):
    """All photos are seen by then, and a head of the old ones is there: neither may look like a head of all."""
    concept = await taught(store)
    await Room(store, engine).run()
    await store.add_photos(concept.id, more(10))
    hanging = asyncio.Event()

    async def hang(*_: Any) -> None:
        hanging.set()
        await asyncio.sleep(60)

    first = Room(store, engine, lease_s=0.2)
    killed: Any = DeafStore(store)
    killed.save_head = hang
    first.store = first.teacher.store = killed
    await first.teacher.wake()
    async with asyncio.timeout(30):
        await hanging.wait()
    await first.killed()
    await asyncio.sleep(0.25)
    second = Room(store, engine)
    await second.run()
    assert len(second.engine.fitted[-1].positives) == 5 and engine.calls.count("fit") == 3
    assert (await store.concept(concept.id)).state is State.READY


async def test_photos_added_in_the_moment_it_is_ready_are_not_called_a_failure(store, engine):
    """The last word is theirs who finish with all photos."""
    room = Room(store, engine)
    concept = await taught(store)

    class Quick(DeafStore):
        async def save_embedding(self, claim: Any, embedding: Any, sample: str | None = None) -> None:
            await self._store.save_embedding(claim, embedding, sample)
            if embedding.finished and (await self._store.concept(concept.id)).photo_count == 3:
                await self._store.add_photos(concept.id, more(10))

    room.teacher.store = Quick(store)  # type: ignore[assignment]
    await room.run()
    assert [(one.state, one.photo_count) for one in room.listener.ended] == [(State.READY, 5)]

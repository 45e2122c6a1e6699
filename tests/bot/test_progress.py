"""The live reply keeps its distance, never holds a training up, and never ends on an old state."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import discord
import pytest
from bot_fakes import RED, photo_of
from conftest import texts

from bot.portraits import SHOWS_PERSON
from bot.progress import ProgressReplies
from bot.teaching import NOWHERE, Progress
from concept_store.records import Announce, Concept, Embedding, GuildId, Kind, NewConcept, NewPhoto, State, UserId


class Interaction:
    """What ProgressReplies uses of one: edits take as long as the test wants."""

    def __init__(self) -> None:
        self.edits: list[str] = []
        self.times: list[float] = []
        self.words: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.followup = self

    def is_expired(self) -> bool:
        return False

    async def edit_original_response(self, *, view: discord.ui.LayoutView, attachments: list[discord.File]) -> None:
        self.times.append(asyncio.get_running_loop().time())
        await self.open.wait()
        self.edits.append("\n".join(texts(view.to_components())))

    async def send(self, content: str, **options: Any) -> None:
        self.words.append(content)


class Stand:
    def __init__(self, store: Any, every_s: float):
        self.tasks: list[asyncio.Task[None]] = []
        self.replies = ProgressReplies(object(), store, self.spawn, every_s)  # type: ignore[arg-type]
        self.interaction = Interaction()

    def spawn(self, work: Any) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def all_done(self) -> None:
        async with asyncio.timeout(30):
            await asyncio.gather(*self.tasks)


@pytest.fixture
async def kept(store) -> Concept:
    new = NewConcept("Biscuit", Kind.PET, "dog", UserId(42), GuildId(1), False, Announce(5, 6))
    photo = photo_of(RED)
    return await store.create_concept(new, [NewPhoto(photo, photo, "d")])


def learning(step: int) -> Progress:
    return Progress("learning", step, 100)


async def test_many_steps_are_few_edits_with_the_newest_at_the_end(store, kept):
    stand = Stand(store, every_s=0.5)
    stand.replies.open(kept, stand.interaction)
    for step in range(1, 60):
        await stand.replies.progress(kept, learning(step))
        await asyncio.sleep(0.02)
    await stand.all_done()
    times = stand.interaction.times
    assert all(later - earlier >= 0.3 for earlier, later in itertools.pairwise(times))  # 0.5 but for a machine that stutters
    assert len(times) < 20 and "59/100" in stand.interaction.edits[-1]


async def test_a_discord_that_hangs_holds_nothing_up_and_is_sent_the_newest_only(store, kept):
    stand = Stand(store, every_s=0.001)
    stand.replies.open(kept, stand.interaction)
    stand.interaction.open.clear()
    async with asyncio.timeout(20):
        for step in range(1, 40):
            await stand.replies.progress(kept, learning(step))
            await asyncio.sleep(0.002)
    stand.interaction.open.set()
    await stand.all_done()
    assert [edit.split("\n")[1].split()[-1] for edit in stand.interaction.edits] == ["1/100", "39/100"]


async def test_ready_is_the_last_thing_shown_whatever_was_waiting(store, kept):
    stand = Stand(store, every_s=0.05)
    stand.replies.open(kept, stand.interaction, note="-# advice")
    stand.interaction.open.clear()
    await stand.replies.progress(kept, learning(1))
    await asyncio.sleep(0.01)
    await stand.replies.progress(kept, learning(2))
    ending = asyncio.create_task(stand.replies.finished(replace(kept, state=State.READY)))
    await asyncio.sleep(0.01)
    stand.interaction.open.set()
    await ending
    await stand.all_done()
    assert "Biscuit is ready" in stand.interaction.edits[-1] and "-# advice" in stand.interaction.edits[-1]
    assert len(stand.interaction.edits) == 2 and stand.interaction.words == ["<@42> **Biscuit** is ready."]


async def test_that_it_is_usable_is_shown_before_what_comes_after_it(store, kept):
    stand = Stand(store, every_s=0.5)
    stand.replies.open(kept, stand.interaction)
    stand.interaction.open.clear()  # all that follows comes while the first edit is under way
    for progress in (Progress("seeing", 1, 4), Progress("seeing", 2, 4), Progress("usable"), Progress("usable", ahead=1)):
        await stand.replies.progress(kept, progress)
    for step in range(1, 20):
        await stand.replies.progress(kept, learning(step))
        await asyncio.sleep(0)
    stand.interaction.open.set()
    await stand.all_done()
    headings = [edit.split("\n")[0] for edit in stand.interaction.edits]
    assert headings[-2:] == ["### Biscuit is usable now", "### Learning to say Biscuit"] and "19/100" in stand.interaction.edits[-1]
    assert len(stand.interaction.edits) <= 3


async def test_a_training_nobody_waits_for_ends_without_a_word(store, kept):
    stand = Stand(store, every_s=0.001)
    quiet = replace(kept, announce=NOWHERE, state=State.READY)
    await stand.replies.finished(quiet)
    await stand.all_done()
    assert (await store.concept(kept.id)).announced  # noted, so that it isn't asked again


async def test_the_last_word_is_not_said_twice_at_once(store, kept):
    stand = Stand(store, every_s=0.001)
    done = replace(kept, state=State.READY)
    await asyncio.gather(*(stand.replies.announce(done, stand.interaction) for _ in range(3)))
    assert len(stand.interaction.words) == 1


async def ended(store, kept, failure: str | None = None) -> Concept:
    """As the trainer leaves it, and hands it to `finished`."""
    claim = await store.claim_next("worker", 60)
    await (store.fail(claim, failure) if failure else store.save_embedding(claim, Embedding("vlm", b"x", 1, finished=True)))
    return await store.concept(kept.id)


async def test_what_goes_on_with_what_was_left_unsaid_leaves_the_word_to_whoever_is_about_to_say_it(store, kept):
    """The bot's tick comes while Discord still takes its time over the reply that is edited first."""
    stand = Stand(store, every_s=0.001)
    stand.replies.open(kept, stand.interaction)
    stand.interaction.open.clear()
    ending = asyncio.create_task(stand.replies.finished(await ended(store, kept)))
    while not stand.interaction.times:
        await asyncio.sleep(0.001)
    for concept in await store.unannounced():
        await stand.replies.announce(concept, stand.interaction)
    stand.interaction.open.set()
    await ending
    assert stand.interaction.words == ["<@42> **Biscuit** is ready."]
    for late in (await store.concept(kept.id), replace(await store.concept(kept.id), announced=False)):
        await stand.replies.announce(late, stand.interaction)
    assert len(stand.interaction.words) == 1, "whoever read it before it was said says it no more"


class Slow(Interaction):
    """Its words arrive when the test lets them."""

    async def send(self, content: str, **options: Any) -> None:
        self.times.append(0.0)
        await self.open.wait()
        self.words.append(content)


async def test_a_word_on_its_way_is_not_the_last_word_of_what_was_tried_again_meanwhile(store, kept):
    stand, slow = Stand(store, every_s=0.001), Slow()
    slow.open.clear()
    telling = asyncio.create_task(stand.replies.announce(await ended(store, kept, "no_face"), slow))
    while not slow.times:
        await asyncio.sleep(0.001)
    await store.retry(kept.id)
    await stand.replies.announce(await ended(store, kept), stand.interaction)
    slow.open.set()
    await telling
    assert "didn't work" in slow.words[0] and stand.interaction.words == []
    for concept in await store.unannounced():
        await stand.replies.announce(concept, stand.interaction)
    assert stand.interaction.words == ["<@42> **Biscuit** is ready."]


async def test_photos_that_come_while_it_is_told_that_a_person_was_shown_are_kept_and_learned(store, kept):
    stand, slow = Stand(store, every_s=0.001), Slow()
    slow.open.clear()
    telling = asyncio.create_task(stand.replies.announce(await ended(store, kept, SHOWS_PERSON), slow))
    while not slow.times:
        await asyncio.sleep(0.001)
    await store.add_photos(kept.id, [NewPhoto(photo_of(RED, 2), photo_of(RED, 2), "e")], Announce(5, 7), 10)
    slow.open.set()
    await telling
    concept = await store.concept(kept.id)
    assert (concept.state, concept.photo_count, concept.announced) == (State.QUEUED, 2, False)


async def test_what_comes_while_its_place_is_looked_up_is_shown_and_not_its_place(store, kept, monkeypatch):
    stand = Stand(store, every_s=0.05)
    stand.replies.open(kept, stand.interaction)
    await stand.replies.show_queued(kept)
    await stand.all_done()
    look_up = store.queue_position

    async def late(concept_id):
        place = await look_up(concept_id)
        await stand.replies.progress(kept, Progress("usable", ahead=1))
        return place

    monkeypatch.setattr(store, "queue_position", late)
    await stand.replies.move_up()
    await stand.all_done()
    assert ["usable now" in edit for edit in stand.interaction.edits] == [False, True]


async def test_one_that_is_usable_is_not_said_to_wait_for_its_turn_when_another_has_ended(store, kept):
    stand = Stand(store, every_s=0.2)
    stand.replies.open(kept, stand.interaction)
    await stand.replies.show_queued(kept)
    while not stand.interaction.edits:
        await asyncio.sleep(0.001)
    await store.claim_next("worker", 60)
    await stand.replies.progress(await store.concept(kept.id), Progress("usable", ahead=1))
    await stand.replies.move_up()
    await stand.all_done()
    assert ["usable now" in edit for edit in stand.interaction.edits] == [False, True]

"""Several faces and nothing tells whose is meant: the teacher is shown them, presses one, and the learning goes on."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

import numpy as np
import pytest
from bot_fakes import BLUE, ENCODER, FACES, GREEN, RED, FaceEngine, crowd, photo_of, sight_of_colour, sight_of_stripes
from PIL import Image
from test_discord_schema import faults, needs_spec
from test_teacher import ALICE, HERE, DeafStore, Room

from bot.asking import MOST, Choice, Question, meant_in, offered, only, question_of
from bot.drawing import numbered_faces
from bot.permissions import PEOPLE_SETTING
from bot.progress import faces_shown
from bot.sights import regions_of, sight_of
from bot.teaching import NOWHERE
from concept_store.errors import LeaseLost, NotFound
from concept_store.records import ConceptId, Kind, NewConcept, NewPhoto, Scope, State

COUPLES = {"photo1": ("a.jpg", crowd(RED, GREEN)), "photo2": ("b.jpg", crowd(GREEN, RED, seed=5))}


@pytest.fixture
def engine():
    return FaceEngine()


@pytest.fixture
async def crowded(town, bot):
    """People are allowed, and Bob has taught himself with photos that show somebody else too."""
    bot.people_allowed = bot.answerer.people_allowed = True
    await town.store.set_setting(town.guild.id, PEOPLE_SETTING, True)
    return await teach(town)


async def teach(town, name="Bobby", **photos):
    return await town.bob.slash(town.channel, "teach", name=name, kind="person", member=town.bob, **(photos or COUPLES))


async def bobby(town):
    return await town.store.find(Scope(town.bob.id, town.guild.id), "Bobby")


async def faces_kept(town, encoder=FACES):
    return [len(regions.boxes) for regions in await town.store.regions((await bobby(town)).id, encoder)]


def rows(message):
    boxes = [box if isinstance(box, dict) else box.to_dict() for box in message.components]
    return [part["components"] for box in boxes for part in box["components"] if part["type"] == 1]


def labels(message):
    return [[button["label"] for button in row] for row in rows(message)]


def button(message, label):
    return next(one["custom_id"] for row in rows(message) for one in row if one["label"] == label)


def whispered(result):
    """What the presser alone is told."""
    (told,) = result.followups
    assert told.ephemeral
    return told


# -- bystanders
async def test_faces_beside_a_pet_are_kept_neither_when_it_is_taught_nor_when_it_is_corrected(town, read):
    await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", photo1=("a.jpg", crowd(RED, GREEN)))
    biscuit = await town.store.find(Scope(town.alice.id, town.guild.id), "Biscuit")
    said = (await town.bob.slash(town.channel, "describe", photo=("b.jpg", crowd(RED, GREEN, seed=3)))).response
    assert "Biscuit" in read(said)
    await town.bob.click(said, label="✗ not Biscuit")
    for kept in (town.store.regions, town.store.corrections):
        assert len(await kept(biscuit.id, ENCODER)) == 1
        assert await kept(biscuit.id, FACES) == []


async def test_faces_beside_a_person_are_not_kept_once_it_is_known_which_is_theirs(town, bot, read):
    bot.people_allowed = bot.answerer.people_allowed = True
    await town.store.set_setting(town.guild.id, PEOPLE_SETTING, True)
    taught = await teach(town, photo1=("a.jpg", crowd(RED)), photo2=("b.jpg", crowd(GREEN, RED)))
    assert "Bobby is ready" in read(taught.response)
    assert [len(sight.boxes) for sight in town.engine.fitted[-1].positives] == [1, 2]
    assert await faces_kept(town) == [1, 1]
    (_, theirs) = await town.store.regions((await bobby(town)).id, FACES)
    assert theirs.boxes == ((0.5, 0.0, 1.0, 1.0),)


# -- asking and answering
async def test_the_teach_waits_and_its_teacher_alone_is_shown_the_faces(town, crowded, read):
    assert "Which face is Bobby?" in read(crowded.response) and "whoever taught it" in read(crowded.response)
    assert labels(crowded.response) == [["Which face?"]] and crowded.response.attachments == []
    question = whispered(crowded)
    assert labels(question) == [["1", "2"], ["Cancel"]] and [file.filename for file in question.attachments] == ["faces.jpg"]
    assert town.bob.mention in read(question) and "several in photo 1" in read(question)
    waiting = await bobby(town)
    assert (waiting.state, waiting.failure, waiting.announced) == (State.FAILED, "several_faces", True)
    assert town.engine.taught == []


async def test_the_pressed_face_is_learned_and_the_others_vectors_are_deleted(town, crowded, read):
    question = whispered(crowded)
    pressed = await town.bob.click(question, label="2")
    assert "Face 2 is **Bobby**" in read(pressed.response) and pressed.response.attachments == []
    assert "Bobby is ready" in read(crowded.response)
    assert (await bobby(town)).state is State.READY and await faces_kept(town) == [1, 1]
    assert [len(sight.boxes) for sight in town.engine.fitted[-1].positives] == [1, 2]
    assert [message.content for message in crowded.followups if "ready" in message.content] == [
        f"{town.bob.mention} **Bobby** is ready. For example: “Bobby on the grass.”"
    ]
    named = await town.alice.slash(town.channel, "describe", photo=("c.jpg", crowd(GREEN, BLUE, seed=7)))
    other = await town.alice.slash(town.channel, "describe", photo=("d.jpg", crowd(RED, BLUE, seed=7)))
    assert "Bobby" in read(named.response) and "Bobby" not in read(other.response)


async def test_nobody_but_the_teacher_is_shown_the_faces_or_chooses(town, crowded, read):
    shown = await town.alice.click(crowded.response, label="Which face?")
    assert shown.ephemeral and f"was taught by {town.bob.mention}" in read(shown.response) and shown.response.attachments == []
    waiting = await bobby(town)
    message = await faces_shown(waiting, question_of(waiting, await town.store.photos(waiting.id)))
    await town.bot.get_partial_messageable(town.channel.id).send(view=message.view, files=message.files())
    for label in ("1", "Cancel"):
        refused = await town.alice.click(town.channel.last_message, label=label)
        assert f"was taught by {town.bob.mention}" in read(whispered(refused))
    assert (await bobby(town)).failure == "several_faces"


async def test_its_teacher_can_have_the_faces_shown_again(town, crowded, read):
    again = await town.bob.click(crowded.response, label="Which face?")
    assert again.ephemeral and labels(again.response) == [["1", "2"], ["Cancel"]]
    page = await town.bob.slash(town.channel, "concepts show", name="Bobby")
    assert "waits for its teacher to choose a face" in read(page.response) and labels(page.response)[0][0] == "Which face?"
    again = await town.bob.click(page.response, label="Which face?")
    await town.bob.click(again.response, label="1")
    assert (await bobby(town)).state is State.READY


async def test_the_buttons_outlive_a_restart(town, env, crowded, new_bot, read):
    question = whispered(crowded)
    await env.restart_bot(new_bot(people_allowed=True))
    pressed = await town.bob.click(question, label="1")
    assert "Face 1 is **Bobby**" in read(pressed.response)
    assert (await bobby(town)).state is State.READY and "Bobby is ready" in read(crowded.response)
    assert town.channel.last_message.content.startswith(f"{town.bob.mention} **Bobby** is ready.")


async def test_old_and_double_presses_get_their_sentence(town, crowded, read):
    question, number = whispered(crowded), button(whispered(crowded), "1")
    again = await town.bob.click(crowded.response, label="Which face?")
    await town.bob.click(question, label="2")
    told = await town.bob.click(again.response, custom_id=number)
    assert "was said already" in read(whispered(told)) and await faces_kept(town) == [1, 1]
    await town.store.delete_concept((await bobby(town)).id)
    told = await town.bob.click(again.response, label="1")
    assert "has been forgotten meanwhile" in read(whispered(told))


async def test_a_face_that_is_asked_about_no_more_is_not_taken_for_another(town, crowded, read):
    """The engine was given other weights, finds the faces elsewhere and has asked anew; an old button is pressed."""
    first, _ = await town.store.photos((await bobby(town)).id)
    await town.store.offer_faces(first.id, [(0.0, 0.0, 0.3, 1.0), (0.4, 0.0, 1.0, 1.0)])
    told = await town.bob.click(whispered(crowded), label="1")
    assert "is asked anew by now" in read(whispered(told)) and (await bobby(town)).state is State.FAILED


async def test_cancelling_forgets_what_was_never_usable(town, crowded, read):
    concept = await bobby(town)
    told = await town.bob.click(whispered(crowded), label="Cancel")
    assert "**Bobby** is forgotten" in read(told.response) and "**Bobby** is forgotten" in read(crowded.response)
    assert await town.store.photos(concept.id) == []
    with pytest.raises(NotFound):
        await town.store.concept(concept.id)


async def test_cancelling_leaves_what_was_learned_before(town, crowded, read):
    await town.bob.click(whispered(crowded), label="2")
    concept = await bobby(town)
    await ask_anew(town, concept)
    page = await town.bob.slash(town.channel, "concepts show", name="Bobby")
    again = await town.bob.click(page.response, label="Which face?")
    assert "keeps everything as it is" in read(again.response)
    told = await town.bob.click(again.response, label="Cancel")
    assert "stays as it is" in read(told.response) and (await bobby(town)).has_head


async def ask_anew(town, concept, announce=NOWHERE):
    await fail_anew(town, concept, announce)
    await town.store.mark_announced(concept.id)


async def fail_anew(town, concept, announce=None):
    """A later training found the face no more."""
    first, _ = await town.store.photos(concept.id)
    await town.store.retry(concept.id, announce)
    claim = await town.store.claim_next("another", 60)
    await town.store.offer_faces(first.id, [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)])
    await town.store.fail(claim, "several_faces")


async def test_an_answer_to_a_training_nobody_waited_for_is_told_where_it_is_given(town, crowded, read):
    await town.bob.click(whispered(crowded), label="2")
    await ask_anew(town, await bobby(town))
    page = await town.bob.slash(town.channel, "concepts show", name="Bobby")
    again = await town.bob.click(page.response, label="Which face?")
    await town.bob.click(again.response, label="1")
    assert (await bobby(town)).state is State.READY
    assert town.channel.last_message.content.startswith(f"{town.bob.mention} **Bobby** is ready.")


async def test_of_many_faces_the_ten_largest_are_shown(town, crowded):
    colours, widths = [RED, GREEN, BLUE] * 4, [30, 10, 24, 24, 30, 24, 24, 12, 24, 24, 24, 24]
    told = await teach(town, "Crowd", photo1=("a.jpg", crowd(*colours, widths=widths)))
    assert labels(whispered(told)) == [["1", "2", "3", "4", "5"], ["6", "7", "8", "9", "10"], ["Cancel"]]


async def test_a_photo_that_cannot_be_opened_any_more_is_said(town, env, crowded, new_bot, read):
    kept = town.store.photos

    async def broken(concept_id):
        return [replace(photo, data=b"\xff\xd8 no more") for photo in await kept(concept_id)]

    town.store.photos = broken
    told = await town.bob.click(crowded.response, label="Which face?")
    assert "I can't open that photo of **Bobby**" in read(told.response)
    await fail_anew(town, await bobby(town))
    await town.bot.progress.announce(await bobby(town))  # never asked again and again: the plain last word is said
    assert "Learning **Bobby** didn't work. There are several faces" in town.channel.last_message.content


# -- where it is asked
async def asked_after_the_token_ran_out(town, env, name="Late"):
    town.engine.down = True
    await teach(town, name)
    await env.advance_time(16 * 60)
    town.engine.down = False
    await env.advance_time(130)


async def test_when_the_token_has_run_out_it_is_asked_in_person_and_answered_there(town, env, crowded, read):
    await asked_after_the_token_ran_out(town, env)
    question = town.bob.user.dm_channel.last_message
    assert "Which face is Late?" in read(question) and [file.filename for file in question.attachments] == ["faces.jpg"]
    await town.bob.user.click(question, label="1")
    assert (await town.store.find(Scope(town.bob.id, town.guild.id), "Late")).state is State.READY


async def test_who_takes_no_direct_messages_is_asked_in_the_channel_without_a_face(town, env, crowded, read):
    env.inject_error("POST", f"/channels/{town.bob.user.dm_channel.id}/messages", status=403, code=50007)
    await asked_after_the_token_ran_out(town, env)
    asked = town.channel.last_message
    assert "several faces in your photos of **Late**" in read(asked) and asked.attachments == []
    assert [user.id for user in asked.mentions] == [town.bob.id]
    shown = await town.bob.click(asked, label="Which face?")
    assert shown.ephemeral and labels(shown.response) == [["1", "2"], ["Cancel"]]


async def test_a_bot_killed_before_it_could_ask_asks_after_its_restart(town, env, crowded, new_bot, read):
    env.inject_error("POST", "/webhooks/*", status=500, times=None)
    await teach(town, "Late")
    late = await town.store.find(Scope(town.bob.id, town.guild.id), "Late")
    assert not late.announced
    env.backend.faults.clear()
    await env.restart_bot(new_bot(people_allowed=True))
    await env.settle()
    question = town.bob.user.dm_channel.last_message
    assert "Which face is Late?" in read(question) and labels(question) == [["1", "2"], ["Cancel"]]


@needs_spec
async def test_every_body_fits_discords_own_description(town, env, crowded):
    await asked_after_the_token_ran_out(town, env)
    await town.bob.click(crowded.response, label="Which face?")
    await town.bob.click(whispered(crowded), label="1")
    wrong = [fault for entry in env.http_requests if entry.json is not None for fault in faults(entry.method, entry.path, entry.json)]
    assert wrong == []
    bodies = [entry.json.get("data", entry.json) for entry in env.http_requests if isinstance(entry.json, dict)]
    policies = [body["allowed_mentions"] for body in bodies if "allowed_mentions" in body]
    pinged = {int(user) for policy in policies for user in policy.get("users", [])}
    assert pinged == {town.bob.id} and all(policy["parse"] == [] for policy in policies)


# -- the choice holds
async def test_an_engine_with_other_weights_takes_the_choice_over(town, crowded):
    await town.bob.click(whispered(crowded), label="2")
    town.engine.encoders = [*town.engine.encoders[:1], "faces-stripes:2"]
    await town.bot.teacher.relearn_outdated()
    await town.bot.teacher.wake()
    async with asyncio.timeout(30):
        while (await bobby(town)).state is not State.READY:
            await asyncio.sleep(0.01)
    again = await bobby(town)
    assert (again.state, again.announce) == (State.READY, NOWHERE)
    assert await faces_kept(town, "faces-stripes:2") == [1, 1]
    (chosen, _) = await town.store.regions(again.id, "faces-stripes:2")
    assert chosen.boxes == ((0.5, 0.0, 1.0, 1.0),)


async def test_a_choice_that_was_kept_before_a_kill_is_carried_out_after_it(town, env, crowded, new_bot):
    concept = await bobby(town)
    first, _ = await town.store.photos(concept.id)
    await town.store.choose_face(first.id, first.faces[1])
    again = await town.bob.click(crowded.response, label="Which face?")  # killed before the rest: it is still asked
    assert labels(again.response) == [["1", "2"], ["Cancel"]]
    await town.store.retry(concept.id)
    await env.restart_bot(new_bot(people_allowed=True))
    await env.settle()
    assert (await bobby(town)).state is State.READY and await faces_kept(town) == [1, 1]


async def test_a_bot_killed_between_keeping_the_faces_and_failing_the_teach_asks_all_the_same(store, engine):
    class Killed(DeafStore):
        async def fail(self, claim, failure):
            raise LeaseLost  # it never arrives

    room = Room(store, engine, lease_s=0.2)
    room.teacher.store = Killed(store)  # type: ignore[assignment]
    await store.set_setting(HERE, PEOPLE_SETTING, True)
    new = NewConcept("Bobby", Kind.PERSON, "person", ALICE, HERE, False, None)
    concept = await store.create_concept(new, [NewPhoto(data, b"small", name) for name, data in COUPLES.values()])
    await room.run()
    assert (await store.concept(concept.id)).state is State.TRAINING  # still claimed by the dead
    await asyncio.sleep(0.25)
    after = Room(store, engine)
    await after.run()
    (failed,) = after.listener.ended
    question = question_of(failed, await store.photos(concept.id))
    assert question == Question(question.photo, 1, ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)))


async def test_a_photo_that_comes_before_it_is_asked_answers_the_question(store):
    """The training that found several faces isn't the concept's any more: it neither asks nor forgets what the next has seen."""

    class Late(DeafStore):
        async def offer_faces(self, *what):
            (*_, last) = await self._store.photos(concept.id)
            if last.digest != "alone":
                await self._store.add_photos(concept.id, [NewPhoto(photo_of(RED, 7, (48, 64)), b"small", "alone")])
            await self._store.offer_faces(*what)

    room = Room(store, FaceEngine())
    room.teacher.store = Late(store)  # type: ignore[assignment]
    await store.set_setting(HERE, PEOPLE_SETTING, True)
    new = NewConcept("Bobby", Kind.PERSON, "person", ALICE, HERE, False, None)
    concept = await store.create_concept(new, [NewPhoto(data, b"small", name) for name, data in COUPLES.values()])
    await room.run()
    assert [(one.state, one.photo_count) for one in room.listener.ended] == [(State.READY, 3)]
    assert [photo.faces for photo in await store.photos(concept.id)] == [()] * 3


async def test_what_another_encoder_saw_in_the_photo_stays_as_it_is(town, crowded):
    concept = await bobby(town)
    for photo in await town.store.photos(concept.id):
        await town.store.save_regions(photo.id, regions_of(sight_of_colour(photo.data)))
    await town.bob.click(whispered(crowded), label="1")
    seen = await town.store.regions(concept.id, town.engine.encoders[0])
    assert [len(regions.boxes) for regions in seen] == [1, 1]


# -- what the engine says, and what is left of a photo
HALVES = [100, 100, 300, 400, 600, 100, 800, 400]


def test_the_engines_facts_become_the_faces_that_are_offered():
    assert offered({"photo": 1, "boxes": HALVES}, 2) == (1, ((0.1, 0.1, 0.3, 0.4), (0.6, 0.1, 0.8, 0.4)))


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"photo": 2, "boxes": HALVES},
        {"photo": -1, "boxes": HALVES},
        {"photo": "0", "boxes": HALVES},
        {"photo": 0, "boxes": HALVES[:7]},
        {"photo": 0, "boxes": HALVES[:4]},
        {"photo": 0, "boxes": [*HALVES[:4], 5, 5, 5, 5]},
        {"photo": 0, "boxes": HALVES[:4] * 2},
    ],
)
def test_facts_that_offer_nothing_to_choose_from_are_not_asked_about(facts):
    assert offered(facts, 2) is None


def test_the_largest_faces_are_offered_in_the_engines_order():
    boxes = [[at * 50, 0, at * 50 + 20 + at, 100] for at in range(14)]
    photo, faces = offered({"photo": 0, "boxes": [side for box in boxes for side in box]}, 1)
    assert photo == 0 and len(faces) == MOST and faces == tuple(sorted(faces)) and faces[0][0] == 0.2


async def test_an_engine_that_does_not_say_which_faces_fails_the_teach_as_before(town, crowded, read):
    from bot_fakes import refusal_of

    town.engine.refuse["fit"] = refusal_of("several_faces")
    told = await teach(town, "Nobody")
    assert "Learning Nobody didn't work" in read(told.response) and labels(told.response) == [["Try again"]]
    town.engine.refuse.clear()
    again = await town.bob.click(told.response, label="Try again")  # an engine of this version says them
    assert "Which face is Nobody?" in read(again.response) and labels(whispered(again)) == [["1", "2"], ["Cancel"]]


def test_the_real_engine_takes_the_chosen_face_for_the_one_that_is_meant():
    from myvlm_engine.errors import SeveralFaces
    from myvlm_engine.messages import FitRequest, Sight, pack
    from myvlm_engine.recognition.face_heads import fit_faces
    from myvlm_engine.recognition.face_vectors import lifted

    rng, places = np.random.default_rng(1), [(0.1, 0.1, 0.3, 0.4), (0.6, 0.1, 0.8, 0.4)]
    couple = rng.normal(size=(2, 128))
    couple *= 1.4 / np.linalg.norm(couple, axis=1, keepdims=True)
    looks = [lifted(couple + rng.normal(size=(2, 128), scale=0.01)) for _ in range(2)]
    seen = [Sight(encoder="faces-1-dlib-00000000", width=130, vectors=pack(look), boxes=places) for look in looks]
    with pytest.raises(SeveralFaces) as refused:
        fit_faces(FitRequest(kind="person", positives=seen))
    photo, faces = offered(refused.value.reply().facts, len(seen))
    seen[photo] = sight_of(only(regions_of(seen[photo]), faces[1]))
    head, boxes = fit_faces(FitRequest(kind="person", positives=seen))
    assert len(head.biases) == 2 and boxes == [places[1], places[1]]


def test_the_chosen_face_is_found_again_by_its_place():
    seen = regions_of(sight_of_stripes(crowd(RED, GREEN, BLUE), FACES))
    left = only(seen, (0.3, 0.0, 0.7, 1.0))
    assert left.boxes == seen.boxes[1:2] and np.array_equal(left.vectors, seen.vectors[1:2])
    assert only(seen, (0.9, 0.0, 0.95, 0.1)) is seen  # it isn't there any more
    assert only(left, (0.0, 0.0, 0.1, 0.1)) is left  # an only face stays
    nothing = replace(seen, vectors=seen.vectors[:0], boxes=())
    assert only(nothing, (0.0, 0.0, 1.0, 1.0)) is nothing


def test_of_a_photo_without_the_person_no_face_is_kept():
    whole = (0.0, 0.0, 1.0, 1.0)  # what the engine says then
    seen = regions_of(sight_of_stripes(crowd(RED, GREEN, BLUE), FACES))
    nobody = meant_in(seen, whole)
    assert (nobody.boxes, nobody.vectors.shape) == ((), (0, seen.vectors.shape[1]))
    assert meant_in(nobody, whole) is nobody
    assert meant_in(seen, seen.boxes[1]).boxes == seen.boxes[1:2]
    filling = replace(seen, boxes=(seen.boxes[0], whole, seen.boxes[2]))
    assert meant_in(filling, whole).boxes == (whole,)


def test_a_choice_comes_back_from_its_button_and_fits_it():
    choice = Choice(ConceptId("f" * 32), 10, (0.123, 0.0, 1.0, 0.999))
    assert Choice.unpack(choice.packed) == choice and len(f"face:0:{choice.packed}") <= 100
    assert Choice.unpack(replace(choice, concept_id=ConceptId("an-id-with-dashes")).packed).concept_id == "an-id-with-dashes"


def test_the_faces_are_drawn_side_by_side_with_their_numbers_below():
    sheet = Image.open(io.BytesIO(numbered_faces(crowd(RED, GREEN, BLUE, widths=[90] * 3), [(0, 0, 1 / 3, 1), (2 / 3, 0, 1, 1)])))
    pixels = np.asarray(sheet.convert("RGB"), dtype=int)
    height, width = pixels.shape[:2]
    assert width > 2 * 160 and height > 160
    assert pixels[80, 80].argmax() == 0 and pixels[80, width - 80].argmax() == 2  # red, then blue
    below = pixels[172:, :]
    assert (below[:, : width // 2] < 100).all(2).any() and (below[:, width // 2 :] < 100).all(2).any()
    two_rows = Image.open(io.BytesIO(numbered_faces(crowd(RED, GREEN), [(0, 0, 0.5, 1)] * 6)))
    assert two_rows.height == pytest.approx(2 * height, abs=10) and two_rows.width > 5 * 160
    with pytest.raises(OSError):
        numbered_faces(b"\xff\xd8 no more", [(0, 0, 1, 1)] * 2)

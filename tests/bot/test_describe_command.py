"""/describe, /ask and "Describe photos": what is said, who sees it, and what goes wrong."""

from __future__ import annotations

import pytest
from bot_fakes import BLUE, GREEN, RED, painted, photo_of, upload, uploads

from bot.engine_client import EngineError, EngineUnreachable


async def teach(town, name="Biscuit", colour=RED, who=None, **more):
    return await (who or town.alice).slash(town.channel, "teach", name=name, kind="pet", **uploads(colour), **more)


def gallery_of(message):
    """The descriptions (alt texts) of the pictures shown."""
    (box,) = message.components
    return [item["description"] for part in box["components"] if part["type"] == 12 for item in part["items"]]


async def test_the_photo_is_shown_with_the_sentence_as_its_alt_text(town, read):
    told = await town.bob.slash(town.channel, "describe", photo=upload(GREEN))
    assert "an animal on the grass." in read(told.response) and "Nobody and nothing I know" in read(told.response)
    assert gallery_of(told.response) == ["an animal on the grass."]
    (shown,) = told.response.attachments
    assert shown.filename == "photo.jpg" and not told.ephemeral


async def test_the_embedding_is_used_once_it_is_learned_and_the_name_is_put_in_before(town, read):
    town.engine.refuse["teach"] = EngineError("busy")
    await teach(town, what="dog")
    early = await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))
    assert "the name stands in for “dog” (still learning to say it)" in read(early.response)
    assert town.engine.answered[-1].concepts[0].embedding is None
    town.engine.refuse.clear()
    await town.env.advance_time(130)
    late = await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))
    assert "stands in" not in read(late.response) and "Biscuit** recognised, 9" in read(late.response)
    assert town.engine.answered[-1].concepts[0].embedding


async def test_those_who_are_not_in_the_photo_must_not_be_named(town):
    await teach(town, "Red", RED)
    await teach(town, "Blue", BLUE)
    await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))
    request = town.engine.answered[-1]
    assert [concept.name for concept in request.concepts] == ["Red"] and request.absent_names == ["Blue"]


async def test_a_question_is_answered(town, read):
    await teach(town)
    told = await town.bob.slash(town.channel, "ask", question=" is it\nBiscuit? ", photo=upload(RED, 9))
    assert "yes, Biscuit" in read(told.response) and "is it Biscuit?" in read(told.response)
    assert town.engine.answered[-1].question == "is it Biscuit?"


async def test_a_private_answer_is_seen_by_the_asker_only(town):
    for command, more in (("describe", {}), ("ask", {"question": "what is it?"})):
        told = await town.bob.slash(town.channel, command, photo=upload(RED), private=True, **more)
        assert told.ephemeral


@pytest.mark.parametrize("question, words", [("  \u200b ", "There is no question"), ("x" * 301, "301 characters")])
async def test_no_question_and_a_long_one_get_their_sentences(town, read, question, words):
    told = await town.bob.slash(town.channel, "ask", question=question, photo=upload(RED))
    assert words in read(told.response) and told.ephemeral


@pytest.mark.parametrize(
    "file, words",
    [
        (("a.jpg", b""), "This file is empty"),
        (("a.jpg", b"not a picture"), "This file isn't a picture"),
        (("a.jpg", b"\xff\xd8" + b"x" * 11 * 1024 * 1024), "This file is too big: 11.0 MB, and I open up to 10.0 MB"),
        (("a.jpg", photo_of(RED, size=(900, 900))[:4000]), "This file is damaged"),
        (("a.pdf", b"%PDF-1.7"), "This file is a PDF"),
    ],
)
async def test_what_is_no_photo_gets_its_sentence(town, read, file, words):
    told = await town.bob.slash(town.channel, "describe", photo=file)
    assert words in read(told.response)


@pytest.mark.parametrize(
    "error, words",
    [
        (EngineUnreachable(), "My eyes are away"),
        (EngineUnreachable(slow=True), "took too long"),
        (EngineError("busy", {"waiting": 16}), "I'm busy with other photos"),
        (EngineError("not_ready"), "still waking up"),
        (EngineError("internal", {"type": "KeyError"}), "Something broke on my side"),
        (ValueError("a surprise"), "Something broke on my side"),
    ],
)
async def test_an_engine_that_is_away_or_refuses_is_told_in_words(town, read, error, words):
    for verb in ("see", "answer"):
        town.engine.refuse = {verb: error}
        told = await town.bob.slash(town.channel, "describe", photo=upload(RED))
        assert words in read(told.response)


async def test_when_the_engine_was_given_another_model_the_answer_comes_by_substitution(town, read):
    """The old fingerprint is asked for once, refused, and forgotten."""
    await teach(town, what="dog")
    await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))
    original = town.engine.answer

    async def strict(request):
        if any(concept.embedding for concept in request.concepts):
            raise EngineError("other_vlm", {"expected": "raven:1", "found": "parrot:1"})
        return await original(request)

    town.engine.vlm, town.engine.answer = "raven:1", strict
    told = await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))
    assert "Biscuit on the grass." in read(told.response) and "(learned for another model)" in read(told.response)


async def test_an_engine_that_stays_another_one_is_told_to_who_can_do_something(town, read):
    """No command has a concept that is ready learned again, and it is by itself."""
    town.engine.refuse["answer"] = EngineError("other_vlm", {"expected": "raven:1", "found": "parrot:1"})
    told = read((await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))).response)
    assert "learned again by itself" in told and "tell whoever runs the bot" in told
    assert town.engine.calls.count("answer") == 2


async def test_a_name_like_an_absent_one_may_be_said_when_it_fired(town):
    """Two members' private and public Biscuit: the one that fired must not be forbidden by the other."""
    await teach(town, "Biscuit", BLUE, private=True)
    await teach(town, "Biscuit", RED, who=town.bob)
    await town.alice.slash(town.channel, "describe", photo=upload(RED, 9))
    request = town.engine.answered[-1]
    assert [concept.name for concept in request.concepts] == ["Biscuit"] and request.absent_names == []


async def test_what_the_model_says_pings_nobody_and_formats_nothing(town, read):
    async def rude(request):
        from myvlm_engine.messages import AnswerReply

        return AnswerReply(text="@everyone look **here** <@1>", base_text="", named=[], seconds=0.1)

    town.engine.answer = rude
    told = await town.bob.slash(town.channel, "describe", photo=upload(RED))
    assert "@everyone" not in read(told.response) and "\\*\\*here" in read(told.response)
    assert not told.response.message.mentions and not told.response.message.mention_everyone


# -- who is small in the photo
def with_a_patch(colour=RED):
    """A sixteenth of it, in a corner; a quarter of the photo is that colour by a quarter."""
    return painted((100, 122, 100), colour, (0, 0, 20, 20), (80, 80))


async def test_a_place_where_somebody_may_be_is_looked_at_closer_and_then_decides(town, read):
    town.engine.sees_quarters = True
    await teach(town)
    told = await town.bob.slash(town.channel, "describe", photo=with_a_patch())
    assert "Biscuit on the grass." in read(told.response) and "Is this" not in read(told.response)
    assert town.engine.looked_closer == [[(0.0, 0.0, 0.5, 0.5), *town.engine.looked_closer[0][1:]]]
    left, top, right, bottom = town.engine.answered[-1].concepts[0].box
    assert left == top == 0 and 0.25 <= right == bottom < 0.3, "the patch, of which the quarter saw less"
    why = await town.bob.click(told.response, label="Why?")
    assert "Biscuit" in read(why.followups[-1] if why.followups else why.response) and len(town.engine.looked_closer) == 2
    where = await town.bob.slash(town.channel, "where", name="Biscuit", photo=with_a_patch())
    assert len(town.engine.looked_closer) == 3 and "Biscuit" in read(where.response)


async def test_nothing_is_looked_at_closer_where_nobody_may_be(town, read):
    town.engine.sees_quarters = True
    await teach(town)
    assert "nimal on the grass." in read((await town.bob.slash(town.channel, "describe", photo=upload(BLUE))).response)
    assert town.engine.looked_closer == []
    assert "Biscuit on the grass." in read((await town.bob.slash(town.channel, "describe", photo=upload(RED, 5))).response)
    assert len(town.engine.looked_closer) == 1, "before anybody is named"


async def test_an_engine_that_can_t_look_closer_decides_by_what_it_saw(town, read):
    town.engine.sees_quarters = True
    await teach(town)
    see = town.engine.see

    async def at_first_sight(photo, taught=False, places=(), faces=True):
        reply = await see(photo, taught, places, faces)
        return reply.model_copy(update={"sights": []}) if places else reply

    town.engine.see = at_first_sight
    told = await town.bob.slash(town.channel, "describe", photo=with_a_patch())
    assert len(town.engine.looked_closer) == 1 and "Biscuit on the grass" not in read(told.response)


# -- the message command
async def test_photos_of_a_message_are_described_to_the_asker_only(town, read):
    await teach(town)
    files = [upload(RED, 9), ("notes.txt", b"hello"), upload(GREEN, 9)]
    message = await town.bob.send(town.channel, "look", attachments=files)
    told = await town.alice.context_menu(town.channel, "Describe photos", message)
    assert told.ephemeral and all(answer.ephemeral for answer in told.followups)
    assert "Biscuit on the grass." in read(told.response)
    assert ["an animal on the grass." in read(answer) for answer in told.followups] == [True]
    assert len(await town.store.known(scope(town))) == 1  # nothing was learned from it


async def test_photos_of_a_forwarded_message_are_described_too(town, read):
    await teach(town)
    message = await town.bob.send(town.channel, "look", attachments=[upload(RED, 9), ("notes.txt", b"hello")])
    forwarded = await town.bob.forward(message, town.channel)
    assert forwarded.attachments == []
    told = await town.alice.context_menu(town.channel, "Describe photos", forwarded)
    assert "Biscuit on the grass." in read(told.response) and told.ephemeral and told.followups == []


async def test_a_message_without_a_photo_gets_its_sentence(town, read):
    for files in ([], [("notes.txt", b"hello")]):
        message = await town.bob.send(town.channel, "look", attachments=files)
        told = await town.alice.context_menu(town.channel, "Describe photos", message)
        assert "There is no photo in that message" in read(told.response) and told.ephemeral


async def test_a_damaged_photo_of_a_message_is_called_by_its_number(town, read):
    files = [upload(GREEN, 9), ("b.jpg", photo_of(RED, size=(900, 900))[:4000])]
    message = await town.bob.send(town.channel, "look", attachments=files)
    told = await town.alice.context_menu(town.channel, "Describe photos", message)
    assert "an animal" in read(told.response)
    assert "Photo 2 is damaged" in read(told.followups[0])


async def test_a_damaged_photo_keeps_none_of_the_others_back_and_more_than_four_are_said(town, read):
    files = [("a.jpg", photo_of(RED, size=(900, 900))[:4000]), *(upload(GREEN, at) for at in range(5))]
    message = await town.bob.send(town.channel, "look", attachments=files)
    told = await town.alice.context_menu(town.channel, "Describe photos", message)
    said = [read(told.response), *map(read, told.followups)]
    assert "Photo 1 is damaged" in said[0] and all("an animal" in one for one in said[1:4])
    assert said[4:] == ["These are the first 4 of 6 photos. Send the others to `/describe`."]


def scope(town):
    from concept_store.records import Scope

    return Scope(town.alice.id, town.guild.id)

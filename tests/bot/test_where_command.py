"""/where, and why somebody was recognised: the frame, the score and the taught photo."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from bot_fakes import ENCODER, GREEN, RED, photo_of, refusal_of, upload, uploads
from PIL import Image

from bot.drawing import boxed
from bot.explaining import most_alike
from bot.replies import percent, where
from concept_store.records import Match, Regions, Scope


async def teach(town, name="Biscuit", colour=RED, **more):
    return await town.alice.slash(town.channel, "teach", name=name, kind="pet", **uploads(colour), **more)


async def test_where_frames_the_place_and_says_how_sure(town, read):
    await teach(town)
    told = await town.bob.slash(town.channel, "where", name="biscuit", photo=upload(RED, 9))
    assert "**Biscuit** is here, 9" in read(told.response)
    (shown,) = told.response.attachments
    assert shown.filename == "where.jpg" and not told.ephemeral


@pytest.mark.parametrize(
    ("places", "framed"),
    [
        (None, (0.0, 0.0, 1.0, 1.0)),  # a VLM that doesn't ground: by the head alone
        ([], (0.0, 0.0, 1.0, 1.0)),
        ([(0.0, 0.0, 0.2, 0.2), (0.1, 0.0, 1.0, 0.8)], (0.1, 0.0, 1.0, 0.8)),
        ([(0.0, 0.0, 0.2, 0.2)], (0.0, 0.0, 1.0, 1.0)),  # another dog's
    ],
)
async def test_where_a_vlm_grounds_the_frame_is_its_own_if_it_agrees_with_the_head(town, read, monkeypatch, places, framed):
    await teach(town, what="dog")
    town.engine.places, drawn = places, []
    monkeypatch.setattr("bot.commands.where.boxed", lambda photo, boxes: drawn.extend(boxes) or photo)
    told = await town.bob.slash(town.channel, "where", name="biscuit", photo=upload(RED, 9))
    assert "**Biscuit** is here, 9" in read(told.response) and drawn == [framed]
    assert [request.class_noun for request in town.engine.located] == ([] if places is None else ["dog"])


async def test_where_an_engine_can_t_tell_the_place_the_head_does(town, read):
    await teach(town)
    town.engine.places, town.engine.refuse["locate"] = [(0.1, 0.0, 1.0, 0.8)], refusal_of("out_of_memory")
    told = await town.bob.slash(town.channel, "where", name="biscuit", photo=upload(RED, 9))
    assert "**Biscuit** is here, 9" in read(told.response) and told.response.attachments


async def test_where_says_that_it_is_not_there_or_not_known(town, read):
    await teach(town)
    absent = await town.bob.slash(town.channel, "where", name="Biscuit", photo=upload(GREEN, 9))
    assert "I don't see Biscuit in this photo." in read(absent.response)
    unknown = await town.bob.slash(town.channel, "where", name="Milo", photo=upload(GREEN, 9))
    assert "I don't know anyone or anything called `Milo`" in read(unknown.response)


async def test_one_that_was_not_seen_yet_is_not_said_to_be_absent(town, read):
    town.engine.down = True
    await teach(town)
    town.engine.down = False
    told = await town.bob.slash(town.channel, "where", name="Biscuit", photo=upload(RED, 9))
    assert "I haven't met **Biscuit** yet" in read(told.response)


async def test_a_doubtful_place_and_one_without_a_place_are_said_so(town):
    await teach(town)
    concept = await town.store.find(Scope(town.alice.id, town.guild.id), "Biscuit")
    assert where(concept, Match(concept, 0.401, (0, 0, 1, 1)), certain=False) == "Perhaps **Biscuit** is here: I'm only 40 % sure."
    assert "where, I can't tell" in where(concept, Match(concept, 1.0, None), certain=True)


async def test_why_shows_the_frame_the_score_and_the_taught_photo_to_who_asks(town, read):
    await teach(town)
    said = await town.bob.slash(town.channel, "describe", photo=upload(RED, 2))
    told = await town.bob.click(said.response, label="Why?")
    (reason,) = told.followups
    assert reason.ephemeral and {file.filename for file in reason.attachments} == {"why.jpg", "taught0.jpg"}
    assert "🟥 **Biscuit**, 9" in read(reason) and re.search(r"most like photo [1-4] of the 4", read(reason))
    at_once = await town.bob.slash(town.channel, "describe", photo=upload(RED, 2), why=True)
    assert re.search(r"most like photo [1-4] of the 4", read(at_once.followups[0]))


async def test_why_shows_nobody_the_taught_photos_of_somebody_elses_private_concept(town, read):
    await teach(town, private=True)
    said = await town.alice.slash(town.channel, "describe", photo=upload(RED, 2))
    (theirs,) = (await town.bob.click(said.response, label="Why?")).followups
    assert "I recognised nobody here" in read(theirs) and not theirs.attachments
    (mine,) = (await town.alice.click(said.response, label="Why?")).followups
    assert "**Biscuit**" in read(mine)


async def test_why_of_nobody_and_of_what_a_member_said_has_its_sentence(town, read):
    await teach(town)
    nobody = await town.bob.slash(town.channel, "describe", photo=upload(GREEN, 9), why=True)
    assert "I recognised nobody here" in read(nobody.followups[0])


def test_a_frame_is_drawn_where_the_box_is_and_nowhere_else():
    before = Image.open(io.BytesIO(photo_of(GREEN, size=(200, 100))))
    after = Image.open(io.BytesIO(boxed(photo_of(GREEN, size=(200, 100)), [(0.5, 0.0, 1.0, 1.0), None])))
    changed = np.abs(np.asarray(before, dtype=int) - np.asarray(after, dtype=int)).max(2) > 60
    assert after.size == before.size
    assert changed[:, 99:102].any(1).all() and changed[:, 197:].any(1).all()
    assert not changed[:, :90].any() and not changed[10:90, 110:190].any()


def test_the_taught_photo_is_the_one_with_the_nearest_region():
    taught = [
        Regions(ENCODER, np.eye(3, dtype=np.float16)[[0]], ((0, 0, 1, 1),)),
        Regions(ENCODER, np.eye(3, dtype=np.float16)[[1, 2]], ((0, 0, 1, 1),) * 2),
    ]
    assert most_alike(np.array([0.1, 0.2, 0.9], dtype=np.float16), taught) == 1


@pytest.mark.parametrize("score, words", [(0.999, "99 %"), (0.5, "50 %")])
def test_nothing_is_ever_said_to_be_sure_for_certain(score, words):
    assert percent(score) == words


async def test_a_photo_that_was_posted_as_a_spoiler_stays_one(town, read):
    """In the answer, in the corrected one, in "Why?" and in /where."""
    await teach(town)

    def blurred(message):
        galleries = [part for box in message.components for part in box["components"] if part["type"] == 12]
        return [item["spoiler"] for gallery in galleries for item in gallery["items"]]

    name, data = upload(RED, 9)
    hidden = (f"SPOILER_{name}", data)
    said = (await town.bob.slash(town.channel, "describe", photo=hidden)).response
    assert blurred(said) == [True]
    told = await town.bob.click(said, label="Why?")
    assert blurred(told.followups[-1]) == [True]
    corrected = await town.bob.click(said, label="✗ not Biscuit")
    assert blurred(corrected.response) == [True]
    assert blurred((await town.bob.slash(town.channel, "where", name="Biscuit", photo=hidden)).response) == [True]
    assert blurred((await town.bob.slash(town.channel, "describe", photo=(name, data))).response) == [False]


async def test_of_two_of_one_name_the_one_that_is_there_is_found(town, read):
    """Alice's own, and the one that the server knows."""
    await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", private=True, **uploads(RED))
    await town.bob.slash(town.channel, "teach", name="Biscuit", kind="pet", **uploads(GREEN))
    for colour in (RED, GREEN):
        place = await town.alice.slash(town.channel, "where", name="Biscuit", photo=upload(colour, 9))
        assert "**Biscuit** is here" in read(place.response)
    place = await town.bob.slash(town.channel, "where", name="Biscuit", photo=upload(RED, 9))
    assert "I don't see Biscuit" in read(place.response)


async def test_where_somebody_was_told_to_be_and_no_head_sees_it_no_frame_is_claimed(town, read):
    await teach(town)
    said = (await town.bob.slash(town.channel, "describe", photo=upload(GREEN, 9))).response
    assert "Biscuit" not in read(said)
    biscuit = await town.store.find(Scope(town.alice.id, town.guild.id), "Biscuit")
    told = await town.bob.select(said, [biscuit.id])
    assert "Biscuit" in read(told.response)
    why = await town.bob.click(told.response, label="Why?")
    assert "somebody told me that it is in this photo" in read(why.followups[-1])
    place = await town.bob.slash(town.channel, "where", name="Biscuit", photo=upload(GREEN, 9))
    assert "because somebody told me so" in read(place.response)

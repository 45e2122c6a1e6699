"""People: off until operator and server allow them, asked before any photo is looked at, gone when they take it back."""

from __future__ import annotations

import discord
import pytest
from bot_fakes import BLUE, RED, upload, uploads

from concept_store.errors import NotFound
from concept_store.records import Scope

pytestmark = pytest.mark.usefixtures("people_on")


@pytest.fixture
def people_on(bot):
    """The operator's switch."""
    bot.people_allowed = bot.answerer.people_allowed = True


async def allowed_by(town, member, allowed=True):
    return await member.slash(town.channel, "people allow", allowed=allowed)


@pytest.fixture
async def manager(town):
    role = town.guild.create_role("boss", permissions=discord.Permissions(manage_guild=True))
    return town.guild.add_member(town.env.create_user("carol"), roles=[role])


@pytest.fixture
async def allowed(town, manager):
    await allowed_by(town, manager)


async def teach(town, who, member, **more):
    return await who.slash(town.channel, "teach", name="Bobby", kind="person", member=member, **{**uploads(RED), **more})


async def known(town):
    return [concept.name for concept in await town.store.known(Scope(town.alice.id, town.guild.id))]


async def press(town, who, message, label):
    return await who.click(message, label=label)


async def test_a_server_has_people_off_until_its_manager_allows_them(town, manager, read):
    refused = await teach(town, town.bob, town.bob)
    assert "/people allow" in read(refused.response) and await known(town) == []
    assert "Manage Server" in read((await allowed_by(town, town.alice)).response)
    assert "can be taught here now" in read((await allowed_by(town, manager)).response)
    assert "Bobby is ready" in read((await teach(town, town.bob, town.bob)).response)


async def test_an_operator_that_has_people_off_is_not_overruled(town, manager, read):
    town.bot.people_allowed = False
    assert "whoever runs the bot to set `engine.people = true`" in read((await allowed_by(town, manager)).response)
    assert "People are off" in read((await teach(town, town.bob, town.bob)).response)


async def test_a_member_is_asked_before_any_photo_is_looked_at(town, allowed, read):
    question = (await teach(town, town.alice, town.bob)).response
    assert "May I learn your face?" in read(question) and town.bob.mention in read(question)
    sent = next(entry.json for entry in town.env.http_requests if "May I learn" in str(entry.json))
    assert sent["allowed_mentions"]["users"] == [town.bob.id] and not sent["allowed_mentions"].get("parse")
    assert await known(town) == [] and "see" not in town.engine.calls


async def test_only_the_member_agrees_and_then_the_teacher_may_teach(town, allowed, read):
    question = (await teach(town, town.alice, town.bob)).response
    wrong = await press(town, town.alice, question, "I agree")
    assert "Only the person it asks" in read(wrong.response)
    agreed = await press(town, town.bob, question, "I agree")
    assert "agreed" in read(question)
    (told,) = agreed.followups  # the teacher is notified, by a message of its own
    sent = next(entry.json for entry in reversed(town.env.http_requests) if entry.method == "POST")
    assert "Run `/teach` again" in told.content and sent["content"] == told.content
    assert sent["allowed_mentions"]["users"] == [town.alice.id] and not sent["allowed_mentions"]["parse"]
    assert "Bobby is ready" in read((await teach(town, town.alice, town.bob)).response)
    (concept,) = await town.store.known(Scope(town.alice.id, town.guild.id))
    assert concept.subject_id == town.bob.id and concept.owner_id == town.alice.id


async def test_a_member_who_declines_is_not_taught(town, allowed, read):
    question = (await teach(town, town.alice, town.bob)).response
    await press(town, town.bob, question, "No")
    assert "rather not" in read(question)
    assert "May I learn" in read((await teach(town, town.alice, town.bob)).response) and await known(town) == []


async def test_withdrawing_deletes_everything_and_asks_anew(town, allowed, read):
    question = (await teach(town, town.alice, town.bob)).response
    await press(town, town.bob, question, "I agree")
    await teach(town, town.alice, town.bob)
    (concept,) = await town.store.known(Scope(town.alice.id, town.guild.id))
    gone = await town.bob.slash(town.channel, "people withdraw")
    assert "1 concept" in read(gone.response) and await known(town) == []
    assert await town.store.photos(concept.id) == []
    with pytest.raises(NotFound):
        await town.store.concept(concept.id)
    assert "May I learn" in read((await teach(town, town.alice, town.bob)).response)


async def test_where_people_are_switched_off_again_nobody_is_recognised(town, allowed, manager, read):
    await teach(town, town.bob, town.bob)
    assert "Bobby" in read((await town.alice.slash(town.channel, "describe", photo=upload(RED, 77))).response)
    forbidden = await allowed_by(town, manager, allowed=False)
    assert "is kept and not used" in read(forbidden.response) and len(await known(town)) == 1
    assert "Bobby" not in read((await town.alice.slash(town.channel, "describe", photo=upload(RED, 78))).response)


async def test_who_is_asked_about_where_people_are_off_is_not_said_to_be_missing(town, allowed, manager, read):
    await teach(town, town.bob, town.bob)
    await allowed_by(town, manager, allowed=False)
    for asked in (
        await town.alice.slash(town.channel, "where", name="Bobby", photo=upload(RED, 9)),
        await town.alice.slash(town.channel, "ask", question="Is Bobby asleep?", photo=upload(RED, 9)),
    ):
        assert "People are off on this server" in read(asked.response) and "don't see" not in read(asked.response)
    town.bot.people_allowed = town.bot.answerer.people_allowed = False
    asked = await town.alice.slash(town.channel, "where", name="Bobby", photo=upload(RED, 9))
    assert "switched off for all servers" in read(asked.response)


async def test_a_pet_with_the_name_of_a_person_who_is_off_is_looked_for(town, allowed, manager, read):
    """Two members' private and public Bobby."""
    await town.alice.slash(town.channel, "teach", name="Bobby", kind="pet", private=True, **uploads(BLUE))
    await teach(town, town.bob, town.bob)
    await allowed_by(town, manager, allowed=False)
    asked = await town.alice.slash(town.channel, "ask", question="Is Bobby asleep?", photo=upload(RED, 9))
    assert "I don't see Bobby" in read(asked.response) and "People are off" not in read(asked.response)
    asked = await town.bob.slash(town.channel, "ask", question="Is Bobby asleep?", photo=upload(RED, 9))
    assert "People are off on this server" in read(asked.response)


async def test_a_person_is_named_on_the_server_only_where_they_agreed(town, env, allowed, read):
    """A private concept goes where its teacher goes; a person agreed to one server."""
    question = (await teach(town, town.alice, town.bob, private=True)).response
    await press(town, town.bob, question, "I agree")
    await teach(town, town.alice, town.bob, private=True)
    assert "Bobby" in read((await town.alice.slash(town.channel, "describe", photo=upload(RED, 9))).response)
    away = env.create_guild("away")
    channel, member = away.create_text_channel("photos"), away.add_member(town.alice.user)
    await town.store.set_setting(away.id, "people", True)
    said = await member.slash(channel, "describe", photo=upload(RED, 9))
    assert "Bobby" not in read(said.response)
    asked = await member.slash(channel, "ask", question="Is Bobby asleep?", photo=upload(RED, 9))
    assert "on another server, not here" in read(asked.response)
    alone = await town.alice.user.slash("describe", photo=upload(RED, 9))
    assert "Bobby" not in read(alone.response)


async def test_no_face_is_described_where_people_are_off(town, env, allowed, monkeypatch):
    asked, see = [], town.engine.see

    async def seen(*args, **options):
        asked.append(options["faces"])
        return await see(*args, **options)

    monkeypatch.setattr(town.engine, "see", seen)
    await town.alice.slash(town.channel, "describe", photo=upload(RED, 9))
    away = env.create_guild("away")
    channel, member = away.create_text_channel("photos"), away.add_member(town.alice.user)
    await member.slash(channel, "describe", photo=upload(RED, 9))
    await town.alice.user.slash("describe", photo=upload(RED, 9))
    assert asked == [True, False, False]
    await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", photo1=upload(BLUE, 1))
    await town.bob.slash(town.channel, "teach", name="Bobby", kind="person", member=town.bob, photo1=upload(RED, 2))
    assert asked[3:] == [False, True]


async def test_who_takes_it_back_while_the_photos_are_read_is_not_taught(town, allowed, read, monkeypatch):
    question = (await teach(town, town.alice, town.bob)).response
    await press(town, town.bob, question, "I agree")
    fetch = town.bot.reader.fetch

    async def fetched(*args):
        await town.store.withdraw_consent(town.bob.id, town.guild.id)
        return await fetch(*args)

    monkeypatch.setattr(town.bot.reader, "fetch", fetched)
    refused = await teach(town, town.alice, town.bob)
    assert "taken it back" in read(refused.response) and await known(town) == []


async def test_nobodys_face_is_left_in_a_channel(town, allowed, read):
    learned = await teach(town, town.bob, town.bob)
    assert "Bobby is ready" in read(learned.response) and not learned.response.attachments
    gone = await town.bob.slash(town.channel, "people withdraw")
    assert "1 concept" in read(gone.response)
    assert "**Bobby** is forgotten" in read(learned.response)


async def test_taking_it_back_on_one_server_says_nothing_of_another(town, env, allowed, read):
    town.engine.down = True
    here = await teach(town, town.bob, town.bob)
    away = env.create_guild("away")
    channel, member = away.create_text_channel("photos"), away.add_member(town.bob.user)
    await member.slash(channel, "people withdraw")
    assert "forgotten" not in read(here.response) and await known(town) == ["Bobby"]


async def test_whose_face_was_to_be_learned_deletes_it_and_its_teacher_is_told(town, allowed, read):
    question = (await teach(town, town.alice, town.bob)).response
    await press(town, town.bob, question, "I agree")
    town.engine.down = True
    taught = await teach(town, town.alice, town.bob)
    asked = await town.bob.slash(town.channel, "privacy")
    await press(town, town.bob, asked.response, "Delete everything …")
    await press(town, town.bob, asked.response, "Delete everything for good")
    assert "**Bobby** is forgotten" in read(taught.response)


async def test_a_person_is_a_member_of_a_server(town, allowed, read):
    nobody = await town.alice.slash(town.channel, "teach", name="Bobby", kind="person", **uploads(BLUE))
    assert "at `member`" in read(nobody.response)
    alone = await town.env.create_user("dave").slash("teach", name="Dave", kind="person", **uploads(BLUE))
    assert "on a server only" in read(alone.response)


async def test_a_private_persons_progress_is_seen_by_the_teacher_alone_once_the_member_has_agreed(town, allowed, read):
    """The question to the member has to be public; nothing after it has."""
    question = await teach(town, town.alice, town.bob, private=True)
    assert not question.ephemeral
    await press(town, town.bob, question.response, "I agree")
    learned = await teach(town, town.alice, town.bob, private=True)
    assert learned.ephemeral and "Bobby is ready" in read(learned.response)
    mine = await teach(town, town.bob, town.bob, private=True)
    assert mine.ephemeral

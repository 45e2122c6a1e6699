"""/concepts: what is listed for whom, forgetting with confirmation, renaming, and buttons that outlive a restart."""

from __future__ import annotations

import discord
import pytest
from bot_fakes import BLUE, GREEN, RED, upload, uploads

from bot.views import PAGE
from concept_store.records import GuildId, Kind, NewConcept, NewPhoto, Scope, State, UserId


async def teach(town, name="Biscuit", colour=RED, who=None, **more):
    return await (who or town.alice).slash(town.channel, "teach", name=name, kind="pet", what="dog", **uploads(colour), **more)


async def known(town, who=None):
    return [concept.name for concept in await town.store.known(Scope((who or town.alice).id, town.guild.id))]


def pictures_of(message):
    return [attachment.filename for attachment in message.attachments]


async def test_an_empty_list_says_how_to_begin(town, read):
    told = await town.alice.slash(town.channel, "concepts list")
    assert "I know nobody and nothing here yet" in read(told.response) and "/teach" in read(told.response)


async def test_the_list_has_a_picture_the_state_and_who_may_use_it(town, read):
    await teach(town, "Biscuit", RED)
    await teach(town, "Milo", GREEN, private=True)
    town.engine.down = True
    await teach(town, "Rex", BLUE, who=town.bob)
    told = await town.alice.slash(town.channel, "concepts list")
    text = read(told.response)
    assert told.ephemeral and "3 known here" in text
    assert "**Biscuit** · dog · 🎓 ready\n-# for everyone on this server · taught by you · 4 photos" in text
    assert "**Milo** · dog · 🎓 ready\n-# for only you" in text
    assert f"**Rex** · dog · ⏳ waiting\n-# for everyone on this server · taught by <@{town.bob.id}>" in text
    assert pictures_of(told.response) == ["0.jpg", "1.jpg", "2.jpg"]

    theirs = await town.bob.slash(town.channel, "concepts list")
    assert "Milo" not in read(theirs.response) and "2 known here" in read(theirs.response)


async def test_a_long_list_has_pages_that_still_turn_after_a_restart(town, env, new_bot, read):
    for number in range(2 * PAGE + 1):
        new = NewConcept(f"Dog {number:02}", Kind.PET, "dog", UserId(town.alice.id), GuildId(town.guild.id), False, None)
        await town.store.create_concept(new, [NewPhoto(upload(RED, number)[1], upload(RED, number)[1], str(number))])
    town.engine.down = True
    told = await town.alice.slash(town.channel, "concepts list")
    assert "page 1 of 3" in read(told.response) and "Dog 07" in read(told.response) and "Dog 08" not in read(told.response)
    await env.restart_bot(new_bot())
    await town.alice.click(told.response, label="▶")
    assert "page 2 of 3" in read(told.response) and "Dog 08" in read(told.response) and len(pictures_of(told.response)) == PAGE
    await town.alice.click(told.response, label="▶")
    assert "page 3 of 3" in read(told.response) and pictures_of(told.response) == ["0.jpg"]
    await town.alice.click(told.response, label="◀")
    assert "page 2 of 3" in read(told.response)


async def test_its_teacher_sees_all_photos_and_others_the_first(town, read):
    await teach(town)
    mine = await town.alice.slash(town.channel, "concepts show", name="biscuit")
    theirs = await town.bob.slash(town.channel, "concepts show", name="biscuit")
    assert len(pictures_of(mine.response)) == 4 and len(pictures_of(theirs.response)) == 1
    assert "Biscuit on the grass." in read(mine.response) and mine.ephemeral


@pytest.mark.parametrize("command, more", [("show", {}), ("forget", {}), ("rename", {"new_name": "Muffin"})])
async def test_an_unknown_name_and_a_strangers_private_one_look_the_same(town, read, command, more):
    await teach(town, private=True)
    told = await town.bob.slash(town.channel, f"concepts {command}", name="Biscuit", **more)
    assert "I don't know anyone or anything called `Biscuit` here" in read(told.response) and told.ephemeral


# -- forgetting
async def test_forgetting_asks_first_and_then_deletes_everything(town, read):
    await teach(town)
    asked = await town.alice.slash(town.channel, "concepts forget", name="Biscuit")
    assert "Forget Biscuit?" in read(asked.response) and "can't be undone" in read(asked.response) and asked.ephemeral
    assert await known(town) == ["Biscuit"]
    await town.alice.click(asked.response, label="Forget for good")
    assert "**Biscuit** is forgotten" in read(asked.response)
    assert await known(town) == [] and (await town.store.kept_about(town.alice.id)).photos == 0
    described = await town.alice.slash(town.channel, "describe", photo=upload(RED, 9))
    assert "Biscuit" not in read(described.response)


async def test_keeping_changes_nothing(town, read):
    await teach(town)
    asked = await town.alice.slash(town.channel, "concepts forget", name="Biscuit")
    await town.alice.click(asked.response, label="Keep")
    assert "stays as it is" in read(asked.response) and await known(town) == ["Biscuit"]


async def test_a_button_still_works_after_a_restart(town, env, new_bot, read):
    await teach(town)
    asked = await town.alice.slash(town.channel, "concepts forget", name="Biscuit")
    await env.restart_bot(new_bot())
    await town.alice.click(asked.response, label="Forget for good")
    assert "**Biscuit** is forgotten" in read(asked.response) and await known(town) == []


async def test_only_its_teacher_forgets_it(town, read):
    await teach(town)
    told = await town.bob.slash(town.channel, "concepts forget", name="Biscuit")
    assert f"**Biscuit** was taught by <@{town.alice.id}>" in read(told.response) and await known(town) == ["Biscuit"]
    shown = await town.bob.slash(town.channel, "concepts show", name="Biscuit")
    with pytest.raises(Exception, match="Forget"):
        await town.bob.click(shown.response, label="Forget …")


async def test_whoever_manages_the_server_may_forget_what_was_taught_there(town, env, read):
    await teach(town)
    moderators = town.guild.create_role("mod", permissions=discord.Permissions(manage_guild=True))
    carol = town.guild.add_member(env.create_user("carol"), roles=[moderators])
    asked = await carol.slash(town.channel, "concepts forget", name="Biscuit")
    await carol.click(asked.response, label="Forget for good")
    assert await known(town) == []


async def test_forgetting_from_its_page_and_twice(town, read):
    await teach(town)
    shown = await town.alice.slash(town.channel, "concepts show", name="Biscuit")
    first = await town.alice.click(shown.response, label="Forget …")
    second = await town.alice.click(shown.response, label="Forget …")
    await town.alice.click(first.response, label="Forget for good")
    late = await town.alice.click(second.response, label="Forget for good")
    assert "has been forgotten meanwhile" in read(late.followups[0])


async def test_a_button_on_someone_elses_question_is_refused(town, read):
    """A public message with somebody's button on it: only that person may press it."""
    from bot.views import forget_question

    await teach(town)
    concept = await town.store.find(Scope(town.alice.id, town.guild.id), "Biscuit")
    channel = town.bot.get_partial_messageable(town.channel.id)
    await channel.send(view=forget_question(concept, UserId(town.alice.id)).view)
    told = await town.bob.click(town.channel.last_message, label="Forget for good")
    assert "Only the person it asks may press this button" in read(told.response) and told.ephemeral
    assert await known(town) == ["Biscuit"]


# -- renaming
async def test_a_new_name_is_said_at_once_and_learned_silently(town, env, read):
    await teach(town)
    town.engine.gate.set()
    town.engine.down = True
    told = await town.alice.slash(town.channel, "concepts rename", name="Biscuit", new_name=" Muffin ")
    assert "**Biscuit** is called **Muffin** from now on" in read(told.response) and told.ephemeral
    town.engine.down = False
    described = await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))
    assert "Muffin on the grass." in read(described.response)
    assert town.engine.answered[-1].concepts[0].embedding is None  # the old one says the old name
    before = len(town.channel.history())
    await env.advance_time(130)
    assert town.engine.taught[-1].name == "Muffin"
    concept = await town.store.find(Scope(town.alice.id, town.guild.id), "Muffin")
    assert concept.state is State.READY and concept.announced and len(town.channel.history()) == before


@pytest.mark.parametrize(
    "new_name, words",
    [("Milo", "That name is taken"), ("@everyone", "would ping"), ("x" * 33, "33 characters"), (" ", "The name is empty")],
)
async def test_a_bad_new_name_changes_nothing(town, read, new_name, words):
    await teach(town)
    await teach(town, "Milo", GREEN)
    told = await town.alice.slash(town.channel, "concepts rename", name="Biscuit", new_name=new_name)
    assert words in read(told.response) and await known(town) == ["Biscuit", "Milo"]


async def test_only_its_teacher_renames_it(town, read):
    await teach(town)
    told = await town.bob.slash(town.channel, "concepts rename", name="Biscuit", new_name="Muffin")
    assert "was taught by" in read(told.response) and await known(town) == ["Biscuit"]


async def test_its_own_name_is_no_new_one(town, read):
    """Nothing is learned anew for it; another spelling is a new one."""
    await teach(town)
    taught = len(town.engine.taught)
    told = await town.alice.slash(town.channel, "concepts rename", name="Biscuit", new_name=" Biscuit ")
    assert "stays as it is" in read(told.response) and len(town.engine.taught) == taught
    await town.alice.slash(town.channel, "concepts rename", name="Biscuit", new_name="BISCUIT")
    assert await known(town) == ["BISCUIT"]


async def test_names_are_suggested_as_far_as_they_are_known(town):
    await teach(town, "Biscuit", RED)
    await teach(town, "Bella", GREEN, private=True)
    for command in ("show", "forget", "rename"):
        mine = await town.alice.autocomplete(town.channel, f"concepts {command}", "name", "b")
        theirs = await town.bob.autocomplete(town.channel, f"concepts {command}", "name", "b")
        assert [choice["name"] for choice in mine] == ["Bella", "Biscuit"] and [choice["name"] for choice in theirs] == ["Biscuit"]


async def test_without_the_store_nothing_is_suggested_and_a_command_says_so(town, read):
    await town.store.close()
    assert not await town.alice.autocomplete(town.channel, "concepts show", "name", "b")
    told = await town.alice.slash(town.channel, "concepts list")
    assert "I can't reach my memory" in read(told.response)


async def test_in_a_direct_message_the_server_is_not_said_to_be_this_one(town, read):
    await teach(town)
    for command, options in (("concepts list", {}), ("concepts show", {"name": "Biscuit"})):
        there = await town.alice.user.slash(command, **options)
        assert "everyone on the server where you taught it" in read(there.response)

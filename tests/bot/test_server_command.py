"""/server forget: whoever manages a server deletes all that was taught there. What `/server balance` does is in test_corrections.py."""

from __future__ import annotations

import discord
import pytest
from bot_fakes import BLUE, GREEN, RED, upload, uploads

from bot.answering import BALANCE_SETTING
from concept_store.records import GuildId, Scope, UserId


async def teach(town, name, colour, who=None, **more):
    return await (who or town.alice).slash(town.channel, "teach", name=name, kind="pet", **uploads(colour, 2), **more)


@pytest.fixture
async def managers(town):
    return town.guild.create_role("managers", permissions=discord.Permissions(manage_guild=True))


@pytest.fixture
async def boss(town, managers):
    return town.guild.add_member(town.env.create_user("carol"), roles=[managers])


async def test_its_manager_is_shown_how_much_it_is_and_then_all_of_it_goes(town, boss, env, new_bot, read):
    await teach(town, "Biscuit", RED)
    await teach(town, "Milo", GREEN, town.bob, private=True)
    await town.bob.user.slash("teach", name="Rex", kind="pet", **uploads(BLUE, 2))  # in a direct message: no server's
    await boss.slash(town.channel, "server balance", balance="strict")
    answered = await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))
    await town.bob.click(answered.response, label="✓ right")

    asked = await boss.slash(town.channel, "server forget")
    text = read(asked.response)
    assert asked.ephemeral and "Forget everything of this server?" in text and "can't be undone" in text
    assert "2 concepts, with those that members keep to themselves\n4 photos" in text and "What members said of answers: 1 time" in text
    assert "Milo" not in text and "Biscuit" not in text
    assert len(await town.store.about(town.alice.id)) == 1

    await env.restart_bot(new_bot())
    await boss.click(asked.response, label="Delete everything for good")
    assert "Everything that was taught on this server is deleted (2 concepts)" in read(asked.response)
    assert await town.store.known(Scope(UserId(town.alice.id), GuildId(town.guild.id))) == []
    assert [concept.name for concept in await town.store.about(UserId(town.bob.id))] == ["Rex"]
    assert await town.store.setting(GuildId(town.guild.id), BALANCE_SETTING) is None


async def test_whoever_does_not_manage_the_server_is_refused_at_both_steps(town, managers, boss, read):
    await teach(town, "Biscuit", RED)
    assert "Only whoever manages this server" in read((await town.bob.slash(town.channel, "server forget")).response)
    asked = await boss.slash(town.channel, "server forget")
    await town.bot.http.remove_role(town.guild.id, boss.id, managers.id)
    late = await boss.click(asked.response, label="Delete everything for good")
    assert "Only whoever manages this server" in read(late.response) and "Forget everything" in read(asked.response)
    assert len(await town.store.about(town.alice.id)) == 1


async def test_keeping_deletes_nothing(town, boss, read):
    await teach(town, "Biscuit", RED)
    asked = await boss.slash(town.channel, "server forget")
    await boss.click(asked.response, label="Keep")
    assert "Nothing was deleted." in read(asked.response) and len(await town.store.about(town.alice.id)) == 1


async def test_where_nothing_was_taught_its_settings_can_still_go(town, boss, read):
    asked = await boss.slash(town.channel, "server forget")
    assert "Nothing was taught here." in read(asked.response)
    await boss.click(asked.response, label="Delete everything for good")
    assert "(0 concepts)" in read(asked.response)


async def test_what_is_being_learned_there_says_that_it_is_forgotten(town, boss, env, read):
    town.engine.down = True
    taught = await teach(town, "Biscuit", RED)
    elsewhere = await town.bob.user.slash("teach", name="Rex", kind="pet", **uploads(BLUE, 2))
    asked = await boss.slash(town.channel, "server forget")
    await boss.click(asked.response, label="Delete everything for good")
    assert "is forgotten" in read(taught.response) and "is forgotten" not in read(elsewhere.response)
    town.engine.down = False
    await env.advance_time(130)
    assert taught.followups == [] and "Rex is ready" in read(elsewhere.response)

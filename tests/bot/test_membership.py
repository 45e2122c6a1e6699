"""What is kept of a server goes with it, after a time of grace, and never because of an outage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bot_fakes import RED, uploads

from bot.membership import SETTING, Membership
from concept_store.records import GuildId, Kind, NewConcept, NewPhoto, UserId

HERE, OURS, SIMULATED = GuildId(100), 1, 2
DAYS = timedelta(days=7)


class Days:
    def __init__(self):
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self):
        return self.now

    def pass_by(self, days: float) -> None:
        self.now += timedelta(days=days)


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
async def membership(store, days) -> Membership:
    new = NewConcept("Biscuit", Kind.PET, "dog", UserId(1), HERE, False, None)
    await store.create_concept(new, [NewPhoto(b"jpeg", b"small", "digest")])
    return Membership(store, DAYS, days)


async def test_what_was_taught_on_a_server_goes_when_it_was_left_and_the_grace_has_passed(membership, days, store):
    await membership.check(OURS, {HERE})
    await membership.check(OURS, set())
    days.pass_by(6)
    await membership.check(OURS, set())
    assert await store.guilds() == [HERE]
    days.pass_by(1)
    await membership.check(OURS, set())
    assert await store.guilds() == []


async def test_a_server_that_is_back_keeps_everything(membership, days, store):
    await membership.check(OURS, {HERE})
    await membership.left(HERE, OURS)
    days.pass_by(6)
    await membership.check(OURS, {HERE})
    days.pass_by(6)
    await membership.check(OURS, set())
    assert await store.guilds() == [HERE]


async def test_a_server_that_was_never_joined_is_not_left(membership, days, store):
    for _ in range(3):
        await membership.check(OURS, set())
        days.pass_by(30)
    assert await store.guilds() == [HERE]


async def test_real_servers_are_safe_while_the_bot_runs_on_the_simulated_one(membership, days, store):
    await membership.check(OURS, {HERE})
    for _ in range(3):
        await membership.check(SIMULATED, {GuildId(5)})
        days.pass_by(30)
    assert await store.guilds() == [HERE]


async def test_without_grace_it_goes_at_once(store, days, membership):
    membership.grace = timedelta(0)
    await membership.left(HERE, OURS)
    assert await store.guilds() == []


async def test_the_bot_marks_a_server_it_leaves(town):
    await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", **uploads(RED))  # marked before anything is kept
    assert (await town.store.setting(GuildId(town.guild.id), SETTING))["left_at"] is None
    guild = town.bot.get_guild(town.guild.id)
    await town.bot.on_guild_remove(guild)
    assert (await town.store.setting(GuildId(town.guild.id), SETTING))["left_at"]
    await town.bot._check_membership()  # it was no goodbye after all
    assert (await town.store.setting(GuildId(town.guild.id), SETTING))["left_at"] is None


async def test_a_server_in_an_outage_is_not_left(town):
    await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", **uploads(RED))
    await town.bot._check_membership()
    town.bot._connection.parse_guild_delete({"id": str(town.guild.id), "unavailable": True})
    await town.settle()
    await town.bot._check_membership()
    assert (await town.store.setting(GuildId(town.guild.id), SETTING))["left_at"] is None

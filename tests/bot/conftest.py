"""The bot on SimCord's Discord, with the real store in memory and an engine of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import simcord
from bot_fakes import FakeEngine, test_settings

from bot.app import MyVlmBot
from bot.teaching import TrainerLimits
from concept_store.store import ConceptStore, open_store


@dataclass
class Town:
    """A server with two members, the bot, and what stands behind it."""

    env: simcord.Env
    bot: MyVlmBot
    store: ConceptStore
    engine: FakeEngine
    guild: Any
    channel: Any
    alice: Any
    bob: Any

    async def settle(self) -> None:
        await self.env.settle()


@pytest.fixture
async def store() -> AsyncIterator[ConceptStore]:
    opened = await open_store("sqlite://")
    yield opened
    await opened.close()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def make_bot(store: ConceptStore, engine: FakeEngine, **options: Any) -> MyVlmBot:
    """SimCord waits in real time for timers that are due within its settle timeout, so the bot's own are far beyond it."""
    made = MyVlmBot(test_settings(), store, engine, tick_s=7200, **options)
    made.teacher.limits = TrainerLimits(lease_s=7200, first_pause_s=120, longest_pause_s=120)
    made.teacher._pause_s = 120
    return made


@pytest.fixture
def bot(store: ConceptStore, engine: FakeEngine) -> MyVlmBot:
    return make_bot(store, engine)


@pytest.fixture
async def env(bot: MyVlmBot) -> AsyncIterator[simcord.Env]:
    """A fixture of its own: SimCord's plugin sets the test's clock by the Env it finds among the fixtures."""
    running = simcord.Env(bot, settle_timeout=60.0)
    await running.start()
    yield running
    await running.shutdown()
    running.raise_errors()


@pytest.fixture
async def town(env: simcord.Env, bot: MyVlmBot, store: ConceptStore, engine: FakeEngine) -> Town:
    guild = env.create_guild()
    channel = guild.create_text_channel("pets")
    alice, bob = (guild.add_member(env.create_user(name)) for name in ("alice", "bob"))
    return Town(env, bot, store, engine, guild, channel, alice, bob)


def words(message: Any) -> str:
    """All text of a message: its content and every text display of its layout."""
    return "\n".join(filter(None, [message.content, *texts(message.components)]))


def texts(components: Any) -> Iterator[str]:
    for component in components:
        data = component if isinstance(component, dict) else component.to_dict()
        if data["type"] == 10:
            yield data["content"]
        yield from texts(data.get("components", ()))


@pytest.fixture
def read() -> Any:
    return words


@pytest.fixture
def new_bot(store: ConceptStore, engine: FakeEngine) -> Any:
    """Another process's bot, on the same store and engine."""
    return lambda **options: make_bot(store, engine, **options)

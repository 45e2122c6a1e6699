"""The bot on SimCord's Discord, with the real store in memory and an engine of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import simcord
from bot_fakes import FakeEngine, test_settings

from bot.app import MyVlmBot
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


@pytest.fixture
def bot(store: ConceptStore, engine: FakeEngine) -> MyVlmBot:
    return MyVlmBot(test_settings(), store, engine)


@pytest.fixture
async def env(bot: MyVlmBot) -> AsyncIterator[simcord.Env]:
    """A fixture of its own: SimCord's plugin sets the test's clock by the Env it finds among the fixtures."""
    running = simcord.Env(bot, settle_timeout=10.0)
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

"""Why the bot can't run is a sentence, whatever part of it fails at the start or later."""

from __future__ import annotations

from types import SimpleNamespace

import discord
import pytest

from bot.app import MyVlmBot
from bot.config import DiscordSettings, EngineSettings, Settings, StoreSettings
from bot.running import CantRun, run_on_discord, run_on_page
from concept_store.errors import StoreUnavailable

FULL = "The store can't be read or written just now: database or disk is full."


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(
        discord=DiscordSettings(token="x"),
        engine=EngineSettings(url="http://127.0.0.1:9"),
        store=StoreSettings(url=f"sqlite:///{tmp_path}/store.sqlite3"),
    )


@pytest.fixture
def disk_is_full(monkeypatch):
    async def sync(bot):
        raise StoreUnavailable(FULL)

    monkeypatch.setattr(MyVlmBot, "_sync_commands", sync)


async def test_a_full_disk_ends_the_page_with_a_sentence(settings, disk_is_full):
    with pytest.raises(CantRun, match=r"database or disk is full\. Is there room on its disk\? `myvlm doctor` looks"):
        await run_on_page(settings, open_browser=False)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (discord.ConnectionClosed(SimpleNamespace(close_code=4004), shard_id=None), r"ended the connection \(4004\)\. Was the token reset"),
        (discord.GatewayNotFound(), "doesn't name its gateway"),
        (StoreUnavailable(FULL), "Is there room on its disk"),
    ],
)
async def test_what_ends_the_bot_on_discord_is_a_sentence(settings, monkeypatch, error, says):
    async def start(bot, token):
        raise error

    monkeypatch.setattr(MyVlmBot, "start", start)
    with pytest.raises(CantRun, match=says):
        await run_on_discord(settings)

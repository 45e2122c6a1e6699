"""The live page with a bot of a few lines: what `myvlm try` needs of SimCord, in a real browser and without one."""

from __future__ import annotations

import asyncio
import io
import itertools
import re
import time
from pathlib import Path

import discord
import pytest
from discord import app_commands
from support.browser import CHROMIUM, person_at
from support.pictures import write_toy_photos

from bot.playground import LiveEnv, live_page, make_world

needs_browser = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page was NOT tested")]


class SlowBot(discord.Client):
    """Takes four files and counts until it is told to stop; asks by a dialog."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.default())
        self.tree = app_commands.CommandTree(self)
        self.slept_s = 0.0
        self.enough = asyncio.Event()

    async def setup_hook(self) -> None:
        self.tree.command(name="count", description="Counts the bytes")(self._count)
        self.tree.command(name="say", description="Asks what to say")(self._say)
        await self.tree.sync()

    async def _count(
        self,
        i: discord.Interaction,
        name: str,
        a: discord.Attachment,
        b: discord.Attachment | None = None,
        c: discord.Attachment | None = None,
        d: discord.Attachment | None = None,
    ) -> None:
        await i.response.defer(thinking=True)
        size = sum([len(await file.read()) for file in (a, b, c, d) if file])
        for step in itertools.count(1):
            started = time.monotonic()
            await asyncio.sleep(0.5)
            self.slept_s = time.monotonic() - started
            await i.edit_original_response(content=f"{name}: step {step}")
            if self.enough.is_set():
                break
        await i.edit_original_response(content=f"{name}: {size} bytes")
        await i.channel.send(f"done with {name}", file=discord.File(io.BytesIO(await a.read()), "a.jpg"))

    async def _say(self, i: discord.Interaction) -> None:
        await i.response.send_modal(Dialog())


class Dialog(discord.ui.Modal, title="Say something"):
    words: discord.ui.TextInput = discord.ui.TextInput(label="Words")

    async def on_submit(self, i: discord.Interaction) -> None:
        await i.response.send_message(f"somebody says {self.words.value}")


@pytest.mark.slow
@needs_browser[1]
async def test_four_files_live_progress_overlapping_commands_and_a_half_typed_dialog(tmp_path: Path) -> None:
    files = write_toy_photos(tmp_path, range(4))
    size = sum(file.stat().st_size for file in files)
    bot = SlowBot()
    async with live_page(bot) as url, person_at(url) as person:
        await person.command("count", {"name": "first"}, dict(zip("abcd", files, strict=True)))
        await person.reads(re.compile(r"first: step \d"))
        await person.command("count", {"name": "second"}, {"a": files[0]})
        await person.command("say")
        await person.page.get_by_label("Words").fill("half a sen")
        assert "first: step" in await person.reads(re.compile(r"second: step \d"))  # both at once, under an open dialog
        assert await person.page.get_by_label("Words").input_value() == "half a sen"
        await person.page.get_by_label("Words").fill("half a sentence")
        bot.enough.set()
        await person.press("Submit")
        await person.reads("somebody says half a sentence")
        await person.reads(f"first: {size} bytes")
        await person.reads("done with second")
    assert 0.5 <= bot.slept_s < 5  # the bot's timers run in real time


async def test_the_simulated_server_has_the_same_ids_at_every_start() -> None:
    """What was taught is bound to these; change them and everybody's concepts are out of sight."""
    env = LiveEnv(discord.Client(intents=discord.Intents.none()))
    world = make_world(env)
    assert [member.id for member in world.members] == FIXED_MEMBERS
    assert (world.channel.guild.id, world.channel.id, env.backend.bot_user.id, env.backend.application_id) == FIXED_PLACES


FIXED_MEMBERS = [1_456_074_443_980_800_002, 1_456_074_443_980_800_007, 1_456_074_443_980_800_008]
FIXED_PLACES = (1_456_074_443_980_800_003, 1_456_074_443_980_800_005, 1_456_074_443_980_800_001, 1_456_074_443_980_800_000)


async def test_the_simulated_servers_clock_is_the_real_one() -> None:
    env = LiveEnv(discord.Client(intents=discord.Intents.none()))
    make_world(env)
    assert abs(env.now().timestamp() - time.time()) < 30
    before = env.backend.clock.elapsed
    await asyncio.sleep(0.05)
    assert 0.04 < env.backend.clock.elapsed - before < 30


async def test_an_unacknowledged_command_gives_the_page_back_after_discords_three_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.playground.FIRST_REPLY_S", 0.3)
    env = LiveEnv(discord.Client(intents=discord.Intents.none()))
    world = make_world(env)
    env.backend.register_commands(None, [{"name": "nothing", "description": "does nothing", "type": 1}])
    started = time.monotonic()
    await world.members[0].slash(world.channel, "nothing")
    assert 0.3 <= time.monotonic() - started < 3  # the three seconds that it would be

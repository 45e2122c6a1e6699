"""The bot's process against Discord over a real wire: what only sockets and the wall clock can show."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from support.processes import MYVLM, process
from support.staging import Stage, on_stage
from support.wire import RateLimit, open_wire

pytestmark = pytest.mark.slow


def posted(stage: Stage, method: str, path_end: str) -> list[float]:
    return [at for at, verb, path in stage.wire.requests if verb == method and path.endswith(path_end)]


async def test_a_command_sent_while_the_connection_was_cut_is_answered_after_a_resume(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        await stage.wire.cut_connection()
        await stage.teach("Zippy")
        await stage.wire.reads("Zippy is ready")
        assert (stage.wire.identified, stage.wire.resumed) == (1, 1)


async def test_a_rate_limit_is_waited_out_and_nothing_is_lost(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.wire.rate_limits.append(RateLimit("PATCH", "/webhooks/*/messages/@original", retry_after_s=1.5, times=1))
        await stage.teach("Zippy")
        await stage.wire.reads("Zippy is ready")
        await stage.wire.reads(f"{stage.wire.member.mention} **Zippy** is ready")
        refused, retried = posted(stage, "PATCH", "/messages/@original")[:2]
        assert retried - refused >= 1.5


async def test_the_first_reply_comes_at_once_while_discords_files_are_slow(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        handed_out: list[float] = []
        files = stage.wire.backend.cdn
        get = files.get

        def watched(url: str) -> bytes | None:
            handed_out.append(time.monotonic())
            return get(url)

        files.get = watched  # type: ignore[method-assign]
        stage.wire.cdn_delay_s = 3.5  # Discord gives up after 3 s
        await stage.teach("Zippy")
        await stage.wire.reads("Zippy is ready")
        assert len(handed_out) >= 4
        assert posted(stage, "POST", "/callback")[-1] < min(handed_out)


async def test_a_file_discord_never_hands_out_is_said_and_nothing_is_kept(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        stage.wire.backend.cdn.get = lambda url: None  # type: ignore[method-assign,assignment]
        await stage.teach("Zippy")
        await stage.wire.reads("Discord didn't hand me")
        before = len(stage.wire.texts())
        await stage.wire.member.slash(stage.wire.channel, "concepts list")
        assert "I know nobody" in await stage.wire.next_reply(before)


async def test_a_wrong_token_is_said_in_a_sentence(tmp_path: Path) -> None:
    async with open_wire() as wire, process([*MYVLM, "bot"], {**wire.environ, "DISCORD_TOKEN": "wrong"}, tmp_path, "bot") as bot:
        assert bot.running is not None
        assert await bot.running.wait() == 2
        assert "Discord doesn't know this token." in bot.said()


async def test_a_discord_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    environ = {"DISCORD_TOKEN": "x", "MYVLM_DISCORD__API_BASE": "http://127.0.0.1:9/api/v10"}
    async with process([*MYVLM, "bot"], environ, tmp_path, "bot") as bot:
        assert bot.running is not None
        assert await bot.running.wait() == 2
        assert "Discord can't be reached at http://127.0.0.1:9/api/v10" in bot.said()


async def test_sigterm_ends_the_bot_in_good_order(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        assert await stage.bot.end(signal.SIGTERM) == 0
        assert "Traceback" not in stage.bot.said()

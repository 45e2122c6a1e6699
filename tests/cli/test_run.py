"""`myvlm run` as a person starts and ends it: without a token it is a page, and nothing is left running."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import psutil
import pytest
from aiohttp import web
from support.processes import MYVLM, page_address, process
from support.serving import serving

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_without_a_token_it_prints_the_pages_address_and_ends_with_its_engine(tmp_path: Path, how: signal.Signals) -> None:
    async with process([*MYVLM, "run", "--no-browser"], {}, tmp_path, "run") as run:
        address = await page_address(run)
        async with httpx.AsyncClient(trust_env=False) as client:
            page = await client.get(address)
        assert page.status_code == 200
        assert "html" in page.headers["content-type"]
        assert run.running is not None
        engines = [child for child in psutil.Process(run.running.pid).children() if "myvlm_engine.serving" in child.cmdline()]
        assert len(engines) == 1
        assert await run.end(how, within_s=30) == 0
        assert not engines[0].is_running()
        assert "Traceback" not in run.said()
        assert (tmp_path / "data" / "myvlm.sqlite3").is_file()


async def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environ = {"MYVLM_PLAYGROUND__PORT": str(taken.getsockname()[1]), "MYVLM_ENGINE__URL": "http://127.0.0.1:9"}
        async with process([*MYVLM, "try", "--no-browser"], environ, tmp_path, "try") as program:
            assert program.running is not None
            assert await program.running.wait() == 2
            assert "Choose another playground.port." in program.said()
            assert "Traceback" not in program.said()


async def test_a_wrong_address_of_discord_is_said_in_a_sentence(tmp_path: Path) -> None:
    """Something answers there that isn't Discord."""
    async with serving(web.Application()) as url:
        environ = {"DISCORD_TOKEN": "x", "MYVLM_DISCORD__API_BASE": url, "MYVLM_ENGINE__URL": "http://127.0.0.1:9"}
        async with process([*MYVLM, "run"], environ, tmp_path, "run") as program:
            assert program.running is not None
            assert await program.running.wait() == 2
            assert f"Discord at {url} answers 404. Check discord.api_base" in program.said()
            assert "Traceback" not in program.said()

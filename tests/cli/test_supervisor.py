"""The engine process beside the bot: started, restarted, ended. A few lines of http.server stand in for the engine."""

import asyncio
import contextlib
import itertools
import os
import socket
import sys
from pathlib import Path

import psutil
import pytest

from bot.config import EngineSettings
from bot.supervisor import PORTS, Address, Backoff, engine_command, engine_for, free_port, keep_running, ready

STAND_IN = """
import http.server, json, os, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"ready": True, "pid": os.getpid(), "token": os.environ.get("MYVLM_ENGINE__TOKEN")}).encode()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""


@contextlib.asynccontextmanager
async def kept(command, environ, address, backoff):
    task = asyncio.create_task(keep_running(command, environ, address, backoff))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def health_of(address, but_not=None):
    async with asyncio.timeout(20):
        while (health := await ready(address))["pid"] == but_not:
            await asyncio.sleep(0.05)
    return health


async def test_a_killed_engine_is_started_again_at_the_same_address_and_ends_with_the_block():
    address = Address(f"http://127.0.0.1:{free_port()}", "secret")
    command = [sys.executable, "-c", STAND_IN, address.url.rsplit(":", 1)[1]]
    async with kept(command, {"MYVLM_ENGINE__TOKEN": "secret"}, address, Backoff(first_s=0.05)):
        first = await health_of(address)
        assert first["token"] == "secret"
        os.kill(first["pid"], 9)
        second = await health_of(address, but_not=first["pid"])
        assert second["pid"] != first["pid"]
    assert not psutil.pid_exists(second["pid"])


async def test_an_engine_that_ignores_the_polite_signal_is_killed(monkeypatch):
    monkeypatch.setattr("bot.supervisor.END_WITHIN_S", 0.3)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STAND_IN
    address = Address(f"http://127.0.0.1:{free_port()}")
    async with kept([sys.executable, "-c", stubborn, address.url.rsplit(":", 1)[1]], {}, address, Backoff()):
        pid = (await health_of(address))["pid"]
    assert not psutil.pid_exists(pid)


async def test_an_engine_that_could_not_load_its_models_tries_again_and_finds_them(tmp_path, monkeypatch):
    monkeypatch.setattr("bot.supervisor.LOAD_AGAIN_AFTER_S", 0.3)
    weights = tmp_path / "weights"
    found = f"FOUND = os.path.exists({str(weights)!r})\n"  # once, as models are: a process that failed stays failed
    failing = STAND_IN.replace("class Health", found + "class Health").replace(
        '"ready": True', '"ready": FOUND, "failure": None if FOUND else "gone"'
    )
    address = Address(f"http://127.0.0.1:{free_port()}")
    async with kept([sys.executable, "-c", failing, address.url.rsplit(":", 1)[1]], {}, address, Backoff(first_s=0.05)):
        first = await health_of(address)
        assert first["failure"] == "gone"
        second = await health_of(address, but_not=first["pid"])
        weights.touch()
        third = await health_of(address, but_not=second["pid"])
        assert third["ready"]


async def test_an_engine_that_ends_at_once_is_tried_less_and_less_often(tmp_path):
    mark = tmp_path / "starts"
    mark.touch()
    command = [sys.executable, "-c", f"import time; print(time.monotonic(), file=open({str(mark)!r}, 'a'))"]
    async with kept(command, {}, Address("http://127.0.0.1:9"), Backoff(first_s=0.3, longest_s=10)), asyncio.timeout(60):
        while len(starts := mark.read_text().splitlines()) < 4:
            await asyncio.sleep(0.05)
    gaps = [float(later) - float(earlier) for earlier, later in itertools.pairwise(starts)]
    assert all(gap > wait_s - 0.05 for gap, wait_s in zip(gaps, (0.3, 0.6, 1.2), strict=True))


def test_the_wait_doubles_up_to_a_bound_and_is_forgotten_after_a_long_life():
    backoff = Backoff(first_s=1, longest_s=8, long_life_s=60)
    waits = [0.0]
    for _ in range(5):
        waits.append(backoff.next(waits[-1], lived_s=0.1))
    assert waits[1:] == [1, 2, 4, 8, 8]
    assert backoff.next(8, lived_s=61) == 1


async def test_a_configured_engine_elsewhere_is_only_named_never_started():
    async with engine_for(EngineSettings(url="http://gpu.example:8765/", token="t")) as address:
        assert address == Address("http://gpu.example:8765", "t")


def test_the_token_is_not_on_the_command_line():
    command = engine_command(EngineSettings(token="very-secret"), 1234, "info")
    assert "very-secret" not in " ".join(command)
    assert str(os.getpid()) in command


def lowest_given() -> int | None:
    """Where Linux begins with the ports it hands out; elsewhere nobody says."""
    told = Path("/proc/sys/net/ipv4/ip_local_port_range")
    return int(told.read_text().split()[0]) if told.exists() else None


def test_a_free_port_is_not_one_that_another_program_is_given_before_the_engine_listens():
    """An engine takes seconds to load: a port that the system had handed out was sometimes somebody else's by then."""
    if (lowest := lowest_given()) and lowest < PORTS.stop:
        pytest.skip(f"LOUD: this system hands out ports from {lowest} on, so {PORTS.start} to {PORTS.stop - 1} are not kept from others")
    with contextlib.ExitStack() as open_sockets:
        given = [open_sockets.enter_context(socket.socket()) for _ in range(200)]
        for one in given:
            one.bind(("127.0.0.1", 0))
        lowest = min(one.getsockname()[1] for one in given)
        assert all(1024 < free_port() < lowest for _ in range(20))


def test_a_port_in_use_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        assert free_port(range(port, port + 20)) > port
        with pytest.raises(OSError, match=f"No port from {port} to {port} is free"):
            free_port(range(port, port + 1))

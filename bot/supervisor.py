"""Keeps an engine process running beside the bot: starts it, waits until it is ready, starts it again when it ends.

The engine gets a free loopback port and a secret of its own, both kept over restarts, and ends when this process ends.
Knows nothing of what the engine does: it never imports it, so torch stays out of the bot's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
import structlog

from .config import EngineSettings

log = structlog.get_logger("myvlm.supervisor")
LOOPBACK = "127.0.0.1"
PORTS = range(12_000, 16_000)  # below those given to whoever asks for any: Linux from 32768, macOS from 49152, gVisor from 16000
END_WITHIN_S = 6.0  # the engine finishes the step it is in, 3 s at most
ASK_EVERY_S = 0.2
LOAD_AGAIN_AFTER_S = 60.0  # an engine that couldn't load its models says why for so long, then tries again


@dataclass(frozen=True)
class Address:
    """Where the engine is, and what it asks of its callers."""

    url: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the next start: doubled after every short life, forgotten after a long one."""

    first_s: float = 1.0
    longest_s: float = 60.0
    long_life_s: float = 60.0

    def next(self, last_s: float, lived_s: float) -> float:
        return self.first_s if lived_s >= self.long_life_s or not last_s else min(2 * last_s, self.longest_s)


@contextlib.asynccontextmanager
async def engine_for(settings: EngineSettings, log_level: str = "info") -> AsyncIterator[Address]:
    """The configured engine elsewhere, or one of our own for as long as the block lasts. It may not be ready yet."""
    if settings.url:
        yield Address(settings.url.rstrip("/"), settings.token)
        return
    port = free_port()
    address = Address(f"http://{LOOPBACK}:{port}", settings.token or secrets.token_urlsafe(24))
    command = engine_command(settings, port, log_level)
    keeping = asyncio.create_task(keep_running(command, {"MYVLM_ENGINE__TOKEN": address.token}, address))
    try:
        yield address
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


def engine_command(settings: EngineSettings, port: int, log_level: str) -> list[str]:
    """The engine's own command line (myvlm_engine/serving.py). The token isn't on it: every user of a machine sees those."""
    options = {
        "--vlm": settings.vlm,
        "--device": settings.device,
        "--threads": str(settings.threads),
        "--host": LOOPBACK,
        "--port": str(port),
        "--parent-pid": str(os.getpid()),
        "--log-level": log_level,
    }
    encoders = [("--encoder", name) for name in settings.encoders]
    return [sys.executable, "-m", "myvlm_engine.serving", *(word for pair in [*options.items(), *encoders] for word in pair)]


async def keep_running(command: Sequence[str], environ: Mapping[str, str], address: Address, backoff: Backoff = Backoff()) -> None:
    """Until cancelled; then the process is ended, politely first."""
    wait_s = 0.0
    while True:
        started = time.monotonic()
        process = await _start(command, environ)
        try:
            await _until_ended(process, address)
        finally:
            await _end(process)
        lived_s = time.monotonic() - started
        wait_s = backoff.next(wait_s, lived_s)
        log.warning("engine_ended", exit_code=process.returncode, lived_s=round(lived_s, 1), next_start_in_s=wait_s)
        await asyncio.sleep(wait_s)


async def _start(command: Sequence[str], environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    """In a session of its own: Ctrl-C is for this process, which then ends the engine in good order."""
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environ}, stdin=asyncio.subprocess.DEVNULL, stdout=sys.stderr.fileno(), start_new_session=True
    )
    log.info("engine_started", pid=process.pid)
    return process


async def _until_ended(process: asyncio.subprocess.Process, address: Address) -> None:
    watching = asyncio.create_task(_watch_loading(process, address))
    try:
        await process.wait()
    finally:
        watching.cancel()


async def _watch_loading(process: asyncio.subprocess.Process, address: Address) -> None:
    """Says when the engine is ready. One that can't load its models is ended after a while: the next may find them."""
    started = time.monotonic()
    health = await ready(address)
    if failure := health.get("failure"):
        log.error("engine_not_loaded", why=failure, next_try_in_s=LOAD_AGAIN_AFTER_S)
        await asyncio.sleep(LOAD_AGAIN_AFTER_S)
        await _end(process)
    else:
        log.info("engine_ready", seconds=round(time.monotonic() - started, 1), vlm=health.get("vlm"), device=health.get("device"))


async def ready(address: Address) -> dict[str, object]:
    """Asks until the engine has loaded its models or has failed to; returns its health."""
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                health: dict[str, object] = (await client.get(f"{address.url}/v1/health")).json()
                if health.get("ready") or health.get("failure"):
                    return health
            await asyncio.sleep(ASK_EVERY_S)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_WITHIN_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def free_port(ports: range = PORTS) -> int:
    """A loopback port nobody listens on now, and that no system hands out by itself before the engine listens on it.

    Errors: OSError where none of `ports` is free.
    """
    for port in random.sample(ports, len(ports)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise OSError(f"No port from {ports.start} to {ports.stop - 1} is free on {LOOPBACK}.")

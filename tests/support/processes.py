"""Real processes for tests: started, waited for, killed at a chosen moment; whatever still runs at the end is ended."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

STUB_ENGINE = [sys.executable, str(Path(__file__).with_name("stub_engine.py"))]
MYVLM = [sys.executable, "-m", "bot.cli"]
REPOSITORY = Path(__file__).parents[2]
ADDRESS = re.compile(r"^http://127\.0\.0\.1:\d+/\S*$", re.MULTILINE)


class Process:
    """One program that can be killed and started again."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], folder: Path, name: str) -> None:
        self._command, self._folder = command, folder
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MYVLM_", "DISCORD_"))}
        self.environ = {**inherited, "PYTHONPATH": str(REPOSITORY), **environ}
        self.log = folder / f"{name}.log"
        self.running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = await asyncio.create_subprocess_exec(
                *self._command,
                env=self.environ,
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=heed_ctrl_c,
            )

    async def end(self, how: signal.Signals = signal.SIGTERM, within_s: float = 15) -> int:
        """Sends the signal and waits; SIGKILL is `kill -9`. Returns the exit status."""
        assert self.running is not None
        if self.running.returncode is None:
            self.running.send_signal(how)
        return await asyncio.wait_for(self.running.wait(), within_s)

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def heed_ctrl_c() -> None:
    """A shell starts what runs in its background deaf to Ctrl-C, and children inherit it; a person's program is in the foreground."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@asynccontextmanager
async def process(command: Sequence[str], environ: Mapping[str, str], folder: Path, name: str) -> AsyncIterator[Process]:
    one = Process(command, environ, folder, name)
    await one.start()
    try:
        yield one
    except BaseException:
        print(f"--- {name} said:\n{one.said()[-6000:]}")
        raise
    finally:
        if one.running is not None and one.running.returncode is None:
            await one.end(signal.SIGKILL)


async def page_address(program: Process, within_s: float = 90.0) -> str:
    """The address that `myvlm try` or `myvlm run` prints on a line of its own."""
    await until(lambda: ADDRESS.search(program.said()), within_s, "the address")
    found = ADDRESS.search(program.said())
    assert found
    return found.group()


async def until(true: Callable[[], object], within_s: float = 20.0, what: str = "it") -> None:
    """Errors: AssertionError when `true` stays false."""
    for _ in range(int(within_s / 0.05)):
        if true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {within_s} s")


async def until_healthy(url: str, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                if (await client.get(f"{url}/v1/health")).json()["ready"]:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)

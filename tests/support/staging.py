"""A whole installation on stage: engine process, bot process, SQLite file, and Discord over a wire."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.supervisor import free_port

from .pictures import scene_photo, toy_photo
from .processes import MYVLM, STUB_ENGINE, Process, process, until_healthy
from .wire import Wire, open_wire

REAL_ENGINE = [sys.executable, "-m", "myvlm_engine.serving", "--port"]
QUICK = {"MYVLM_TEACHING__LEASE_S": "2", "MYVLM_TEACHING__PROGRESS_EVERY_S": "0.2", "MYVLM_LOG__LEVEL": "debug"}


@dataclass
class Stage:
    wire: Wire
    engine: Process
    bot: Process
    engine_url: str
    patience_s: float = 60.0  # for one answer; a real model on a busy machine takes long

    async def teach(self, name: str = "Zippy", seeds: range = range(4), **options: object) -> None:
        """/teach with a photo for each seed, as the server's first member; back as soon as the bot has acknowledged it."""
        photos = {f"photo{i}": (f"{i}.jpg", toy_photo(seed)) for i, seed in enumerate(seeds, 1)}
        await self.wire.member.slash(self.wire.channel, "teach", name=name, kind="object", **photos, **options)

    async def describe(self, photo: bytes) -> str:
        """/describe, and the words of its reply."""
        before = len(self.wire.texts())
        await self.wire.member.slash(self.wire.channel, "describe", photo=("new.jpg", photo))
        return await self.wire.next_reply(before, within_s=self.patience_s)

    async def describe_toy(self) -> str:
        return await self.describe(toy_photo(99))

    async def describe_scene(self) -> str:
        return await self.describe(scene_photo(98))

    async def restart_bot(self) -> None:
        self.wire.session = None
        await self.bot.start()
        await self.wire.connected()

    async def restart_engine(self) -> None:
        await self.engine.start()
        await until_healthy(self.engine_url, within_s=180)


@asynccontextmanager
async def on_stage(folder: Path, stub: Mapping[str, str] | None = None, real_engine: bool = False) -> AsyncIterator[Stage]:
    """Everything runs and is connected. `stub`: the stand-in engine's environment."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [*(REAL_ENGINE if real_engine else STUB_ENGINE), str(port)]
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(open_wire())
        engine = await stack.enter_async_context(process(command, stub or {}, folder, "engine"))
        patience_s = 60.0 if not real_engine else 400.0
        environ = {
            **wire.environ,
            **QUICK,
            "MYVLM_ENGINE__TIMEOUT_S": str(patience_s),
            "MYVLM_ENGINE__URL": url,
            "MYVLM_STORE__URL": f"sqlite:///{folder}/store.sqlite3",
        }
        bot = await stack.enter_async_context(process([*MYVLM, "bot"], environ, folder, "bot"))
        await asyncio.gather(wire.connected(), until_healthy(url, within_s=180))
        yield Stage(wire, engine, bot, url, patience_s)

"""`myvlm try`: any discord.py bot on a simulated Discord page, in real time, without an account.

SimCord is made for tests: it stops the clock and waits until a bot has nothing left to do. `LiveEnv` and `LivePage` take that
back, and `dress` makes a newcomer's page of a tester's (bot/page), over private names of SimCord 3.2.1 (hence the exact pin;
tests/playground holds every one of them). Knows nothing of concepts: what the bot does is the bot's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
from simcord import Env
from simcord import _dpy_internals as simcord_discord
from simcord._clock import Clock
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle
from simcord.preview import Preview

FIRST_REPLY_S = 3.0  # Discord's own limit: https://discord.com/developers/docs/interactions/receiving-and-responding
LOOK_EVERY_S = 0.02  # how soon an acknowledged action is answered
PUBLISH_EVERY_S = 0.3  # how soon a progress edit reaches the page, which itself asks every 0.5 s

PAGE = Path(__file__).with_name("page")
ADDED = {"/preview.css": "page.css", "/app.js": "page.js"}  # what of bot/page follows which file of SimCord's
TITLE = ("<title>SimCord Preview</title>", "<title>MyVLM Bot on a simulated Discord</title>")


class WallClock(Clock):
    """The simulated server's time is the real time."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:  # type: ignore[override]
        return time.monotonic() - self._started

    def now(self) -> datetime:
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Real time needs no push."""


class LiveEnv(Env):
    """An Env that leaves the bot's tasks, timers, threads and sockets alone."""

    def __init__(self, bot: discord.Client) -> None:
        super().__init__(bot, check_errors=False)
        self._sent: dict[asyncio.Task[Any] | None, Any] = {}  # page action -> the interaction it sent

    @contextmanager
    def _bot_scope(self) -> Iterator[None]:
        """Only what makes interaction replies go to the simulated server; no virtual clock, no tracking."""
        previous = simcord_discord.set_webhook_adapter(self._webhook_adapter) if self._webhook_adapter else None
        try:
            yield
        finally:
            if self._webhook_adapter:
                simcord_discord.reset_webhook_adapter(previous)

    def _notify_dispatch_observers(self, interaction: Any) -> None:
        self._sent[asyncio.current_task()] = interaction
        super()._notify_dispatch_observers(interaction)

    async def _settle_internal(self, **_: Any) -> None:
        """An action is over as soon as the bot has acknowledged it; what follows is published as it comes."""
        interaction = self._sent.pop(asyncio.current_task(), None)
        until = time.monotonic() + FIRST_REPLY_S
        while interaction is not None and not interaction.responded and time.monotonic() < until:  # noqa: ASYNC110  SimCord has no event
            await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.sleep(LOOK_EVERY_S)

    def _capture_errors(self) -> None:
        """The bot's own error handling answers the person; a handled error isn't a failed action."""


@dataclass(frozen=True)
class World:
    """The simulated server, small and friendly."""

    channel: ChannelHandle
    members: tuple[MemberActor, ...]


def make_world(env: LiveEnv) -> World:
    """One server, two channels, three people. It is made at SimCord's fixed first instant, so every id is the same at every
    start, and what was taught yesterday belongs to the same server and people today."""
    env.backend.bot_user.name = "MyVLM"
    robin = env.create_user("robin", global_name="Robin")
    guild = env.create_guild("Our Little Server", owner=robin)
    channel = guild.create_text_channel("our-pets")
    guild.create_text_channel("garage-finds")
    members = (guild.add_member(robin), *(guild.add_member(env.create_user(name.lower(), global_name=name)) for name in ("Sam", "Alex")))
    env.backend.clock = WallClock()
    return World(channel, members)


class LivePage:
    """Keeps an open preview up to date, and lets people act on it while it changes under their hands."""

    def __init__(self, env: LiveEnv, preview: Preview) -> None:
        self._env = env
        self._preview = preview
        self._act = preview._action
        self._one_at_a_time = asyncio.Lock()
        preview._action = self._action  # type: ignore[method-assign]

    async def _action(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """A click on a page that was republished a moment ago is meant all the same; two clicks wait for each other."""
        async with self._one_at_a_time:
            page = self._preview._pages.get(context_id or "")
            if page is not None and body.get("kind") == "close":  # it would end the page for everybody, and leave the program running
                asked = {"request_id": body.get("request_id"), "sequence": body.get("sequence")}
                return self._preview._reject(page, "control-unavailable", **asked)
            if page is not None and "published_revision" in body:
                body = {**body, "published_revision": page.revision}
            return await self._act(context_id, body)

    async def keep_publishing(self) -> None:
        """SimCord writes down everything that happens: where there is something new, the pages are published again."""
        while True:
            await asyncio.sleep(PUBLISH_EVERY_S)
            if self._env.backend.transcript and not self._one_at_a_time.locked():
                self._env.backend.transcript.clear()
                self._env.backend.http_requests.clear()
                self._preview._advance_presentation_time()
                self._preview._publish_message_pages(reason="refresh")


def dress(preview: Preview) -> None:
    """Serves bot/page at the end of SimCord's own style and script, which are all that the page's content policy lets in."""
    plain = preview._server._static
    added = {path: (PAGE / name).read_text(encoding="utf-8") for path, name in ADDED.items()}

    async def static(request: Any) -> Any:
        answer = await plain(request)
        if request.path in added:
            answer.text = f"{answer.text}\n{added[request.path]}"
        elif request.path == "/":
            answer.text = answer.text.replace(*TITLE)
        return answer

    preview._server._static = static  # type: ignore[method-assign]


@asynccontextmanager
async def live_page(bot: discord.Client, port: int = 0, welcome: str = "") -> AsyncIterator[str]:
    """Starts the bot on a simulated server and yields the page's address, which carries a secret and is loopback only.
    `welcome` is the bot's first message. The bot is closed on the way out. Errors: simcord.SetupError when the port is taken."""
    env = LiveEnv(bot)
    world = make_world(env)
    if welcome:
        env.backend.create_message(world.channel.id, env.backend.bot_user.id, welcome)
    await env.start()
    try:
        with env.time_context():
            preview = env.preview(world.channel, viewers=world.members, layout="channel", port=port or None)
            dress(preview)
            async with preview:
                publishing = asyncio.create_task(LivePage(env, preview).keep_publishing())
                try:
                    yield preview.url
                finally:
                    publishing.cancel()
    finally:
        await bot.close()
        await env.shutdown()

"""Discord over a real wire: REST, gateway and CDN of SimCord's simulated server on loopback, for an unmodified bot process.

What in-process testing can't show is shown here: RESUME after a broken connection, 429 with Retry-After, a slow CDN, the 3 s
rule in real time. The people on the server act through `member.slash(...)` and read with `wire.texts()`.
"""

from __future__ import annotations

import asyncio
import fnmatch
import io
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import discord
from aiohttp import WSMsgType, web
from simcord.backend import cdn, serializers
from simcord.backend.errors import BackendError
from simcord.http import router
from simcord.intents import required_intent

from bot.playground import LiveEnv, make_world

TOKEN = "a.wire.token"
DISPATCH, HEARTBEAT, IDENTIFY, RESUME, HELLO, ACK = 0, 1, 2, 6, 10, 11
PATIENCE_S = 90.0  # a busy machine is no failure; what is there is found at once
EXACTLY_JSON = {"Content-Type": "application/json"}  # discord.py compares the whole header


@dataclass
class RateLimit:
    """The next `times` requests that fit get 429."""

    method: str
    path: str
    retry_after_s: float
    times: int


@dataclass
class Session:
    """What a connected bot was sent, so that a resumed connection gets what it missed."""

    intents: discord.Intents
    sent: list[str] = field(default_factory=list)  # the frame with sequence number n is sent[n - 1]
    socket: web.WebSocketResponse | None = None


class Wire:
    """The simulated Discord. `resumed` and `identified` count how connections began; `requests` holds (time, method, path)."""

    def __init__(self) -> None:
        self.env = LiveEnv(discord.Client(intents=discord.Intents.none()))  # its own client is never connected
        self.world = make_world(self.env)
        self.backend = self.env.backend
        self.member = self.world.members[0]
        self.channel = self.world.channel
        self.session: Session | None = None
        self.identified = self.resumed = 0
        self.requests: list[tuple[float, str, str]] = []
        self.rate_limits: list[RateLimit] = []
        self.cdn_delay_s = 0.0
        self.url = ""
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self.backend.subscribers.append(self._on_event)

    @property
    def environ(self) -> dict[str, str]:
        """What points a bot process here."""
        gateway = self.url.replace("http://", "ws://") + "/gateway"
        return {"DISCORD_TOKEN": TOKEN, "MYVLM_DISCORD__API_BASE": f"{self.url}/api/v10", "MYVLM_DISCORD__GATEWAY_URL": gateway}

    # -- what people see and do
    def texts(self, channel_id: int | None = None) -> list[str]:
        """All a person can read in a channel, a message each: content, embeds and the texts of components."""
        messages = self.backend.messages.get(channel_id or self.channel.id, {})
        return ["\n".join(_words(serializers.message_payload(self.backend, message))) for message in messages.values()]

    async def reads(self, text: str, within_s: float = PATIENCE_S) -> str:
        """Waits for a message that holds the text and returns it. Errors: AssertionError with everything there was to read."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            for message in self.texts():
                if text.lower() in message.lower():
                    return message
            await asyncio.sleep(0.05)
        raise AssertionError(f"nobody wrote {text!r}; there was: {self.texts()}")

    async def next_reply(self, before: int, within_s: float = PATIENCE_S) -> str:
        """The words of the message after the first `before`, as soon as it has any."""
        async with asyncio.timeout(within_s):
            while not "".join(self.texts()[before : before + 1]).strip():
                await asyncio.sleep(0.05)
        return self.texts()[before]

    async def connected(self, within_s: float = PATIENCE_S) -> None:
        """The bot is there and its commands are registered."""
        async with asyncio.timeout(within_s):
            while not (self.session and self.session.socket and self.backend.commands):
                await asyncio.sleep(0.05)

    async def cut_connection(self, code: int = 4000) -> None:
        """Closes the gateway connection the way Discord does before a RESUME."""
        assert self.session and self.session.socket
        await self.session.socket.close(code=code)

    # -- REST
    async def rest(self, request: web.Request) -> web.Response:
        path = "/" + request.match_info["path"]
        self.requests.append((time.monotonic(), request.method, path))
        if limit := self._limit(request.method, path):
            body = {"message": "You are being rate limited.", "retry_after": limit.retry_after_s, "global": False}
            return _json(body, 429, {"Retry-After": str(limit.retry_after_s), "Via": "1.1 wire", "X-RateLimit-Scope": "user"})
        if path == "/users/@me" and request.headers.get("Authorization") != f"Bot {TOKEN}":
            return _json({"message": "401: Unauthorized", "code": 0}, 401)
        if path in ("/gateway", "/gateway/bot"):
            return _json({"url": self.environ["MYVLM_DISCORD__GATEWAY_URL"], "shards": 1, "session_start_limit": {"max_concurrency": 1}})
        body, files = await _body_of(request)
        try:
            reply = router.dispatch(self.backend, request.method, path, json=body, params=dict(request.query), files=files)
        except BackendError as error:
            return _json(error.to_json(), error.status)
        return _json(reply) if reply is not None else web.Response(status=204)

    def _limit(self, method: str, path: str) -> RateLimit | None:
        for limit in self.rate_limits:
            if limit.times > 0 and limit.method == method and fnmatch.fnmatch(path, limit.path):
                limit.times -= 1
                return limit
        return None

    async def attachment(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.cdn_delay_s)
        blob = self.backend.cdn.get(f"{self.url}{request.path}")
        return web.Response(body=blob) if blob is not None else web.Response(status=404)

    # -- gateway
    async def gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": HELLO, "d": {"heartbeat_interval": 41_250}})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._on_frame(socket, json.loads(message.data))
        if self.session and self.session.socket is socket:
            self.session.socket = None
        return socket

    async def _on_frame(self, socket: web.WebSocketResponse, frame: Mapping[str, Any]) -> None:
        if frame["op"] == HEARTBEAT:
            await socket.send_json({"op": ACK})
        elif frame["op"] == IDENTIFY:
            self.identified += 1
            self.session = Session(discord.Intents._from_value(frame["d"]["intents"]), socket=socket)
            self._on_event("READY", self._ready())
            for guild in self.backend.guilds.values():
                self._on_event("GUILD_CREATE", serializers.guild_create_payload(self.backend, guild))
        elif frame["op"] == RESUME and self.session:
            self.resumed += 1
            for missed in self.session.sent[frame["d"]["seq"] :]:
                await socket.send_str(missed)
            self.session.socket = socket
            self._on_event("RESUMED", {})

    def _ready(self) -> dict[str, Any]:
        return {
            "v": 10,
            "user": dict(serializers.user_payload(self.backend.bot_user)),
            "guilds": [{"id": str(guild), "unavailable": True} for guild in self.backend.guilds],
            "session_id": "wire-session",
            "resume_gateway_url": self.environ["MYVLM_DISCORD__GATEWAY_URL"],
            "shard": [0, 1],
            "application": {"id": str(self.backend.application_id), "flags": 0},
        }

    def _on_event(self, event: str, payload: Mapping[str, Any]) -> None:
        """Numbers what the bot's intents let it see; who isn't connected gets it after a RESUME."""
        if self.session is None:
            return
        gate = required_intent(event, payload)
        if gate is None or getattr(self.session.intents, gate):
            frame = json.dumps({"op": DISPATCH, "t": event, "s": len(self.session.sent) + 1, "d": payload}, default=str)
            self.session.sent.append(frame)
            self._outbox.put_nowait(frame)

    async def deliver(self) -> None:
        while True:
            frame = await self._outbox.get()
            socket = self.session.socket if self.session else None
            if socket is not None and not socket.closed:
                try:
                    await socket.send_str(frame)
                except ConnectionError:  # cut while it was written: a RESUME brings it
                    continue


@asynccontextmanager
async def open_wire() -> AsyncIterator[Wire]:
    """A simulated Discord at `wire.url` for as long as the block lasts."""
    wire = Wire()
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/api/v10/{path:.*}", wire.rest)
    app.router.add_get("/gateway", wire.gateway)
    app.router.add_get("/attachments/{channel}/{id}/{name}", wire.attachment)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    wire.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    cdn_base, cdn.CDN_BASE = cdn.CDN_BASE, wire.url
    delivering = asyncio.create_task(wire.deliver())
    try:
        yield wire
    finally:
        delivering.cancel()
        cdn.CDN_BASE = cdn_base
        await runner.cleanup()


async def _body_of(request: web.Request) -> tuple[Any, list[discord.File]]:
    if not request.content_type.startswith("multipart/"):
        return (await request.json() if request.can_read_body else None), []
    form = await request.post()
    uploads = [value for name, value in form.items() if name.startswith("files[") and isinstance(value, web.FileField)]
    return json.loads(str(form["payload_json"])), [discord.File(io.BytesIO(u.file.read()), u.filename) for u in uploads]


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=json.dumps(body, default=str).encode(), status=status, headers={**EXACTLY_JSON, **(headers or {})})


def _words(node: Any) -> list[str]:
    """Every text a client would show, from a message's JSON."""
    if isinstance(node, list):
        return [word for item in node for word in _words(item)]
    if not isinstance(node, dict):
        return []
    shown = [node[key] for key in ("content", "title", "description", "name", "value", "label", "text") if isinstance(node.get(key), str)]
    return shown + [word for key in ("embeds", "components", "fields", "footer", "accessory") for word in _words(node.get(key))]

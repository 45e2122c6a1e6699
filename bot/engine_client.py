"""The engine's verbs over HTTP, with timeouts, retries and two errors: it refused (a code), or it isn't there.

Knows no concept and no Discord. `Engine` is the door: tests come in by it with an engine of their own.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Sequence
from typing import Protocol, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from myvlm_engine.messages import (
    AnswerReply,
    AnswerRequest,
    Box,
    ErrorCode,
    ErrorReply,
    FitReply,
    FitRequest,
    HealthReply,
    LocateReply,
    LocateRequest,
    SeeReply,
    SeeRequest,
    TeachEvent,
    TeachRequest,
)

Reply = TypeVar("Reply", bound=BaseModel)
Facts = dict[str, str | int | float | list[int]]

CONNECT_S = 3.0
HEALTH_S = 5.0
# For how long something that may be asked twice is tried again, from the first failure on:
BROKEN_S = 1.0  # where the connection broke: what was asked may be what ends the engine, and isn't to end the next one, too
ABSENT_S = 6.0  # where nobody listens: an engine's port opens some seconds after its start
WAKING_S = 45.0  # where it still loads its models
PAUSE_S, LONGEST_PAUSE_S = 0.2, 1.0  # between two tries; grows fourfold


class EngineError(Exception):
    """The engine refused: a code of messages.py and its facts."""

    def __init__(self, code: ErrorCode, facts: Facts | None = None):
        super().__init__(code)
        self.code = code
        self.facts = facts or {}


class EngineUnreachable(Exception):
    """The engine isn't there (`absent`), went away or took too long (`slow`)."""

    def __init__(self, message: str | None = None, slow: bool = False, absent: bool = False):
        super().__init__(message or type(self).__doc__)
        self.slow, self.absent = slow, absent


class Engine(Protocol):
    """Errors of every verb: EngineError, EngineUnreachable."""

    async def see(self, photo: bytes, taught: bool = False, places: Sequence[Box] = (), faces: bool = True) -> SeeReply:
        """The whole photo, or these places alone, each seen larger; without sights of encoders that can't look closer. `faces`: whether
        they may be described."""

    async def fit(self, request: FitRequest) -> FitReply: ...

    def teach(self, request: TeachRequest) -> AsyncIterator[TeachEvent]:
        """Events as they come; the last one is "done". Close the iterator (aclosing) to end the teach early."""

    async def answer(self, request: AnswerRequest) -> AnswerReply: ...

    async def locate(self, request: LocateRequest) -> LocateReply:
        """Boxes of all things of a kind; none of an engine whose VLM can't tell (`health().grounds`)."""

    async def health(self) -> HealthReply: ...

    async def close(self) -> None: ...


class HttpEngine:
    """`url` is http://host:port, or unix:/path/to/socket."""

    def __init__(self, url: str, token: str = "", timeout_s: float = 120.0):
        socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            base_url="http://engine" if socket else url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            transport=httpx.AsyncHTTPTransport(uds=socket) if socket else None,
            trust_env=False,  # a proxy of the environment has no business between bot and engine
        )

    async def see(self, photo: bytes, taught: bool = False, places: Sequence[Box] = (), faces: bool = True) -> SeeReply:
        request = SeeRequest(photo=base64.b64encode(photo).decode(), taught=taught, places=list(places), faces=faces)
        return await self._asked_again("/v1/see", request, SeeReply)

    async def fit(self, request: FitRequest) -> FitReply:
        return await self._asked_again("/v1/fit", request, FitReply)

    async def answer(self, request: AnswerRequest) -> AnswerReply:
        return await self._asked_again("/v1/answer", request, AnswerReply)

    async def locate(self, request: LocateRequest) -> LocateReply:
        return await self._asked_again("/v1/locate", request, LocateReply)

    async def health(self) -> HealthReply:
        return await self._ask("GET", "/v1/health", None, HealthReply, HEALTH_S)

    async def teach(self, request: TeachRequest) -> AsyncIterator[TeachEvent]:
        try:
            async with self._http.stream(
                "POST", "/v1/teach", content=request.model_dump_json(), headers=JSON, timeout=self._patience(self._timeout_s)
            ) as response:
                if response.status_code >= 400:
                    raise _refusal(response.status_code, await response.aread())
                async for line in response.aiter_lines():
                    event = _event(line)
                    yield event
                    if event.stage == "done":
                        return
        except httpx.TransportError as error:
            raise _gone(error) from error
        raise EngineUnreachable("The engine broke off in the middle of a teach.")

    async def close(self) -> None:
        await self._http.aclose()

    async def _asked_again(self, path: str, request: BaseModel, reply: type[Reply]) -> Reply:
        """For verbs that change nothing. Neither a slow engine is asked again, nor one that couldn't load its models (it says why)."""
        failed_at, pause_s, broken = 0.0, PAUSE_S, False
        failure: EngineUnreachable | EngineError
        while True:
            try:
                return await self._ask("POST", path, request, reply, self._timeout_s)
            except EngineUnreachable as error:
                if error.slow:
                    raise
                broken |= not error.absent
                failure, within_s = error, ABSENT_S
            except EngineError as error:
                if error.code != "not_ready" or error.facts.get("why"):
                    raise
                failure, within_s = error, WAKING_S
            failed_at = failed_at or time.monotonic()
            if time.monotonic() - failed_at >= (BROKEN_S if broken else within_s):
                raise failure
            await asyncio.sleep(pause_s)
            pause_s = min(4 * pause_s, LONGEST_PAUSE_S)

    async def _ask(self, method: str, path: str, request: BaseModel | None, reply: type[Reply], timeout_s: float) -> Reply:
        content = request.model_dump_json() if request else None
        try:
            response = await self._http.request(method, path, content=content, headers=JSON, timeout=self._patience(timeout_s))
        except httpx.TransportError as error:
            raise _gone(error) from error
        if response.status_code >= 400:
            raise _refusal(response.status_code, response.content)
        try:
            return reply.model_validate_json(response.content)
        except ValidationError as error:
            raise EngineError("internal", {"type": "the engine speaks another version"}) from error

    def _patience(self, read_s: float) -> httpx.Timeout:
        return httpx.Timeout(read_s, connect=CONNECT_S, pool=read_s)


JSON = {"Content-Type": "application/json"}


def _event(line: str) -> TeachEvent:
    try:
        event = TeachEvent.model_validate_json(line)
    except ValidationError as error:  # cut off in the middle of a line
        raise EngineUnreachable("The engine broke off in the middle of a teach.") from error
    if event.stage == "failed":
        raise EngineError(event.error.code, event.error.facts) if event.error else EngineError("internal")
    return event


def _refusal(status: int, body: bytes) -> EngineError | EngineUnreachable:
    try:
        reply = ErrorReply.model_validate_json(body)
    except ValidationError:
        if status in (502, 503, 504):  # a proxy in between
            return EngineUnreachable(f"HTTP {status} from before the engine")
        return EngineError("internal", {"type": f"HTTP {status}"})
    return EngineError(reply.code, reply.facts)


def _gone(error: httpx.TransportError) -> EngineUnreachable:
    slow = isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout)
    absent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return EngineUnreachable(f"{type(error).__name__}: {error}", slow=slow, absent=absent)

"""What every request to the engine passes first: the token, the size limit, an id and one log line. Knows no verb and no model."""

from __future__ import annotations

import contextlib
import hmac
import time
import uuid
from collections.abc import Iterator

import structlog
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import EngineError, NotAllowed, TooLarge

log = structlog.get_logger("myvlm.engine")
OPEN_PATH = "/v1/health"  # asked by supervisors, often and without a token: not guarded, not logged


class Gate:
    """ASGI middleware; pure, so that a stream's disconnect reaches the stream."""

    def __init__(self, app: ASGIApp, token: str, max_body_bytes: int):
        self.app, self.token, self.max_body_bytes = app, token, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        call = _Call(scope, send, headers.get("x-request-id", "")[:64] or uuid.uuid4().hex[:16])
        with structlog.contextvars.bound_contextvars(request=call.id), call.logged():
            if refusal := self._refusal(scope, headers):
                return await JSONResponse(refusal.reply().model_dump(), refusal.status)(scope, receive, call.send)
            await self.app(scope, self._counted(receive), call.send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> EngineError | None:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if self.token and scope["path"] != OPEN_PATH and not hmac.compare_digest(given.encode(), self.token.encode()):
            return NotAllowed()
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.max_body_bytes:
            return TooLarge(self.max_body_bytes)
        return None

    def _counted(self, receive: Receive) -> Receive:
        """A body without a length is counted as it comes. Errors: TooLarge."""
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self.max_body_bytes:
                raise TooLarge(self.max_body_bytes)
            return message

        return counted


class _Call:
    """One request as the log tells it."""

    def __init__(self, scope: Scope, send: Send, request_id: str):
        self.id, self._send, self.status = request_id, send, 0
        self.facts = {"method": scope["method"], "path": scope["path"]}
        self.started = time.monotonic()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    @contextlib.contextmanager
    def logged(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self.facts["path"] != OPEN_PATH:
                log.info("request", **self.facts, status=self.status, seconds=round(time.monotonic() - self.started, 3))

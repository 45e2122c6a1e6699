"""The engine over HTTP: POST /v1/see, /v1/fit, /v1/teach (a stream of JSON lines), /v1/answer, /v1/locate and GET /v1/health.

The port answers at once and the models load behind it. Logs hold ids, sizes and times, never pictures, vectors or texts.
Knows nothing of how the engine does what it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.metadata
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import psutil
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from .errors import BadRequest, CallerGone, EngineError, NotReady, as_engine_error, told_as_engine_errors, where
from .gate import Gate
from .line import Line, TeachSlots
from .messages import (
    AnswerReply,
    AnswerRequest,
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

if TYPE_CHECKING:
    from .engine import Engine

log = structlog.get_logger("myvlm.engine")
Reply = TypeVar("Reply")
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What one engine lets in. Ten photos of 2 MB as base64 are 27 MB."""

    max_body_bytes: int = 64 * MEGABYTE
    max_waiting: int = 16  # seconds each: the seventeenth would wait longer than Discord's reader
    teach_patience_s: float = 5.0  # how long a teach waits for a broken-off one to leave


@dataclass
class Desk:
    """What a running service knows: the line, and the engine once it is loaded."""

    line: Line
    teach_slots: TeachSlots
    started_at: float = field(default_factory=time.monotonic)
    engine: Engine | None = None
    failure: str | None = None

    def ready_engine(self) -> Engine:
        if self.engine is None:
            raise NotReady(why=self.failure) if self.failure else NotReady()
        return self.engine


def create_app(load: Callable[[], Engine], token: str = "", limits: Limits = Limits()) -> FastAPI:
    """The service around the engine that `load` makes (called once, on the models' thread, while the port answers already).
    With a `token`, everything but /v1/health asks for it."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        desk = app.state.desk = Desk(Line(limits.max_waiting), TeachSlots(limits.teach_patience_s))
        loading = asyncio.create_task(_load(desk, load))
        yield
        loading.cancel()
        desk.line.close()

    app = FastAPI(title="MyVLM engine", lifespan=lifespan, openapi_url=None)
    app.add_middleware(Gate, token=token, max_body_bytes=limits.max_body_bytes)  # type: ignore[arg-type]
    for kind in (EngineError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _refuse)
    app.post("/v1/see")(_see)
    app.post("/v1/fit")(_fit)
    app.post("/v1/teach")(_teach)
    app.post("/v1/answer")(_answer)
    app.post("/v1/locate")(_locate)
    app.get("/v1/health")(_health)
    return app


async def _load(desk: Desk, load: Callable[[], Engine]) -> None:
    started = time.monotonic()
    try:
        desk.engine = await desk.line.step(load)
        desk.teach_slots.seats = desk.engine.parts.lessons
        log.info("ready", vlm=desk.engine.vlm_fingerprint, seconds=round(time.monotonic() - started, 2))
    except Exception as error:
        desk.failure = str(error) or type(error).__name__  # raised before any request: it can't quote anybody
        log.error("not_loaded", failure=desk.failure, type=type(error).__name__, where=where(error))


# -- the verbs
async def _see(request: Request, body: SeeRequest) -> SeeReply:
    return await _served(request, lambda engine: engine.see(body))


async def _fit(request: Request, body: FitRequest) -> FitReply:
    return await _served(request, lambda engine: engine.fit(body))


async def _answer(request: Request, body: AnswerRequest) -> AnswerReply:
    return await _served(request, lambda engine: engine.answer(body))


async def _locate(request: Request, body: LocateRequest) -> LocateReply:
    return await _served(request, lambda engine: engine.locate(body))


async def _teach(request: Request, body: TeachRequest) -> Response:
    """The photos are decoded before the first line goes out, so that a bad one is still a plain refusal."""
    desk: Desk = request.app.state.desk
    desk.ready_engine()
    await desk.teach_slots.take()
    try:
        steps = await _served(request, lambda engine: engine.teach(body))
    except BaseException:
        await asyncio.shield(desk.teach_slots.give_back())
        raise
    return TeachStream(desk, steps)


async def _served(request: Request, work: Callable[[Engine], Reply]) -> Reply:
    desk: Desk = request.app.state.desk
    engine = desk.ready_engine()
    with told_as_engine_errors():
        return await desk.line.serve(functools.partial(work, engine), gone=request.is_disconnected)


async def _health(request: Request) -> HealthReply:
    desk: Desk = request.app.state.desk
    engine = desk.engine
    return HealthReply(
        ready=engine is not None,
        vlm=engine.vlm_fingerprint if engine else "",
        encoders=list(engine.encoders) if engine else [],
        device=engine.parts.device if engine else "",
        dtype=engine.parts.dtype if engine else "",
        busy=desk.teach_slots.full,
        waiting=desk.line.waiting,
        lessons=desk.teach_slots.seats,
        uptime_s=time.monotonic() - desk.started_at,
        memory_bytes=psutil.Process().memory_info().rss,
        version=_version(),
        grounds=engine.grounds if engine else False,
        failure=desk.failure,
    )


@functools.cache
def _version() -> str:
    try:
        return importlib.metadata.version("myvlm-bot")
    except importlib.metadata.PackageNotFoundError:  # run from a copy that isn't installed
        return "unknown"


class TeachStream(StreamingResponse):
    """TeachEvents as JSON lines. When the client hangs up, the teach ends before its next step."""

    def __init__(self, desk: Desk, steps: Iterator[TeachEvent]):
        super().__init__(self._lines(), media_type="application/x-ndjson", headers={"X-Accel-Buffering": "no"})
        self.desk, self.steps = desk, steps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # also when it was cancelled before the first line: async generators wouldn't run their own `finally`
            self.desk.line.leave(self.steps.close)  # type: ignore[attr-defined]
            await asyncio.shield(self.desk.teach_slots.give_back())

    async def _lines(self) -> AsyncIterator[str]:
        try:
            while event := await self.desk.line.step(lambda: next(self.steps, None)):
                yield event.model_dump_json(exclude_none=True) + "\n"
        except Exception as error:
            refusal = as_engine_error(error)
            log.warning("teach_failed", code=refusal.code, type=type(error).__name__, where=where(error))
            yield TeachEvent(stage="failed", error=refusal.reply()).model_dump_json(exclude_none=True) + "\n"


# -- refusals
async def _refuse(request: Request, error: Exception) -> Response:
    refusal = _refusal_of(error)
    if refusal.code in ("internal", "out_of_memory") and not isinstance(refusal, CallerGone):
        log.error("failed", code=refusal.code, type=type(error.__cause__ or error).__name__, where=where(error))
    headers = {"Retry-After": "5"} if refusal.status == 503 else None
    return JSONResponse(refusal.reply().model_dump(), status_code=refusal.status, headers=headers)


def _refusal_of(error: Exception) -> EngineError:
    if isinstance(error, RequestValidationError):  # its own text would send the photo back
        first = error.errors()[0]
        return BadRequest(f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['type']}")
    if isinstance(error.__cause__, EngineError):  # raised while the body was read
        return error.__cause__
    if isinstance(error, HTTPException):
        refusal = BadRequest("no such address" if error.status_code == 404 else f"HTTP {error.status_code}")
        refusal.status = error.status_code  # type: ignore[misc]
        return refusal
    return as_engine_error(error)

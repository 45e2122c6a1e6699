"""The engine's verbs over a real socket: replies, refusals, retries, broken streams, tokens."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from bot_fakes import photo_of, sight_of_colour

from bot import engine_client
from bot.engine_client import EngineError, EngineUnreachable, HttpEngine
from bot.supervisor import free_port
from myvlm_engine.messages import AnswerReply, AnswerRequest, FitRequest, SeeReply, TaughtPhoto, TeachRequest

PHOTO = photo_of((200, 40, 40))
SEEN = SeeReply(sights=[sight_of_colour(PHOTO)], noun="dog")
LESSON = TeachRequest(name="Biscuit", class_noun="dog", kind="pet", photos=[TaughtPhoto(photo="")])
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler, socket: Path | None = None, port: int = 0) -> AsyncIterator[str]:
    """A server on loopback (any port, or this one; or a Unix socket) that answers everything with `handler`; gives its address."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.UnixSite(runner, str(socket)) if socket else web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield f"unix:{socket}" if socket else f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def engine_at(url: str, token: str = "", timeout_s: float = 30.0) -> AsyncIterator[HttpEngine]:
    engine = HttpEngine(url, token, timeout_s)
    try:
        yield engine
    finally:
        await engine.close()


def lines(*events: dict[str, object], cut: str = "") -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(json.dumps(event).encode() + b"\n")
            await asyncio.sleep(0.01)
        await response.write(cut.encode())
        return response

    return answer


async def events_of(engine: HttpEngine) -> list[str]:
    async with aclosing(engine.teach(LESSON)) as events:
        return [event.stage async for event in events]


async def test_a_photo_is_seen_and_the_token_goes_along():
    asked: list[tuple[str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, request.headers.get("Authorization")))
        assert (await request.json())["photo"]
        return web.json_response(SEEN.model_dump())

    async with served(answer) as url, engine_at(url, "s3cret") as engine:
        assert await engine.see(PHOTO) == SEEN
    assert asked == [("/v1/see", "Bearer s3cret")]


async def test_a_unix_socket_is_an_address_too(tmp_path):
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(SEEN.model_dump())

    async with served(answer, tmp_path / "engine") as url, engine_at(url) as engine:
        assert await engine.see(PHOTO) == SEEN


async def test_a_refusal_is_its_code_and_its_facts():
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"code": "busy", "facts": {"waiting": 16}}, status=503)

    async with served(answer) as url, engine_at(url) as engine:
        with pytest.raises(EngineError) as caught:
            await engine.answer(AnswerRequest(photo=""))
    assert (caught.value.code, caught.value.facts) == ("busy", {"waiting": 16})


@pytest.mark.parametrize("status, expected", [(502, EngineUnreachable), (503, EngineUnreachable), (500, EngineError), (404, EngineError)])
async def test_a_stranger_in_between_is_told_apart(status, expected):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<html>Bad Gateway</html>", status=status)

    async with served(answer) as url, engine_at(url) as engine:
        with pytest.raises(expected):
            await engine.health()


async def test_an_engine_of_another_version_is_an_internal_error():
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"something": "else"})

    async with served(answer) as url, engine_at(url) as engine:
        with pytest.raises(EngineError) as caught:
            await engine.health()
    assert caught.value.code == "internal"


async def test_nobody_there_is_unreachable_within_seconds(monkeypatch):
    monkeypatch.setattr(engine_client, "ABSENT_S", 0.3)
    with sockets.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody else can listen there
        async with engine_at(f"http://127.0.0.1:{deaf.getsockname()[1]}") as engine, asyncio.timeout(30):
            for ask in (engine.see(PHOTO), engine.fit(FitRequest(kind="pet", positives=[])), engine.health(), events_of(engine)):
                with pytest.raises(EngineUnreachable):
                    await ask


@pytest.mark.parametrize("facts, waits", [({}, True), ({"why": "no weights"}, False)])
async def test_an_engine_that_still_loads_is_waited_for_and_one_that_cannot_is_not(monkeypatch, facts, waits):
    tries = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        if tries < 4:
            return web.json_response({"code": "not_ready", "facts": facts}, status=503)
        return web.json_response(SEEN.model_dump())

    monkeypatch.setattr(engine_client, "LONGEST_PAUSE_S", 0.01)
    async with served(answer) as url, engine_at(url) as engine:
        if waits:
            assert await engine.see(PHOTO) == SEEN
        else:
            with pytest.raises(EngineError):
                await engine.see(PHOTO)
    assert tries == (4 if waits else 1)


async def test_an_engine_that_loads_for_long_is_not_waited_for_any_more(monkeypatch):
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"code": "not_ready", "facts": {}}, status=503)

    monkeypatch.setattr(engine_client, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(engine_client, "WAKING_S", 0.2)
    async with served(answer) as url, engine_at(url) as engine, asyncio.timeout(30):
        with pytest.raises(EngineError) as caught:
            await engine.see(PHOTO)
    assert caught.value.code == "not_ready"


async def test_an_engine_whose_port_opens_late_is_waited_for():
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(SEEN.model_dump())

    port = free_port()
    async with engine_at(f"http://127.0.0.1:{port}") as engine:
        seeing = asyncio.create_task(engine.see(PHOTO))
        await asyncio.sleep(0.5)
        assert not seeing.done()
        async with served(answer, port=port):
            assert await seeing == SEEN


async def test_an_engine_that_starts_anew_because_of_a_photo_is_not_handed_it_again(monkeypatch):
    """A photo that ends the engine ends one: whoever asks is told after a second, not when the next has loaded."""
    tries = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        if tries == 1:
            request.transport.abort()
        return web.json_response({"code": "not_ready", "facts": {}}, status=503)

    monkeypatch.setattr(engine_client, "BROKEN_S", 0.1)
    async with served(answer) as url, engine_at(url) as engine, asyncio.timeout(30):
        with pytest.raises(EngineError) as caught:
            await engine.see(PHOTO)
    assert (caught.value.code, tries) == ("not_ready", 2)


async def test_a_broken_connection_is_tried_again(monkeypatch):
    monkeypatch.setattr(engine_client, "BROKEN_S", 30.0)
    tries = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        if tries < 3:
            request.transport.abort()
        return web.json_response(AnswerReply(text="a dog", base_text="a dog", named=[], seconds=1).model_dump())

    async with served(answer) as url, engine_at(url) as engine:
        assert (await engine.answer(AnswerRequest(photo=""))).text == "a dog"
    assert tries == 3


async def test_a_slow_answer_is_not_asked_twice():
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        await asyncio.sleep(60)
        return web.Response()

    async with served(answer) as url, engine_at(url, timeout_s=1) as engine:
        with pytest.raises(EngineUnreachable) as caught:
            await engine.see(PHOTO)
    assert caught.value.slow and asked == 1


async def test_a_teach_streams_its_events_until_it_is_done():
    story = lines({"stage": "drafting"}, {"stage": "learning", "step": 1, "of": 2}, {"stage": "done", "embedding": "eA==", "vlm": "v"})
    async with served(story) as url, engine_at(url) as engine:
        assert await events_of(engine) == ["drafting", "learning", "done"]


async def test_a_teach_that_fails_says_its_code():
    story = lines({"stage": "learning", "step": 1}, {"stage": "failed", "error": {"code": "out_of_memory", "facts": {"needed": 5}}})
    async with served(story) as url, engine_at(url) as engine:
        with pytest.raises(EngineError) as caught:
            await events_of(engine)
    assert (caught.value.code, caught.value.facts) == ("out_of_memory", {"needed": 5})


async def test_a_teach_can_be_refused_before_it_begins():
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"code": "not_allowed", "facts": {}}, status=401)

    async with served(answer) as url, engine_at(url) as engine:
        with pytest.raises(EngineError) as caught:
            await events_of(engine)
    assert caught.value.code == "not_allowed"


@pytest.mark.parametrize("cut", ["", '{"stage": "lear'])
async def test_a_stream_that_ends_too_early_is_unreachable(cut):
    async with served(lines({"stage": "learning", "step": 1}, cut=cut)) as url, engine_at(url) as engine:
        with pytest.raises(EngineUnreachable):
            await events_of(engine)


async def test_an_engine_killed_in_the_middle_of_a_teach_is_unreachable():
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"stage": "drafting"}\n')
        await asyncio.sleep(0.05)
        request.transport.abort()
        return response

    async with served(answer) as url, engine_at(url) as engine:
        with pytest.raises(EngineUnreachable):
            await events_of(engine)


async def test_closing_a_teach_hangs_up():
    gone = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b'{"stage": "learning", "step": 1, "of": 9}\n')
                await asyncio.sleep(0.01)
        except (ConnectionResetError, asyncio.CancelledError):
            gone.set()
            raise

    async with served(answer) as url, engine_at(url) as engine:
        async with aclosing(engine.teach(LESSON)) as events:
            async for _ in events:
                break
        await asyncio.wait_for(gone.wait(), 30)

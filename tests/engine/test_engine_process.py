"""The engine as a process of its own on loopback, with small parts: where it listens, hang-ups, signals, its parent's end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from engine_fakes import photo, teach_request

from myvlm_engine.messages import TeachEvent
from myvlm_engine.serving import NotServed, Options, serve

FAKES = Path(__file__).with_name("engine_fakes.py")
pytestmark = pytest.mark.slow


@contextlib.contextmanager
def engine_process(*options: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """A running engine and its address."""
    process = subprocess.Popen([sys.executable, str(FAKES), *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.fullmatch(r"engine listening on (\S+)\n", process.stdout.readline())
        assert found, "the first line must tell the address"
        yield process, found[1]
    finally:
        process.kill()
        process.wait()


def until(condition, within_s: float = 30.0):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s")


def health(address: str) -> dict:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{address}/v1/health").json()
    return {}


def test_the_port_answers_before_the_models_are_loaded(tmp_path):
    models = tmp_path / "models"
    with engine_process("--load-when", str(models)) as (_, address):
        first = until(lambda: health(address))
        assert first["ready"] is False
        models.touch()
        assert until(lambda: (h := health(address)).get("ready") and h)["vlm"]


def test_it_listens_when_it_says_so(monkeypatch, capsys):
    """A client that read the line and connected at once was refused, now and then: uvicorn listens only some moments later."""
    said = []

    def connected(server, sockets):
        said.append(capsys.readouterr().out)
        with socket.create_connection(sockets[0].getsockname(), timeout=5):
            said.append("connected")
        sockets[0].close()

    monkeypatch.setattr("uvicorn.Server.run", connected)
    monkeypatch.setattr("myvlm_engine.serving._configure_logs", lambda level: None)
    serve(Options(port=0))
    assert said[0].startswith("engine listening on http://127.0.0.1:") and said[1] == "connected"


def test_it_listens_on_a_unix_socket(tmp_path):
    path = str(tmp_path / "engine.sock")
    with (
        engine_process("--uds", path) as (_, address),
        httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://engine") as client,
    ):
        assert address == f"unix:{path}"
        until(lambda: client.get("/v1/health").json()["ready"])
        assert client.post("/v1/see", json={"photo": photo()}).status_code == 200


def test_a_client_that_hangs_up_ends_its_teach_and_the_next_begins():
    with engine_process("--steps", "1000", "--step-s", "0.1") as (_, address), httpx.Client(base_url=address, timeout=30) as client:
        until(lambda: health(address).get("ready"))
        with client.stream("POST", "/v1/teach", json=teach_request().model_dump(mode="json")) as stream:
            lines = stream.iter_lines()
            assert [TeachEvent.model_validate_json(next(lines)).step for _ in range(3)] == [1, 2, 3]
            assert until(lambda: health(address))["busy"] is True
        until(lambda: health(address).get("busy") is False)
        with client.stream("POST", "/v1/teach", json=teach_request().model_dump(mode="json")) as stream:
            assert TeachEvent.model_validate_json(next(stream.iter_lines())).step == 1


def test_it_ends_soon_on_sigterm_in_the_middle_of_a_teach():
    with engine_process("--steps", "1000", "--step-s", "0.1") as (process, address), httpx.Client(base_url=address, timeout=30) as client:
        until(lambda: health(address).get("ready"))
        with client.stream("POST", "/v1/teach", json=teach_request().model_dump(mode="json")) as stream:
            next(stream.iter_lines())
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) is not None


def test_it_ends_with_its_parent():
    command = f"[sys.executable, {str(FAKES)!r}, '--parent-pid', str(os.getpid())]"
    starter = f"import os, subprocess, sys; subprocess.Popen({command}); sys.stdin.read()"
    parent = subprocess.Popen([sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    address = parent.stdout.readline().split()[-1]
    engine = psutil.Process(parent.pid).children()[0]
    until(lambda: health(address).get("ready"))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    gone, _ = psutil.wait_procs([engine], timeout=30)
    assert engine in gone


def test_it_refuses_to_listen_for_everybody_without_a_token():
    with pytest.raises(NotServed, match=r"Set engine\.token"):
        serve(Options(host="0.0.0.0"))


def test_an_address_that_is_taken_is_told():
    with engine_process() as (_, address), pytest.raises(NotServed, match=r"Choose another engine\.port"):
        serve(Options(port=int(address.rsplit(":", 1)[1])))

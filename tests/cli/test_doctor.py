"""`myvlm doctor` in a narrow terminal, before strange answers and without libraries: every row is there, whole and true."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from aiohttp import web
from support.environment import without_settings
from support.serving import serving
from support.wire import TOKEN, open_wire
from typer.testing import CliRunner

from bot import doctor, models
from bot.cli import app
from bot.config import DiscordSettings, EngineSettings, Settings
from bot.doctor import Check, without_password
from myvlm_engine.service import create_app

REPOSITORY = Path(__file__).parents[2]
NARROW = 80
runner = CliRunner(env={"COLUMNS": str(NARROW)})


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    without_settings(monkeypatch, tmp_path)
    monkeypatch.setenv("COLUMNS", str(NARROW))


def discord_at(url: str, token: str = TOKEN) -> Settings:
    return Settings(discord=DiscordSettings(token=token, api_base=url))


def engine_at(url: str, token: str = "") -> Settings:
    return Settings(engine=EngineSettings(url=url, token=token))


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def in_rows(shown: str) -> str:
    """The words of a table's cells, without the lines between them; a word that was folded has its parts side by side."""
    return " ".join(shown.translate(str.maketrans("│┃", "  ")).split())


# -- how it looks
def test_the_invitation_link_is_whole_in_a_narrow_terminal(capsys):
    link = doctor.invite("123456789012345678")
    doctor.show([Check("Discord", "fine", "token of biscuit", "Invite it, with the link below.", link)])
    assert link in capsys.readouterr().out.splitlines()


def test_a_long_word_is_folded_and_nothing_is_cut_off(capsys):
    long = "sqlite:////srv/" + "a" * 100
    doctor.show([Check("store", "missing", long, long)])
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert shown.count("a") >= 200


@pytest.mark.parametrize("words", ["pip install '.[engine]'", '[engine] has no setting "devce"', "can't be '[/x]'"])
def test_square_brackets_are_shown_as_they_are(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    doctor.show([Check(words, "missing", words, words)])
    assert in_rows(capsys.readouterr().out).count(words) == 3


def test_settings_with_square_brackets_end_in_a_sentence(tmp_path):
    (tmp_path / "config.toml").write_text("[engine]\nurl = '[/x]'\n")
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "engine.url can't be '[/x]'." in in_rows(result.output)


def test_the_list_of_models_cuts_no_name_off_and_reads_none_as_markup(capsys):
    models.show([*models.known_models(), models.Model("eye[/x]", "from some[thing]", True)])
    shown = capsys.readouterr().out
    assert all(f" {model.name} " in shown for model in models.known_models())
    assert "eye[/x]" in shown and "some[thing]" in shown
    assert "…" not in shown.partition("`myvlm")[0]


# -- what it says of libraries
def test_missing_libraries_are_installed_from_the_projects_folder():
    check = doctor._libraries("engine's libraries", ("a-library-that-nobody-has",), "engine")
    assert check.found == "without a-library-that-nobody-has"
    assert check.do == "In the project's folder: `make setup`, or `pip install '.[engine]'`."


def test_open_clip_is_installed_from_the_projects_folder(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    check = doctor._encoder(Settings(engine=EngineSettings(encoder="clip")))
    assert check.state == "missing" and "`pip install '.[engine]'`" in check.do


def test_what_downloads_models_is_installed_from_the_projects_folder(monkeypatch):
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    result = runner.invoke(app, ["models", "install", "smolvlm-256m"])
    assert result.exit_code == 2 and "`pip install '.[engine]'`" in result.stderr


def test_it_works_where_the_bots_libraries_are_not_installed(tmp_path):
    """They are what it should tell of."""
    code = "import sys; sys.modules.update(httpx=None, sqlalchemy=None, discord=None); from bot.cli import app; app(['doctor'])"
    environ = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environ)
    assert "can't be looked at without httpx" in done.stdout, done.stderr
    assert "settings" in done.stdout and "store" in done.stdout


# -- each on its own
def test_a_look_that_fails_is_one_row_and_hides_no_other(monkeypatch):
    def broken(_: Settings) -> Check:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(doctor, "_encoder", broken)
    rows = {check.what: check for check in doctor.examine(None)}
    assert rows["encoder"].state == "missing"
    assert rows["encoder"].found == "looking at it failed. RuntimeError: nobody thought of this"
    assert rows["encoder"].do
    assert {"Python", "disk", "settings", "bot", "model", "people", "engine", "store", "Discord"} <= set(rows)


@pytest.mark.parametrize(("look", "what"), [("_disk", "disk"), ("load_settings", "settings")])
def test_so_it_is_before_the_settings_are_known(monkeypatch, look, what):
    def broken(*_: object) -> Check:
        raise PermissionError("not for you")

    monkeypatch.setattr(doctor, look, broken)
    rows = {check.what: check for check in doctor.examine(None)}
    assert "not for you" in rows[what].found and "Python" in rows


# -- Discord
@pytest.mark.parametrize("body", ["<html>hi</html>", "[]", '"hi"', "{}", "null"])
async def test_something_that_is_not_discord_is_told(body):
    async with answering(body) as url:
        check = await asyncio.to_thread(doctor._discord, discord_at(url))
    assert check.state == "missing"
    assert check.found == f"what answers at {url} isn't Discord"
    assert "discord.api_base" in check.do


@pytest.mark.parametrize("url", ["http://localhost:x/api", "discord.com/api/v10"])
def test_what_is_no_address_of_discord_is_told(url):
    check = doctor._discord(discord_at(url))
    assert check.state == "missing"
    assert check.found.startswith(f"{url} isn't an address: ") and "discord.api_base" in check.do


@pytest.mark.parametrize("token", ["…", "abc…", " \n", "a\nb"])
def test_what_cannot_be_a_token_is_told_before_it_is_sent(token):
    check = doctor._discord(discord_at("http://127.0.0.1:9", token))
    assert check.state == "missing"
    assert "isn't a token" in check.found and "Copy it again" in check.do


@pytest.mark.parametrize("token", [f"{TOKEN} ", f"{TOKEN}\n", f" {TOKEN}\r\n"])
async def test_space_around_a_token_is_nothing_to_discord_py_nor_here(token):
    async with open_wire() as wire:
        check = await asyncio.to_thread(doctor._discord, discord_at(f"{wire.url}/api/v10/", token))  # the bot takes the last / off, too
    assert check.state == "fine"
    assert f"client_id={wire.backend.bot_user.id}&scope=bot+applications.commands" in check.link


# -- the engine
@pytest.mark.parametrize("body", ["[]", "<html>hi</html>", "{}", '{"ready": true, "vlm": "pocket", "device": "cpu", "news": 1}'])
async def test_something_that_is_no_engine_of_this_version_is_told(body):
    async with answering(body) as url:
        check = await asyncio.to_thread(doctor._engine, engine_at(url))
    assert check.state == "missing"
    assert check.found == f"what answers at {url} is no engine of this version"


async def test_a_stranger_at_our_own_port_is_no_hindrance():
    async with answering("[]") as url:
        settings = Settings(engine=EngineSettings(port=int(url.rpartition(":")[2])))
        check = await asyncio.to_thread(doctor._engine, settings)
    assert check.state == "optional" and "`myvlm run`" in check.do


@pytest.mark.parametrize("status", [404, 502])
async def test_an_address_where_nothing_is_found_is_told(status):
    async with answering(json.dumps({"detail": "Not Found"}), status) as url:
        check = await asyncio.to_thread(doctor._engine, engine_at(url))
    assert check.state == "missing" and check.found == f"no engine answers at {url}"


@pytest.mark.parametrize(
    ("engine", "setting"), [(EngineSettings(url="http://ho st:x"), "engine.url"), (EngineSettings(host="::1::"), "engine.host")]
)
def test_what_is_no_address_of_an_engine_is_told(engine, setting):
    check = doctor._engine(Settings(engine=engine))
    assert check.state == "missing"
    assert "isn't an address" in check.found and setting in check.do


@pytest.mark.parametrize(("token", "state"), [("secret", "fine"), ("wrong", "missing"), ("", "missing")])
async def test_an_engines_token_is_tried_though_its_health_is_open(token, state):
    async with engine_of("secret") as url:
        check = await asyncio.to_thread(doctor._engine, engine_at(f"{url}/", token))
    assert check.state == state
    assert check.found == (f"tiny on cpu at {url}" if state == "fine" else f"engine.token doesn't fit the engine at {url}")


async def test_an_engine_without_a_token_lets_every_token_in():
    async with engine_of("") as url:
        assert (await asyncio.to_thread(doctor._engine, engine_at(url, "needless"))).state == "fine"


async def test_an_engine_at_a_socket_is_found(tmp_path):
    async with engine_of("secret", tmp_path / "engine.sock") as url:
        assert url.startswith("unix:")
        assert (await asyncio.to_thread(doctor._engine, engine_at(url, "secret"))).state == "fine"
        assert (await asyncio.to_thread(doctor._engine, engine_at(url, "wrong"))).state == "missing"


@pytest.mark.skipif(not has_ipv6(), reason="NO IPV6 HERE: an engine at such an address isn't tried")
async def test_an_engine_at_an_ipv6_address_is_found():
    async with engine_of("secret", host="::1") as url:
        port = int(url.rsplit(":", 1)[1])
        engine = EngineSettings(host="::1", port=port, token="secret")
        check = await asyncio.to_thread(doctor._engine, Settings(engine=engine))
    assert (check.state, check.found) == ("fine", f"tiny on cpu at http://[::1]:{port}")


def answering(body: str, status: int = 200) -> AbstractAsyncContextManager[str]:
    """Says the same to every request."""

    async def say(_: web.Request) -> web.Response:
        return web.Response(text=body, status=status, content_type="application/json")

    site = web.Application()
    site.router.add_route("*", "/{path:.*}", say)
    return serving(site)


@asynccontextmanager
async def engine_of(token: str, uds: Path | None = None, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """The real service over a wire, around no models."""
    parts = SimpleNamespace(device="cpu", dtype="float32", lessons=1)
    engine = SimpleNamespace(vlm_fingerprint="tiny", encoders=["embedded"], parts=parts, grounds=False)
    service = create_app(lambda: engine, token=token)
    where = {"uds": str(uds)} if uds else {"host": host, "port": 0}
    server = uvicorn.Server(uvicorn.Config(service, log_config=None, **where))
    serving = asyncio.create_task(server.serve())
    while not (server.started and service.state.desk.engine):
        await asyncio.sleep(0.01)
    try:
        yield f"unix:{uds}" if uds else f"http://{host}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


def test_a_stores_password_is_not_shown():
    assert without_password("postgresql://bot:se:cr.et@db:5432/myvlm") == "postgresql://bot:…@db:5432/myvlm"
    for url in ("sqlite:///data/myvlm.sqlite3", "sqlite://", "sqlite:////srv/a@b:c/my.sqlite3", "postgresql://bot@db/myvlm"):
        assert without_password(url) == url

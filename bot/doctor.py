"""`myvlm doctor`: looks at everything the bot needs, and says what to do about what is missing.

Changes nothing, but for a store of an older version, which is brought to today's.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import httpx
from rich.console import Console
from rich.table import Table

from concept_store.store import file_to_be_made, open_store

from .config import ConfigError, Settings, load_settings
from .models import FACES, faces_here, known_models, name_listed

NEEDED_PYTHON = (3, 11)
NEEDED_DISK_BYTES = 2 * 1024**3  # converted model, photos and database, with room to spare
PERMISSIONS = 117_760  # view channels, send messages, embed links, attach files, read message history
MARKS = {"fine": "[green]✓[/]", "optional": "[yellow]–[/]", "missing": "[red]✗[/]"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. "optional": the bot runs without it."""

    what: str
    state: Literal["fine", "optional", "missing"]
    found: str
    do: str = ""


def examine(config: Path | None) -> list[Check]:
    """Every check, each on its own: one that fails hides no other."""
    checks = [_python(), _disk()]
    try:
        settings = load_settings(config)
    except ConfigError as error:
        return [*checks, Check("settings", "missing", str(error), "Compare your file with config.example.toml.")]
    checks.append(Check("settings", "fine", "no mistakes"))
    libraries: list[Callable[[Settings], Check]] = [_bot_libraries, _page_libraries, _engine_libraries]
    looks = [*libraries, _model, _encoder, _people, _engine, _store, _discord]
    return [*checks, *(look(settings) for look in looks)]


def show(checks: list[Check]) -> None:
    table = Table("", "what", "found", "what to do")
    for check in checks:
        table.add_row(MARKS[check.state], check.what, check.found, check.do)
    Console().print(table)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= NEEDED_PYTHON:
        return Check("Python", "fine", found)
    return Check("Python", "missing", found, "Install Python 3.11 or newer and run `make setup` again.")


def _disk() -> Check:
    free = shutil.disk_usage(".").free
    found = f"{free / 1024**3:.1f} GiB free"
    if free >= NEEDED_DISK_BYTES:
        return Check("disk", "fine", found)
    return Check("disk", "missing", found, "Make room: models, photos and database need 2 GiB.")


def _bot_libraries(_: Settings) -> Check:
    return _libraries("bot", ("discord.py", "sqlalchemy", "aiosqlite", "httpx"), "bot")


def _page_libraries(_: Settings) -> Check:
    check = _libraries("page of `myvlm try`", ("simcord", "aiohttp", "markdown-it-py"), "try")
    return check if check.state == "fine" else Check(check.what, "optional", check.found, check.do)


def _engine_libraries(settings: Settings) -> Check:
    if settings.engine.url:
        return Check("engine's libraries", "fine", "not needed: the engine runs elsewhere")
    return _libraries("engine's libraries", ("torch", "transformers", "fastapi", "uvicorn"), "engine")


def _libraries(what: str, names: tuple[str, ...], extra: str) -> Check:
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check(what, "missing", f"without {', '.join(missing)}", f"pip install 'myvlm-bot[{extra}]'")
    return Check(what, "fine", ", ".join(found))


def _model(settings: Settings) -> Check:
    vlm = settings.engine.vlm
    name = name_listed(vlm)
    if settings.engine.url or name is None:
        return Check("model", "fine", f"{vlm}: the engine looks after it")
    known = {model.name: model for model in known_models() if model.name != FACES}
    if name not in known:
        return Check("model", "missing", f"there is no {vlm}", "Choose one of `myvlm models list` at engine.vlm.")
    if not known[name].here:
        return Check("model", "missing", f"{name} isn't installed", f"myvlm models install {name}")
    return Check("model", "fine", vlm)


def _encoder(settings: Settings) -> Check:
    """As the engine looks for it (`load_encoder`), without loading anything."""
    name = settings.engine.encoder
    family, _, clip = name.partition(":")
    if settings.engine.url:
        return Check("encoder", "fine", f"{name}: the engine looks after it")
    offered = {point.name for point in importlib.metadata.entry_points(group="myvlm_engine.encoders")}
    if name == "embedded" or family in offered - {"clip"}:
        return Check("encoder", "fine", name)
    if family != "clip":
        known = ", ".join(sorted({"embedded", "clip", *offered}))
        return Check("encoder", "missing", f"pets and things can't be seen by {name}", f"Choose one of {known} at engine.encoder.")
    if clip and not all(clip.partition("/")):
        return Check("encoder", "missing", f"{name} names no weights", "Write clip:MODEL/WEIGHTS at engine.encoder, or clip alone.")
    if find_spec("open_clip") is None:
        return Check("encoder", "missing", "open_clip isn't installed", "pip install 'myvlm-bot[engine]'")
    return Check("encoder", "fine", f"{name}: its weights are looked for when the engine starts")


def _people(settings: Settings) -> Check:
    if not settings.engine.people:
        return Check("people", "fine", "off: nobody's face is looked at")
    if settings.engine.url:
        return Check("people", "fine", "on; the engine elsewhere must have engine.people, too")
    if not faces_here():
        return Check("people", "missing", "what recognises faces isn't installed", "myvlm models install faces")
    return Check("people", "fine", "on: a server's administrator still has to allow it there")


def _engine(settings: Settings) -> Check:
    url = settings.engine.url or f"http://{settings.engine.host}:{settings.engine.port}"
    try:
        health = httpx.get(f"{url}/v1/health", timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        if settings.engine.url:
            return Check("engine", "missing", f"no answer from {url}", "Start it there with `myvlm engine`, or correct engine.url.")
        return Check("engine", "optional", "not running", "`myvlm run` starts it.")
    if failure := health.get("failure"):
        return Check("engine", "missing", failure, "Mend that and start the engine again.")
    return Check("engine", "fine", f"{health.get('vlm') or 'loading'} on {health.get('device') or '…'} at {url}")


def _store(settings: Settings) -> Check:
    try:
        if file := file_to_be_made(settings.store.url):
            return _no_store_yet(file)
        facts = asyncio.run(store_facts(settings.store.url))
    except Exception as error:  # whatever a database says, the person needs it in one line
        return Check("store", "missing", str(error), "Correct store.url, or let the bot write there.")
    return Check("store", "fine", f"{facts['store']}, {facts['waiting to be learned']} waiting to be learned")


def _no_store_yet(file: Path) -> Check:
    there = next(folder for folder in file.parents if folder.exists())
    if there.is_dir() and os.access(there, os.W_OK):
        return Check("store", "fine", f"none yet; the bot makes {file} when it starts")
    return Check("store", "missing", f"none yet, and {file} can't be made", "Correct store.url, or let the bot write there.")


async def store_facts(url: str) -> dict[str, str | int]:
    """Asks the store; one that isn't there yet isn't made. Errors: ValueError, StoreError."""
    if file_to_be_made(url):
        return {"store": url, "answers": "no: there is none yet; the bot makes it when it starts"}
    opened = await open_store(url)
    try:
        healthy = await opened.healthy()
        return {"store": url, "answers": "yes" if healthy else "no", "waiting to be learned": await opened.queue_length()}
    finally:
        await opened.close()


def _discord(settings: Settings) -> Check:
    if not settings.discord.token:
        return Check("Discord", "optional", "no token: `myvlm run` opens a page of its own", "README.md, Connecting to Discord.")
    try:
        reply = httpx.get(f"{settings.discord.api_base}/users/@me", headers={"Authorization": f"Bot {settings.discord.token}"}, timeout=10)
    except httpx.HTTPError as error:
        return Check("Discord", "missing", f"can't be reached: {type(error).__name__}", "Check the network and discord.api_base.")
    if reply.status_code == 401:
        return Check("Discord", "missing", "doesn't know this token", "Copy it again from the Bot page of your application.")
    if reply.status_code != 200:
        return Check("Discord", "missing", f"answers {reply.status_code}", "Try again later; check discord.api_base.")
    return Check("Discord", "fine", f"token of {reply.json()['username']}", f"Invite it: {invite(reply.json()['id'])}")


def invite(application_id: str) -> str:
    return f"https://discord.com/oauth2/authorize?client_id={application_id}&scope=bot+applications.commands&permissions={PERMISSIONS}"

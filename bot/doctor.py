"""`myvlm doctor`: looks at everything the bot needs, and says what to do about what is missing.

Changes nothing, but for a store of an older version, which is brought to today's.
httpx is imported where it is used: where it isn't installed, everything else is still looked at.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from concept_store.store import file_to_be_made, open_store, store_file
from myvlm_engine.messages import HealthReply

from .config import ConfigError, Settings, file_used, load_settings
from .models import FACES, faces_here, how_to_install, known_models, name_listed

NEEDED_PYTHON = (3, 11)
NEEDED_DISK_BYTES = 2 * 1024**3  # converted model, photos and database, with room to spare
PERMISSIONS = 117_760  # view channels, send messages, embed links, attach files, read message history
OWN_ENGINE = "`myvlm run` starts one, at a port of its own; its log says how that one is."
MARKS = {"fine": "[green]✓[/]", "optional": "[yellow]–[/]", "missing": "[red]✗[/]"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. "optional": the bot runs without it."""

    what: str
    state: Literal["fine", "optional", "missing"]
    found: str
    do: str = ""
    link: str = ""  # to be opened; shown whole, below the table


def examine(config: Path | None) -> list[Check]:
    """Every check, each on its own: one that fails, whatever the reason, hides no other."""
    checks = [_looked("Python", _python), _looked("disk", partial(_disk, Path(os.environ.get("MYVLM_CACHE") or Path.home())))]
    try:
        settings = load_settings(config)
    except ConfigError as error:
        return [*checks, Check("settings", "missing", str(error), "Compare your file with config.example.toml.")]
    except Exception as error:  # a folder that may not be read, for one
        return [*checks, _failed("settings", error)]
    used = file_used(config)
    found = f"no mistakes in {used.absolute()}" if used else "no config.toml here: all as it comes"
    checks.append(Check("settings", "fine", found))
    looks: list[tuple[str, Callable[[Settings], Check]]] = [
        ("bot", _bot_libraries),
        ("page of `myvlm try`", _page_libraries),
        ("engine's libraries", _engine_libraries),
        ("model", _model),
        ("encoder", _encoder),
        ("people", _people),
        ("engine", _engine),
        ("store", _store),
        ("store's disk", _store_disk),
        ("Discord", _discord),
    ]
    return [*checks, *(_looked(what, partial(look, settings)) for what, look in looks)]


def _looked(what: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except Exception as error:  # what nobody thought of is one row; the others still help
        return _failed(what, error)


def _failed(what: str, error: Exception) -> Check:
    if isinstance(error, ImportError) and error.name:
        return Check(what, "missing", f"can't be looked at without {error.name}", how_to_install("bot"))
    found = f"looking at it failed. {type(error).__name__}: {error}"
    return Check(what, "missing", found, "Compare its settings with config.example.toml.")


def show(checks: list[Check]) -> None:
    """A table that folds what is long, and the links below it, whole: in a narrow terminal they can still be clicked and copied."""
    table = Table("", Column("what", no_wrap=True), Column("found", overflow="fold"), Column("what to do", overflow="fold"))
    for check in checks:  # as Text: square brackets in it are no markup
        table.add_row(MARKS[check.state], Text(check.what), Text(check.found), Text(check.do))
    Console().print(table)
    for check in checks:
        if check.link:
            print(f"{check.what}:\n{check.link}")


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= NEEDED_PYTHON:
        return Check("Python", "fine", found)
    return Check("Python", "missing", found, "Install Python 3.11 or newer and run `make setup` again.")


def _disk(place: Path) -> Check:
    """Where `place`, which may not be there yet, is or will be."""
    folder = _there(place)
    free = shutil.disk_usage(folder).free
    found = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free >= NEEDED_DISK_BYTES:
        return Check("disk", "fine", found)
    return Check("disk", "missing", found, "Make room: models, photos and database need 2 GiB.")


def _there(place: Path) -> Path:
    """Itself, or the nearest folder above it that is there."""
    return next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())


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
        return Check(what, "missing", f"without {', '.join(missing)}", how_to_install(extra))
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
        return Check("encoder", "missing", "open_clip isn't installed", how_to_install("engine"))
    return Check("encoder", "fine", f"{name}: its weights are looked for when the engine starts")


def _people(settings: Settings) -> Check:
    if not settings.engine.people:
        return Check("people", "fine", "off: nobody is recognised by their face")
    if settings.engine.url:
        return Check("people", "fine", "on; the engine elsewhere must have engine.people, too")
    if not faces_here():
        return Check("people", "missing", "what recognises faces isn't installed", "myvlm models install faces")
    return Check("people", "fine", "on: a server's administrator still has to allow it there")


def _engine(settings: Settings) -> Check:
    import httpx

    ours = settings.engine
    url = ours.address
    try:
        health, let_in = _asked(url, ours.token)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        return Check("engine", "missing", f"{url} isn't an address: {error}", f"Correct {'engine.url' if ours.url else 'engine.host'}.")
    except httpx.HTTPError:
        if ours.url:
            return Check("engine", "missing", f"no engine answers at {url}", "Start it there with `myvlm engine`, or correct engine.url.")
        return Check("engine", "optional", f"none at {url}", OWN_ENGINE)
    except ValueError:
        found = f"what answers at {url} is no engine of this version"
        if ours.url:
            return Check("engine", "missing", found, "Correct engine.url, or update the engine there.")
        return Check("engine", "optional", found, OWN_ENGINE)
    if not let_in:
        return Check("engine", "missing", f"engine.token doesn't fit the engine at {url}", "Write the same token here and where it runs.")
    if health.failure:
        return Check("engine", "missing", health.failure, "Mend that and start the engine again.")
    return Check("engine", "fine", f"{health.vlm or 'loading'} on {health.device or '…'} at {url}")


def _asked(url: str, token: str) -> tuple[HealthReply, bool]:
    """An engine's health, which it tells everybody, and whether it lets this token in. `url` as HttpEngine has it.
    Errors: httpx.InvalidURL, httpx.HTTPError when no engine answers, ValueError when something else does."""
    import httpx

    socket = url.removeprefix("unix:") if url.startswith("unix:") else None
    base_url, transport = ("http://engine", httpx.HTTPTransport(uds=socket)) if socket else (url, None)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=base_url, transport=transport, headers=headers, timeout=5, trust_env=False) as http:
        health = HealthReply.model_validate_json(http.get("/v1/health").raise_for_status().content)
        # The token is looked at before the method: a GET costs the engine nothing and is refused with 405, or with 401 first.
        return health, http.get("/v1/see").status_code != 401


def _can_be_sent(token: str) -> bool:
    """Whether it can stand in a header."""
    return bool(token) and token.isascii() and token.isprintable() and token == token.strip()


def _store(settings: Settings) -> Check:
    try:
        if file := file_to_be_made(settings.store.url):
            return _no_store_yet(file)
        facts = asyncio.run(store_facts(settings.store.url))
    except Exception as error:  # whatever a database says, the person needs it in one line
        return Check("store", "missing", str(error), "Correct store.url, or let the bot write there.")
    return Check("store", "fine", f"{facts['store']}, {facts['waiting to be learned']} waiting to be learned")


def _store_disk(settings: Settings) -> Check:
    file = store_file(settings.store.url)
    return replace(_disk(file), what="store's disk") if file else Check("store's disk", "fine", "not a file's")


def _no_store_yet(file: Path) -> Check:
    there = _there(file.parent)
    if there.is_dir() and os.access(there, os.W_OK):
        return Check("store", "fine", f"none yet; the bot makes {file} when it starts")
    return Check("store", "missing", f"none yet, and {file} can't be made", "Correct store.url, or let the bot write there.")


def without_password(url: str) -> str:
    """What is shown ends up in forums."""
    return re.sub(r"(://[^:/@]*:)[^@/]*@", r"\1…@", url)


async def store_facts(url: str) -> dict[str, str | int]:
    """Asks the store; one that isn't there yet isn't made. Errors: ValueError, StoreError."""
    file = store_file(url)
    shown = f"sqlite:///{file}" if file else without_password(url)
    if file_to_be_made(url):
        return {"store": shown, "answers": "no: there is none yet; the bot makes it when it starts"}
    opened = await open_store(url)
    try:
        healthy = await opened.healthy()
        return {"store": shown, "answers": "yes" if healthy else "no", "waiting to be learned": await opened.queue_length()}
    finally:
        await opened.close()


def _discord(settings: Settings) -> Check:
    import httpx

    if not settings.discord.token:
        return Check("Discord", "optional", "no token: `myvlm run` opens a page of its own", "README.md, Connecting to Discord.")
    token = settings.discord.token.strip()  # as discord.py does
    url = settings.discord.api_base.rstrip("/")
    copy = "Copy it again from the Bot page of your application."
    if not _can_be_sent(token):
        return Check("Discord", "missing", "what is set isn't a token: it is blank, or has a character that no token has", copy)
    try:
        reply = httpx.get(f"{url}/users/@me", headers={"Authorization": f"Bot {token}"}, timeout=10)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        return Check("Discord", "missing", f"{url} isn't an address: {error}", "Correct discord.api_base, or leave it out.")
    except httpx.HTTPError as error:
        return Check("Discord", "missing", f"can't be reached: {type(error).__name__}", "Check the network and discord.api_base.")
    if reply.status_code == 401:
        return Check("Discord", "missing", "doesn't know this token", copy)
    if reply.status_code != 200:
        return Check("Discord", "missing", f"answers {reply.status_code}", "Try again later; check discord.api_base.")
    try:
        name, application_id = (reply.json()[key] for key in ("username", "id"))
    except (ValueError, TypeError, KeyError):
        return Check("Discord", "missing", f"what answers at {url} isn't Discord", "Correct discord.api_base, or leave it out.")
    return Check("Discord", "fine", f"token of {name}", "Invite it, with the link below.", invite(application_id))


def invite(application_id: str) -> str:
    return f"https://discord.com/oauth2/authorize?client_id={application_id}&scope=bot+applications.commands&permissions={PERMISSIONS}"

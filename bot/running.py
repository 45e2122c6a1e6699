"""Puts the parts together and runs them: settings, store, engine address and bot, on Discord or on the page of `myvlm try`.

Runs until Ctrl-C or SIGTERM, then closes everything in order. Knows nothing of what the bot does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import webbrowser
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any

import aiohttp
import discord
from yarl import URL

from concept_store.errors import StoreError

from .config import Settings
from .supervisor import Address, engine_for

if TYPE_CHECKING:
    from .app import MyVlmBot

WELCOME = (
    "Hi! This is a simulated Discord server, for you alone.\n"
    "**1.** Type `/` below and choose `/teach` from the list. Give me a name, the kind, and several photos at once: choose or drop them.\n"
    "**2.** When it is ready, choose `/describe` and give me another photo of it.\n"
    'After a start it takes about half a minute until I answer. "Viewing as" above lets you be Sam or Alex.\n'
    "-# The messages are gone when the program ends; what I have learned stays."
)
STEP_S = 8.0  # one step of closing takes at most so long


class CantRun(Exception):
    """The bot can't be run like this; the message says what to change."""


def run_until_stopped(main: Coroutine[Any, Any, None]) -> None:
    """Ctrl-C and SIGTERM both cancel `main`, which closes what it opened."""
    with asyncio.Runner() as runner, contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        runner.run(_cancelled_by_sigterm(main))


async def _cancelled_by_sigterm(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # Windows has no SIGTERM to handle
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await ended_in_good_order(main)


async def ended_in_good_order(main: Coroutine[Any, Any, None], step_s: float = STEP_S) -> None:
    """Runs `main`; cancelled, it closes what it opened, and a closing step that hangs is cancelled in its turn: whatever a page or a
    connection does, the engine is ended and the program is too."""
    inner = asyncio.create_task(main)
    try:
        await asyncio.shield(inner)
    except asyncio.CancelledError:
        while not inner.done():
            inner.cancel()
            await asyncio.wait({inner}, timeout=step_s)
        raise


async def run_on_discord(settings: Settings, engine: Address | None = None) -> None:
    """The bot on Discord. Without `engine`, one is started here or found where `engine.url` says. Errors: CantRun."""
    point_at(settings)
    async with _engine(settings, engine) as address, _bot(settings, address) as bot:
        try:
            async with bot:
                await bot.start(settings.discord.token)
        except discord.LoginFailure as error:
            raise CantRun("Discord doesn't know this token. Copy it again from the Bot page of your application.") from error
        except discord.HTTPException as error:
            place = settings.discord.api_base
            raise CantRun(f"Discord at {place} answers {error.status}. Check discord.api_base, or try again later.") from error
        except aiohttp.ClientConnectionError as error:
            raise CantRun(f"Discord can't be reached at {settings.discord.api_base}: {error}. Check the network.") from error
        except discord.GatewayNotFound as error:
            raise CantRun(f"Discord at {settings.discord.api_base} doesn't name its gateway. Try again later.") from error
        except discord.ConnectionClosed as error:
            raise CantRun(f"Discord has ended the connection ({error.code}). Was the token reset? Then copy the new one.") from error


async def run_on_page(settings: Settings, open_browser: bool = True) -> None:
    """The same bot on a simulated Discord page; prints the page's address on a line of its own. Errors: CantRun."""
    from simcord import SetupError

    from .playground import live_page

    unsynced = settings.discord.model_copy(update={"sync": "always"})  # the simulated server forgets its commands
    settings = settings.model_copy(update={"discord": unsynced})
    async with _engine(settings, None) as address, _bot(settings, address) as bot:
        try:
            async with live_page(bot, settings.playground.port, WELCOME) as url:
                print(f"Try the bot on this page (the address carries a secret; Ctrl-C ends it):\n{url}", flush=True)
                if open_browser and _has_display():
                    webbrowser.open(url)
                await asyncio.Event().wait()
        except SetupError as error:
            raise CantRun(f"The page can't be shown: {error}. Choose another playground.port.") from error


def point_at(settings: Settings) -> None:
    """discord.py's two addresses: class attributes, so set once for the process."""
    from discord.gateway import DiscordWebSocket

    discord.http.Route.BASE = settings.discord.api_base.rstrip("/")
    DiscordWebSocket.DEFAULT_GATEWAY = URL(settings.discord.gateway_url)


@contextlib.asynccontextmanager
async def _engine(settings: Settings, known: Address | None) -> AsyncIterator[Address]:
    if known is not None:
        yield known
        return
    async with engine_for(settings.engine, settings.log.level) as address:
        yield address


@contextlib.asynccontextmanager
async def _bot(settings: Settings, engine: Address) -> AsyncIterator[MyVlmBot]:
    from concept_store.store import open_store

    from .app import MyVlmBot
    from .engine_client import HttpEngine

    try:
        store = await open_store(settings.store.url)
    except (ValueError, StoreError) as error:
        raise CantRun(str(error)) from error
    client = HttpEngine(engine.url, engine.token, settings.engine.timeout_s)
    try:
        yield MyVlmBot(settings, store, client)
    except StoreError as error:
        raise CantRun(f"{error} Is there room on its disk? `myvlm doctor` looks.") from error
    finally:
        await client.close()
        await store.close()


def _has_display() -> bool:
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

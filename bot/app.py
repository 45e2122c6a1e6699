"""The Discord client and its wiring: store, engine, trainer, commands and buttons. Knows no sentence and no tensor.

Store and engine are handed in open and are closed by whoever opened them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import discord
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from discord import app_commands

from concept_store.errors import StoreError
from concept_store.records import GuildId
from concept_store.store import ConceptStore

from .answering import Answerer
from .commands import concepts, corrections, describe, faces, fewer_photos, people, privacy, server, teach, where
from .config import Settings
from .engine_client import Engine
from .membership import Membership
from .photos import PhotoLimits, PhotoReader
from .progress import ProgressReplies
from .responding import tell_error
from .teaching import EVERYWHERE, Teacher, TrainerLimits
from .views import Also, Button, Press

log = structlog.get_logger("myvlm.bot")

TICK_S = 15.0  # how often broken-off leases and unsaid last words are looked for
MEMBERSHIP_H = 3.0  # how often it is looked at which servers were left

LOOKING: tuple[Any, ...] = (describe.describe, describe.ask, describe.describe_message, where.where)
COMMANDS: tuple[Any, ...] = (teach.teach, *LOOKING, concepts.concepts, people.people, server.server, privacy.privacy)
PRESSED: dict[str, Press] = {
    "page": concepts.turn_page,
    "ask-forget": concepts.ask_to_forget,
    "forget": concepts.forget,
    "keep": concepts.keep,
    "which-photo": fewer_photos.which_photo,
    "drop-photo": fewer_photos.remove,
    "try-again": concepts.try_again,
    "right": corrections.right,
    "is": corrections.is_there,
    "not": corrections.is_not_there,
    "undo-all": corrections.undo_all,
    "why": where.why,
    "undo": corrections.undo,
    "which-face": faces.which_face,
    "face": faces.choose,
    "no-face": faces.cancel,
    "agree": people.agree,
    "decline": people.decline,
    "export": privacy.export,
    "ask-delete": privacy.ask_to_delete,
    "delete": privacy.delete_everything,
    "forget-server": server.forget_everything,
    "keep-all": privacy.keep_everything,
}


class Tree(app_commands.CommandTree["MyVlmBot"]):
    """All commands work in servers and in direct messages with the bot, installed for a server or for a person. Not in other private
    channels: what only the asker may see there, private names and photos, would be shown to everybody in them."""

    def __init__(self, client: MyVlmBot):
        super().__init__(
            client,
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        )

    async def on_error(self, interaction: discord.Interaction[MyVlmBot], error: app_commands.AppCommandError) -> None:  # type: ignore[override]
        """What goes wrong before a command's own code begins."""
        await tell_error(interaction, error.__cause__ or error)


class MyVlmBot(discord.Client):
    """One server process of the bot."""

    def __init__(
        self, settings: Settings, store: ConceptStore, engine: Engine, *, people_allowed: bool | None = None, tick_s: float = TICK_S
    ):
        intents = discord.Intents.none()
        intents.guilds = True  # nothing privileged: no members, no message content
        super().__init__(intents=intents, allowed_mentions=discord.AllowedMentions.none())
        self.settings, self.store, self.engine = settings, store, engine
        self.people_allowed = settings.engine.people if people_allowed is None else people_allowed  # the operator's switch
        self.tick_s = tick_s
        photos = settings.photos
        self.reader = PhotoReader(PhotoLimits(photos.max_bytes, photos.max_pixels, photos.side_px))
        self.answerer = Answerer(store, engine, self.people_allowed)
        self.pressed = PRESSED
        self.progress = ProgressReplies(self, store, self.spawn, settings.teaching.progress_every_s)
        self.teacher = Teacher(store, engine, self.progress, self.spawn, _worker_name(), _limits(settings))
        self.membership = Membership(store, timedelta(days=settings.privacy.left_server_days), lambda: datetime.now(UTC))
        self.scheduler = AsyncIOScheduler(timezone=UTC)
        self.tree = Tree(self)
        for command in COMMANDS:
            self.tree.add_command(command)
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life
    async def setup_hook(self) -> None:
        self.add_dynamic_items(Button, Also)
        await self._sync_commands()
        self.scheduler.start()
        self.scheduler.add_job(self._tick, "interval", seconds=self.tick_s, coalesce=True, misfire_grace_time=None)
        self.scheduler.add_job(self._check_membership, "interval", hours=MEMBERSHIP_H, coalesce=True, misfire_grace_time=None)
        self.spawn(self._tick())

    async def on_ready(self) -> None:
        log.info("ready", user=self.user and self.user.id, guilds=len(self.guilds))

        await self._check_membership()

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Left, removed or deleted; never because of an outage, which Discord tells differently."""
        try:
            await self.membership.left(GuildId(guild.id), self.application_id or 0)
        except StoreError as error:
            log.error("store_failed", error=str(error))

    async def note_membership(self, guild_id: int | None) -> None:
        """Before something is kept of a server. One whose members use the bot without having added it isn't among `guilds`.
        Errors: StoreError."""
        if guild_id is not None and self.get_guild(guild_id):
            await self.membership.here(GuildId(guild_id), self.application_id or 0)

    async def _check_membership(self) -> None:
        """Servers that were left while the bot was offline, and those whose time of grace has passed."""
        if not self.is_ready():
            return  # which servers it is in isn't known yet
        try:
            await self.membership.check(self.application_id or 0, {guild.id for guild in self.guilds})
        except StoreError as error:
            log.error("store_failed", error=str(error))

    async def close(self) -> None:
        """Trainings are given back to the queue before the connection goes."""
        if self.scheduler.running:
            self.scheduler.shutdown(wait=False)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().close()

    # -- background work
    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """The one door for work nobody waits for: kept alive, logged when it fails, cancelled at the end."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background_work_failed", exc_info=error)

    async def _tick(self) -> None:
        """Goes on with what was broken off, here or in a process that was killed, and says what was left unsaid."""
        try:
            for concept in await self.store.unannounced():
                await self.progress.announce(concept)
            await self.teacher.relearn_outdated()
            await self.teacher.wake()
            await self.teacher.refit()
        except StoreError as error:
            log.error("store_failed", error=str(error))

    # -- commands
    async def _sync_commands(self) -> None:
        """Discord allows 200 command creations a day and server: only when something changed since the last time."""
        when = self.settings.discord.sync
        shape = self._commands_hash()
        if when == "never" or (when == "changed" and await self.store.setting(EVERYWHERE, "commands") == shape):
            return
        await self.tree.sync()
        await self.store.set_setting(EVERYWHERE, "commands", shape)
        log.info("commands_synced")

    def _commands_hash(self) -> str:
        commands = [command.to_dict(self.tree) for command in self.tree.get_commands()]
        text = json.dumps([self.application_id, commands], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def _worker_name() -> str:
    return f"{os.uname().nodename if hasattr(os, 'uname') else 'bot'}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _limits(settings: Settings) -> TrainerLimits:
    return TrainerLimits(lease_s=settings.teaching.lease_s, max_attempts=settings.teaching.max_attempts)

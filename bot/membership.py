"""What is kept of a server goes when the bot has left it, after a time of grace. Knows no command and no sentence.

A server that can't be reached for a while (Discord calls it unavailable) is not left: Discord still lists it. A server whose
members use the bot without having added it was never joined, so it can't be left. Both are told apart by a mark in the store,
which also says whose it is: on the simulated Discord of `myvlm try` the real servers are not missing, but unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

import structlog

from concept_store.records import GuildId
from concept_store.store import ConceptStore

from .teaching import EVERYWHERE

log = structlog.get_logger("myvlm.membership")
SETTING = "membership"  # of a guild in the store: {"app": id, "left_at": time or None}


class Membership:
    def __init__(self, store: ConceptStore, grace: timedelta, clock: Callable[[], datetime]):
        self.store, self.grace, self.clock = store, grace, clock

    async def check(self, app_id: int, joined: Collection[int]) -> None:
        """`joined`: every server the bot is in now, unavailable ones too. Marks the others and deletes what is due."""
        for guild_id in await self.store.guilds():
            if guild_id == EVERYWHERE:
                continue
            if guild_id in joined:
                await self.here(guild_id, app_id)
            else:
                await self.left(guild_id, app_id, unmarked=False)

    async def here(self, guild_id: GuildId, app_id: int) -> None:
        """The bot is there: from now on, not being there means that it was removed. To be noted before anything is kept of a server, since
        it may be removed while it is offline."""
        await self._mark(guild_id, app_id, None)

    async def left(self, guild_id: GuildId, app_id: int, unmarked: bool = True) -> None:
        """`unmarked`: Discord has said so itself, so that no mark is needed to believe it."""
        mark = await self.store.setting(guild_id, SETTING)
        ours = mark is not None and mark["app"] == str(app_id)
        if not ours and not unmarked:
            return
        since = datetime.fromisoformat(mark["left_at"]) if ours and mark["left_at"] else self.clock()
        if self.clock() - since >= self.grace:
            number = await self.store.delete_guild(guild_id)
            log.info("guild_deleted", guild=guild_id, concepts=number)
        else:
            await self._mark(guild_id, app_id, since)

    async def _mark(self, guild_id: GuildId, app_id: int, left_at: datetime | None) -> None:
        mark: dict[str, Any] = {"app": str(app_id), "left_at": left_at and left_at.isoformat()}
        if await self.store.setting(guild_id, SETTING) != mark:
            await self.store.set_setting(guild_id, SETTING, mark)

"""What belongs to a guild and no concept: its settings, and its members' consents to being taught."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import and_, delete, select

from ..records import Consent, GuildId, UserId
from .concepts import consents_of as of_person
from .concepts import delete_concepts, has_agreed
from .part import Part, put
from .tables import concepts, consents, settings


class Guilds(Part):
    async def setting(self, guild_id: GuildId, key: str, default: Any = None) -> Any:
        chosen = select(settings.c.value).where(settings.c.guild_id == guild_id, settings.c.key == key)
        async with self._db.read() as connection:
            row = (await connection.execute(chosen)).one_or_none()
        return row.value if row else default

    async def set_setting(self, guild_id: GuildId, key: str, value: Any) -> None:
        json.dumps(value, allow_nan=False)  # TypeError here, rather than half way into the database
        async with self._db.write() as connection:
            if value is None:
                await connection.execute(delete(settings).where(settings.c.guild_id == guild_id, settings.c.key == key))
            else:
                await put(connection, settings, {"guild_id": guild_id, "key": key, "value": value})

    async def give_consent(self, subject_id: UserId, teacher_id: UserId, guild_id: GuildId) -> None:
        given = {"subject_id": subject_id, "teacher_id": teacher_id, "guild_id": guild_id, "given_at": self._clock()}
        async with self._db.write() as connection:
            await put(connection, consents, given)

    async def has_consent(self, subject_id: UserId, teacher_id: UserId, guild_id: GuildId) -> bool:
        async with self._db.read() as connection:
            return await has_agreed(connection, subject_id, teacher_id, guild_id)

    async def consents_of(self, user_id: UserId) -> list[Consent]:
        chosen = select(consents).where(of_person(user_id)).order_by(consents.c.given_at)
        async with self._db.read() as connection:
            rows = (await connection.execute(chosen)).all()
        return [Consent(UserId(row.subject_id), UserId(row.teacher_id), GuildId(row.guild_id), row.given_at) for row in rows]

    async def withdraw_consent(self, subject_id: UserId, guild_id: GuildId) -> int:
        given = and_(consents.c.subject_id == subject_id, consents.c.guild_id == guild_id)
        shown = and_(concepts.c.subject_id == subject_id, concepts.c.guild_id == guild_id)
        async with self._db.write(forgets=True) as connection:
            await connection.execute(delete(consents).where(given))
            return await delete_concepts(connection, shown)

"""Brings a database to the newest schema. Knows alembic and where the migrations are; knows no table."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from ..errors import StoreUnusable
from .database import Place, make_engine

MIGRATIONS = Path(__file__).parents[1] / "migrations"
ALEMBIC_IS_GLOBAL = threading.Lock()  # alembic's `op` and `context` are one per process


class UnknownRevision(Exception):
    """The database is at a step that isn't among our migrations."""


async def migrate(place: Place, busy_timeout_s: float) -> None:
    """To head, in one transaction that others wait for. Errors: StoreUnusable."""
    await asyncio.to_thread(migrate_here, place, busy_timeout_s)


def migrate_here(place: Place, busy_timeout_s: float) -> None:
    with ALEMBIC_IS_GLOBAL:
        asyncio.run(upgrade(place, busy_timeout_s))


async def upgrade(place: Place, busy_timeout_s: float) -> None:
    engine = make_engine(place, busy_timeout_s)
    try:
        async with engine.execution_options(writes=True).begin() as connection:
            await connection.run_sync(to_head)
    except UnknownRevision as e:
        raise StoreUnusable(f"{place.name} was written by a newer version. Update, or point store.url to another file.") from e
    except DatabaseError as e:
        raise StoreUnusable(f"{place.name} can't be opened: {e.orig}. Check store.url in config.toml.") from e
    finally:
        await engine.dispose()


def to_head(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if not set(MigrationContext.configure(connection).get_current_heads()) <= known:
        raise UnknownRevision
    command.upgrade(config, "head")

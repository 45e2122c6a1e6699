"""Brings a database to the newest schema. Knows alembic and where the migrations are; knows no table."""

from __future__ import annotations

import asyncio
import threading

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from ..errors import StoreUnusable
from .database import Place, make_engine

ALEMBIC_IS_GLOBAL = threading.Lock()  # alembic's `op` and `context` are one per process


async def migrate(place: Place, busy_timeout_s: float) -> None:
    """To head, in one transaction that others wait for. Errors: StoreUnusable."""
    await asyncio.to_thread(migrate_here, place, busy_timeout_s)


def migrate_here(place: Place, busy_timeout_s: float) -> None:
    with ALEMBIC_IS_GLOBAL:
        asyncio.run(upgrade(place, busy_timeout_s))


async def upgrade(place: Place, busy_timeout_s: float) -> None:
    from alembic.util import CommandError

    engine = make_engine(place, busy_timeout_s)
    try:
        async with engine.execution_options(writes=True).begin() as connection:
            await connection.run_sync(to_head)
    except CommandError as e:
        raise StoreUnusable(f"{place.name} was written by a newer version. Update, or point store.url to another file.") from e
    except DatabaseError as e:
        raise StoreUnusable(f"{place.name} can't be opened: {e.orig}. Check store.url in config.toml.") from e
    finally:
        await engine.dispose()


def to_head(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "concept_store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

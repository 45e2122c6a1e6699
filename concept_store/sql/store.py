"""The whole store, put together from its parts, and the way it is opened."""

from __future__ import annotations

from datetime import UTC, datetime

from ..errors import StoreError
from ..store import ConceptStore
from .concepts import Concepts
from .corrections import Corrections
from .database import Database, Place, make_file, works
from .guilds import Guilds
from .learned import Learned
from .matches import Matches
from .part import Clock
from .photos import Photos
from .schema import migrate
from .training import Training

BUSY_TIMEOUT_S = 30.0  # how long one process waits for another's write


def utc_now() -> datetime:
    return datetime.now(UTC)


class SqlStore(Concepts, Photos, Training, Learned, Corrections, Guilds, Matches):
    """A ConceptStore; each part is a file of its own."""

    async def healthy(self) -> bool:
        try:
            async with self._db.read() as connection:
                return await works(connection)
        except StoreError:
            return False

    async def close(self) -> None:
        await self._db.close()


async def open_sql_store(url: str, clock: Clock = utc_now, busy_timeout_s: float = BUSY_TIMEOUT_S) -> ConceptStore:
    """Opens "sqlite:///path" (folder and file are made) or "sqlite://" (in memory, gone with close), at the newest schema.
    `clock` gives the aware UTC time that leases and dates go by. Errors: StoreUnusable."""
    place = Place.of(url)
    await make_file(place, busy_timeout_s)
    database = Database(place, busy_timeout_s)
    try:
        await migrate(place, busy_timeout_s)
    except BaseException:
        await database.close()
        raise
    return SqlStore(database, clock)

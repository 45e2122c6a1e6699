"""Connections and transactions. The only file that knows SQLite's own ways; knows no table.

A read sees one moment of the database; a write has it alone (BEGIN IMMEDIATE), so nothing read in it can be outdated.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from ..errors import StoreClosed, StoreUnavailable, StoreUnusable

SCHEMES = ("sqlite", "sqlite+aiosqlite")
READERS = 4  # connections kept open to a file; each is a thread
PRAGMAS = (
    "foreign_keys=ON",
    "synchronous=FULL",  # a commit that has returned survives a power cut too, not only a kill
    "secure_delete=ON",  # deleted photos are overwritten, not only unlinked
)
OWNER_ONLY = 0o600  # photos and vectors of faces are nobody else's on the machine
READERS_END_S = 0.5  # how long a deletion waits for those who still read an earlier moment


@dataclass(frozen=True)
class Place:
    """Where a SQLite database is."""

    path: Path | None  # None: in memory
    address: str  # what sqlite3.connect(uri=True) takes

    @property
    def name(self) -> str:
        return str(self.path or "The store in memory")

    @classmethod
    def of(cls, url: str) -> Place:
        """From "sqlite:///path" (the path as it is, nothing is decoded) or "sqlite://". Errors: StoreUnusable."""
        scheme, found, rest = url.partition("://")
        if not found or scheme not in SCHEMES or (rest and not rest.startswith("/")):
            raise StoreUnusable(f"store.url {url!r} isn't an address. Write sqlite:///path/to/file, or sqlite:// for memory.")
        if rest in ("", "/", "/:memory:"):
            return cls(None, f"file:{uuid.uuid4().hex}?mode=memory&cache=shared")
        path = Path(rest[1:]).expanduser().absolute()
        return cls(path, path.as_uri())


class Database:
    """One open database. Everything in memory goes through one connection, because SQLite's shared cache locks whole tables."""

    def __init__(self, place: Place, busy_timeout_s: float):
        self._engine = make_engine(place, busy_timeout_s, connections=READERS if place.path else 1)
        self._writer = self._engine.execution_options(writes=True)
        self._turn = asyncio.Lock()  # writers of one process wait in line here, not in SQLite's busy loop
        self._open = True
        self._place, self._residue = place, False  # whether the log still holds what was deleted
        # what is in memory lives as long as somebody is connected
        self._anchor = None if place.path else sqlite3.connect(place.address, uri=True, check_same_thread=False)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Errors: StoreClosed, StoreUnavailable."""
        self._must_be_open()
        with saying_why():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, forgets: bool = False) -> AsyncIterator[AsyncConnection]:
        """Committed at the end, undone by an exception. `forgets`: what is deleted in it is gone from the disk, too, when this ends, or,
        where somebody reads just then, with the next write. Errors: StoreClosed, StoreUnavailable."""
        async with self._turn:
            self._must_be_open()
            self._residue |= forgets  # from before it is done: this task may be cancelled when it is
            with saying_why():
                async with self._writer.begin() as connection:
                    yield connection
            if self._place.path and self._residue:
                self._residue = not await asyncio.to_thread(empty_log, self._place)
                if self._residue:
                    gc.collect()  # a task cancelled while it read reads on until Python collects its cursor

    async def close(self) -> None:
        async with self._turn:
            self._open = False
            await self._engine.dispose()
            if self._anchor:
                self._anchor.close()

    def _must_be_open(self) -> None:
        if not self._open:
            raise StoreClosed


def make_engine(place: Place, busy_timeout_s: float, connections: int = 1) -> AsyncEngine:
    """Connections are made when needed; more than `connections` at once wait for each other."""
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=place.address, query={"uri": "true"}),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=60,
        connect_args={"timeout": busy_timeout_s},
        hide_parameters=True,  # errors are logged, and names and photos are none of a log's business
    )
    event.listen(engine.sync_engine, "connect", set_up)
    event.listen(engine.sync_engine, "begin", begin)
    event.listen(engine.sync_engine, "invalidate", undo)
    return engine


def set_up(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `begin` does
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def undo(connection: Any, record: Any, error: BaseException | None) -> None:
    """A task was cancelled in the middle of a statement. SQLite's close alone leaves the transaction, and with it the lock that all other
    writers wait for, to a cursor that Python hasn't collected yet."""
    if connection is not None:
        with suppress(Exception):  # it may be broken altogether, and is thrown away in any case
            connection.rollback()


def empty_log(place: Place) -> bool:
    """Whether the write-ahead log was emptied into the file: until then it holds pages as they were before a deletion."""
    connection = sqlite3.connect(place.address, uri=True, timeout=READERS_END_S)
    try:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    except sqlite3.Error:
        return False
    finally:
        connection.close()


@contextmanager
def saying_why() -> Iterator[None]:
    """A database's complaint as the store's; a broken constraint is left to whoever knows what it means."""
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as e:
        cause = getattr(e, "orig", None) or e
        raise StoreUnavailable(f"The store can't be read or written just now: {cause}.") from e


async def make_file(place: Place, busy_timeout_s: float) -> None:
    """Makes the folder and a file in WAL mode, where they aren't yet. Errors: StoreUnusable."""
    if place.path is None:
        return
    try:
        place.path.parent.mkdir(parents=True, exist_ok=True)
        place.path.touch(mode=OWNER_ONLY)  # SQLite gives the log and the index beside it the same rights
        await asyncio.to_thread(switch_to_wal, place, busy_timeout_s)
    except (OSError, sqlite3.Error) as e:
        raise StoreUnusable(
            f"{place.path} can't be opened: {e}. Check store.url in config.toml, and that this user may write there."
        ) from e


def switch_to_wal(place: Place, busy_timeout_s: float) -> None:
    """Written in the file once for all. Tried again while another process is just opening it too: SQLite doesn't wait here."""
    until = time.monotonic() + busy_timeout_s
    connection = sqlite3.connect(place.address, uri=True, timeout=busy_timeout_s)
    try:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as e:
                if "locked" not in str(e) or time.monotonic() > until:
                    raise
                time.sleep(0.02)
    finally:
        connection.close()


def copy_to(place: Place, file: Path) -> None:
    """A whole copy of the database as it is at one moment, its write-ahead log included, while others use it; for its owner's eyes only.
    Complete or not at all. Errors: StoreUnusable."""
    begun = file.with_name(f"{file.name}.partial")
    try:
        if file.exists():
            raise StoreUnusable(f"There is a {file} already. Name a file that isn't there yet.")
        if place.path is None or not place.path.is_file():
            raise StoreUnusable(f"There is nothing to copy: {place.name} isn't a file yet.")
        begun.unlink(missing_ok=True)
        begun.touch(mode=OWNER_ONLY)
        source, target = (sqlite3.connect(address, uri=True) for address in (f"{place.address}?mode=ro", begun.absolute().as_uri()))
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        begun.rename(file)
    except (OSError, sqlite3.Error) as e:
        begun.unlink(missing_ok=True)
        raise StoreUnusable(f"{place.name} can't be copied to {file}: {e}.") from e


async def works(connection: AsyncConnection) -> bool:
    return await connection.scalar(text("SELECT 1")) == 1

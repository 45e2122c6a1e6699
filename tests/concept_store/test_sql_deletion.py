"""Nothing of a deleted concept, user or guild stays in any table, or in the file."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select

from concept_store.conformance.samples import (
    ANNA,
    AWAY,
    BEN,
    CARA,
    HOME,
    OTHER_ENCODER,
    OTHER_VLM,
    claim,
    create,
    embedding,
    head,
    learn,
    new,
    photo,
    scope,
    seen,
)
from concept_store.records import Concept
from concept_store.sql import open_sql_store
from concept_store.sql.database import READERS_END_S
from concept_store.sql.tables import metadata
from concept_store.store import ConceptStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
async def store(path: Path):
    store = await open_sql_store(f"sqlite:///{path}")
    yield store
    await store.close()


def rows(path: Path) -> dict[str, int]:
    """In every table but the counters."""
    with create_engine(f"sqlite:///{path}").connect() as connection:
        tables = [table for table in metadata.sorted_tables if table.name != "counters"]
        return {table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


async def fill(store: ConceptStore, name: str, **who) -> None:
    """One concept with something in every table that can hang on it, in the middle of learning it again."""
    made = await learn(store, name, 0, **who)
    for one in await store.photos(made.id):
        await store.save_regions(one.id, seen(0, 1))
        await store.save_regions(one.id, seen(2, encoder=OTHER_ENCODER))
    await store.add_correction(made.id, [seen(0), seen(0, encoder=OTHER_ENCODER)], True, "photo", user_id=made.owner_id)
    await store.retry(made.id)
    held = await claim(store)
    await store.save_head(held, head(3, encoder=OTHER_ENCODER))
    await store.save_embedding(held, embedding(5, finished=False))
    await store.save_embedding(held, embedding(5, finished=False, vlm=OTHER_VLM))


ONE = {"concepts": 1, "photos": 2, "photo_regions": 4, "heads": 2, "embeddings": 3, "corrections": 1, "correction_regions": 2}
NOTHING = dict.fromkeys([*ONE, "settings", "consents"], 0)


async def test_deleting_a_concept_leaves_no_row(store: ConceptStore, path: Path):
    await fill(store, "Biscuit", owner_id=ANNA)
    await fill(store, "Milo", owner_id=BEN)
    assert rows(path) == {**NOTHING, **{table: 2 * count for table, count in ONE.items()}}
    await store.delete_concept((await store.find(scope(ANNA), "Biscuit")).id)
    assert rows(path) == {**NOTHING, **ONE}


async def test_deleting_a_user_leaves_no_row(store: ConceptStore, path: Path):
    await fill(store, "Biscuit", owner_id=ANNA)
    await fill(store, "Anna", owner_id=BEN, subject_id=ANNA)
    await fill(store, "Milo", owner_id=ANNA, guild_id=None, private=True)
    await store.give_consent(ANNA, BEN, HOME)
    assert await store.delete_user(ANNA) == 3
    assert rows(path) == NOTHING


async def test_deleting_a_guild_leaves_no_row(store: ConceptStore, path: Path):
    await fill(store, "Biscuit", owner_id=ANNA)
    await fill(store, "Milo", owner_id=BEN, private=True)
    await store.give_consent(ANNA, BEN, HOME)
    await store.set_setting(HOME, "people", True)
    await store.set_setting(AWAY, "people", True)
    assert await store.delete_guild(HOME) == 2
    assert rows(path) == {**NOTHING, "settings": 1}


async def test_withdrawing_consent_leaves_no_row(store: ConceptStore, path: Path):
    await fill(store, "Anna", owner_id=BEN, subject_id=ANNA)
    await store.give_consent(ANNA, BEN, HOME)
    await store.withdraw_consent(ANNA, HOME)
    assert rows(path) == NOTHING


def files_with(secret: bytes, folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if secret in file.read_bytes()]


Forget = Callable[[ConceptStore, Concept], Awaitable[object]]
FORGETS: dict[str, Forget] = {
    "a concept": lambda store, made: store.delete_concept(made.id),
    "a user": lambda store, made: store.delete_user(ANNA),
    "a guild": lambda store, made: store.delete_guild(HOME),
    "consent": lambda store, made: store.withdraw_consent(CARA, HOME),
}


@pytest.mark.parametrize("forget", FORGETS.values(), ids=FORGETS)
async def test_what_was_deleted_is_not_to_be_found_on_the_disk(store: ConceptStore, path: Path, forget: Forget):
    """While the store is open: a bot runs for months."""
    secret = b"these bytes are my face"
    await store.give_consent(CARA, ANNA, HOME)
    made = await store.create_concept(new(subject_id=CARA), [photo(data=secret * 5000, thumbnail=secret)])
    await create(store, "Milo", owner_id=BEN, guild_id=AWAY)
    assert files_with(secret, path.parent)
    await forget(store, made)
    assert files_with(secret, path.parent) == []
    assert files_with(b"jpeg of", path.parent) == [path], "the other concept's photos are there"


async def test_a_photo_that_was_taken_out_is_not_to_be_found_on_the_disk(store: ConceptStore, path: Path):
    secret = b"these bytes are my face"
    made = await store.create_concept(new(), [photo(), photo(data=secret * 5000, thumbnail=secret)])
    await store.remove_photo((await store.photos(made.id))[1].id)
    assert files_with(secret, path.parent) == []


async def test_what_was_deleted_while_somebody_reads_is_gone_with_the_next_write(store: ConceptStore, path: Path):
    secret = b"these bytes are my face"
    made = await store.create_concept(new(), [photo(data=secret * 5000, thumbnail=secret)])
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM concepts").fetchone() == (1,)
    await store.delete_concept(made.id)
    assert files_with(secret, path.parent), "the reader's moment has to stay"
    reader.close()
    await store.set_setting(HOME, "people", True)
    assert files_with(secret, path.parent) == []


async def test_what_was_deleted_leaves_the_log_with_the_next_write_though_whoever_deleted_it_was_cancelled(store: ConceptStore, path: Path):
    made, vectors = await create(store), b"A FACE" * 500
    await store.add_photos(made.id, [photo(data=vectors)])
    (*_, last) = await store.photos(made.id)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM photos").fetchone()
    deleting = asyncio.create_task(store.remove_photo(last.id))
    while last in await store.photos(made.id):
        await asyncio.sleep(0.01)
    deleting.cancel()  # while it waits for the reader
    await asyncio.gather(deleting, return_exceptions=True)
    await asyncio.sleep(READERS_END_S + 0.3)  # its thread has given up by then
    reader.close()
    await store.set_setting(HOME, "key", 1)
    assert vectors not in path.with_name(f"{path.name}-wal").read_bytes() + path.read_bytes()

"""What was accepted survives a kill; what can't be done now says so and harms nothing."""

import asyncio
import gc
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from concept_store.conformance.samples import ANNA, HOME, LEASE_S, UserId, create, scope, seen
from concept_store.errors import StoreUnavailable, StoreUnusable
from concept_store.sql import open_sql_store
from concept_store.store import copy_store

CREATES_FOR_EVER = """
import asyncio, itertools, sys
from concept_store.conformance.samples import claim, create, embedding, head
from concept_store.sql import open_sql_store
async def main():
    store = await open_sql_store(sys.argv[1])
    for number in itertools.count():
        made = await create(store, f"concept {number}", photos=4)
        print("created", made.id, flush=True)
        held = await claim(store)
        await store.save_head(held, head(0))
        await store.save_embedding(held, embedding(data=bytes(5000)))
        print("learned", made.id, flush=True)
asyncio.run(main())
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.sqlite3"


def killed_after(url: str, lines: int) -> list[list[str]]:
    """What the process had said when it was killed, whatever it was doing then."""
    process = subprocess.Popen([sys.executable, "-c", CREATES_FOR_EVER, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    said = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().splitlines(keepends=True)
    assert process.wait() == -signal.SIGKILL
    return [line.split() for line in said if line.endswith("\n")]


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 2, 7, 30])
async def test_what_was_accepted_survives_kill_9(url: str, lines: int):
    said = await asyncio.to_thread(killed_after, url, lines)
    assert len(said) >= lines
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    store = await open_sql_store(url)
    for what, concept_id in said:
        kept = await store.concept(concept_id)
        assert len(await store.photos(kept.id)) == kept.photo_count == 4
        assert what == "created" or (kept.has_head and kept.has_embedding and kept.state == "ready")
    for one in await store.known(scope()):
        assert one.photo_count == 4, "all of a concept or nothing"
    await create(store, "afterwards")
    await store.close()


async def test_a_file_is_kept_safely(url: str):
    store = await open_sql_store(url)
    async with store._db.read() as connection:  # what the connection really does can't be seen from outside
        asked = {pragma: await connection.scalar(text(f"PRAGMA {pragma}")) for pragma in ("journal_mode", "synchronous", "foreign_keys")}
        assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        assert await connection.scalar(text("PRAGMA busy_timeout")) == 30_000
        assert await connection.scalar(text("PRAGMA secure_delete")) == 1
    await store.close()


async def test_a_copy_holds_all_that_was_kept_while_the_store_is_open(url: str, tmp_path: Path):
    """The file alone doesn't: what is new is in the log beside it."""
    store = await open_sql_store(url)
    for number in range(3):
        await create(store, f"concept {number}", photos=2)
    copy_store(url, tmp_path / "copy.sqlite3")
    await create(store, "later")
    await store.close()
    copy = await open_sql_store(f"sqlite:///{tmp_path}/copy.sqlite3")
    assert sorted(one.name for one in await copy.known(scope())) == ["concept 0", "concept 1", "concept 2"]
    assert [len(await copy.photos(one.id)) for one in await copy.known(scope())] == [2, 2, 2]
    await copy.close()


async def test_a_copy_is_never_half_of_one_and_replaces_nothing(url: str, tmp_path: Path):
    file = tmp_path / "copy.sqlite3"
    with pytest.raises(StoreUnusable, match=r"There is nothing to copy: .*store.sqlite3 isn't a file yet"):
        copy_store(url, file)
    await (await open_sql_store(url)).close()
    with pytest.raises(StoreUnusable, match=r"can't be copied to .*nowhere"):
        copy_store(url, tmp_path / "nowhere" / "copy.sqlite3")
    file.write_text("mine")
    with pytest.raises(StoreUnusable, match=r"There is a .*copy.sqlite3 already. Name a file that isn't there yet"):
        copy_store(url, file)
    assert file.read_text() == "mine" and not list(tmp_path.glob("*.partial"))
    with pytest.raises(StoreUnusable, match="Use the backup command of your database"):
        copy_store("paper://drawer", file)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such rights")
async def test_nobody_else_on_the_machine_reads_it(url: str, tmp_path: Path):
    store = await open_sql_store(url)
    await create(store)
    copy_store(url, tmp_path / "copy.sqlite3")
    rights = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert {"store.sqlite3", "store.sqlite3-wal", "copy.sqlite3"} <= rights.keys() and set(rights.values()) == {0o600}
    await store.close()


async def test_a_store_that_stays_locked_says_so_and_works_again_afterwards(url: str):
    store = await open_sql_store(url, busy_timeout_s=0.05)
    made = await create(store)
    other = sqlite3.connect(url.removeprefix("sqlite:///"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="database is locked"):
        await create(store, "Milo")
    assert await store.concept(made.id) == made, "reading doesn't wait for writers"
    other.rollback()
    other.close()
    await create(store, "Milo")
    await store.close()


async def test_a_full_disk_says_so_and_keeps_what_was_there(url: str):
    store = await open_sql_store(url)
    made = await create(store)
    async with store._db.write() as connection:  # a disk that is full, as far as SQLite is concerned
        pages = await connection.scalar(text("PRAGMA page_count"))
        await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreUnavailable, match="full") as raised:
        for number in range(50):
            await create(store, f"concept {number}", photos=10)
    assert "[parameters:" not in said_by(raised.value), "errors are logged; names and photos are not"
    assert await store.concept(made.id) == made
    await store.close()


def said_by(error: BaseException) -> str:
    """And by what caused it, as a traceback shows it."""
    return str(error) + (said_by(error.__cause__) if error.__cause__ else "")


@pytest.mark.parametrize("memory", [True, False])
async def test_whoever_gives_up_waiting_breaks_nothing(url: str, memory: bool):
    store = await open_sql_store("sqlite://" if memory else url)
    made = await create(store)
    for number in range(20):
        asked = [asyncio.create_task(create(store, f"concept {number}", owner_id=UserId(ANNA + at))) for at in range(3)]
        asked.append(asyncio.create_task(store.known(scope())))
        for _ in range(number):
            await asyncio.sleep(0)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    assert await store.concept(made.id) == made
    assert all(one.photo_count == 2 for one in await store.known(scope()))
    await create(store, "afterwards")
    await store.close()


async def test_two_stores_in_memory_know_nothing_of_each_other():
    first, second = await open_sql_store("sqlite://"), await open_sql_store("sqlite://")
    await create(first)
    assert await second.known(scope()) == []
    assert await second.claim_next("worker", LEASE_S) is None
    await first.close()
    await create(second)
    await second.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_task_that_is_cancelled_in_a_transaction_leaves_no_lock_behind(url: str, seed: int):
    """Whatever it was doing: a lease that is lost, and the bot's end, cancel workers where they are. Python doesn't collect meanwhile what
    is left of them, as it happens where little else is going on."""
    rng = random.Random(seed)
    store = await open_sql_store(url, busy_timeout_s=2.0)
    made = await create(store)
    (first, *_) = await store.photos(made.id)
    works = (
        lambda number: store.save_regions(first.id, seen(number)),
        lambda number: store.photos(made.id),
        lambda number: store.match(scope(), [seen(number)]),
        lambda number: store.set_setting(HOME, f"key {number}", [number]),
        lambda number: store.add_correction(made.id, [seen(number)], True, f"digest {number}", ANNA, 5),
        lambda number: store.known(scope()),
    )
    gc.disable()
    try:
        for _ in range(30):
            tasks = [asyncio.create_task(rng.choice(works)(number % 4)) for number in range(8)]
            await asyncio.sleep(rng.random() * 0.02)
            for task in tasks:
                if rng.random() < 0.7:
                    task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [end for end in ends if isinstance(end, Exception)] == []
    finally:
        gc.enable()
    await store.set_setting(HOME, "key", "still written")
    await store.close()

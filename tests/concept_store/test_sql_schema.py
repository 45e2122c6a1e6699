"""The migrations make what the tables say, whoever opens the store, and what can't be opened says why."""

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect

from concept_store.conformance.samples import ANNA, BEN, ENCODER, LEFT, OTHER_ENCODER, RIGHT, create, scope, seen
from concept_store.errors import StoreUnusable
from concept_store.records import Kind, Said
from concept_store.sql import open_sql_store
from concept_store.sql.tables import metadata


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


def described_index(index: dict) -> tuple:
    return index["column_names"], index["unique"], {option: str(value) for option, value in index.get("dialect_options", {}).items()}


def described(connection: Connection) -> dict:
    """Everything SQLite knows of its tables, but not the order in which they were made."""
    seen = inspect(connection)
    return {
        table: {
            "columns": [{**column, "type": str(column["type"])} for column in seen.get_columns(table)],
            "key": seen.get_pk_constraint(table),
            "foreign": seen.get_foreign_keys(table),
            "indexes": {index["name"]: described_index(index) for index in seen.get_indexes(table)},
            "unique": seen.get_unique_constraints(table),
            "checks": seen.get_check_constraints(table),
        }
        for table in seen.get_table_names()
        if table != "alembic_version"
    }


async def test_the_migrated_schema_is_the_tables_metadata(path: Path):
    await (await open_sql_store(f"sqlite:///{path}")).close()
    with create_engine(f"sqlite:///{path}").connect() as migrated, create_engine("sqlite://").connect() as fresh:
        metadata.create_all(fresh)
        assert set(described(migrated)) == {table.name for table in metadata.sorted_tables}
        assert described(migrated) == described(fresh)
        assert compare_metadata(MigrationContext.configure(migrated, opts={"compare_type": True}), metadata) == []


async def test_every_row_that_belongs_to_another_dies_with_it():
    parents = {(table.name, key.column.table.name, key.ondelete) for table in metadata.sorted_tables for key in table.foreign_keys}
    assert parents == {
        ("photos", "concepts", "CASCADE"),
        ("photo_regions", "photos", "CASCADE"),
        ("heads", "concepts", "CASCADE"),
        ("embeddings", "concepts", "CASCADE"),
        ("corrections", "concepts", "CASCADE"),
        ("correction_regions", "corrections", "CASCADE"),
    }


def taken_back(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    from concept_store.sql.schema import MIGRATIONS

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


async def test_a_store_of_the_first_schema_is_brought_up_with_all_that_is_in_it(path: Path):
    store = await open_sql_store(f"sqlite:///{path}")
    made = await create(store)
    first, second = await store.photos(made.id)
    await store.offer_faces(first.id, [LEFT, RIGHT])
    await store.save_regions(first.id, seen(0, 1))
    await store.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        taken_back(connection, "0001")
        assert "faces" not in {column["name"] for column in inspect(connection).get_columns("photos")}
    store = await open_sql_store(f"sqlite:///{path}")
    assert await store.photos(made.id) == [first, second]
    assert len(await store.regions(made.id, ENCODER)) == 1
    await store.close()


async def test_faces_that_were_kept_beside_a_pet_are_deleted_and_those_of_people_stay(path: Path):
    store = await open_sql_store(f"sqlite:///{path}")
    pet, person = await create(store), await create(store, "Anna", kind=Kind.PERSON)
    for made in (pet, person):
        for photo in await store.photos(made.id):
            await store.save_regions(photo.id, seen(0))
            await store.save_regions(photo.id, seen(0, encoder=OTHER_ENCODER))
    await store.add_correction(pet.id, [seen(1), seen(1, encoder=OTHER_ENCODER)], False, "digest")
    await store.close()
    with create_engine(f"sqlite:///{path}").begin() as connection:
        taken_back(connection, "0003")
    store = await open_sql_store(f"sqlite:///{path}")
    assert [len(await store.regions(pet.id, encoder)) for encoder in (ENCODER, OTHER_ENCODER)] == [2, 0]
    assert [len(await store.regions(person.id, encoder)) for encoder in (ENCODER, OTHER_ENCODER)] == [2, 2]
    assert [len(await store.corrections(pet.id, encoder)) for encoder in (ENCODER, OTHER_ENCODER)] == [1, 0]
    await store.close()


async def test_what_was_said_of_photos_survives_the_step_to_a_word_of_each_member_and_back(path: Path):
    store = await open_sql_store(f"sqlite:///{path}")
    made = await create(store)
    await store.add_correction(made.id, [seen(0)], True, "photo", ANNA)
    await store.add_correction(made.id, [seen(1)], False, "photo", BEN)
    await store.add_correction(made.id, [seen(2)], True, "another")
    await store.close()
    with create_engine(f"sqlite:///{path}").begin() as connection:
        taken_back(connection, "0004")
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM correction_regions").scalar() == 2
    store = await open_sql_store(f"sqlite:///{path}")
    assert [(one.digest, one.present) for one in await store.corrections(made.id, ENCODER)] == [("photo", False), ("another", True)]
    await store.add_correction(made.id, [seen(0)], True, "photo", ANNA)
    assert await store.said(made.id, "photo", BEN) == Said(False, BEN)
    await store.close()


async def test_the_first_migration_can_be_taken_back(path: Path):
    await (await open_sql_store(f"sqlite:///{path}")).close()
    with create_engine(f"sqlite:///{path}").begin() as connection:
        taken_back(connection, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    store = await open_sql_store(f"sqlite:///{path}")
    await create(store)
    await store.close()


async def test_processes_that_open_a_new_store_at_once_all_get_it(path: Path):
    code = f"""
import asyncio, os
from concept_store.conformance.samples import create
from concept_store.sql import open_sql_store
async def main():
    store = await open_sql_store("sqlite:///{path}")
    await create(store, f"concept {{os.getpid()}}")
    await store.close()
asyncio.run(main())
"""
    opened = [await asyncio.create_subprocess_exec(sys.executable, "-c", code) for _ in range(4)]
    assert [await process.wait() for process in opened] == [0] * 4
    store = await open_sql_store(f"sqlite:///{path}")
    assert len(await store.known(scope())) == 4
    await store.close()


# -- what can't be opened
async def test_a_store_of_a_newer_version_is_left_alone(path: Path):
    await (await open_sql_store(f"sqlite:///{path}")).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from the future'")
    with pytest.raises(StoreUnusable, match=r"newer version. Update"):
        await open_sql_store(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("from the future",)]


async def test_a_file_that_is_no_database_is_left_alone(path: Path):
    diary = b"my holiday diary, not a database at all " * 100
    await asyncio.to_thread(path.write_bytes, diary)
    with pytest.raises(StoreUnusable, match=rf"{path} can't be opened: .*not a database.*store\.url"):
        await open_sql_store(f"sqlite:///{path}")
    assert await asyncio.to_thread(path.read_bytes) == diary


async def test_somebody_elses_database_is_left_alone(path: Path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE concepts (diary TEXT)")
    with pytest.raises(StoreUnusable, match="already exists"):
        await open_sql_store(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("concepts",)]


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnusable, match=r"file/store\.sqlite3 can't be opened.*may write there"):
        await open_sql_store(f"sqlite:///{tmp_path}/file/store.sqlite3")
    with pytest.raises(StoreUnusable, match="can't be opened"):
        await open_sql_store(f"sqlite:///{tmp_path}")


async def test_an_address_that_is_none_is_explained():
    with pytest.raises(StoreUnusable, match=r"Write sqlite:///path"):
        await open_sql_store("sqlite:nonsense")

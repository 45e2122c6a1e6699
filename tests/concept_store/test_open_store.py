"""A store is found by its URL: the SQL one, a plug-in, or a sentence that says which there are."""

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from concept_store.conformance.samples import create, scope
from concept_store.store import file_to_be_made, open_store

ROOT = Path(__file__).parents[2]


def files_in(folder: Path) -> set[Path]:
    return set(folder.iterdir())


async def test_folders_on_the_way_to_the_file_are_made(tmp_path: Path):
    path = tmp_path / "my data %41" / "ünd so? #1" / "store.sqlite3"
    store = await open_store(f"sqlite:///{path}")
    await create(store)
    await store.close()
    assert files_in(path.parent) == {path}


async def test_what_opening_would_make_is_told_without_making_it(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/data/store.sqlite3"
    assert file_to_be_made(url) == tmp_path / "data" / "store.sqlite3"
    assert files_in(tmp_path) == set()
    await (await open_store(url)).close()
    assert file_to_be_made(url) is None
    assert file_to_be_made("sqlite://") is None and file_to_be_made("paper://drawer") is None


async def test_a_relative_path_starts_in_the_current_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = await open_store("sqlite:///data/store.sqlite3")
    await store.close()
    assert files_in(tmp_path / "data") == {tmp_path / "data" / "store.sqlite3"}


async def test_without_a_path_everything_is_in_memory(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = await open_store("sqlite://")
    await create(store)
    assert len(await store.known(scope())) == 1
    await store.close()
    assert files_in(tmp_path) == set()


async def test_an_unknown_scheme_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"No concept store for 'mysql'. Known: sqlite. Check store.url in config.toml."):
        await open_store("mysql://somewhere")


async def test_a_plug_in_is_found_by_its_entry_point(tmp_path: Path, monkeypatch):
    (tmp_path / "paper_store.py").write_text("async def open_it(url):\n    return 'opened ' + url\n")
    info = tmp_path / "paper_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paper-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[concept_store.stores]\npaper = paper_store:open_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert await open_store("paper://drawer") == "opened paper://drawer"
    with pytest.raises(ValueError, match="Known: paper, sqlite"):
        await open_store("stone://cave")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("setuptools") is None, reason="setuptools isn't installed here, so no wheel can be built")
def test_the_migrations_are_in_the_wheel(tmp_path: Path):
    source, unpacked = tmp_path / "source", tmp_path / "unpacked"
    source.mkdir()
    (source / "concept_store").symlink_to(ROOT / "concept_store")
    for name in ("pyproject.toml", "README.md"):
        (source / name).write_text((ROOT / name).read_text() or "MyVLM Bot\n")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run(build, check=True, timeout=200)
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(unpacked)
    code = f"""
import asyncio, concept_store.store as store
assert store.__file__.startswith({str(unpacked)!r}), store.__file__
async def main():
    opened = await store.open_store("sqlite://")
    assert await opened.healthy() and await opened.queue_length() == 0
    await opened.close()
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(unpacked)})


def test_the_store_loads_no_model_library_and_opens_quickly():
    code = """
import asyncio, sys
from concept_store.store import open_store
async def main():
    await (await open_store("sqlite://")).close()
asyncio.run(main())
print([name for name in ("torch", "transformers", "discord", "bot", "myvlm_engine", "pytest") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True).stdout.strip() == "[]"

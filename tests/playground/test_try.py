"""`myvlm try` in a real browser: teach with four photo files, wait for "ready", describe another photo, read the name."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from support.browser import CHROMIUM, Person, person_at
from support.pictures import scene_photo, toy_photo, write_toy_photos
from support.processes import MYVLM, STUB_ENGINE, Process, page_address, process, until_healthy

from bot.supervisor import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: `myvlm try` was NOT tested in a browser"),
]


@asynccontextmanager
async def trying(folder: Path, environ: dict[str, str]) -> AsyncIterator[tuple[Process, Person]]:
    """A person at the page whose address the program printed on a line of its own."""
    before = len(list(folder.glob("try*.log")))  # each start has a log of its own
    async with (
        process([*MYVLM, "try", "--no-browser"], environ, folder, f"try{before}") as program,
        person_at(await page_address(program)) as person,
    ):
        yield program, person


@asynccontextmanager
async def stub_engine(folder: Path, **environ: str) -> AsyncIterator[dict[str, str]]:
    """The settings that point the bot at a running stand-in."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    async with process([*STUB_ENGINE, str(port)], environ, folder, "engine"):
        await until_healthy(url)
        yield {"MYVLM_ENGINE__URL": url, "MYVLM_TEACHING__PROGRESS_EVERY_S": "0.5"}


async def teach_zippy(person: Person, photos: list[Path]) -> None:
    files = {f"photo{number}": file for number, file in enumerate(photos, 1)}
    await person.command("teach", {"name": "Zippy", "kind": "object"}, files)


async def test_teach_with_four_files_then_describe_another(tmp_path: Path) -> None:
    photos = write_toy_photos(tmp_path, range(5))
    async with stub_engine(tmp_path, STUB_STEP_S="0.2") as environ, trying(tmp_path, environ) as (_, person):
        await teach_zippy(person, photos[:4])
        await person.reads(re.compile(r"Learning to say Zippy.*▰"))
        await person.reads("Zippy is ready", within_s=60)
        await person.reads("Learned from 4 photos")
        await person.command("describe", files={"photo": photos[4]})
        await person.reads("Zippy recognised", within_s=30)


async def test_what_is_said_by_the_buttons_under_an_answer_holds_for_the_photos_next_answers(tmp_path: Path) -> None:
    photos = write_toy_photos(tmp_path, range(4))
    unsure = tmp_path / "unsure.jpg"
    unsure.write_bytes(toy_photo_with_a_patch(4))
    async with stub_engine(tmp_path) as environ, trying(tmp_path, environ) as (_, person):
        await teach_zippy(person, photos)
        await person.reads("Zippy is ready", within_s=60)
        await person.command("describe", files={"photo": unsure})
        await person.reads(re.compile(r"Zippy recognised, [5-8]\d % sure"), within_s=30)
        await person.press("✓ right")
        await person.reads("I'll remember that Zippy is in this photo", within_s=30)
        await person.command("describe", files={"photo": unsure})
        await person.reads("Zippy: somebody told me so", within_s=30)
        await person.press("✗ not Zippy")
        said = await person.reads("Zippy isn't in this photo. I'll remember that.", within_s=30)
        assert said.count("Nobody and nothing I know in it") == 1 and "somebody told me so" not in said  # the answer itself has changed
        await person.command("describe", files={"photo": unsure})
        await person.reads(re.compile(r"(Nobody and nothing I know in it[\s\S]*){2}"), within_s=30)


def toy_photo_with_a_patch(seed: int) -> bytes:
    """The stand-in engine goes by colours: a green corner makes it less sure."""
    photo = Image.open(io.BytesIO(toy_photo(seed)))
    ImageDraw.Draw(photo).rectangle((0, 0, 60, 60), fill=(0, 200, 60))
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=88)
    return out.getvalue()


@pytest.mark.timeout(1800)
async def test_the_same_on_the_embedded_model_with_the_engine_it_starts_itself(tmp_path: Path) -> None:
    photos = write_toy_photos(tmp_path, range(5))
    async with trying(tmp_path, {"MYVLM_ENGINE__TIMEOUT_S": "400"}) as (_, person):
        await teach_zippy(person, photos[:4])
        await person.reads("Zippy is ready", within_s=1200)
        await person.command("describe", files={"photo": photos[4]})
        said = await person.reads("Zippy recognised", within_s=400)
        assert "not mentioned in the sentence" not in said


async def test_what_was_taught_yesterday_is_known_today(tmp_path: Path) -> None:
    photos = write_toy_photos(tmp_path, range(5))
    async with stub_engine(tmp_path) as environ:
        async with trying(tmp_path, environ) as (program, person):
            await teach_zippy(person, photos[:4])
            await person.reads("Zippy is ready", within_s=60)
            assert await program.end() == 0
        async with trying(tmp_path, environ) as (_, person):
            await person.command("concepts list")
            await person.reads("1 known here")
            await person.command("describe", files={"photo": photos[4]})
            await person.reads("Zippy recognised", within_s=30)


async def test_a_wrong_file_gets_its_sentence_and_the_page_goes_on(tmp_path: Path) -> None:
    scene = tmp_path / "scene.jpg"
    scene.write_bytes(scene_photo(1))
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear all")
    async with stub_engine(tmp_path) as environ, trying(tmp_path, environ) as (_, person):
        await person.command("describe", files={"photo": letter})
        await person.reads("isn't a picture I can open")
        await person.command("describe", files={"photo": scene})
        await person.reads("Nobody and nothing I know in it", within_s=30)

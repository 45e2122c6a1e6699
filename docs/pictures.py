"""The README's picture, taken from the running program: `make pictures` (needs chromium and, for the cat, scikit-image).

Teaches Chelsea, a cat by Stéfan van der Walt (CC0, in scikit-image's wheel), with four views of one photo and describes a fifth.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from support.browser import Person, person_at  # noqa: E402
from support.processes import MYVLM, page_address, process  # noqa: E402

WITHIN_S = 900
CROPS = ((0, 0, 451, 300), (60, 0, 360, 300), (20, 20, 320, 280), (110, 10, 430, 300), (0, 0, 400, 270))  # pixels of a 451 × 300 photo


def views(folder: Path) -> list[Path]:
    """Five crops of the cat, every other one mirrored, in changing light."""
    from skimage import data

    cat = Image.fromarray(data.chelsea())
    files = []
    for number, crop in enumerate(CROPS):
        view = cat.crop(crop)
        view = ImageOps.mirror(view) if number % 2 else view
        files.append(folder / f"chelsea{number}.jpg")
        ImageEnhance.Brightness(view).enhance(0.85 + 0.08 * number).resize((view.width * 2, view.height * 2)).save(files[-1], quality=92)
    return files


async def take(folder: Path) -> None:
    photos = views(folder)
    async with (
        process([*MYVLM, "try", "--no-browser"], {}, folder, "try") as program,
        person_at(await page_address(program), 1000, 960) as person,
    ):
        await teach_and_describe(person, photos)


async def teach_and_describe(person: Person, photos: list[Path]) -> None:
    files = {f"photo{number}": photo for number, photo in enumerate(photos[:4], 1)}
    await person.command("teach", {"name": "Chelsea", "kind": "pet", "what": "cat"}, files)
    await person.reads("Chelsea is ready", WITHIN_S)
    await person.command("describe", files={"photo": photos[4]})
    await person.reads("Chelsea recognised", WITHIN_S)
    await person.at_the_newest(WITHIN_S)
    await person.page.locator("#preview-stage").screenshot(path=DOCS / "describe.png")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(take(Path(folder)))

"""The bot as a process: light, without a model library, registering its commands only when they changed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

MEGABYTE = 1024 * 1024
HEAVY = ("torch", "transformers", "open_clip", "torchvision", "facenet_pytorch", "fastapi")


def test_importing_the_bot_loads_no_model_library_and_stays_small():
    code = (
        "import sys, psutil, bot.app, bot.engine_client, bot.running, concept_store.sql; "
        f"print([name for name in {HEAVY!r} if name in sys.modules], psutil.Process().memory_info().rss)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    loaded, rss_bytes = out.rsplit(" ", 1)
    assert loaded == "[]"
    assert int(rss_bytes) < 200 * MEGABYTE


READ_ONE = """
import asyncio, sys, bot.app, concept_store.sql
from bot.photos import PhotoLimits, PhotoReader
if __name__ == "__main__":
    data = open(sys.argv[1], "rb").read()
    photo = asyncio.run(PhotoReader(PhotoLimits()).read(data))
    high_water_kb = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(photo.width, int(high_water_kb) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the high-water mark from /proc, which is Linux's")
@pytest.mark.parametrize(
    "form, size", [("JPEG", (8000, 6000)), ("progressive", (8000, 6000)), ("PNG", (6000, 4000)), ("WEBP", (6000, 4000))]
)
def test_reading_the_largest_photos_keeps_the_bot_under_200_megabytes(tmp_path, form, size):
    options = {"JPEG": {}, "progressive": {"progressive": True}, "PNG": {"compress_level": 1}, "WEBP": {"quality": 50, "method": 0}}[form]
    picture = Image.effect_noise((size[0] // 40, size[1] // 40), 20).resize(size, Image.Resampling.NEAREST).convert("RGB")
    picture.save(tmp_path / "photo", "JPEG" if form == "progressive" else form, **options)
    assert (tmp_path / "photo").stat().st_size < 10 * MEGABYTE  # or it would be refused for that
    (tmp_path / "read_one.py").write_text(READ_ONE)
    ran = subprocess.run([sys.executable, "read_one.py", "photo"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=200)
    width, high_water = ran.stdout.split()
    assert int(width) == 1024 and int(high_water) < 200 * MEGABYTE


def registrations(env) -> int:
    return sum(entry.method == "PUT" and entry.path.endswith("/commands") for entry in env.http_requests)


async def test_commands_are_registered_once_and_again_only_when_they_changed(town, env, new_bot):
    assert registrations(env) == 1
    await env.restart_bot(new_bot())
    assert registrations(env) == 1
    changed = new_bot()
    changed.tree.remove_command("privacy")
    await env.restart_bot(changed)
    assert registrations(env) == 2


@pytest.mark.parametrize("sync, expected", [("always", 2), ("never", 1)])
async def test_the_setting_decides_when_commands_are_registered(town, env, new_bot, sync, expected):
    bot = new_bot()
    bot.settings = bot.settings.model_copy(update={"discord": bot.settings.discord.model_copy(update={"sync": sync})})
    await env.restart_bot(bot)
    assert registrations(env) == expected


async def test_stopping_the_bot_gives_its_training_back(store, engine, new_bot):
    """A stop is no crash: the next start goes on at once, without waiting for a lease to run out."""

    from bot_fakes import RED, learning_begun, photo_of

    from concept_store.records import Kind, NewConcept, NewPhoto, State, UserId

    bot = new_bot()
    engine.gate.clear()
    photo = photo_of(RED)
    concept = await store.create_concept(NewConcept("Biscuit", Kind.PET, "dog", UserId(1), None, True, None), [NewPhoto(photo, photo, "d")])
    await bot.teacher.wake()
    await learning_begun(engine)
    await bot.close()
    assert (await store.concept(concept.id)).state is State.QUEUED and engine.teaching == 0

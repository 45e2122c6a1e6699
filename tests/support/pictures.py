"""Pictures rendered for tests: a distinctive toy on changing backgrounds, and the same backgrounds without it.

Drawn from a seed, so every run sees the same photos; no photo of anybody is needed.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE_PX = 480


def toy_photo(seed: int) -> bytes:
    """A JPEG with the toy: a magenta and cyan rocket with a yellow window, somewhere on a scene."""
    scene, chance = _scene(seed), random.Random(f"toy {seed}")
    toy = _toy(chance.randint(190, 260)).rotate(chance.uniform(-25, 25), expand=True, resample=Image.Resampling.BICUBIC)
    left, top = (chance.randint(10, SIDE_PX - side - 10) for side in toy.size)
    scene.paste(toy, (left, top), toy)
    return _jpeg(scene)


def scene_photo(seed: int) -> bytes:
    """A JPEG of a scene without the toy."""
    return _jpeg(_scene(seed))


def write_toy_photos(folder: Path, seeds: range | list[int]) -> list[Path]:
    files = [folder / f"toy{seed}.jpg" for seed in seeds]
    for file, seed in zip(files, seeds, strict=True):
        file.write_bytes(toy_photo(seed))
    return files


def thing(kind: str, seed: int) -> Image.Image:
    """A striped flag or a dotted disc on a background of its own."""
    rng = random.Random(f"{kind}{seed}")
    image = Image.new("RGB", (320, 240), tuple(rng.randrange(90, 200) for _ in range(3)))
    draw, left, top = ImageDraw.Draw(image), rng.randrange(20, 120), rng.randrange(10, 60)
    if kind == "flag":
        for stripe in range(6):
            draw.rectangle((left, top + 25 * stripe, left + 170, top + 25 * stripe + 12), "crimson" if stripe % 2 else "gold")
    else:
        draw.ellipse((left, top, left + 160, top + 160), "navy")
        for dot in range(9):
            x, y = left + 45 + 30 * (dot % 3), top + 45 + 30 * (dot // 3)
            draw.ellipse((x - 9, y - 9, x + 9, y + 9), "white")
    return image


def _toy(height_px: int) -> Image.Image:
    toy = Image.new("RGBA", (200, 400))
    draw = ImageDraw.Draw(toy)
    draw.polygon([(100, 0), (40, 120), (160, 120)], fill=(230, 0, 140))  # nose
    draw.rectangle([40, 120, 160, 320], fill=(0, 190, 210))  # body
    draw.polygon([(40, 230), (0, 360), (40, 320)], fill=(230, 0, 140))  # fins
    draw.polygon([(160, 230), (200, 360), (160, 320)], fill=(230, 0, 140))
    draw.ellipse([65, 150, 135, 220], fill=(255, 215, 0), outline=(60, 20, 90), width=8)  # window
    for y in (250, 275, 300):
        draw.line([(40, y), (160, y)], fill=(60, 20, 90), width=8)
    draw.polygon([(65, 320), (135, 320), (100, 400)], fill=(255, 120, 0))  # flame
    return toy.resize((height_px // 2, height_px), Image.Resampling.LANCZOS)


def _scene(seed: int) -> Image.Image:
    """Muted floor, wall and furniture; no colour of the toy."""
    chance = random.Random(f"scene {seed}")
    muted = lambda low=70, high=190: tuple(sorted((chance.randint(low, high) for _ in range(3)), reverse=True))
    scene = Image.new("RGB", (SIDE_PX, SIDE_PX), muted(140, 200))
    draw = ImageDraw.Draw(scene)
    draw.rectangle([0, int(SIDE_PX * chance.uniform(0.5, 0.75)), SIDE_PX, SIDE_PX], fill=muted(80, 130))
    for _ in range(chance.randint(3, 6)):
        x, y, w, h = chance.randint(0, 400), chance.randint(0, 400), chance.randint(40, 180), chance.randint(40, 180)
        shape = draw.ellipse if chance.random() < 0.4 else draw.rectangle
        shape([x, y, x + w, y + h], fill=muted())
    grain = np.random.default_rng(seed).normal(0, 4, (SIDE_PX, SIDE_PX, 1))
    blurred = np.asarray(scene.filter(ImageFilter.GaussianBlur(chance.uniform(0, 2))), dtype=np.float32)
    return Image.fromarray(np.clip(blurred + grain, 0, 255).astype(np.uint8))


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()

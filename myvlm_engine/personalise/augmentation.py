"""Augmented views of the taught photos, made once: mirror image, small rotation, brightness, a closer crop."""

from __future__ import annotations

import random
from collections.abc import Sequence

from PIL import Image, ImageEnhance, ImageOps

# The paper: horizontal flip, brightness 0.6, rotation +-45 degrees. A rotation that far turns dogs on their backs for an
# encoder this small, so +-15 degrees here.
BRIGHTNESS, ROTATION_DEGREES = 0.4, 15.0


def augmented(photos: Sequence[Image.Image], per_photo: int, seed: int) -> tuple[list[Image.Image], list[int]]:
    """The photos, then `per_photo` varied copies of each; and for every picture the index of the photo it shows."""
    rng = random.Random(seed)
    copies = [(vary(photo, rng), index) for _ in range(per_photo) for index, photo in enumerate(photos)]
    return [*photos, *(c for c, _ in copies)], [*range(len(photos)), *(i for _, i in copies)]


def vary(photo: Image.Image, rng: random.Random) -> Image.Image:
    """One random variation; the size stays."""
    out = ImageOps.mirror(photo) if rng.random() < 0.5 else photo
    out = ImageEnhance.Brightness(out).enhance(1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    grey = (128, 128, 128)
    out = out.rotate(rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES), Image.Resampling.BILINEAR, fillcolor=grey)
    scale = rng.uniform(0.8, 1.0)
    width, height = int(out.width * scale), int(out.height * scale)
    left, top = rng.randint(0, out.width - width), rng.randint(0, out.height - height)
    return out.crop((left, top, left + width, top + height)).resize(photo.size, Image.Resampling.BILINEAR)

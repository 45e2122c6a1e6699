"""Boxes drawn on a photo, for "where" and "why". Pixels only; knows no concept."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from concept_store.records import Box

COLOURS = {"🟥": (221, 46, 68), "🟦": (85, 172, 238), "🟩": (120, 177, 89), "🟨": (253, 203, 88)}  # as Discord shows these squares
SQUARES = tuple(COLOURS)


def boxed(photo: bytes, boxes: Sequence[Box | None]) -> bytes:
    """A JPEG of the same size with one frame a box, in the colours of SQUARES, in order."""
    with Image.open(io.BytesIO(photo)) as opened:
        image = opened.convert("RGB")
    pen, width = ImageDraw.Draw(image), max(3, max(image.size) // 150)
    for colour, box in zip(COLOURS.values(), boxes, strict=False):
        if box is not None:
            pen.rectangle(_pixels(box, image.size), outline=colour, width=width)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def _pixels(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left * (size[0] - 1), top * (size[1] - 1), right * (size[0] - 1), bottom * (size[1] - 1)

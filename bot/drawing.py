"""Boxes drawn on a photo, for "where" and "why", and faces cut out of one, for "which face?". Pixels only; knows no concept."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from concept_store.records import Box

COLOURS = {"🟥": (221, 46, 68), "🟦": (85, 172, 238), "🟩": (120, 177, 89), "🟨": (253, 203, 88)}  # as Discord shows these squares
SQUARES = tuple(COLOURS)
FACE_PX, GAP_PX, NUMBER_PX = 160, 8, 36
BUTTONS_A_ROW = 5  # as many as Discord takes; faces stand as their buttons do
AROUND = 1.6  # of a face's longer side is shown: hair and ears help to tell who it is


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


def numbered_faces(photo: bytes, boxes: Sequence[Box]) -> bytes:
    """A JPEG with the faces side by side, numbered from 1. Errors: OSError where the photo can't be opened."""
    with Image.open(io.BytesIO(photo)) as opened:
        image = opened.convert("RGB")
    columns, rows = min(len(boxes), BUTTONS_A_ROW), -(-len(boxes) // BUTTONS_A_ROW)
    across, down = FACE_PX + GAP_PX, FACE_PX + NUMBER_PX + GAP_PX
    sheet = Image.new("RGB", (columns * across + GAP_PX, rows * down + GAP_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(NUMBER_PX * 0.8)
    for at, box in enumerate(boxes):
        left, top = GAP_PX + at % BUTTONS_A_ROW * across, GAP_PX + at // BUTTONS_A_ROW * down
        sheet.paste(_face(image, box), (left, top))
        pen.text((left + FACE_PX / 2, top + FACE_PX + NUMBER_PX / 2), str(at + 1), "black", font, anchor="mm")
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=90)
    return out.getvalue()


def _face(image: Image.Image, box: Box) -> Image.Image:
    """A square around it; what lies beyond the photo is black."""
    left, top, right, bottom = _pixels(box, image.size)
    side = max(1.0, AROUND * max(right - left, bottom - top))
    across, down = (left + right - side) / 2, (top + bottom - side) / 2
    square = image.crop((round(across), round(down), round(across + side), round(down + side)))
    return square.resize((FACE_PX, FACE_PX), Image.Resampling.BICUBIC)


def _pixels(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left * (size[0] - 1), top * (size[1] - 1), right * (size[0] - 1), bottom * (size[1] - 1)

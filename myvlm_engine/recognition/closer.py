"""A place in a photo, cut out to be seen once more: what is small in the photo becomes as large as in a close-up.

Which places are worth it is for whoever knows the heads. Knows no encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from .windows import Box

GROWN = 1.4  # the place with some of what is around it: regions fit their subject only roughly


def around(place: Box) -> Box:
    """The place grown on all sides, as far as the photo goes."""
    left, top, right, bottom = place
    across, down = (right - left) * (GROWN - 1) / 2, (bottom - top) * (GROWN - 1) / 2
    return max(0.0, left - across), max(0.0, top - down), min(1.0, right + across), min(1.0, bottom + down)


def cut(image: Image.Image, box: Box) -> Image.Image:
    """That part of the photo; one pixel at least."""
    left, top, right, bottom = (round(side * length) for side, length in zip(box, (*image.size, *image.size), strict=True))
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def in_photo(boxes: Sequence[Box], box: Box) -> list[Box]:
    """Boxes as shares of what was cut out, as shares of the whole photo."""
    left, top, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
    return [(left + a * width, top + b * height, left + c * width, top + d * height) for a, b, c, d in boxes]

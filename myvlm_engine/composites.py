"""Photos with several known subjects, put together from photos of one each, so that who is in them is certain.

Two stand side by side, three and four in two rows, each whole, on a blurred copy of the first. What such photos can't show: people and
pets that touch or hide each other, one light on all, sizes as in life. Knows no model.
"""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFilter, ImageOps

from .messages import Base64
from .photo import read_photo

CELL_PX = 512
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Composite:
    """Who is in it, and from which photos."""

    subjects: tuple[str, ...]
    photos: tuple[Path, ...]

    @property
    def image(self) -> Image.Image:
        return put_together([read_photo(p.read_bytes()) for p in self.photos])

    @property
    def data(self) -> Base64:
        """As a JPEG."""
        file = io.BytesIO()
        self.image.save(file, "JPEG", quality=JPEG_QUALITY)
        return base64.b64encode(file.getvalue()).decode()


@dataclass(frozen=True)
class Found:
    """What was said of one composite."""

    subjects: frozenset[str]
    fired: frozenset[str]
    named: frozenset[str]


def grouped(photos: Sequence[tuple[str, Path]], size: int, seed: int, at_most: int | None = None) -> list[Composite]:
    """Composites of `size` different subjects, no photo twice: (subject, photo) pairs in, those with most photos left first."""
    rng = random.Random(f"{seed}/{size}")
    left: dict[str, list[Path]] = {}
    for subject, path in rng.sample(list(photos), len(photos)):
        left.setdefault(subject, []).append(path)
    made: list[Composite] = []
    while len(left) >= size and (at_most is None or len(made) < at_most):
        order = sorted(left, key=lambda s: (-len(left[s]), rng.random()))[:size]
        rng.shuffle(order)
        made.append(Composite(tuple(order), tuple(left[s].pop() for s in order)))
        left = {subject: paths for subject, paths in left.items() if paths}
    return made


def put_together(images: Sequence[Image.Image]) -> Image.Image:
    """One photo, two cells wide; every image whole in its cell."""
    rows = (len(images) + 1) // 2
    size = (2 * CELL_PX, max(rows * CELL_PX, 3 * CELL_PX // 2))
    canvas = ImageOps.fit(images[0], size).filter(ImageFilter.GaussianBlur(60))
    top = (size[1] - rows * CELL_PX) // 2
    for index, image in enumerate(images):
        tile = ImageOps.contain(image, (CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
        alone = index == len(images) - 1 and index % 2 == 0
        x = (size[0] - tile.width) // 2 if alone else index % 2 * CELL_PX + (CELL_PX - tile.width) // 2
        canvas.paste(tile, (x, top + index // 2 * CELL_PX + (CELL_PX - tile.height) // 2))
    return canvas


def composite_scores(found: Sequence[Found]) -> dict[str, float]:
    """name_f1, name_recall, name_precision over (photo, subject) pairs, by what the captions say; recognition_f1 by whose heads fired;
    all_named: the share of photos whose caption names everybody in it and nobody else."""
    recall, precision = recall_and_precision([(f.subjects, f.named) for f in found])
    return {
        "name_f1": harmonic(recall, precision),
        "name_recall": recall,
        "name_precision": precision,
        "recognition_f1": harmonic(*recall_and_precision([(f.subjects, f.fired) for f in found])),
        "all_named": sum(f.subjects == f.named for f in found) / len(found) if found else 0.0,
        "photos": len(found),
    }


def recall_and_precision(pairs: Sequence[tuple[frozenset[str], frozenset[str]]]) -> tuple[float, float]:
    """Of (true, found) sets. Nothing found is precise."""
    right = sum(len(true & said) for true, said in pairs)
    true, said = sum(len(t) for t, _ in pairs), sum(len(s) for _, s in pairs)
    return right / true if true else 0.0, right / said if said else 1.0


def harmonic(recall: float, precision: float) -> float:
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0

"""Pictures that no camera took: flat shapes, gradients, patterns, noise, screens and outlines, drawn from a number.

To an encoder of photos all of them look alike, so a head that never met any takes them for each other. The negative bank holds some.
Knows nothing of encoders, banks or concepts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE_PX = 448
Chance = np.random.Generator


def drawn_picture(number: int) -> Image.Image:
    """An RGB picture; the same for the same number on every machine with this version of Pillow."""
    chance = np.random.default_rng([7, number])
    picture = KINDS[number % len(KINDS)](chance)
    for extra in range(int(chance.integers(0, 3))):
        if extra or chance.random() < 0.5:
            _figure(ImageDraw.Draw(picture), chance)
    blurred = picture.filter(ImageFilter.GaussianBlur(float(chance.choice([0, 0, 0.7, 2]))))
    return _grained(blurred, float(chance.choice([0, 0, 3, 8])), chance)


def _colour(chance: Chance) -> tuple[int, int, int]:
    """Any: pale, muted or loud."""
    grey, loud = chance.integers(0, 256), chance.integers(0, 256, 3)
    mixed = grey + chance.choice([0.1, 0.4, 1.0]) * (loud.astype(float) - grey)
    red, green, blue = (int(c) for c in np.clip(mixed, 0, 255))
    return red, green, blue


def _flat(chance: Chance) -> Image.Image:
    """Shapes in flat colours."""
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), _colour(chance))
    draw = ImageDraw.Draw(picture)
    for _ in range(chance.integers(2, 14)):
        _shape(draw, chance)
    return picture


def _gradient(chance: Chance) -> Image.Image:
    """One colour turning into another, across or around a point."""
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    angle, (y, x) = chance.uniform(0, 2 * np.pi), chance.random(2)
    across = np.cos(angle) * columns + np.sin(angle) * rows
    around = np.hypot(rows - y, columns - x)
    share = across if chance.random() < 0.5 else around
    share = ((share - share.min()) / np.ptp(share))[..., None]
    return _image(share * np.array(_colour(chance)) + (1 - share) * np.array(_colour(chance)))


def _pattern(chance: Chance) -> Image.Image:
    """Stripes, checks or dots."""
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    angle, period = chance.uniform(0, np.pi), chance.uniform(8, 90)
    u = (np.cos(angle) * columns + np.sin(angle) * rows) / period
    v = (np.cos(angle) * rows - np.sin(angle) * columns) / period
    kind = chance.integers(3)
    on = [u % 1 < 0.5, (np.floor(u) + np.floor(v)) % 2 == 0, np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.3][kind]
    return _image(np.where(on[..., None], _colour(chance), _colour(chance)))


def _noise(chance: Chance) -> Image.Image:
    """Clouds: noise of several sizes, in two colours."""
    layers = [chance.random((size, size)) / np.sqrt(size) for size in (4, 9, 21, 60)]
    grown = [np.asarray(Image.fromarray(n.astype(np.float32)).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)) for n in layers]
    share = np.sum(grown, axis=0)
    share = ((share - share.min()) / np.ptp(share))[..., None]
    return _image(share * np.array(_colour(chance)) + (1 - share) * np.array(_colour(chance)))


def _screen(chance: Chance) -> Image.Image:
    """Panels with lines of marks, as on a page, a window or a chart."""
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), _colour(chance))
    draw = ImageDraw.Draw(picture)
    for _ in range(chance.integers(1, 5)):
        left, top = (int(v) for v in chance.integers(0, SIDE_PX - 100, 2))
        right, bottom = left + int(chance.integers(80, 320)), top + int(chance.integers(60, 300))
        draw.rectangle((left, top, right, bottom), fill=_colour(chance), outline=_colour(chance))
        ink, height = _colour(chance), int(chance.integers(4, 16))
        for y in range(top + height, bottom - height, 2 * height):
            for x in range(left + height, right - 4 * height, 3 * height):
                if chance.random() < 0.8:
                    draw.rectangle((x, y, x + int(chance.integers(height, 3 * height)), y + height), fill=ink)
    return picture


def _outlines(chance: Chance) -> Image.Image:
    """Comic figures: thick outlines around flat colours."""
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), _colour(chance))
    draw = ImageDraw.Draw(picture)
    for _ in range(chance.integers(1, 5)):
        _figure(draw, chance)
    return picture


def _shape(draw: ImageDraw.ImageDraw, chance: Chance) -> None:
    left, top = (int(v) for v in chance.integers(-40, SIDE_PX - 20, 2))
    right, bottom = left + int(chance.integers(15, 260)), top + int(chance.integers(15, 260))
    kind = chance.integers(3)
    if kind == 0:
        draw.ellipse((left, top, right, bottom), fill=_colour(chance))
    elif kind == 1:
        draw.rectangle((left, top, right, bottom), fill=_colour(chance))
    else:
        points = [(int(chance.integers(left, right)), int(chance.integers(top, bottom))) for _ in range(chance.integers(3, 7))]
        draw.polygon(points, fill=_colour(chance))


def _figure(draw: ImageDraw.ImageDraw, chance: Chance) -> None:
    """A lumpy closed curve with an outline and two or three marks inside."""
    centre, size = chance.integers(60, SIDE_PX - 60, 2), chance.uniform(30, 150)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    waves = np.sum([chance.uniform(0, 0.25) * np.cos(k * angles + chance.uniform(0, 6)) for k in (1, 2, 3, 5)], axis=0)
    radius = size * (1 + waves)
    points = [(float(centre[0] + r * np.cos(a)), float(centre[1] + r * np.sin(a))) for r, a in zip(radius, angles, strict=True)]
    draw.polygon(points, fill=_colour(chance), outline=_colour(chance), width=int(chance.integers(1, 10)))
    for _ in range(chance.integers(0, 4)):
        x, y = (float(c + chance.uniform(-0.6, 0.6) * size) for c in centre)
        r = float(size * chance.uniform(0.05, 0.25))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_colour(chance), outline=_colour(chance))


def _grained(picture: Image.Image, deviation: float, chance: Chance) -> Image.Image:
    return _image(np.asarray(picture, dtype=np.float32) + chance.normal(0, deviation, (SIDE_PX, SIDE_PX, 1))) if deviation else picture


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


KINDS: tuple[Callable[[Chance], Image.Image], ...] = (_flat, _gradient, _pattern, _noise, _screen, _outlines)

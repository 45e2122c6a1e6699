"""A taught photo as it would look from afar: made small before a room that nobody photographed.

Whoever is taught in close-ups fills the photo, and to the encoder looks different at the other end of a room. The rooms are pictures
computed by rooms.py. Works on pictures and boxes; knows no encoder and no head.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from .windows import Box

ROOMS = Path(__file__).parent / "rooms.jpg"
COLUMNS = 4  # of the sheet of square rooms
SIDE_PX = 640  # of the composed picture
SHARES = (0.176, 0.073)  # of its area that the photo takes: at two distances
SOFT = 0.16  # of the oval's radius, over which the photo fades into the room
TRIES = 200
INSIDE = 0.5  # of a region lies in the photo's place, for it to be one of the photo's


@lru_cache(maxsize=1)
def rooms() -> list[Image.Image]:
    """The packaged rooms, square."""
    with Image.open(ROOMS) as file:
        sheet = file.convert("RGB")
    side = sheet.width // COLUMNS
    corners = [(left, top) for top in range(0, sheet.height, side) for left in range(0, sheet.width, side)]
    return [sheet.crop((left, top, left + side, top + side)) for left, top in corners]


@lru_cache(maxsize=1)
def room_hash() -> str:
    """Of the rooms and of how photos are put into them: the first eight hex digits."""
    return hashlib.sha256(ROOMS.read_bytes() + repr((SIDE_PX, SHARES, SOFT, INSIDE)).encode()).hexdigest()[:8]


def from_afar(photo: Image.Image) -> tuple[Image.Image, list[Box]]:
    """The photo in a room, once for each distance, and where in it. The same for the same photo on every machine."""
    photo = photo.convert("RGB")
    chance = random.Random(hashlib.sha256(photo.resize((8, 8), Image.Resampling.BOX).tobytes()).digest())
    room = chance.choice(rooms())
    if chance.random() < 0.5:
        room = room.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = room.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    places: list[Box] = []
    for share in SHARES:
        small = photo.resize(size_of(photo, share), Image.Resampling.LANCZOS)
        left, top = free_place(small.size, places, chance)
        picture.paste(small, (left, top), oval(small.size))
        places.append((left / SIDE_PX, top / SIDE_PX, (left + small.width) / SIDE_PX, (top + small.height) / SIDE_PX))
    return picture, places


def oval(size: tuple[int, int]) -> Image.Image:
    """A mask with soft edges: the corners of a photo seldom show what it is of, and no room has a frame in it."""
    across, down = ((np.arange(side) + 0.5) / side * 2 - 1 for side in size)
    distance = np.hypot(across[None], down[:, None])
    return Image.fromarray((255 * np.clip((1 + SOFT / 2 - distance) / SOFT, 0, 1)).astype(np.uint8))


def size_of(photo: Image.Image, share: float) -> tuple[int, int]:
    """Width and height in pixels, so that it takes this share of the picture's area; strips no longer than the picture."""
    grown = SIDE_PX * share**0.5 / (photo.width * photo.height) ** 0.5
    width, height = (min(SIDE_PX, max(1, round(side * grown))) for side in photo.size)
    return width, height


def free_place(size: tuple[int, int], taken: Sequence[Box], chance: random.Random) -> tuple[int, int]:
    """The left upper corner of a place where nothing was put yet; of any, where none is found."""
    for _ in range(TRIES):
        left, top = (chance.randint(0, SIDE_PX - side) for side in size)
        box = (left / SIDE_PX, top / SIDE_PX, (left + size[0]) / SIDE_PX, (top + size[1]) / SIDE_PX)
        if all(box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1] for other in taken):
            break
    return left, top


def regions_in(place: Box, boxes: Sequence[Box]) -> tuple[np.ndarray, list[Box]]:
    """Which of the picture's regions lie at least by half in `place` (the one that lies in it most, where none does), and their boxes as
    shares of the photo that is there."""
    own, whole = np.array(boxes), np.array(place)
    low, high = np.maximum(own[:, :2], whole[:2]), np.minimum(own[:, 2:], whole[2:])
    inside = np.clip(high - low, 0, None).prod(1) / (own[:, 2:] - own[:, :2]).prod(1)
    chosen = np.flatnonzero(inside >= min(INSIDE, inside.max()))
    size = whole[2:] - whole[:2]
    found = np.clip(np.hstack([(low - whole[:2]) / size, (high - whole[:2]) / size]), 0, 1)[chosen]
    return chosen, [(left, top, right, bottom) for left, top, right, bottom in found.tolist()]

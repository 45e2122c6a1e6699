"""A taught photo made small before a room: where it is put, which regions are its own, and what a head learns from that."""

import random

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from myvlm_engine.recognition.afar import COLUMNS, ROOMS, SHARES, SIDE_PX, free_place, from_afar, regions_in, room_hash, rooms

RED = (220, 20, 20)


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8))


def share_of(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def test_the_packaged_rooms_are_square_and_differ():
    found = rooms()
    assert len(found) % COLUMNS == 0 and all(room.width == room.height >= 200 for room in found)
    assert len({room.tobytes() for room in found}) == len(found) >= 8
    assert ROOMS.stat().st_size < 500_000 and len(room_hash()) == 8


@pytest.mark.parametrize("size", [(400, 300), (90, 900), (3000, 40), (5, 5)])
def test_a_photo_is_put_whole_into_a_room_at_two_distances(size):
    picture, places = from_afar(Image.new("RGB", size, RED))
    assert picture.size == (SIDE_PX, SIDE_PX) and len(places) == len(SHARES) == 2
    pixels = np.asarray(picture)
    for left, top, right, bottom in (np.round(np.array(place) * SIDE_PX).astype(int) for place in places):
        assert 0 <= left < right <= SIDE_PX and 0 <= top < bottom <= SIDE_PX
        assert (pixels[(top + bottom) // 2, (left + right) // 2] == RED).all()
    assert (pixels == RED).all(2).mean() < 0.3  # the rest is the room
    if max(size) < 2 * min(size):
        assert [share_of(place) for place in places] == pytest.approx(SHARES, rel=0.02)


def test_the_same_photo_is_put_into_the_same_place_and_others_elsewhere():
    photos = [noise(seed) for seed in range(6)]
    assert from_afar(photos[0])[0].tobytes() == from_afar(photos[0].copy())[0].tobytes()
    assert len({tuple(from_afar(photo)[1]) for photo in photos}) == len(photos)


def test_where_no_room_is_left_it_is_put_over_what_is_there():
    left, top = free_place((SIDE_PX, SIDE_PX), [(0.0, 0.0, 1.0, 1.0)], random.Random(0))
    assert (left, top) == (0, 0)


def test_the_regions_in_a_place_are_told_in_the_photos_own_measures():
    boxes = [(0.0, 0.0, 1.0, 1.0), (0.5, 0.5, 0.75, 0.75), (0.375, 0.5, 0.625, 0.75), (0.0, 0.0, 0.25, 0.25)]
    chosen, own = regions_in((0.5, 0.5, 1.0, 1.0), boxes)
    assert chosen.tolist() == [1, 2] and own == [(0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.25, 0.5)]
    chosen, own = regions_in((0.8, 0.8, 0.9, 0.9), boxes)  # smaller than any region
    assert chosen.tolist() == [0] and own == [(0.0, 0.0, 1.0, 1.0)]

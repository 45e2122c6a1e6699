"""A place cut out of a photo to be seen larger: what is cut out, and whose boxes come back."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from myvlm_engine.recognition.closer import GROWN, around, cut, in_photo


def test_a_place_grows_on_all_sides_as_far_as_the_photo_goes():
    assert around((0.4, 0.4, 0.6, 0.6)) == pytest.approx((0.5 - 0.1 * GROWN, 0.5 - 0.1 * GROWN, 0.5 + 0.1 * GROWN, 0.5 + 0.1 * GROWN))
    assert around((0.0, 0.5, 0.2, 1.0)) == pytest.approx((0.0, 0.5 - 0.1, 0.2 + 0.04, 1.0))
    assert around((0.0, 0.0, 1.0, 1.0)) == (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize("box, size", [((0.25, 0.5, 0.75, 1.0), (50, 25)), ((0.5, 0.5, 0.5, 0.5), (1, 1)), ((1.0, 1.0, 1.0, 1.0), (1, 1))])
def test_what_is_cut_out_has_a_pixel_at_least(box, size):
    assert cut(Image.new("RGB", (100, 50)), box).size == size
    assert cut(Image.new("RGB", (1, 1)), box).size == (1, 1)


def test_what_is_cut_out_is_what_is_there():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8)
    assert (np.asarray(cut(Image.fromarray(pixels), (0.25, 0.5, 0.5, 0.75))) == pixels[20:30, 20:40]).all()


def test_boxes_of_a_part_are_told_in_the_photos_own_measures():
    assert in_photo([(0.0, 0.0, 1.0, 1.0), (0.5, 0.0, 1.0, 0.5)], (0.2, 0.4, 0.6, 0.8)) == [
        pytest.approx((0.2, 0.4, 0.6, 0.8)),
        pytest.approx((0.4, 0.4, 0.6, 0.6)),
    ]

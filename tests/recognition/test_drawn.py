"""Pictures that no camera took, and what they are for: a head taught in drawings doesn't fire on other drawings."""

import io

import numpy as np
import pytest
from PIL import Image
from support.pictures import scene_photo, toy_photo

from myvlm_engine.recognition.drawn import KINDS, drawn_picture
from myvlm_engine.recognition.encoders import EmbeddedEncoder, load_encoder
from myvlm_engine.recognition.heads import Views, fit_views
from myvlm_engine.recognition.negatives import load_bank


def test_a_number_is_always_the_same_picture_and_two_are_different():
    pictures = [np.asarray(drawn_picture(n)) for n in range(2 * len(KINDS))]
    assert all(np.array_equal(p, np.asarray(drawn_picture(n))) for n, p in enumerate(pictures))
    assert len({p.tobytes() for p in pictures}) == len(pictures)
    assert {p.shape for p in pictures} == {pictures[0].shape}


def test_drawn_pictures_are_of_all_colours():
    means = np.array([np.asarray(drawn_picture(n)).mean((0, 1)) for n in range(60)])
    assert (means.std(0) > 30).all()


@pytest.mark.slow
def test_a_toy_taught_in_drawn_scenes_is_found_in_new_ones_and_not_in_scenes_without_it():
    """Drawn by another program than the bank's pictures."""
    encoder = load_encoder()
    assert isinstance(encoder, EmbeddedEncoder)

    def seen(data: bytes) -> Views:
        vectors, boxes = encoder.see(Image.open(io.BytesIO(data)).convert("RGB"))
        return Views(vectors.astype(np.float32), boxes)

    head = fit_views([seen(toy_photo(n)) for n in range(4)], [], [], load_bank(encoder.fingerprint)).head
    assert sum(head.logit(seen(toy_photo(n)).vectors) >= 0 for n in range(10, 16)) >= 5
    assert not any(head.logit(seen(scene_photo(n)).vectors) >= 0 for n in range(20, 32))

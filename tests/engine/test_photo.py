"""Photos as they come over the wire: every mode becomes upright RGB of a bounded size; what is no photo is refused."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from myvlm_engine.errors import BadRequest, NotAPicture
from myvlm_engine.photo import MAX_SIDE_PX, decode_photo, read_photo


def encoded(image: Image.Image, form: str = "PNG", **more) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "form"), [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("RGB", "WEBP")]
)
def test_every_mode_becomes_rgb(mode, form):
    assert read_photo(encoded(Image.new(mode, (30, 20)), form)).mode == "RGB"


def test_a_photo_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned a quarter
    assert read_photo(encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)).size == (20, 40)


def test_a_large_photo_is_made_smaller_in_proportion():
    assert read_photo(encoded(Image.new("RGB", (4096, 1024)), "JPEG")).size == (MAX_SIDE_PX, MAX_SIDE_PX // 4)


def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded():
    with pytest.raises(NotAPicture) as refusal:
        read_photo(encoded(Image.new("1", (10_000, 6_000))))
    assert refusal.value.facts == {"width": 10_000, "height": 6_000}


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")[:700]])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(NotAPicture):
        read_photo(data)


def test_what_is_not_base64_is_a_bad_request():
    with pytest.raises(BadRequest):
        decode_photo("ä")
    assert decode_photo(base64.b64encode(encoded(Image.new("RGB", (2, 2)))).decode()).size == (2, 2)

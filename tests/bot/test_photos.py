"""Bytes to Photo: what is accepted, what is taken away, and what each thing that isn't a photo is called."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import struct
import threading
import zlib
from typing import Any

import numpy as np
import pytest
from bot_fakes import BLUE, RED, photo_of
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

import bot.photos
from bot.commands import uploads
from bot.errors import Refusal
from bot.photos import Photo, PhotoLimits, PhotoReader, distinct, read_photo, same_photo

LIMITS = PhotoLimits()


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def quarters(size: tuple[int, int] = (120, 80)) -> Image.Image:
    """Red upper left, green upper right, blue below: tells every turn and mirror apart."""
    image = Image.new("RGB", size, (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1] // 2))
    image.paste((0, 255, 0), (size[0] // 2, 0, size[0], size[1] // 2))
    return image


def refused(data: bytes, limits: PhotoLimits = LIMITS) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_photo(data, limits, which=3)
    assert caught.value.facts["which"] == 3
    return caught.value


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_every_supported_format_becomes_a_jpeg_and_a_thumbnail(form):
    photo = read_photo(encoded(quarters((600, 400)), form), LIMITS)
    picture, thumbnail = Image.open(io.BytesIO(photo.data)), Image.open(io.BytesIO(photo.thumbnail))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (600, 400))
    assert (thumbnail.format, max(thumbnail.size)) == ("JPEG", 256)
    assert np.abs(decoded(photo.data)[100, 100] - [255, 0, 0]).max() < 40


@pytest.mark.skipif(bot.photos.register_heif_opener is None, reason="pillow-heif isn't installed: HEIC is not read on this machine")
def test_heic_is_read_where_the_library_is_there():
    bot.photos.register_heif_opener()
    assert read_photo(encoded(quarters(), "HEIF"), LIMITS).width == 120


def test_a_gif_gives_its_first_frame():
    frames = [Image.new("RGB", (40, 40), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    photo = read_photo(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), LIMITS)
    assert decoded(photo.data)[20, 20, 0] > 200


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation):
    """What a viewer shows for that EXIF orientation is what is kept."""
    upright = quarters()
    as_stored = {
        1: lambda i: i,
        2: lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda i: i.rotate(180),
        4: lambda i: i.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(90, expand=True),
        6: lambda i: i.rotate(90, expand=True),
        7: lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(-90, expand=True),
        8: lambda i: i.rotate(-90, expand=True),
    }[orientation](upright)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    photo = read_photo(encoded(as_stored, "JPEG", exif=exif, quality=95, subsampling=0), LIMITS)
    assert (photo.width, photo.height) == (120, 80)
    assert np.abs(decoded(photo.data) - np.asarray(upright).astype(int)).mean() < 5


def test_no_metadata_is_left():
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera of somebody"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    jpeg = read_photo(encoded(quarters(), "JPEG", exif=exif, comment=b"secret words", icc_profile=b"x" * 200), LIMITS)
    notes = PngInfo()
    notes.add_text("Author", "secret words")
    png = read_photo(encoded(quarters(), "PNG", pnginfo=notes), LIMITS)
    for data in (jpeg.data, jpeg.thumbnail, png.data, png.thumbnail):
        kept = Image.open(io.BytesIO(data))
        assert not kept.getexif()
        assert not {"comment", "icc_profile", "exif", "xmp"} & set(kept.info)
        assert b"secret" not in data and b"Camera of" not in data


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (50, 50), (255, 0, 0, 0))
    assert decoded(read_photo(encoded(clear, "PNG"), LIMITS).data).min() > 250
    palette = Image.new("P", (50, 50), 0)
    assert decoded(read_photo(encoded(palette, "GIF", transparency=0), LIMITS).data).min() > 250


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_every_colour_mode_is_read(mode):
    grey = Image.new("L", (50, 50), 128)
    image = Image.fromarray(np.full((50, 50), 128 * 257, np.uint16)) if mode == "I;16" else grey.convert(mode)
    kept = decoded(read_photo(encoded(image, "JPEG" if mode == "CMYK" else "PNG"), LIMITS).data)
    assert mode == "1" or abs(kept.mean() - 128) < 12


def test_big_photos_are_scaled_down_and_small_ones_are_left():
    photo = read_photo(encoded(quarters((3000, 1500)), "JPEG"), LIMITS)
    assert (photo.width, photo.height) == (1024, 512)
    assert read_photo(encoded(quarters((30, 20)), "PNG"), LIMITS).width == 30


# -- what isn't a photo
def test_an_empty_file_is_called_empty():
    assert refused(b"").code == "empty_file"


def test_a_file_over_the_limit_is_refused_before_it_is_opened():
    error = refused(b"x" * 101, PhotoLimits(max_bytes=100))
    assert (error.code, error.facts["size_bytes"], error.facts["limit_bytes"]) == ("too_many_bytes", 101, 100)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (4000, 2), (20_000, 120)])
def test_a_picture_in_which_nothing_can_be_seen_is_refused(size):
    error = refused(encoded(Image.new("RGB", size, "red"), "PNG"))
    assert (error.code, error.facts["width"], error.facts["height"]) == ("too_small", *size)


def test_words_are_not_a_picture():
    assert refused(b"hello, I am a text file").code == "not_a_picture"


def png_header(width: int, height: int) -> bytes:
    """A valid start of a PNG that claims to be that big, in 60 bytes."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IDAT"


def test_a_decompression_bomb_is_refused_by_its_header():
    assert refused(png_header(12_000, 12_000)).code == "too_many_pixels"
    assert refused(png_header(60_000, 60_000)).code == "too_many_pixels"


def test_a_png_may_have_half_the_pixels_of_a_jpeg():
    image, limits = Image.new("RGB", (100, 80)), PhotoLimits(max_pixels=10_000)
    assert read_photo(encoded(image, "JPEG"), limits).width == 100
    assert refused(encoded(image, "PNG"), limits).facts["limit_pixels"] == 5_000


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_cut_off_picture_is_called_damaged(form):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    whole = encoded(noise, form)
    assert refused(whole[: len(whole) // 2]).code == "broken_picture"


def test_no_bytes_make_it_fail_otherwise():
    """Flipped bits anywhere: a Photo or a Refusal, never another error."""
    whole = bytearray(encoded(quarters(), "PNG") + b"")
    rng = np.random.default_rng(1)
    for form in ("PNG", "JPEG", "GIF", "WEBP"):
        whole = bytearray(encoded(quarters(), form))
        for _ in range(150):
            hurt = bytearray(whole)
            for at in rng.integers(0, len(hurt), 3):
                hurt[at] = int(rng.integers(0, 256))
            try:
                read_photo(bytes(hurt), LIMITS)
            except Refusal as error:
                assert error.code in ("broken_picture", "not_a_picture", "too_many_pixels", "too_small", "unsupported_format")


@pytest.mark.parametrize(
    "data, words",
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<svg/>', "an SVG drawing"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "a video"),
        (b"\x1aE\xdf\xa3" + b"\x00" * 40, "a video"),
        (b"%PDF-1.7\n", "a PDF"),
        (encoded(quarters(), "BMP"), "a BMP picture"),
        (encoded(quarters(), "TIFF"), "a TIFF or raw picture"),
    ],
)
def test_what_cannot_be_read_is_called_by_its_name(data, words):
    error = refused(data)
    assert (error.code, error.facts["found"]) == ("unsupported_format", words)


# -- the same photo
def test_the_same_pixels_have_the_same_digest():
    png, gif = encoded(quarters(), "PNG"), encoded(quarters(), "GIF")
    assert read_photo(png, LIMITS).digest == read_photo(gif, LIMITS).digest
    assert read_photo(png, LIMITS).digest != read_photo(encoded(quarters((121, 80)), "PNG"), LIMITS).digest


def test_a_copy_saved_again_or_scaled_is_the_same_photo():
    original = Image.open(io.BytesIO(photo_of(RED, 1, (800, 600))))
    copies = [
        encoded(original, "JPEG", quality=50),
        encoded(original, "WEBP", quality=70),
        encoded(original.resize((400, 300)), "JPEG"),
    ]
    first = read_photo(encoded(original, "PNG"), LIMITS)
    assert all(same_photo(first, read_photo(copy, LIMITS)) for copy in copies)


def test_a_mirrored_copy_is_the_same_photo():
    original = Image.open(io.BytesIO(photo_of(RED, 1, (800, 600))))
    mirrored = original.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert same_photo(read_photo(encoded(original, "PNG"), LIMITS), read_photo(encoded(mirrored, "JPEG", quality=70), LIMITS))


@pytest.mark.parametrize("background", [(16, 16, 16), (255, 255, 255)])
def test_small_things_before_a_plain_background_are_different_photos(background):
    photos = []
    for colour, place in ((RED, (130, 90)), ((40, 200, 40), (430, 330)), (BLUE, (600, 120))):
        image = Image.new("RGB", (800, 600), background)
        image.paste(colour, (*place, place[0] + 100, place[1] + 100))
        photos.append(read_photo(encoded(image, "JPEG"), LIMITS))
    assert len(distinct(photos)) == 3


def test_nothing_but_one_colour_is_the_same_photo_only_of_that_colour():
    plain = [read_photo(encoded(Image.new("RGB", (300, 300), c), "JPEG"), LIMITS) for c in ("white", "white", (245, 245, 245))]
    assert same_photo(*plain[:2]) and not same_photo(*plain[1:])


def test_different_photos_are_different_even_of_one_colour():
    photos = [read_photo(photo_of(colour, seed), LIMITS) for colour in (RED, BLUE) for seed in range(4)]
    assert len(distinct(photos)) == 8
    assert distinct([*photos, *photos]) == photos


# -- reading
async def test_reading_does_not_hold_the_loop():
    """Photos are read in a thread, while the loop goes on."""
    threads: set[int] = set()
    reader = PhotoReader(LIMITS)
    original = bot.photos.read_photo
    turned = threading.Event()

    def watched(*arguments: Any) -> Any:
        threads.add(threading.get_ident())
        turned.wait(20)
        return original(*arguments)

    bot.photos.read_photo = watched
    try:
        big = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)), "PNG")
        reading = asyncio.gather(reader.read(big), reader.read(big))
        turns = 0
        while not reading.done():
            await asyncio.sleep(0.001)
            turns += bool(threads)
            if turns > 5:
                turned.set()
        assert [photo.width for photo in await reading] == [1024, 1024]
    finally:
        bot.photos.read_photo = original
    assert turns > 5 and threading.get_ident() not in threads


async def test_a_heavy_photo_is_read_in_a_process_of_its_own_with_the_same_result():
    """A WebP of six megapixels takes a hundred megabytes to decode."""
    data = encoded(Image.effect_noise((300, 200), 20).resize((3000, 2000)).convert("RGB"), "WEBP", quality=50)
    assert bot.photos.is_heavy(data) and not bot.photos.is_heavy(encoded(quarters((3000, 2000)), "JPEG"))
    assert await PhotoReader(LIMITS).read(data) == read_photo(data, LIMITS)


async def test_a_refusal_comes_back_from_that_process():
    data = encoded(Image.effect_noise((300, 200), 20).resize((3000, 2000)).convert("RGB"), "WEBP", quality=50)
    with pytest.raises(Refusal) as caught:
        await PhotoReader(LIMITS).read(data[: len(data) // 2], which=2)
    assert (caught.value.code, caught.value.facts) == ("broken_picture", {"which": 2})


async def test_a_process_that_dies_of_it_is_a_refusal(monkeypatch):
    data = encoded(quarters((3000, 2000)), "WEBP")
    monkeypatch.setattr(bot.photos, "read_photo", die)
    with pytest.raises(Refusal) as caught:
        await PhotoReader(LIMITS).read(data)
    assert (caught.value.code, caught.value.facts["pixels"]) == ("too_many_pixels", 6_000_000)


def die(*_: Any) -> None:
    """As the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


async def test_a_crowd_is_held_at_the_door():
    """Only three uploads are in memory at a time, however many are sent."""
    held = most = 0

    async def download() -> bytes:
        nonlocal held, most
        held += 1
        most = max(most, held)
        await asyncio.sleep(0.01)
        held -= 1
        return b"not a picture"

    reader = PhotoReader(LIMITS, held=3)
    results = await asyncio.gather(*(reader.fetch(download, at) for at in range(12)), return_exceptions=True)
    assert most == 3 and all(isinstance(result, Refusal) for result in results)


async def test_files_that_dont_come_are_given_up_and_hold_nobody_else_up(monkeypatch):
    class Attachment:
        size = 1000

        def __init__(self, data: bytes | None):
            self.data = data

        async def read(self) -> bytes:
            if self.data is None:
                await asyncio.sleep(3600)
            return self.data or b""

        def is_spoiler(self) -> bool:
            return False

    monkeypatch.setattr(uploads, "DOWNLOAD_S", 0.2)
    reader = PhotoReader(LIMITS, held=3)
    files = [Attachment(None), Attachment(None), Attachment(None), Attachment(photo_of(RED))]
    async with asyncio.timeout(30):
        reads = (uploads.read_attachment(reader, file, which) for which, file in enumerate(files, 1))
        *stalled, fine = await asyncio.gather(*reads, return_exceptions=True)
    assert [(one.code, one.facts["which"]) for one in stalled] == [("download_failed", which) for which in (1, 2, 3)]
    assert isinstance(fine, Photo)

"""Bytes to Photo: really decoded, capped, upright, without metadata. The only maker of a Photo, so nobody checks one again.

Knows nothing of Discord and of what is in the picture. Decoding is CPU work of up to seconds and tens of megabytes, so it runs in
a thread, one at a time, and where it takes more than that in a process of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import multiprocessing
import struct
import warnings
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from .errors import Refusal

try:  # HEIC, the format of iPhones: read when the library is installed
    from pillow_heif import register_heif_opener  # type: ignore[import-not-found]
except ImportError:
    register_heif_opener = None

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")  # JPEG opens MPO too: the JPEG of phones that keep a second picture behind the first
THUMBNAIL_PX = 256
JPEG_QUALITY = 90
LIKENESS_PX = 16
SMALLEST_PX = 16  # the shorter side of what is kept: with less nothing can be told from anything
SAME_LEVELS = 4.0  # mean difference of two miniatures, of 255
SAME_PATTERN, PLAIN_LEVELS = 0.98, 1.0  # correlation of them without their mean colour; and of 255, below which there is no pattern

IN_PROCESS_BYTES = 64 * 1024 * 1024  # decoding that takes more is done in a process of its own: the bot stays under 200 MB
BYTES_A_PIXEL = {"JPEG": 1, "MPO": 1, "PNG": 4, "GIF": 6, "WEBP": 16, "HEIF": 16}  # peaks, measured with Pillow 13; progressive JPEG: 4
TURNS = {  # EXIF orientation -> what turns it upright (Exif 2.32, tag 0x0112)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# first bytes (from an offset) of files that people send and that can't be opened here
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\x00", "a TIFF or raw picture"),
    (0, b"MM\x00*", "a TIFF or raw picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (8, b"AVI ", "a video"),
    (8, b"heic", "a HEIC picture"),
    (8, b"heix", "a HEIC picture"),
    (8, b"hevc", "a HEIC picture"),
    (8, b"mif1", "a HEIC picture"),
    (8, b"msf1", "a HEIC picture"),
    (8, b"avif", "an AVIF picture"),
    (4, b"ftyp", "a video"),
)


@dataclass(frozen=True)
class PhotoLimits:
    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 50_000_000  # width times height as the file's header says
    side_px: int = 1024  # the longer side of what is kept


@dataclass(frozen=True)
class Photo:
    data: bytes  # JPEG, RGB, upright, longer side <= side_px, no metadata
    thumbnail: bytes  # JPEG, longer side <= 256 px
    digest: str  # SHA-256 of the decoded pixels
    likeness: bytes  # 16 x 16 RGB miniature: tells a copy that was saved again
    width: int
    height: int
    spoiler: bool = False  # whoever posted it wants it blurred until it is clicked


class PhotoReader:
    """Reads uploads: a few are held at a time and one is decoded, so that a crowd doesn't multiply the process."""

    def __init__(self, limits: PhotoLimits, held: int = 3):
        self.limits = limits
        self._held = asyncio.Semaphore(held)
        self._decoding = asyncio.Semaphore(1)

    async def fetch(self, download: Callable[[], Awaitable[bytes]], which: int = 0) -> Photo:
        """`which` is the number of the upload where there are several (from 1), for the sentence.
        Errors: Refusal, and whatever the download raises."""
        async with self._held:
            return await self.read(await download(), which)

    async def read(self, data: bytes, which: int = 0) -> Photo:
        """Errors: Refusal."""
        async with self._decoding:
            if await asyncio.to_thread(is_heavy, data):
                return await self._in_a_process_of_its_own(data, which)
            return await asyncio.to_thread(read_photo, data, self.limits, which)

    async def again(self, data: bytes, digest: str) -> Photo:
        """A Photo of ours that came back from Discord: its bytes and the digest it had, nothing encoded anew. Errors: Refusal."""
        return replace(await self.read(data), data=data, digest=digest)

    async def _in_a_process_of_its_own(self, data: bytes, which: int) -> Photo:
        """What decoding takes is given back to the machine when that process ends; so is the machine, if it was too much."""
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, read_photo, data, self.limits, which)
        except BrokenProcessPool as error:
            raise Refusal("too_many_pixels", which=which, pixels=header_pixels(data)) from error
        finally:
            pool.shutdown(wait=False)


def is_heavy(data: bytes) -> bool:
    """By its header. What has no readable header is refused soon enough."""
    try:
        with _opened(data, 0) as image:
            return image.width * image.height * _bytes_a_pixel(image) > IN_PROCESS_BYTES
    except Refusal:
        return False


def header_pixels(data: bytes) -> int:
    with _opened(data, 0) as image:
        return image.width * image.height


def _bytes_a_pixel(image: Image.Image) -> int:
    return 4 if image.info.get("progressive") else BYTES_A_PIXEL.get(image.format or "", 16)


def read_photo(data: bytes, limits: PhotoLimits, which: int = 0) -> Photo:
    """Errors: Refusal empty_file, too_many_bytes, too_many_pixels, unsupported_format, not_a_picture, broken_picture, too_small."""
    if not data:
        raise Refusal("empty_file", which=which)
    if len(data) > limits.max_bytes:
        raise Refusal("too_many_bytes", which=which, size_bytes=len(data), limit_bytes=limits.max_bytes)
    with _opened(data, which) as image:
        _refuse_bomb(image, limits, which)
        pixels = _decoded(image, limits.side_px, which)
    if min(pixels.size) < SMALLEST_PX:
        raise Refusal("too_small", which=which, width=image.width, height=image.height)
    return Photo(
        data=_jpeg(pixels),
        thumbnail=_jpeg(_shrunk(pixels, THUMBNAIL_PX)),
        digest=hashlib.sha256(f"{pixels.width}x{pixels.height}:".encode() + pixels.tobytes()).hexdigest(),
        likeness=pixels.resize((LIKENESS_PX, LIKENESS_PX), Image.Resampling.BOX).tobytes(),
        width=pixels.width,
        height=pixels.height,
    )


def same_photo(one: Photo, other: Photo) -> bool:
    """The same picture, perhaps saved again, scaled, compressed harder or mirrored (which the encoder takes for the same)."""
    if one.digest == other.digest:
        return True
    mine, theirs = (np.frombuffer(photo.likeness, np.uint8).reshape(LIKENESS_PX, LIKENESS_PX, 3).astype(float) for photo in (one, other))
    return _same_miniature(mine, theirs) or _same_miniature(mine, theirs[:, ::-1])


def _same_miniature(mine: np.ndarray, theirs: np.ndarray) -> bool:
    """Of small things before a dark or plain background little differs: there the pattern has to be the same, too."""
    difference = float(np.abs(mine - theirs).mean())
    pattern, other = mine - mine.mean((0, 1)), theirs - theirs.mean((0, 1))
    strength = float(np.linalg.norm(pattern) * np.linalg.norm(other))
    if min(pattern.std(), other.std()) < PLAIN_LEVELS:  # nothing to be seen in it
        return difference <= PLAIN_LEVELS
    return difference <= SAME_LEVELS and float((pattern * other).sum()) >= SAME_PATTERN * strength


def distinct(photos: Sequence[Photo]) -> list[Photo]:
    """Each picture once, in order."""
    kept: list[Photo] = []
    for photo in photos:
        if not any(same_photo(photo, other) for other in kept):
            kept.append(photo)
    return kept


def _opened(data: bytes, which: int) -> Image.Image:
    """Only the header is read here, so a bomb is still asleep."""
    formats = list(FORMATS)
    if register_heif_opener is not None:
        register_heif_opener()
        formats.append("HEIF")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:  # Pillow's own limit, 179 million pixels
        raise Refusal("too_many_pixels", which=which, pixels=2 * (Image.MAX_IMAGE_PIXELS or 0), limit_pixels=0) from error
    except UnidentifiedImageError as error:
        found = sniffed(data)
        raise (Refusal("unsupported_format", which=which, found=found) if found else Refusal("not_a_picture", which=which)) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Refusal("broken_picture", which=which) from error


def _refuse_bomb(image: Image.Image, limits: PhotoLimits, which: int) -> None:
    """A JPEG may have all of max_pixels; the others are decoded in full, at four bytes a pixel, and get half."""
    pixels = image.width * image.height
    limit = limits.max_pixels if image.format in ("JPEG", "MPO") else limits.max_pixels // 2
    if pixels > limit:
        raise Refusal("too_many_pixels", which=which, pixels=pixels, limit_pixels=limit)


def _decoded(image: Image.Image, side_px: int, which: int) -> Image.Image:
    """RGB, upright, at most side_px. A JPEG decodes straight to a half, a quarter or an eighth, which keeps memory small."""
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        image.seek(0)
        image.draft("RGB", (side_px, side_px))
        image.load()
        upright = _rgb(_shrunk(_eight_bits(image), side_px))
        return upright.transpose(turn) if turn is not None else upright
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, Image.DecompressionBombError) as error:
        raise Refusal("broken_picture", which=which) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """A mode that can be scaled: palettes are looked up, 16 bits a pixel become 8."""
    if image.mode.startswith("I") or image.mode == "F":
        return image.convert("I").point(lambda level: level / 256).convert("L")
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _shrunk(image: Image.Image, side_px: int) -> Image.Image:
    scale = side_px / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    return white


def _jpeg(image: Image.Image) -> bytes:
    """A fresh picture: nothing but pixels goes over (no EXIF, no place, no comment, no colour profile)."""
    bare = Image.frombytes("RGB", image.size, image.tobytes())
    out = io.BytesIO()
    bare.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def sniffed(data: bytes) -> str | None:
    """What the file is, in words, when it is something known that isn't supported."""
    for offset, magic, words in SIGNATURES:
        if data[offset : offset + len(magic)] == magic:
            return words
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in data[:4096].lower()):
        return "an SVG drawing"
    return None

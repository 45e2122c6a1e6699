"""A photo as it comes over the wire, decoded for the models: upright RGB of a bounded size. Knows no model."""

from __future__ import annotations

import base64
import binascii
import io

from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import BadRequest, NotAPicture

MAX_PIXELS = 50_000_000  # more is a decompression bomb to a service that holds several at once; the bot caps far below
MAX_SIDE_PX = 2048  # no encoder looks at more


def decode_photo(text: str) -> Image.Image:
    """Base64 JPEG, PNG or WebP → RGB. Errors: NotAPicture; BadRequest where it isn't base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("photo: not base64") from error
    return read_photo(data)


def read_photo(data: bytes) -> Image.Image:
    """Encoded bytes → RGB, upright, at most MAX_SIDE_PX a side. Errors: NotAPicture."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise NotAPicture(width=image.width, height=image.height)
            image.draft("RGB", (MAX_SIDE_PX, MAX_SIDE_PX))  # lets JPEG decode at half or quarter size
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except NotAPicture:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NotAPicture() from error
    upright.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    return upright

"""A VLM that does only once what no concept has a part in, its views and what it says by itself: methods are compared on the same ones.

For measuring; a serving engine keeps nothing of a photo. Knows the Protocol and no family.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from PIL import Image

from .vlms.base import Decoding, View, Vlm

T = TypeVar("T", bound=Any)


class Memory:
    """What was seen and said so far. A view of the embedded VLM takes 4 MB."""

    def __init__(self) -> None:
        self.views: dict[str, View] = {}  # by the picture's pixels
        self.said: dict[tuple[int, str | None, Decoding], list[str]] = {}  # by the view's identity: views come from here, and stay


class Remembering:
    """Stands before a VLM; everything else is its own."""

    def __init__(self, vlm: Vlm, memory: Memory):
        self._vlm, self._memory = vlm, memory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vlm, name)

    def views(self, images: Sequence[Image.Image]) -> list[View]:
        known, keys = self._memory.views, [_key(image) for image in images]
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in known}
        known |= dict(zip(new, self._vlm.views(list(new.values())), strict=True)) if new else {}
        return [known[key] for key in keys]

    def candidates(self, view: View, prompt: str | None, concepts: torch.Tensor, decoding: Decoding = Decoding()) -> list[str]:
        if len(concepts):
            return self._vlm.candidates(view, prompt, concepts, decoding)
        asked = (id(view), prompt, decoding)
        if asked not in self._memory.said:
            self._memory.said[asked] = self._vlm.candidates(view, prompt, concepts, decoding)
        return list(self._memory.said[asked])


def _key(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.mode}{image.size}".encode() + image.tobytes()).hexdigest()


def remembering(vlm: T, memory: Memory) -> T:
    """The VLM with a memory; losses are its own."""
    stands: Any = Remembering(vlm, memory)
    return stands  # keeps the Protocol by __getattr__

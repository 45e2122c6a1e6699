"""Frozen encoders: a photo to region vectors, whole photo first. `load_encoder(name)` finds one.

The embedded encoder is three EfficientNet-Lite towers, one of them the embedded VLM's, at two sizes. Knows nothing of
concepts, heads or the store; vectors of encoders with different fingerprints are never compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..devices import embedded_device
from ..messages import FACES
from ..pocket.vision import HEAD_CHANNELS, VisionTower, half_is_fast, square_pixels
from .afar import from_afar, regions_in
from .closer import around, cut, in_photo
from .nouns import everyday_noun
from .projection import Projection, load_projection
from .windows import Box, Window, windows

FORMAT = 4  # rises when what `see` computes changes
CELL_PX = 32
# Of a square photo; other shapes keep their proportions at the same number of cells. The coarse look is near the size the tower was
# trained at and knows what fills the photo; the fine one finds small things.
SIDES_CELLS = (9, 16)
MAX_ASPECT = 4.0  # longer strips are squeezed
PLAN = ((3, 2), (5, 3), (8, 4), (11, 5))  # (side, stride) of the windows in cells: 25 + 88 regions of a square photo
# Each was trained by itself and errs on other things: what all see alike is surer. The first also finds the noun.
TOWERS = ("lite2", "lite1", "lite0")
STRIDE, STAGE_WEIGHT = 16, 0.5  # the earlier stage beside the 1280 channels of the last, and how much it counts
# Generalised mean over a window's cells (Radenovic et al., TPAMI 2019) of the last stage's channels, which are never negative: what is
# strong in a few cells tells one dog from another, and a plain mean drowns it.
POWER = 3
NOUN_SIZE_PX = 288


class Seen(NamedTuple):
    """What one encoder saw in one photo."""

    vectors: np.ndarray  # (n, d) float16, each row L2-normalised
    boxes: list[Box]  # n; the first is the whole photo where the encoder sees regions


class Encoder(Protocol):
    """A frozen recogniser's eyes."""

    name: str
    fingerprint: str  # name, hash of all weights and format: the same on every machine
    width: int  # d

    def see(self, image: Image.Image) -> Seen:
        """One pass over an upright RGB photo."""

    def noun_hint(self, image: Image.Image) -> str | None:
        """An everyday noun for the main thing ("dog", "mug"), None when unsure."""

    # see_closer(image, places) -> Seen, optional: these places (boxes) cut out and seen again, larger; boxes are shares of the whole photo
    # see_from_afar(image) -> Seen, optional: how a photo that teaches looks small in a room; boxes are shares of the photo itself


class EmbeddedEncoder:
    """The last grid of each tower and its stride-16 stage, of the photo and its mirror image, averaged over windows and projected together
    to whitened vectors."""

    name = "embedded"

    def __init__(self, towers: Sequence[VisionTower], projection: Projection):
        self.towers, self.projection = towers, projection
        weights = hashlib.sha256("".join(tower.weights_hash for tower in towers).encode()).hexdigest()
        self.fingerprint = f"{self.name}-{FORMAT}-{weights[:8]}-{projection.hash[:8]}"
        self.width = projection.width
        # bfloat16 where the CPU multiplies it in hardware: vectors agree to about 0.999 (tests hold it)
        self.half = half_is_fast(towers[0].device)

    def see(self, image: Image.Image) -> Seen:
        raw, boxes = raw_regions(self.towers, image, self.half)
        return Seen(self.projection(raw).astype(np.float16), boxes)

    def see_closer(self, image: Image.Image, places: Sequence[Box]) -> Seen:
        """A small pass for each place, at the size that the towers know best."""
        crops = [around(place) for place in places]
        looks = [_look(self.towers, fitted_pixels(cut(image, crop), SIDES_CELLS[0]), self.half) for crop in crops]
        found = [box for crop, (_, boxes) in zip(crops, looks, strict=True) for box in in_photo(boxes, crop)]
        return Seen(self.projection(np.vstack([features for features, _ in looks])).astype(np.float16), found)

    def see_from_afar(self, image: Image.Image) -> Seen:
        """One more pass, over the photo made small before a room."""
        picture, places = from_afar(image)
        vectors, boxes = self.see(picture)
        found = [regions_in(place, boxes) for place in places]
        return Seen(np.vstack([vectors[inside] for inside, _ in found]), [box for _, own in found for box in own])

    def noun_hint(self, image: Image.Image) -> str | None:
        tower = self.towers[0]
        grid = tower.grids(square_pixels(image, NOUN_SIZE_PX)[None], self.half).head
        with torch.inference_mode():
            probabilities = tower.net._fc(grid.mean((2, 3)))[0].softmax(-1)
        return everyday_noun(probabilities.cpu().numpy())


def load_towers(device: str = "cpu") -> list[VisionTower]:
    return [VisionTower(device, size) for size in TOWERS]


def blocks(towers: Sequence[VisionTower]) -> list[tuple[slice, float]]:
    """Channels and weight of each part of the raw features."""
    parts = [part for tower in towers for part in ((HEAD_CHANNELS, 1.0), (tower.stage_channels[STRIDE], STAGE_WEIGHT))]
    ends = np.cumsum([channels for channels, _ in parts]).tolist()
    return [(slice(end - channels, end), weight) for end, (channels, weight) in zip(ends, parts, strict=True)]


def raw_regions(towers: Sequence[VisionTower], image: Image.Image, half: bool) -> tuple[np.ndarray, list[Box]]:
    """Raw features of every window at every size, (n, C) float32, and the windows' boxes. C: the channels of all `blocks`."""
    looks = [_look(towers, fitted_pixels(image, side), half) for side in SIDES_CELLS]
    return np.vstack([features for features, _ in looks]), [box for _, boxes in looks for box in boxes]


def _look(towers: Sequence[VisionTower], pixels: torch.Tensor, half: bool) -> tuple[np.ndarray, list[Box]]:
    maps = [_cells(tower, pixels, half) for tower in towers]
    rows, columns = maps[0][0].shape[1:]
    found = windows(rows, columns, PLAN)
    means = [part for head, stage in maps for part in (window_means(head, found, POWER), window_means(stage, found))]
    return np.hstack(means), [w.box(rows, columns) for w in found]


def _cells(tower: VisionTower, pixels: torch.Tensor, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """(1280, rows, columns) float32 and the earlier stage, averaged to the same cells: means over the photo and its mirror image, so that a
    dog that looks left is the one that looks right."""
    grids = tower.grids(torch.stack([pixels, pixels.flip(2)]), half)
    rows, columns = grids.head.shape[2:]
    stage = F.adaptive_avg_pool2d(grids.stages[STRIDE], (rows, columns))
    return _with_mirror(grids.head).cpu().numpy(), _with_mirror(stage).cpu().numpy()


def _with_mirror(pair: torch.Tensor) -> torch.Tensor:
    """(2, C, rows, columns), the second mirrored -> (C, rows, columns)."""
    return (pair[0] + pair[1].flip(2)) / 2


def fitted_pixels(image: Image.Image, side_cells: int) -> torch.Tensor:
    """(3, H, W) float32 in 0..1 of about side_cells x side_cells cells; proportions kept to within half a cell."""
    aspect = min(max(image.width / image.height, 1 / MAX_ASPECT), MAX_ASPECT)
    columns, rows = round(side_cells * aspect**0.5), round(side_cells / aspect**0.5)
    resized = image.convert("RGB").resize((columns * CELL_PX, rows * CELL_PX), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255).permute(2, 0, 1)


def window_means(grid: np.ndarray, found: Sequence[Window], power: int = 1) -> np.ndarray:
    """Generalised means of a (C, rows, columns) grid over windows, mean(x^power)^(1/power): (n, C) float32. Sums come from one integral
    image. With a `power` other than 1 nothing in the grid may be negative."""
    channels, rows, columns = grid.shape
    integral = np.zeros((rows + 1, columns + 1, channels))  # float64: a root makes much of what rounding leaves of nothing
    integral[1:, 1:] = (grid.transpose(1, 2, 0).astype(np.float64) ** power).cumsum(0).cumsum(1)
    top, bottom, left, right = np.array([(w.top, w.bottom, w.left, w.right) for w in found]).T
    sums = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
    means = sums / ((bottom - top) * (right - left))[:, None]
    return (means if power == 1 else np.maximum(means, 0) ** (1 / power)).astype(np.float32)


def load_encoder(name: str = "embedded", device: str = "cpu") -> Encoder:
    """"embedded" is built in, and so are "faces" ("faces:FILE" with facenet's weights from that file) and "clip" ("clip:MODEL/WEIGHTS");
    others are entry points of the group "myvlm_engine.encoders": family -> callable(name, device).
    Errors: ValueError with a sentence naming the known encoders; FacesMissing."""
    if name == "embedded":
        return EmbeddedEncoder(load_towers(embedded_device(device)), load_projection())
    family, _, file = name.partition(":")
    if family == FACES:
        from .faces import load_faces

        return load_faces(embedded_device(device), file)
    if family == "clip":
        from .clip_encoder import load_clip_encoder

        return load_clip_encoder(file, device)
    plugins = {e.name: e for e in entry_points(group="myvlm_engine.encoders")}
    if family not in plugins:
        known = ", ".join(sorted({"embedded", "clip", FACES, *plugins}))
        raise ValueError(f"No encoder {name!r}. Known: {known}. Check engine.encoder in config.toml.")
    return plugins[family].load()(name, device)

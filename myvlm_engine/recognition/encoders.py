"""Frozen encoders: a photo to region vectors, whole photo first. `load_encoder(name)` finds one.

The embedded encoder is the EfficientNet-Lite2 tower of the embedded VLM at two sizes. Knows nothing of concepts,
heads or the store; vectors of encoders with different fingerprints are never compared.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..messages import FACES
from ..pocket.vision import HEAD_CHANNELS, VisionTower, half_is_fast, square_pixels
from .nouns import everyday_noun
from .projection import Projection, load_projection
from .windows import Box, windows

FORMAT = 2  # rises when what `see` computes changes
CELL_PX = 32
# Of a square photo; other shapes keep their proportions at the same number of cells. The coarse look is near the size the tower was
# trained at and knows what fills the photo; the fine one finds small things.
SIDES_CELLS = (9, 16)
MAX_ASPECT = 4.0  # longer strips are squeezed
PLAN = ((3, 2), (5, 3), (8, 4), (11, 5))  # (side, stride) of the windows in cells: 25 + 88 regions of a square photo
STAGES = (16,)  # strides of the earlier stages beside the 1280 channels of the last
STAGE_CHANNELS = 120
BLOCKS = {"head": (slice(0, HEAD_CHANNELS), 1.0), "stage16": (slice(HEAD_CHANNELS, HEAD_CHANNELS + STAGE_CHANNELS), 0.5)}
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


class EmbeddedEncoder:
    """EfficientNet-Lite2's last grid and its stride-16 stage, averaged over windows and projected to whitened vectors."""

    name = "embedded"

    def __init__(self, tower: VisionTower, projection: Projection):
        self.tower, self.projection = tower, projection
        self.fingerprint = f"{self.name}-{FORMAT}-{tower.weights_hash[:8]}-{projection.hash[:8]}"
        self.width = projection.width
        # bfloat16 where the CPU multiplies it in hardware: vectors agree to about 0.999 (tests hold it)
        self.half = half_is_fast(tower.device)

    def see(self, image: Image.Image) -> Seen:
        raw, boxes = raw_regions(self.tower, image, self.half)
        return Seen(self.projection(raw).astype(np.float16), boxes)

    def noun_hint(self, image: Image.Image) -> str | None:
        grid = self.tower.grids(square_pixels(image, NOUN_SIZE_PX)[None], self.half).head
        with torch.inference_mode():
            probabilities = self.tower.net._fc(grid.mean((2, 3)))[0].softmax(-1)
        return everyday_noun(probabilities.cpu().numpy())


def raw_regions(tower: VisionTower, image: Image.Image, half: bool) -> tuple[np.ndarray, list[Box]]:
    """Raw features of every window at every size, (n, 1400) float32, and the windows' boxes."""
    looks = [_look(tower, fitted_pixels(image, side), half) for side in SIDES_CELLS]
    return np.vstack([features for features, _ in looks]), [box for _, boxes in looks for box in boxes]


def _look(tower: VisionTower, pixels: torch.Tensor, half: bool) -> tuple[np.ndarray, list[Box]]:
    grids = tower.grids(pixels[None], half)
    rows, columns = grids.head.shape[2:]
    maps = [grids.head, *(F.adaptive_avg_pool2d(grids.stages[stride], (rows, columns)) for stride in STAGES)]
    found = windows(rows, columns, PLAN)
    return window_means(torch.cat(maps, 1)[0].cpu().numpy(), found), [w.box(rows, columns) for w in found]


def fitted_pixels(image: Image.Image, side_cells: int) -> torch.Tensor:
    """(3, H, W) float32 in 0..1 of about side_cells x side_cells cells; proportions kept to within half a cell."""
    aspect = min(max(image.width / image.height, 1 / MAX_ASPECT), MAX_ASPECT)
    columns, rows = round(side_cells * aspect**0.5), round(side_cells / aspect**0.5)
    resized = image.convert("RGB").resize((columns * CELL_PX, rows * CELL_PX), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255).permute(2, 0, 1)


def window_means(grid: np.ndarray, found: list) -> np.ndarray:
    """Means of a (C, rows, columns) grid over windows: (n, C) float32. Sums come from one integral image."""
    channels, rows, columns = grid.shape
    integral = np.zeros((rows + 1, columns + 1, channels), dtype=np.float32)
    integral[1:, 1:] = grid.transpose(1, 2, 0).cumsum(0, dtype=np.float64).cumsum(1)
    top, bottom, left, right = np.array([(w.top, w.bottom, w.left, w.right) for w in found]).T
    sums = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
    return sums / ((bottom - top) * (right - left))[:, None]


def load_encoder(name: str = "embedded", device: str = "cpu") -> Encoder:
    """"embedded" is built in, and so are "faces" ("faces:FILE" with facenet's weights from that file) and "clip" ("clip:MODEL/WEIGHTS");
    others are entry points of the group "myvlm_engine.encoders": family -> callable(name, device).
    Errors: ValueError with a sentence naming the known encoders; FacesMissing."""
    if name == "embedded":
        return EmbeddedEncoder(VisionTower(device), load_projection())
    family, _, file = name.partition(":")
    if family == FACES:
        from .faces import load_faces

        return load_faces(device, file)
    if family == "clip":
        from .clip_encoder import load_clip_encoder

        return load_clip_encoder(file, device)
    plugins = {e.name: e for e in entry_points(group="myvlm_engine.encoders")}
    if family not in plugins:
        known = ", ".join(sorted({"embedded", "clip", FACES, *plugins}))
        raise ValueError(f"No encoder {name!r}. Known: {known}. Check engine.encoders in config.toml.")
    return plugins[family].load()(name, device)

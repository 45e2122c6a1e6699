"""The learned linear map from raw region features to the region vectors that heads live in: centred, scaled, PCA-whitened.

In the whitened space a plain mean of a few regions is already their linear-discriminant direction against everyday photos
(exemplar LDA, Hariharan et al. 2012), which is why heads need so few photos. Knows nothing of concepts. Made by
`python -m myvlm_engine.recognition.projection PHOTO_FOLDER…`; a new one makes old vectors, heads and banks invalid.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

WIDTH = 384  # of region vectors: 113 of a square photo take 87 KB
WHITENING = 1.0
REGIONS_PER_PHOTO = 12  # it learns from: neighbouring windows say much the same
SHIPPED = Path(__file__).parent / "projection.safetensors"


@dataclass(frozen=True, eq=False)
class Projection:
    """region vector = L2-normalised ((raw - mean) * scale) @ matrix."""

    mean: np.ndarray  # (C,) float32
    scale: np.ndarray  # (C,) float32: one over the channel's deviation, times its block's weight
    matrix: np.ndarray  # (C, d) float32

    @property
    def width(self) -> int:
        return self.matrix.shape[1]

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 over all numbers."""
        digest = hashlib.sha256()
        for part in (self.mean, self.scale, self.matrix):
            digest.update(np.ascontiguousarray(part, dtype=np.float16).tobytes())
        return digest.hexdigest()[:16]

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """(n, C) raw features -> (n, d) float32, each row L2-normalised."""
        projected = ((raw - self.mean) * self.scale) @ self.matrix
        return projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-9)


def fit_projection(raw: np.ndarray, blocks: Sequence[tuple[slice, float]], width: int, whitening: float) -> Projection:
    """Learns the map from everyday regions (N, C). `blocks`: channels and weight of each part of the features, which are made equally
    strong before weighting. `whitening`: 0 keeps PCA's variances, 1 evens them all out."""
    mean, deviation = raw.mean(0), raw.std(0) + 1e-3
    scale = np.zeros(raw.shape[1], dtype=np.float32)
    for channels, weight in blocks:
        scale[channels] = weight / np.sqrt(channels.stop - channels.start) / deviation[channels]
    centred = (raw - mean) * scale
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors = values[::-1][:width], vectors[:, ::-1][:, :width]
    matrix = vectors * np.maximum(values, 1e-8) ** (-whitening / 2)
    return Projection(*(rounded(part) for part in (mean, scale, matrix)))


def rounded(part: np.ndarray) -> np.ndarray:
    """As it will be read back: what is used is what is shipped."""
    return part.astype(np.float16).astype(np.float32)


def load_projection(path: Path = SHIPPED) -> Projection:
    """Errors: FileNotFoundError."""
    parts = load_file(path)
    return Projection(*(parts[name].astype(np.float32) for name in ("mean", "scale", "matrix")))


def save_projection(projection: Projection, path: Path = SHIPPED) -> None:
    parts = {name: np.ascontiguousarray(getattr(projection, name).astype(np.float16)) for name in ("mean", "scale", "matrix")}
    save_file(parts, path)


def some(raw: np.ndarray) -> np.ndarray:
    """Regions of one photo that the projection learns from, the same ones every time."""
    return raw[np.random.default_rng(0).permutation(len(raw))[:REGIONS_PER_PHOTO]]


def main(arguments: Sequence[str] | None = None) -> None:
    from tqdm import tqdm

    from ..pocket.vision import half_is_fast
    from .encoders import blocks, load_towers, raw_regions
    from .negatives import photos_in, read_photo

    parser = argparse.ArgumentParser(description="Learns the embedded encoder's projection from folders of everyday photos.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args(arguments)
    towers, paths = load_towers(), photos_in(given.folders, every=False)
    raw = np.vstack([some(raw_regions(towers, read_photo(p), half_is_fast())[0]) for p in tqdm(paths, desc="seeing")])
    projection = fit_projection(raw, blocks(towers), WIDTH, WHITENING)
    save_projection(projection, given.out)
    print(f"{given.out}: {len(paths)} photos, {len(raw)} regions, {given.out.stat().st_size / 1e6:.1f} MB, {projection.hash}")


if __name__ == "__main__":
    main()

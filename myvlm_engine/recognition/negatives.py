"""The negative bank: region vectors of everyday photos with nobody's concept in them, so that a member supplies no negatives.

Bundled as 4-bit features, one bank per encoder; no photo can be got back from it. A command builds one from folders of photos:
`python -m myvlm_engine.recognition.negatives PHOTO_FOLDER… --pets PHOTO_FOLDER --out FILE`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps
from safetensors import safe_open
from safetensors.numpy import save_file

from ..messages import FACES
from .drawn import drawn_picture
from .windows import Box

if TYPE_CHECKING:
    from .encoders import Encoder

FOLDER = Path(__file__).parent
LEVELS = 16  # of a number: two fit in a byte; directions stay within 8 degrees (cosine 0.99)
REGIONS_PER_PHOTO = 24
DRAWN_PICTURES = 48  # a head that never met any takes drawings, screens and patterns for each other: they are all unlike photos
PETS = ("dog", "cat")  # an encoder's nouns: pets are what heads confuse most
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class NoBank(RuntimeError):
    """There is no negative bank for this encoder."""


@dataclass(frozen=True, eq=False)
class Bank:
    """Region vectors of P everyday photos, m rows in all, grouped by photo."""

    encoder: str  # fingerprint
    vectors: np.ndarray  # (m, d) float32
    photo_of: np.ndarray  # (m,) int32, ascending, 0..P-1

    @property
    def photo_count(self) -> int:
        return int(self.photo_of[-1]) + 1 if len(self.photo_of) else 0

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.flatnonzero(np.r_[True, np.diff(self.photo_of) > 0])

    def best(self, scores: np.ndarray) -> np.ndarray:
        """(m, k) or (m,) scores of regions -> (P, k) or (P,): the largest of each photo."""
        return np.maximum.reduceat(scores, self._starts, axis=0)

    def sample(self, count: int) -> np.ndarray:
        """(<= count, d) regions, the same ones every time."""
        if count not in self._samples:
            chosen = np.random.default_rng(0).permutation(len(self.vectors))[:count]
            self._samples[count] = self.vectors[chosen]
        return self._samples[count]

    @cached_property
    def _samples(self) -> dict[int, np.ndarray]:
        return {}


def held_out(path: Path) -> bool:
    """Half of all photos, told by their names: never in a bundled bank, so that false names can be measured on them."""
    return hashlib.sha256(path.name.encode()).digest()[0] % 2 == 1


def bank_path(fingerprint: str) -> Path:
    return FOLDER / f"bank-{fingerprint}.safetensors"


@lru_cache(maxsize=2)
def load_bank(fingerprint: str, path: Path | None = None) -> Bank:
    """The bundled bank of an encoder, or the one at `path`. Errors: NoBank."""
    path = path or bank_path(fingerprint)
    if not path.exists():
        raise NoBank(
            f"No negative bank for the encoder {fingerprint}. Build one of a thousand everyday photos or more: "
            "python -m myvlm_engine.recognition.negatives FOLDER --encoder NAME"
        )
    with safe_open(path, "np") as file:
        if file.metadata()["encoder"] != fingerprint:
            raise NoBank(f"The negative bank {path.name} belongs to the encoder {file.metadata()['encoder']}, not to {fingerprint}.")
        vectors = unpacked(file.get_tensor("vectors")) * file.get_tensor("scales")[:, None]
        return Bank(fingerprint, vectors, file.get_tensor("photo_of"))


def encoder_with_bank(name: str, device: str = "cpu") -> Encoder:
    """An encoder whose heads can be fitted (those of faces need no bank). Errors: NoBank, and load_encoder's."""
    from .encoders import load_encoder

    encoder = load_encoder(name, device)
    if not encoder.fingerprint.startswith(FACES):
        load_bank(encoder.fingerprint)
    return encoder


def save_bank(photos: Sequence[np.ndarray], fingerprint: str, path: Path, facts: dict[str, str]) -> None:
    """Writes each photo's (n, d) vectors with 4 bits a number and one scale a row; d is even."""
    vectors = np.vstack(photos).astype(np.float32)
    scales = np.abs(vectors).max(1) / (LEVELS // 2)
    photo_of = np.repeat(np.arange(len(photos), dtype=np.int32), [len(p) for p in photos])
    parts = {"vectors": packed(vectors / scales[:, None]), "scales": scales.astype(np.float32), "photo_of": photo_of}
    save_file(parts, path, metadata={"encoder": fingerprint, **facts})


def packed(values: np.ndarray) -> np.ndarray:
    """(m, d) in -8..8 -> (m, d/2) uint8: steps of 1 around -7.5, -6.5, ... 7.5."""
    codes = np.clip(np.floor(values) + LEVELS // 2, 0, LEVELS - 1).astype(np.uint8)
    return codes[:, ::2] * np.uint8(LEVELS) + codes[:, 1::2]


def unpacked(codes: np.ndarray) -> np.ndarray:
    """The inverse of `packed`, to within half a step: float32."""
    pairs = np.stack([codes // LEVELS, codes % LEVELS], axis=2).reshape(len(codes), -1)
    return pairs.astype(np.float32) - (LEVELS - 1) / 2


def thinned(vectors: np.ndarray, boxes: Sequence[Box], keep: int) -> np.ndarray:
    """The whole photo and `keep` - 1 other regions drawn with a chance by size: small windows are many and overlap."""
    if len(vectors) <= keep:
        return vectors
    left, top, right, bottom = np.array(boxes).T
    chance = np.sqrt((right - left) * (bottom - top))[1:]
    chosen = 1 + np.random.default_rng(0).choice(len(chance), keep - 1, replace=False, p=chance / chance.sum())
    return vectors[[0, *sorted(chosen)]]


def photos_in(folders: Iterable[Path], every: bool) -> list[Path]:
    """All pictures below the folders by name; without `every`, the half that isn't held out."""
    found = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    return found if every else [p for p in found if not held_out(p)]


def read_photo(path: Path) -> Image.Image:
    """Upright RGB."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def with_a_pet(encoder: Encoder, paths: Iterable[Path], at_most: int) -> list[Path]:
    """The first `at_most` photos in which the encoder sees a dog or a cat."""
    return list(islice((p for p in paths if encoder.noun_hint(read_photo(p)) in PETS), at_most))


def main(arguments: Sequence[str] | None = None) -> None:
    from tqdm import tqdm

    from .encoders import load_encoder

    parser = argparse.ArgumentParser(description="Builds an encoder's negative bank from folders of photos.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--pets", nargs="+", type=Path, default=[], help="folders of which only photos with a dog or a cat are taken")
    parser.add_argument("--at-most", type=int, default=350, help="photos of --pets")
    parser.add_argument("--encoder", default="embedded")
    parser.add_argument("--device", default="cpu", help="where a CLIP model runs: cpu, cuda, mps")
    parser.add_argument("--regions", type=int, default=REGIONS_PER_PHOTO, help="kept of each photo")
    parser.add_argument("--drawn", type=int, default=DRAWN_PICTURES, help="pictures that no camera took, beside the photos")
    parser.add_argument("--every", action="store_true", help="use the held-out half of the photos too")
    parser.add_argument("--out", type=Path, help="default: where the encoder will look for it")
    given = parser.parse_args(arguments)
    encoder, paths = load_encoder(given.encoder, given.device), photos_in(given.folders, given.every)
    paths += with_a_pet(encoder, tqdm(photos_in(given.pets, given.every), desc="looking for pets"), given.at_most)
    photos = [kept_regions(encoder, read_photo(path), given.regions) for path in tqdm(paths, desc="seeing")]
    photos += [kept_regions(encoder, drawn_picture(n), given.regions) for n in tqdm(range(given.drawn), desc="drawing")]
    out = given.out or bank_path(encoder.fingerprint)
    facts = {"photos": str(len(paths)), "drawn": str(given.drawn), "folders": json.dumps([f.name for f in (*given.folders, *given.pets)])}
    save_bank(photos, encoder.fingerprint, out, facts)
    print(f"{out}: {len(photos)} photos, {sum(map(len, photos))} regions, {out.stat().st_size / 1e6:.1f} MB")


def kept_regions(encoder: Encoder, image: Image.Image, keep: int) -> np.ndarray:
    vectors, boxes = encoder.see(image)
    return thinned(vectors.astype(np.float32), boxes, keep)


if __name__ == "__main__":
    main()

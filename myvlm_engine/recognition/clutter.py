"""Small things in clutter, made from photos whose truth is known: every photo of a subject is cut out and put, small, into another place.

`python -m myvlm_engine.recognition.clutter SUBJECTS BACKGROUNDS OUT` writes a folder that `myvlm eval concepts` reads, and truth.json.
Each photo of a subject is used once, so that what is taught and what is looked at never share a cut-out. With `--taught 4` four photos of
each subject stay as they are and teach, as members teach with photos that show it well. Knows no encoder and no head.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ..photo_sets import TAUGHT, Subject, read_photo_set, split
from .negatives import photos_in, read_photo
from .windows import Box

AREA = (0.05, 0.25)  # of the photo that the subject's box takes
LIGHTS = {
    "as it is": (1.0, (1.0, 1.0, 1.0)),
    "dim": (0.55, (1.0, 0.97, 0.9)),
    "lamp": (0.85, (1.1, 0.98, 0.78)),
    "bright": (1.3, (0.97, 1.0, 1.05)),
}
OCCLUDED = (0.15, 0.4)  # of the subject's box that something in front hides
OCCLUDED_SHARE = 1 / 3  # of the photos
THUMB_PX = 128  # what is cut out is decided at this size
MIN_UNLIKE = 0.06  # of colours in 0..1: less says that nothing stands out
COLOURS, PASSES = 6, 2  # of the two colour models, and rounds of learning them
SMOOTH_PX = 3  # of the thumb, around each pixel
BORDER = 0.06  # of the photo's sides is taken for background
PLAUSIBLE = (0.05, 0.85)  # of the photo; a cut-out of another size is replaced by an ellipse


@dataclass(frozen=True)
class Composite:
    """What is true of one made photo."""

    subject: str
    source: str  # file the subject was cut from
    background: str
    box: Box  # of the subject
    light: str  # of LIGHTS
    hidden: float  # share of the box behind something else


def make_clutter(subjects: Path, backgrounds: Sequence[Path], out: Path, seed: int = 0, taught: int = 0) -> list[Composite]:
    """Writes OUT/concepts/<name>/*.jpg, OUT/negatives/*.jpg (the same places without a subject) and OUT/truth.json. `taught` photos of each
    subject, but never all, are drawn with the seed and copied as they are to OUT/concepts/<name>/taught.
    Errors: CantMeasure where `subjects` is no folder of subjects; ValueError where there are fewer backgrounds than photos."""
    found = read_photo_set(subjects).subjects
    teaching = {path for subject in found for path in _set_aside(subject, taught, out, seed)}
    photos = [(subject, path) for subject in found for path in subject.photos if path not in teaching]
    if len(backgrounds) < len(photos):
        raise ValueError(f"{len(photos)} photos need as many backgrounds; there are {len(backgrounds)}.")
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(backgrounds))[: len(photos)]
    made = [_write(subject, path, backgrounds[i], out, chance) for (subject, path), i in zip(photos, order, strict=True)]
    facts = {s.name: {"kind": s.kind, **({"class": s.class_noun} if s.class_noun else {})} for s in found}
    (out / "concepts.json").write_text(json.dumps(facts, indent=1))
    (out / "truth.json").write_text(json.dumps([asdict(c) for c in made], indent=1))
    return made


def _set_aside(subject: Subject, count: int, out: Path, seed: int) -> Sequence[Path]:
    """The photos that `myvlm eval` teaches with that seed. Errors: CantMeasure where there is only one."""
    chosen = split(subject, count, seed).taught if count else ()
    for path in chosen:
        folder = out / "concepts" / subject.name / TAUGHT
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    return chosen


def _write(subject: Subject, path: Path, background: Path, out: Path, chance: np.random.Generator) -> Composite:
    photo, truth = composite(read_photo(path), read_photo(background), chance)
    folder, empty = out / "concepts" / subject.name, out / "negatives"
    folder.mkdir(parents=True, exist_ok=True)
    empty.mkdir(parents=True, exist_ok=True)
    photo.save(folder / f"{path.stem}.jpg", quality=90)
    shutil.copyfile(background, empty / background.name)
    return Composite(subject.name, path.name, background.name, *truth)


def composite(subject: Image.Image, place: Image.Image, chance: np.random.Generator) -> tuple[Image.Image, tuple[Box, str, float]]:
    """The subject in the place, lit like the place; and its box, light and how much of it is hidden."""
    cut = cut_out(subject)
    cut = _resized(cut, place.size, float(np.exp(chance.uniform(*np.log(AREA)))))
    left, top = (int(chance.integers(0, max(1, whole - part))) for whole, part in zip(place.size, cut.size, strict=True))
    hidden = float(chance.uniform(*OCCLUDED)) if chance.random() < OCCLUDED_SHARE else 0.0
    photo = place.copy()
    photo.paste(cut, (left, top), cut)
    if hidden:
        _hide(photo, place, (left, top, left + cut.width, top + cut.height), hidden, chance)
    light = str(chance.choice(list(LIGHTS)))
    width, height = place.size
    box = (left / width, top / height, (left + cut.width) / width, (top + cut.height) / height)
    return lit(photo, light), (box, light, hidden)


def _resized(cut: Image.Image, size: tuple[int, int], area: float) -> Image.Image:
    """Scaled so that its box takes this share of a photo of this size; squeezed by nothing, cut by the photo's sides at most."""
    scale = (area * size[0] * size[1] / (cut.width * cut.height)) ** 0.5
    scale = min(scale, size[0] / cut.width, size[1] / cut.height)
    return cut.resize((max(8, round(cut.width * scale)), max(8, round(cut.height * scale))), Image.Resampling.LANCZOS)


def _hide(photo: Image.Image, place: Image.Image, box: tuple[int, int, int, int], hidden: float, chance: np.random.Generator) -> None:
    """Lays a piece of the place from elsewhere over one side of the box."""
    left, top, right, bottom = box
    if chance.random() < 0.5:
        width = max(1, round((right - left) * hidden))
        left, right = (left, left + width) if chance.random() < 0.5 else (right - width, right)
    else:
        top = bottom - max(1, round((bottom - top) * hidden))
    x, y = (int(chance.integers(0, max(1, whole - part))) for whole, part in zip(place.size, (right - left, bottom - top), strict=True))
    photo.paste(place.crop((x, y, x + right - left, y + bottom - top)), (left, top))


def lit(photo: Image.Image, light: str) -> Image.Image:
    """Under one of LIGHTS."""
    gain, cast = LIGHTS[light]
    return Image.fromarray(np.clip(np.asarray(photo, dtype=np.float32) * gain * np.array(cast), 0, 255).astype(np.uint8))


# -- cutting out
def cut_out(photo: Image.Image) -> Image.Image:
    """RGBA of what stands out against the photo's border by colour, cropped to it; an ellipse where that finds nothing plausible."""
    mask = Image.fromarray((subject_mask(photo) * 255).astype(np.uint8)).resize(photo.size, Image.Resampling.BICUBIC)
    cut = photo.copy()
    cut.putalpha(mask.filter(ImageFilter.GaussianBlur(max(photo.size) / 300)))
    return cut.crop(mask.point(lambda value: 255 * (value > 127)).getbbox())


def subject_mask(photo: Image.Image) -> np.ndarray:
    """(THUMB_PX, THUMB_PX) bool: what is unlike the border's colours, then what is more like that than like the border; smoothed, the
    largest piece kept."""
    rgb = np.asarray(photo.resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX), dtype=np.float32) / 255
    rows, columns = (np.mgrid[0:THUMB_PX, 0:THUMB_PX] + 0.5) / THUMB_PX
    middle = np.hypot(rows - 0.5, columns - 0.5)
    border = np.minimum(np.minimum(rows, 1 - rows), np.minimum(columns, 1 - columns)) < BORDER
    ellipse = middle < 0.4
    unlike = distance(rgb, rgb[border])
    central = smoothed(unlike * (1 - middle))
    mask = largest_piece(central > parting(central))
    for _ in range(PASSES):
        if not PLAUSIBLE[0] <= mask.mean() <= PLAUSIBLE[1] or unlike[mask].mean() < MIN_UNLIKE:
            return ellipse
        mask = largest_piece(smoothed(unlike - distance(rgb, rgb[mask])) > MIN_UNLIKE / 2)
    return mask if PLAUSIBLE[0] <= mask.mean() <= PLAUSIBLE[1] else ellipse


def parting(values: np.ndarray) -> float:
    """The threshold that parts them best in two (Otsu 1979)."""
    levels = np.quantile(values, np.linspace(0.02, 0.98, 49))
    shares = np.array([(values > level).mean() for level in levels])
    gaps = np.array([values[values > level].mean() - values[values <= level].mean() for level in levels])
    return float(levels[(shares * (1 - shares) * gaps**2).argmax()])


def distance(rgb: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """(h, w) distance of each pixel's colour to the nearest of a few typical colours of the sample (k-means)."""
    centres = sample[np.linspace(0, len(sample) - 1, COLOURS).astype(int)]
    for _ in range(8):
        nearest = ((sample[:, None] - centres) ** 2).sum(-1).argmin(1)
        centres = np.array([sample[nearest == k].mean(0) if (nearest == k).any() else centres[k] for k in range(COLOURS)])
    return np.sqrt(((rgb[:, :, None] - centres) ** 2).sum(-1).min(-1))


def smoothed(values: np.ndarray) -> np.ndarray:
    """Means of squares of 2 * SMOOTH_PX + 1 pixels."""
    padded = np.pad(values, SMOOTH_PX, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (2 * SMOOTH_PX + 1,) * 2).mean((2, 3))


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """Its largest connected part (four neighbours), holes filled."""
    labels = pieces(mask)
    counts = np.bincount(labels[mask], minlength=1) if mask.any() else np.zeros(1)
    kept = mask & (labels == counts.argmax()) if mask.any() else mask
    outside = pieces(~kept)
    edge = np.unique(np.r_[outside[0], outside[-1], outside[:, 0], outside[:, -1]])
    return ~np.isin(outside, edge[edge > 0]) if len(edge) else kept


def pieces(mask: np.ndarray) -> np.ndarray:
    """(h, w) int: equal numbers > 0 in connected parts, 0 outside. The largest number of a part spreads through it."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        spread = np.maximum.reduce([labels, padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]) * mask
        if (spread == labels).all():
            return labels
        labels = spread


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Makes a set of small things in clutter from photos of subjects and of places.")
    parser.add_argument("subjects", type=Path, help="a folder with concepts/<name>/*.jpg")
    parser.add_argument("backgrounds", type=Path, help="a folder of photos of places")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--taught", type=int, default=0, help="photos of each subject that stay as they are and teach")
    given = parser.parse_args(arguments)
    made = make_clutter(given.subjects, photos_in([given.backgrounds], every=True), given.out, given.seed, given.taught)
    print(f"{given.out}: {len(made)} photos of {len({c.subject for c in made})} subjects, {sum(c.hidden > 0 for c in made)} half hidden")


if __name__ == "__main__":
    main()

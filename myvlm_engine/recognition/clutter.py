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
from PIL import Image

from ..photo_sets import TAUGHT, Subject, read_photo_set, split
from .cut_outs import CutOutsMissing, Masks, cut_out, load_masks
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


@dataclass(frozen=True)
class Composite:
    """What is true of one made photo."""

    subject: str
    source: str  # file the subject was cut from
    background: str
    box: Box  # of the subject
    light: str  # of LIGHTS
    hidden: float  # share of the box behind something else


def make_clutter(
    subjects: Path, backgrounds: Sequence[Path], out: Path, masks: Masks, seed: int = 0, taught: int = 0
) -> list[Composite]:
    """Writes OUT/concepts/<name>/*.jpg, OUT/negatives/*.jpg (the same places without a subject), the boxes that `myvlm eval` reads and
    OUT/truth.json. Photos in which nothing stands out are left out. `taught` photos of each subject, but never all, are drawn with the seed
    and copied as they are to OUT/concepts/<name>/taught.
    Errors: CantMeasure where `subjects` is no folder of subjects; ValueError where there are fewer backgrounds than photos."""
    found = read_photo_set(subjects).subjects
    teaching = {path for subject in found for path in _set_aside(subject, taught, out, seed)}
    photos = [(subject, path) for subject in found for path in subject.photos if path not in teaching]
    if len(backgrounds) < len(photos):
        raise ValueError(f"{len(photos)} photos need as many backgrounds; there are {len(backgrounds)}.")
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(backgrounds))[: len(photos)]
    written = [_write(subject, path, backgrounds[i], out, masks, chance) for (subject, path), i in zip(photos, order, strict=True)]
    made = [one for one in written if one is not None]
    facts = {s.name: {"kind": s.kind, **({"class": s.class_noun} if s.class_noun else {})} for s in found}
    (out / "concepts.json").write_text(json.dumps(facts, indent=1))
    (out / "truth.json").write_text(json.dumps([asdict(c) for c in made], indent=1))
    for name in {c.subject for c in made}:
        boxes = {f"{Path(c.source).stem}.jpg": c.box for c in made if c.subject == name}
        (out / "concepts" / name / "boxes.json").write_text(json.dumps(boxes, indent=1))
    return made


def _set_aside(subject: Subject, count: int, out: Path, seed: int) -> Sequence[Path]:
    """The photos that `myvlm eval` teaches with that seed. Errors: CantMeasure where there is only one."""
    chosen = split(subject, count, seed).taught if count else ()
    for path in chosen:
        folder = out / "concepts" / subject.name / TAUGHT
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    return chosen


def _write(
    subject: Subject, path: Path, background: Path, out: Path, masks: Masks, chance: np.random.Generator
) -> Composite | None:
    """None where nothing stands out in the photo."""
    cut = cut_out(read_photo(path), masks)
    if cut is None:
        return None
    photo, truth = composite(cut, read_photo(background), chance)
    folder, empty = out / "concepts" / subject.name, out / "negatives"
    folder.mkdir(parents=True, exist_ok=True)
    empty.mkdir(parents=True, exist_ok=True)
    photo.save(folder / f"{path.stem}.jpg", quality=90)
    shutil.copyfile(background, empty / background.name)
    return Composite(subject.name, path.name, background.name, *truth)


def composite(cut: Image.Image, place: Image.Image, chance: np.random.Generator) -> tuple[Image.Image, tuple[Box, str, float]]:
    """The cut-out (RGBA) in the place, lit like the place; and its box, light and how much of it is hidden."""
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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Makes a set of small things in clutter from photos of subjects and of places.")
    parser.add_argument("subjects", type=Path, help="a folder with concepts/<name>/*.jpg")
    parser.add_argument("backgrounds", type=Path, help="a folder of photos of places")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--taught", type=int, default=0, help="photos of each subject that stay as they are and teach")
    given = parser.parse_args(arguments)
    try:
        masks = load_masks()
    except CutOutsMissing as error:
        parser.exit(1, f"{error}\n")
    made = make_clutter(given.subjects, photos_in([given.backgrounds], every=True), given.out, masks, given.seed, given.taught)
    print(f"{given.out}: {len(made)} photos of {len({c.subject for c in made})} subjects, {sum(c.hidden > 0 for c in made)} half hidden")


if __name__ == "__main__":
    main()

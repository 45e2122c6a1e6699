"""A folder of photos to measure on, as `myvlm eval` reads it: subjects with their photos, negatives, captions, questions.

Knows the layout and no set by name; opens no picture.

    DIR/concepts/<name>/*.jpg              a subject's photos (and captions.json: {"photo.jpg": ["<name> sleeps.", ...]}, optional)
    DIR/concepts/<name>/boxes.json         {"photo.jpg": [left, top, right, bottom]}: where it is, shares of the photo, optional
    DIR/concepts/<name>/taught/*.jpg       photos that teach, optional; those beside the folder are then all held
    DIR/concepts.json                      {"<name>": {"kind": "person|pet|object", "class": "dog"}}, optional
    DIR/negatives/<name>/*.jpg             photos that look like one subject and aren't, optional
    DIR/negatives/*.jpg, DIR/random/*.jpg  photos with none of the subjects, optional
    DIR/captions.jsonl                     {"image": "images/1.jpg", "captions": [...], "split": "dev"} a line
    DIR/qa.jsonl                           {"image": "images/1.jpg", "qa": [{"q": "...", "a": "..."}], "split": "dev"} a line
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from .messages import Box, Kind

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
HELD_SPLITS = ("dev", "val", "validation", "test")  # rows of these are measured where there are any
NAME_MARK = "<name>"  # stands for the subject in captions.json
TAUGHT = "taught"  # the folder in a subject's
MANY_PHOTOS, SHOTS, FEW_SHOTS = 5, 4, 3  # four photos teach where a subject has five or more, else three


class CantMeasure(ValueError):
    """A folder, a file in it or a choice is wrong; the message is a sentence for whoever started `myvlm eval`."""


@dataclass(frozen=True)
class Subject:
    """One pet, person or thing and its photos."""

    name: str  # the folder's
    kind: Kind
    class_noun: str | None  # None: nobody said; the engine's own hint is asked
    photos: tuple[Path, ...]
    captions: dict[str, tuple[str, ...]] = field(default_factory=dict)  # photo's file name -> captions with NAME_MARK
    teaching: tuple[Path, ...] = ()  # set aside to teach; none: some of `photos` teach
    boxes: dict[str, Box] = field(default_factory=dict)  # photo's file name -> where the subject is


@dataclass(frozen=True)
class PhotoSet:
    """Subjects, and photos without them."""

    subjects: tuple[Subject, ...]
    lookalikes: dict[str, tuple[Path, ...]]  # subject's name -> negatives of that subject
    others: tuple[Path, ...]  # negatives of all


@dataclass(frozen=True)
class Split:
    """A subject's photos, divided for one seed."""

    subject: Subject
    taught: tuple[Path, ...]
    held: tuple[Path, ...]


@dataclass(frozen=True)
class CaptionedPhoto:
    path: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class AskedPhoto:
    path: Path
    question: str
    answer: str


def read_photo_set(folder: Path) -> PhotoSet:
    """Errors: CantMeasure with a sentence that names what is missing or wrong."""
    facts = _facts(folder / "concepts.json")
    subjects = tuple(_subject(f, facts.get(f.name, {})) for f in _folders(folder / "concepts"))
    if not subjects:
        raise CantMeasure(f"{folder} has no photos in concepts/<name>/. Put each subject's photos into a folder of its own there.")
    lookalikes = {f.name: pictures(f) for f in _folders(folder / "negatives")}
    if strangers := sorted(set(lookalikes) - {s.name for s in subjects}):
        raise CantMeasure(f"{folder / 'negatives' / strangers[0]}: there is no subject {strangers[0]!r} in {folder / 'concepts'}.")
    return PhotoSet(subjects, lookalikes, (*pictures(folder / "negatives"), *pictures(folder / "random")))


def kinds_in(folder: Path) -> set[Kind]:
    """Of the set's subjects. Errors: CantMeasure."""
    return {subject.kind for subject in read_photo_set(folder).subjects}


def split(subject: Subject, shots: int | None, seed: int) -> Split:
    """Taught and held photos; with one seed the same on every machine. At least one photo is held.
    Errors: CantMeasure when there aren't enough."""
    if subject.teaching:
        return Split(subject, _shuffled(subject.teaching, subject, seed)[: shots or SHOTS], subject.photos)
    wanted = shots or (SHOTS if len(subject.photos) >= MANY_PHOTOS else FEW_SHOTS)
    if len(subject.photos) < 2:
        raise CantMeasure(f"concepts/{subject.name} has {len(subject.photos)} photo: one to teach and one to describe are needed.")
    taught = min(wanted, len(subject.photos) - 1)
    order = _shuffled(subject.photos, subject, seed)
    return Split(subject, order[:taught], order[taught:])


def _shuffled(photos: Sequence[Path], subject: Subject, seed: int) -> tuple[Path, ...]:
    order = list(photos)
    random.Random(f"{seed}/{subject.name}").shuffle(order)
    return tuple(order)


def captioned_photos(folder: Path, limit: int | None = None) -> list[CaptionedPhoto]:
    """Rows of captions.jsonl, held ones where there are any. Errors: CantMeasure."""
    rows = _measured(_rows(folder / "captions.jsonl", ("image", "captions")))
    return [CaptionedPhoto(_there(folder / r["image"]), tuple(r["captions"])) for r in rows[:limit]]


def asked_photos(folder: Path, limit: int | None = None, every: int = 1) -> list[AskedPhoto]:
    """Questions of qa.jsonl, held ones where there are any, of every `every`-th photo; at most `limit` questions. Errors: CantMeasure."""
    rows = _measured(_rows(folder / "qa.jsonl", ("image", "qa")))[::every]
    asked = [AskedPhoto(folder / r["image"], pair["q"], pair["a"]) for r in rows for pair in r["qa"]]
    return [AskedPhoto(_there(a.path), a.question, a.answer) for a in asked[:limit]]


def pictures(folder: Path) -> tuple[Path, ...]:
    """Directly in a folder, by name; none where there is no folder."""
    return tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)) if folder.is_dir() else ()


def _folders(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_dir() and pictures(f)) if folder.is_dir() else []


def _subject(folder: Path, facts: dict[str, str]) -> Subject:
    kind = facts.get("kind", "object")
    if kind not in ("pet", "person", "object"):
        raise CantMeasure(f"concepts.json: {folder.name} is of kind {kind!r}. Known: pet, person, object.")
    captions = {photo: tuple(texts) for photo, texts in _facts(folder / "captions.json").items()}
    known = cast(Literal["pet", "person", "object"], kind)
    boxes = {photo: _box(folder / "boxes.json", photo, box) for photo, box in _facts(folder / "boxes.json").items()}
    return Subject(folder.name, known, facts.get("class"), pictures(folder), captions, pictures(folder / TAUGHT), boxes)


def _box(path: Path, photo: str, box: Any) -> Box:
    try:
        left, top, right, bottom = (float(side) for side in box)
    except (TypeError, ValueError) as error:
        raise CantMeasure(f"{path}: {photo} needs four numbers: left, top, right, bottom.") from error
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise CantMeasure(f"{path}: {photo} has sides {box}. They are shares of the photo: 0 <= left < right <= 1, 0 <= top < bottom <= 1.")
    return left, top, right, bottom


def _facts(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CantMeasure(f"{path} isn't JSON: {error}.") from error
    if not isinstance(found, dict):
        raise CantMeasure(f"{path} must hold a JSON object.")
    return found


def _rows(path: Path, needed: Sequence[str]) -> Iterator[dict[str, Any]]:
    if not path.exists():
        raise CantMeasure(f"There is no {path}. `myvlm eval --help` says what the folder should hold.")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise CantMeasure(f"{path}, line {number}, isn't JSON: {error}.") from error
        if lacking := [key for key in needed if not isinstance(row, dict) or key not in row]:
            raise CantMeasure(f"{path}, line {number}, lacks {lacking[0]!r}.")
        yield row


def _measured(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a held split where there are any, else all."""
    found = list(rows)
    return [r for r in found if r.get("split") in HELD_SPLITS] or found


def _there(path: Path) -> Path:
    if not path.is_file():
        raise CantMeasure(f"There is no photo {path}.")
    return path

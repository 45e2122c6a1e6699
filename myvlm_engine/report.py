"""The evaluation as one HTML file that needs nothing else: every photo with what the frozen model said and what it said with names.

Photos are embedded small. Knows no model; computes no figure.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from .caption_scores import Called, Said, names_in
from .photo import read_photo

THUMBNAIL_PX = 240
THUMBNAIL_QUALITY = 68
TEMPLATE = "report.html"


@dataclass(frozen=True)
class TaughtConcept:
    """One concept as it was taught."""

    folder: str
    called: Called
    photos: tuple[Path, ...]
    usable_s: float
    learned_s: float | None  # None: only the head was fitted
    sample: str | None = None


@dataclass(frozen=True)
class Report:
    """What the file shows."""

    title: str
    facts: Mapping[str, str]  # set, shots, seeds, model
    tables: Mapping[str, Mapping[str, float]]  # "recognition" -> {"recall": 0.93}
    concepts: Sequence[TaughtConcept]
    said: Sequence[Said]
    folder: Path  # what Said.photo is relative to


@dataclass(frozen=True)
class Shown:
    """One photo with its sentences, judged."""

    photo: str  # data URI
    said: Said
    verdict: str  # named, missed, unseen (head silent), wrong, quiet (nobody there, nobody named)
    names: list[str] = field(default_factory=list)  # in the text
    fired: list[str] = field(default_factory=list)  # "Biscuit 0.97"


def write_report(report: Report, path: Path) -> None:
    """Writes the file; folders are made."""
    from jinja2 import Environment, PackageLoader

    page = Environment(loader=PackageLoader("myvlm_engine", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        page.get_template(TEMPLATE).render(report=report, sections=sections(report), strangers=strangers(report)), encoding="utf-8"
    )


def sections(report: Report) -> list[tuple[TaughtConcept, list[str], list[Shown]]]:
    """Per concept with a described photo: itself, its taught photos, the described ones."""
    held = {c.folder: [shown(s, report) for s in report.said if s.subject == c.folder] for c in report.concepts}
    return [(c, [thumbnail(p) for p in c.photos], held[c.folder]) for c in report.concepts if held[c.folder]]


def strangers(report: Report) -> list[Shown]:
    """Photos of nobody on which a head fired."""
    return [shown(s, report) for s in report.said if s.subject is None]


def shown(said: Said, report: Report) -> Shown:
    called = {c.folder: c.called.name for c in report.concepts}
    names = names_in(said.text, called.values())
    fired = [f"{called[folder]} {said.scores[folder]:.2f}" for folder in said.fired]
    return Shown(thumbnail(report.folder / said.photo), said, verdict(said, names, called), sorted(names), fired)


def verdict(said: Said, names: set[str], called: Mapping[str, str]) -> str:
    """One word for the colour of its frame."""
    own = called.get(said.subject or "")
    if names - {own}:
        return "wrong"
    if own is None:
        return "quiet"
    if own in names:
        return "named"
    return "missed" if said.subject in said.fired else "unseen"


def thumbnail(path: Path) -> str:
    """A small JPEG as a data URI."""
    image = read_photo(path.read_bytes())
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=THUMBNAIL_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"

"""`myvlm eval`: describes a folder of photos, or answers its questions, and says how good that is.

The entry points the command line calls; what is measured and how is in the files beside this one. Models load inside.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

from .figures import counted, show, write_json
from .messages import FACES
from .photo_sets import AskedPhoto, CantMeasure, CaptionedPhoto, asked_photos, captioned_photos, kinds_in
from .report import write_report

if TYPE_CHECKING:
    from PIL import Image

    from .concept_evaluation import Plan
    from .concept_trial import Looking
    from .vlms.base import View, Vlm

BATCH = 8  # photos through the vision tower at once
T = TypeVar("T")
REPORT = "eval-report.html"  # in the working folder, unless another is named


def eval_captions(folder: Path, limit: int | None = None, json_path: Path | None = None, vlm: str = "pocket") -> dict[str, Any]:
    """CIDEr-D, BLEU-4 and sentence similarity of the frozen model's captions, decoded as for members.
    Errors: CantMeasure with a sentence about the folder."""
    photos = captioned_photos(folder, limit)
    figures = caption_figures(photos, _load_vlm(vlm))
    show(f"captions of {len(photos)} photos", {**figures["captions"], **figures["seconds"]})
    write_json(figures, json_path)
    return figures


def caption_figures(photos: Sequence[CaptionedPhoto], vlm: Vlm) -> dict[str, Any]:
    """{"captions": {"cider", "bleu4", "similarity"}, "seconds": {"describe_p50"}, "photos", "vlm"}."""
    from .text_metrics import caption_metrics, similarity_to_references

    told = list(described(vlm, [p.path for p in photos]))
    said = {str(p.path): text for p, (text, _) in zip(photos, told, strict=True)}
    references = {str(p.path): list(p.captions) for p in photos}
    return {
        "captions": {**caption_metrics(said, references), "similarity": similarity_to_references(said, references)},
        "seconds": {"describe_p50": median(seconds for _, seconds in told)},
        "photos": len(photos),
        "vlm": vlm.fingerprint,
    }


def described(vlm: Vlm, paths: Sequence[Path]) -> Iterator[tuple[str, float]]:
    """Caption and seconds of every photo."""
    from .vlms.base import generate

    for _, view, seeing_s in counted(viewed(vlm, paths), "describing", len(paths)):
        started = time.monotonic()
        text = generate(vlm, view)
        yield text, seeing_s + time.monotonic() - started


def eval_vqa(folder: Path, limit: int | None = None, json_path: Path | None = None, every: int = 1, vlm: str = "pocket") -> dict[str, Any]:
    """Answers to qa.jsonl: exact matches of words, and soft ones (F1 of words). `every` takes only each n-th photo (those that
    training left out). Errors: CantMeasure with a sentence about the folder."""
    asked = asked_photos(folder, limit, every)
    figures = answer_figures(asked, _load_vlm(vlm))
    show(f"answers to {len(asked)} questions", figures["vqa"])
    write_json(figures, json_path)
    return figures


def answer_figures(asked: Sequence[AskedPhoto], vlm: Vlm) -> dict[str, Any]:
    """{"vqa": {"exact", "soft", "exact_<kind>", "questions_<kind>"}, "questions", "vlm"}."""
    from .answer_scores import answer_scores
    from .vlms.base import generate

    questions: dict[Path, list[AskedPhoto]] = {}
    for one in asked:
        questions.setdefault(one.path, []).append(one)
    said: dict[AskedPhoto, str] = {}
    for path, view, _ in counted(viewed(vlm, list(questions)), "answering", len(questions)):
        said |= {one: generate(vlm, view, plain_question(one.question)) for one in questions[path]}
    scores = answer_scores([a.question for a in said], list(said.values()), [a.answer for a in said])
    return {"vqa": scores, "questions": len(asked), "vlm": vlm.fingerprint}


def plain_question(text: str) -> str:
    """As a member would ask it: sets say "in the image10"."""
    text = re.sub(r"\b(the )?image ?\d+\b", "the photo", " ".join(text.split())).rstrip("? ")
    return f"{text[:1].upper()}{text[1:]}?"


def eval_concepts(
    folder: Path,
    plan: Plan | None = None,
    recognition_only: bool = False,
    json_path: Path | None = None,
    html_path: Path | None = None,
    vlm: str = "pocket",
    encoder: str = "embedded",
    *,
    looking: Looking,
) -> dict[str, Any]:
    """Teaches everybody in a folder and describes the held photos; prints, writes JSON and the HTML report. `looking` holds heads
    against each other on a photo, surest first (the store knows how). Errors: CantMeasure with a sentence about folder or method."""
    from .comparison import show_comparison
    from .concept_evaluation import Plan, concept_figures, matched_by, recognition_figures, report_of
    from .engine import load_engine
    from .methods import method_named
    from .recognition.negatives import encoder_with_bank

    plan, look = plan or Plan(), matched_by(looking)
    for name in plan.methods:
        method_named(name)  # before models are loaded
    if recognition_only:
        encoders = [_loaded(partial(encoder_with_bank, name)) for name in encoders_for(folder, encoder)]
        figures = recognition_figures(encoders, folder, look, plan)
    else:
        engine = _loaded(lambda device: load_engine(vlm, encoders_for(folder, encoder), device))
        figures, trials, rows = concept_figures(engine, folder, look, plan)
        write_report(report_of(folder, figures, trials[0]), html_path or Path(REPORT))
        if len(rows) > 1:
            show_comparison(rows)
    for title in ("recognition", "captions", "seconds", "wrong_references"):
        if title in figures:
            show(title, figures[title])
    for size, found in figures.get("composites", {}).items():
        show(f"photos of {size} together", found)
    write_json(figures, json_path)
    return figures


def eval_recognition(
    folder: Path,
    seeds: int = 1,
    scopes: str | None = None,
    corrections: int = 0,
    json_path: Path | None = None,
    encoder: str = "embedded",
    *,
    looking: Looking,
) -> dict[str, Any]:
    """How true the heads' scores are, what more concepts cost and what corrections mend; prints and writes JSON. Errors: CantMeasure."""
    from .concept_evaluation import matched_by
    from .recognition.negatives import encoder_with_bank
    from .recognition_trials import recognition_trials

    sizes = numbers(scopes) if scopes else []
    eyes = _loaded(partial(encoder_with_bank, encoder))
    found = recognition_trials(eyes, folder, matched_by(looking), seeds=seeds, scopes=sizes, corrections=corrections, counted=counted)
    show("recognition", found["recognition"])
    for title in ("reliability", "scopes", "corrections"):
        for part, figures in found.get(title, {}).items():
            show(f"{title}: {part}", figures)
    write_json(found, json_path)
    return found


def eval_compare(files: Sequence[Path], json_path: Path | None = None) -> dict[str, Any]:
    """One table of what several runs of eval_concepts wrote; prints and writes JSON. Errors: CantMeasure."""
    from .comparison import as_json, show_comparison, united

    try:
        rows = united(files)
    except ValueError as error:
        raise CantMeasure(str(error)) from error
    show_comparison(rows)
    found: dict[str, Any] = {"comparison": as_json(rows)}
    write_json(found, json_path)
    return found


def encoders_for(folder: Path, encoder: str = "embedded") -> list[str]:
    """Names of the encoders that see what is in the set: faces only where people are, regions only where anything else is.
    Errors: CantMeasure."""
    kinds = kinds_in(folder)
    return [*([encoder] if kinds - {"person"} else []), *([FACES] if "person" in kinds else [])]


def numbers(text: str) -> list[int]:
    """ "1,2,4". Errors: CantMeasure."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = [0]
    if min(found) < 1:
        raise CantMeasure(f"{text!r} isn't a list of numbers. Write one like 4, or several like 1,2,4.")
    return found


def plan_of(
    methods: str = "myvlm",
    shots: str | None = None,
    seeds: int = 1,
    limit: int | None = None,
    composites: str | None = None,
    wrong: int = 0,
    first_seed: int = 0,
) -> Plan:
    """From what was typed. Errors: CantMeasure."""
    from .concept_evaluation import Plan
    from .engine import MAX_CONCEPTS

    sizes = numbers(composites) if composites else []
    if any(not 2 <= size <= MAX_CONCEPTS for size in sizes):
        raise CantMeasure(f"Photos can be put together from 2 to {MAX_CONCEPTS} subjects, not from {composites}.")
    return Plan([m.strip() for m in methods.split(",")], numbers(shots) if shots else [None], seeds, limit, sizes, wrong, first_seed)


def viewed(vlm: Vlm, paths: Sequence[Path]) -> Iterator[tuple[Path, View, float]]:
    """Every photo after the vision tower, a few at once, with its share of the seconds that took."""
    for start in range(0, len(paths), BATCH):
        some = paths[start : start + BATCH]
        started = time.monotonic()
        views = vlm.views([open_photo(p) for p in some])
        each_s = (time.monotonic() - started) / len(some)
        yield from ((path, view, each_s) for path, view in zip(some, views, strict=True))


def open_photo(path: Path) -> Image.Image:
    """Errors: CantMeasure naming the file."""
    from .errors import NotAPicture
    from .photo import read_photo

    try:
        return read_photo(path.read_bytes())
    except NotAPicture as error:
        raise CantMeasure(f"{path} can't be read as a picture. Take it out of the folder or replace it.") from error


def _load_vlm(name: str) -> Vlm:
    from .vlms.base import load_vlm

    return _loaded(lambda device: load_vlm(name, device))


def _loaded(load: Callable[[str], T]) -> T:
    """A model on what the machine has. Errors: CantMeasure where it isn't known, isn't installed or can't be read."""
    from safetensors import SafetensorError
    from transformers.utils.logging import disable_progress_bar

    from .devices import best_device
    from .pocket.weights import PocketMissing
    from .recognition.face_descriptor import FacesMissing
    from .recognition.negatives import NoBank

    disable_progress_bar()
    try:
        return load(best_device())
    except (ValueError, PocketMissing, FacesMissing, NoBank) as error:
        raise CantMeasure(str(error)) from error
    except (OSError, SafetensorError) as error:
        raise CantMeasure(f"A file of the model can't be read ({error}). Install it again, or copy it there once more.") from error

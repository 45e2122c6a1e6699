"""`myvlm eval concepts` put together: seeds, enrolment, teaching, describing, and the means over seeds.

What recognition measures is in recognition_eval.py, one seed's teaching in concept_trial.py, the counting in caption_scores.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from .caption_scores import Said, caption_scores
from .concept_trial import Enrolled, Learned, Look, Match, Photo, describe, enrolled, learn
from .display_names import display_names
from .engine import Engine
from .figures import counted
from .messages import Box, Head, Sight
from .photo_sets import PhotoSet, read_photo_set, split
from .recognition.encoders import Encoder
from .recognition_eval import FIGURES, Enrolment, MakeLook, Seen, SightCache, all_photos, evaluate_recognition, figures_of, run_seed
from .report import Report, TaughtConcept
from .text_metrics import similarities


@dataclass(frozen=True)
class Trial:
    """What one seed gave."""

    concepts: Mapping[str, Enrolled]
    learned: Mapping[str, Learned]
    said: Sequence[Said]
    recognition: Mapping[str, float]
    captions: Mapping[str, float]


def matched_by(looking: Callable[[Mapping[str, Head]], Callable[[Sequence[Sight]], Iterable[tuple[str, float, Box | None]]]]) -> MakeLook:
    """The same with every tuple a Match."""

    def make_look(heads: Mapping[str, Head]) -> Look:
        look = looking(heads)
        return lambda sights: [Match(*found) for found in look(sights)]

    return make_look


def recognition_figures(
    encoder: Encoder, folder: Path, make_look: MakeLook, shots: int | None, seeds: int, limit: int | None
) -> dict[str, Any]:
    """{"recognition": …, "seconds": {"fit_p50"}, "photos"}: heads only, no VLM."""
    found = evaluate_recognition(folder, make_look, encoder, shots, seeds, limit, counted)
    shares = {name: value for name, value in found.items() if name not in ("fit_p50", "photos")}
    return {"recognition": shares, "seconds": {"fit_p50": found["fit_p50"]}, "photos": found["photos"]}


def concept_figures(
    engine: Engine, folder: Path, make_look: MakeLook, shots: int | None, seeds: int, limit: int | None, method: str
) -> tuple[dict[str, Any], list[Trial]]:
    """{"recognition", "captions", "seconds", "per_seed", …} and what each seed gave. Errors: CantMeasure."""
    found = read_photo_set(folder)
    sights = SightCache(engine.parts.encoders[0])
    sights.fill(counted(paths := all_photos(found), "seeing", len(paths)))
    trials = [trial(engine, folder, found, sights, make_look, shots, seed, limit, method) for seed in range(seeds)]
    return summed_up(trials) | {"vlm": engine.vlm_fingerprint, "encoders": list(engine.encoders), "method": method}, trials


def trial(
    engine: Engine,
    folder: Path,
    found: PhotoSet,
    sights: SightCache,
    make_look: MakeLook,
    shots: int | None,
    seed: int,
    limit: int | None,
    method: str,
) -> Trial:
    """One seed: heads for everybody, embeddings for those who are met, captions."""
    seen, enrolment = run_seed(found, sights, make_look, shots, seed, limit)
    concepts = called(engine, found, enrolment, shots, seed)
    photos = described_photos(folder, seen)
    met = [name for name in concepts if method == "myvlm" and any(name == s.photo.subject or name in s.fired for s in seen)]
    learned = {name: learn(engine, concepts[name], seed) for name in counted(met, f"teaching, seed {seed}", len(met))}
    look = make_look(enrolment.heads)
    said = list(counted(describe(engine, look, concepts, learned, photos), f"describing, seed {seed}", len(photos)))
    names = {name: c.called for name, c in concepts.items()}
    return Trial(concepts, learned, said, figures_of(seen, list(names)), caption_scores(said, names, similarities))


def called(engine: Engine, found: PhotoSet, enrolment: Enrolment, shots: int | None, seed: int) -> dict[str, Enrolled]:
    """Everybody with a name that is neither the folder's nor the noun's."""
    subjects = found.subjects
    avoid = [word for s in subjects for word in (s.name, s.class_noun or "")]
    names = display_names([s.kind for s in subjects], avoid, seed)
    return {
        s.name: enrolled(engine, split(s, shots, seed), name, enrolment.boxes[s.name], fit_s)
        for s, name, fit_s in zip(subjects, names, enrolment.fit_s, strict=True)
    }


def described_photos(folder: Path, seen: Sequence[Seen]) -> list[Photo]:
    """Photos with a subject, and those of nobody on which a head fired: on the others no name can be said."""
    return [Photo(str(s.photo.path.relative_to(folder)), s.photo.path, s.photo.subject) for s in seen if s.photo.subject or s.fired]


def summed_up(trials: Sequence[Trial]) -> dict[str, Any]:
    """Means over seeds, medians of seconds over everything, and every seed's own figures."""
    usable = [c.usable_s for t in trials for c in t.concepts.values()]
    learned = [t.concepts[name].usable_s + e.seconds for t in trials for name, e in t.learned.items()]
    seconds = {
        "usable_p50": median(usable),
        "learned_p50": middle(learned),
        "describe_p50": middle([s.seconds for t in trials for s in t.said]),
    }
    return {
        "recognition": {name: fmean(t.recognition[name] for t in trials) for name in (*FIGURES, "any_name_negatives")},
        "captions": {name: fmean(t.captions[name] for t in trials) for name in trials[0].captions},
        "seconds": seconds,
        "per_seed": [{"recognition": dict(t.recognition), "captions": dict(t.captions)} for t in trials],
        "described": sum(len(t.said) for t in trials),
    }


def middle(values: Sequence[float]) -> float:
    """The median; 0 of nothing."""
    return median(values) if values else 0.0


def report_of(folder: Path, figures: Mapping[str, Any], shown: Trial) -> Report:
    """The report of one seed with the figures of all."""
    facts = {"seeds": str(len(figures["per_seed"])), "method": figures["method"], "model": figures["vlm"], "shown": "the first seed"}
    tables = {title: figures[title] for title in ("recognition", "captions", "seconds")}
    concepts = [_taught(c, shown.learned.get(name)) for name, c in shown.concepts.items()]
    return Report(f"Concepts of {folder.name}", facts, tables, concepts, shown.said, folder)


def _taught(concept: Enrolled, learned: Learned | None) -> TaughtConcept:
    learned_s = concept.usable_s + learned.seconds if learned else None
    part = concept.split
    return TaughtConcept(part.subject.name, concept.called, part.taught, concept.usable_s, learned_s, learned.sample if learned else None)

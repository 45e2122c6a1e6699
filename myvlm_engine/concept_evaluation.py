"""`myvlm eval concepts` put together: seeds, enrolment, teaching, describing, and the means over seeds.

What recognition measures is in recognition_eval.py, one seed's teaching in concept_trial.py, the counting in caption_scores.py, the
methods in methods.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from .caption_scores import Said, caption_scores, names_in
from .comparison import OF_SEVERAL, Row, as_json, row
from .composites import Composite, Found, composite_scores, grouped
from .concept_trial import (
    Enrolled,
    Learned,
    Look,
    Looking,
    Match,
    Matches,
    Photo,
    answer_request,
    by_heads,
    describe,
    enrolled,
    handed_in,
    learn,
    looked_at,
    those_fired,
)
from .display_names import display_names
from .engine import Engine, sight_of, sights_closer
from .figures import counted, note
from .messages import Head
from .methods import METHODS, Method, engine_for, method_named
from .photo_sets import PhotoSet, kinds_in, read_photo_set, split
from .recognition.encoders import Encoder
from .recognition_eval import Enrolment, MakeLook, Seen, Sights, all_photos, evaluate_recognition, figures_of, means, run_seed
from .remembering import Memory, remembering
from .report import Report, TaughtConcept
from .text_metrics import similarities
from .wrong_reference import wrong_references


@dataclass(frozen=True)
class Plan:
    """What is measured: every method with every number of shots, `seeds` times from `first_seed` on. The first of both is what the
    figures, the report and wrong references are of."""

    methods: Sequence[str] = ("myvlm",)
    shots: Sequence[int | None] = (None,)
    seeds: int = 1
    limit: int | None = None  # photos a seed
    composites: Sequence[int] = ()  # subjects in one photo; of methods with heads
    wrong_references: int = 0  # answers
    first_seed: int = 0

    @property
    def seed_numbers(self) -> range:
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def runs(self) -> list[tuple[str, int | None]]:
        return [(method, shots) for method in self.methods for shots in self.shots]


@dataclass(frozen=True)
class Ground:
    """What all trials share."""

    engine: Engine
    folder: Path
    found: PhotoSet
    sights: Sights
    make_look: MakeLook


@dataclass(frozen=True)
class Trial:
    """What one seed of one method gave."""

    engine: Engine  # that works by the method
    look: Look
    concepts: Mapping[str, Enrolled]
    learned: Mapping[str, Learned]
    photos: Sequence[Photo]  # the described ones
    said: Sequence[Said]
    recognition: Mapping[str, float]
    captions: Mapping[str, float]
    composites: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # "2" -> figures

    @property
    def compared(self) -> dict[str, float]:
        return {**self.captions, **{OF_SEVERAL + size: figures["name_f1"] for size, figures in self.composites.items()}}


def matched_by(looking: Looking) -> MakeLook:
    """The same with every tuple a Match."""

    def make_look(heads: Mapping[str, Head]) -> Look:
        look = looking(heads)
        return lambda sights, closer=None: [Match(*found) for found in look(sights, closer)]

    return make_look


def recognition_figures(encoders: Sequence[Encoder], folder: Path, make_look: MakeLook, plan: Plan = Plan()) -> dict[str, Any]:
    """{"recognition": …, "seconds": {"fit_p50"}, "photos", "composites"}: heads only, no VLM."""
    sights = Sights(encoders, kinds_in(folder))
    found = evaluate_recognition(folder, make_look, sights, plan.shots[0], plan.seed_numbers, plan.limit, counted)
    shares = {name: value for name, value in found.items() if name not in ("fit_p50", "photos")}
    figures = {"recognition": shares, "seconds": {"fit_p50": found["fit_p50"]}, "photos": found["photos"]}
    return figures | (composites_seen(encoders, folder, sights, make_look, plan) if plan.composites else {})


def composites_seen(encoders: Sequence[Encoder], folder: Path, sights: Sights, make_look: MakeLook, plan: Plan) -> dict[str, Any]:
    """{"composites": {"2": …}} by heads alone: who fires counts as named."""
    found = read_photo_set(folder)
    per_seed: dict[str, list[dict[str, float]]] = {str(size): [] for size in plan.composites}
    for seed in plan.seed_numbers:
        seen, enrolment = run_seed(found, sights, make_look, plan.shots[0], seed, plan.limit)
        look, photos = make_look(enrolment.heads), [(s.photo.subject, s.photo.path) for s in seen if s.photo.subject]
        for size in plan.composites:
            made = grouped(photos, size, seed, plan.limit)
            told = counted((fired_on(encoders, look, one) for one in made), f"looking at photos of {size}", len(made))
            per_seed[str(size)].append(composite_scores(list(told)))
    return {"composites": {size: means(some) for size, some in per_seed.items()}}


def fired_on(encoders: Sequence[Encoder], look: Look, one: Composite) -> Found:
    image = one.image
    found = look([sight_of(e, image) for e in encoders], partial(sights_closer, encoders, image))
    fired = frozenset(m.subject for m in those_fired(found))
    return Found(frozenset(one.subjects), fired, fired)


def concept_figures(
    engine: Engine, folder: Path, make_look: MakeLook, plan: Plan = Plan()
) -> tuple[dict[str, Any], list[Trial], list[Row]]:
    """{"recognition", "captions", "seconds", "per_seed", …} of the plan's first run, what each of its seeds gave, the comparison of all.
    Errors: CantMeasure."""
    for name in plan.methods:
        engine_for(engine, method_named(name))  # what can't be done is told before anything is
    found = read_photo_set(folder)
    sights = Sights(engine.parts.encoders, (subject.kind for subject in found.subjects))
    sights.fill(counted(paths := all_photos(found), "seeing", len(paths)))
    made: dict[tuple[str, int | None], list[Trial]] = {run: [] for run in plan.runs}
    for seed in plan.seed_numbers:
        shared = Shared(Memory() if len(plan.runs) > 1 else None)
        for method, shots in plan.runs:
            ground = Ground(shared.engine(engine, METHODS[method]), folder, found, sights, make_look)
            made[method, shots].append(trial(ground, method, shots, seed, plan.limit, plan.composites, shared))
    trials = made[plan.runs[0]]
    rows = [row(*run, {seed: t.compared for seed, t in zip(plan.seed_numbers, some, strict=True)}) for run, some in made.items()]
    told = {"vlm": engine.vlm_fingerprint, "encoders": list(engine.encoders), "method": plan.methods[0], "comparison": as_json(rows)}
    return summed_up(trials) | mistakes(trials[0], plan.wrong_references, plan.first_seed) | told, trials, rows


class Known(NamedTuple):
    """Everybody of one seed, before anything is learned or said."""

    seen: list[Seen]
    enrolment: Enrolment
    concepts: dict[str, Enrolled]


@dataclass
class Shared:
    """What the methods of one seed have in common."""

    memory: Memory | None  # None: one method alone, whose seconds are to be a member's
    learned: dict[tuple[object, ...], dict[str, Learned]] = field(default_factory=dict)  # by how it is learned
    known: dict[int | None, Known] = field(default_factory=dict)  # by photos taught

    def engine(self, engine: Engine, method: Method) -> Engine:
        """One that works by the method, and sees every view and hears the base model only once for all of them."""
        made = engine_for(engine, method)
        return made if self.memory is None else Engine(replace(made.parts, vlm=remembering(made.parts.vlm, self.memory)))

    def knows(self, ground: Ground, shots: int | None, seed: int, limit: int | None) -> Known:
        """Who is recognised where and called what: no method changes that."""
        if shots not in self.known:
            seen, enrolment = run_seed(ground.found, ground.sights, ground.make_look, shots, seed, limit)
            self.known[shots] = Known(seen, enrolment, called(ground.engine, ground.found, enrolment, shots, seed))
        return self.known[shots]

    def by(self, method: Method, shots: int | None) -> dict[str, Learned]:
        """Embeddings of earlier methods that learn in the same way, from as many photos."""
        return self.learned.setdefault((shots, method.norm_matching, *sorted(method.training.items())), {})


def trial(
    ground: Ground, name: str, shots: int | None, seed: int, limit: int | None, composites: Sequence[int], shared: Shared
) -> Trial:
    """One seed: heads for everybody, embeddings for those who are met, captions."""
    engine, method, title = ground.engine, METHODS[name], f"{name}, seed {seed}"
    seen, enrolment, concepts = shared.knows(ground, shots, seed, limit)
    met = [name for name in concepts if any(name == s.photo.subject or name in s.fired for s in seen)] if method.learns else []
    learned = shared.by(method, shots) if method.learns else {}
    new = [name for name in met if name not in learned]
    learned |= {name: learn(engine, concepts[name], seed) for name in counted(new, f"teaching, {title}", len(new))}
    look = ground.make_look(enrolment.heads)
    photos = described_photos(ground.folder, seen, everybody=not method.heads)
    matches = finder(engine, method, look, concepts, learned, seed)
    said = list(counted(describe(engine, matches, concepts, learned, photos), f"describing, {title}", len(photos)))
    names = {name: c.called for name, c in concepts.items()}
    captions = caption_scores(said, names, similarities)
    note(title, captions)
    done = Trial(engine, look, concepts, learned, photos, said, figures_of(seen, list(names)), captions)
    sizes = composites if method.heads and not method.clip else ()  # without heads embeddings are handed in photo by photo
    return replace(done, composites={str(size): composite_figures(done, size, seed, limit) for size in sizes})


def finder(
    engine: Engine, method: Method, look: Look, concepts: Mapping[str, Enrolled], learned: Mapping[str, Learned], seed: int
) -> Matches:
    """Who decides who is in a photo."""
    if method.clip:
        from .clip_text import by_words, load_clip

        return by_words(load_clip(), concepts)
    return by_heads(engine, look) if method.heads else handed_in(learned, seed)


def composite_figures(done: Trial, size: int, seed: int, limit: int | None) -> dict[str, float]:
    """Photos of `size` subjects, made from the described ones."""
    made = grouped([(p.subject, p.path) for p in done.photos if p.subject], size, seed, limit)
    told = counted((found_on(done, one) for one in made), f"describing photos of {size}", len(made))
    return composite_scores(list(told))


def found_on(done: Trial, one: Composite) -> Found:
    data = one.data
    fired = those_fired(looked_at(done.engine, done.look, data))
    text = done.engine.answer(answer_request(data, fired, done.concepts, done.learned)).text
    names = {c.called.name: subject for subject, c in done.concepts.items()}
    return Found(frozenset(one.subjects), frozenset(m.subject for m in fired), frozenset(names[n] for n in names_in(text, names)))


def mistakes(done: Trial, answers: int, seed: int) -> dict[str, Any]:
    """{"wrong_references": {"answers", "named"}} of so many answers with embeddings where they don't belong; {} of none."""
    if not answers:
        return {}
    tried = wrong_references(done.engine, done.concepts, done.learned, done.photos, answers, seed)
    said = list(counted(tried, "wrong references", answers))
    return {"wrong_references": {"answers": answers, "named": sum(name is not None for name in said)}}


def called(engine: Engine, found: PhotoSet, enrolment: Enrolment, shots: int | None, seed: int) -> dict[str, Enrolled]:
    """Everybody with a name that is neither the folder's nor the noun's."""
    subjects = found.subjects
    avoid = [word for s in subjects for word in (s.name, s.class_noun or "")]
    names = display_names([s.kind for s in subjects], avoid, seed)
    return {
        s.name: enrolled(engine, split(s, shots, seed), name, enrolment.boxes[s.name], fit_s)
        for s, name, fit_s in zip(subjects, names, enrolment.fit_s, strict=True)
    }


def described_photos(folder: Path, seen: Sequence[Seen], everybody: bool = False) -> list[Photo]:
    """Photos with a subject, and those of nobody on which a head fired: on the others no name can be said, unless `everybody` may be."""
    chosen = [s for s in seen if s.photo.subject or s.fired or everybody]
    return [Photo(str(s.photo.path.relative_to(folder)), s.photo.path, s.photo.subject) for s in chosen]


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
        "recognition": means([t.recognition for t in trials]),
        "captions": means([t.captions for t in trials]),
        "seconds": seconds,
        **composite_means(trials),
        "per_seed": [{"recognition": dict(t.recognition), "captions": dict(t.captions)} for t in trials],
        "described": sum(len(t.said) for t in trials),
    }


def composite_means(trials: Sequence[Trial]) -> dict[str, Any]:
    """{"composites": {"2": …}}, means over seeds; {} where none were asked for."""
    found = {size: means([t.composites[size] for t in trials]) for size in trials[0].composites}
    return {"composites": found} if found else {}


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

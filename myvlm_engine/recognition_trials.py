"""`myvlm eval recognition`: how true the heads' scores are, what more concepts in scope cost, and what corrections mend.

The six figures and the enrolment are recognition_eval's. Knows no set by name, no VLM and no caption.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageEnhance, ImageOps

from .concept_trial import FIRES_AT, Closer, Look, Match
from .engine import sight_of, sights_closer
from .messages import FitRequest, Head, Sight, pack
from .photo_sets import CantMeasure, PhotoSet, read_photo_set
from .recognition.encoders import Encoder
from .recognition.fitting import fit_head
from .recognition.heads import standardised
from .recognition.negatives import Bank, load_bank, read_photo
from .recognition.windows import Box
from .recognition_eval import Enrolment, Evaluated, MakeLook, Seen, Sights, all_photos, figures_of, looked_at, means, run_seed

BINS = ((0.1, 0.25), (0.25, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 1.0))  # of scores; the last one includes 1
AT_ONCE = 100  # distractors held against the bank at a time
TIMED = 20  # photos
DARKER = 0.8  # of the augmented copy of a corrected photo, which is mirrored too


@dataclass(frozen=True)
class Answer:
    """What a member says of one head on one photo."""

    photo: Evaluated
    name: str
    present: bool


def recognition_trials(
    encoder: Encoder,
    folder: Path,
    make_look: MakeLook,
    shots: int | None = None,
    seeds: int = 1,
    scopes: Sequence[int] = (),
    corrections: int = 0,
    counted: Callable[[Iterable[Path], str, int], Iterable[Path]] = lambda items, title, total: items,
) -> dict[str, Any]:
    """{"recognition": the six figures, "reliability": {"0.6-0.8": {"right", "scores"}}, "scopes": {"10": figures}, "corrections": {…}},
    each the mean over seeds (reliability: over all seeds' scores). Errors: CantMeasure."""
    found = read_photo_set(folder)
    if any(subject.kind == "person" for subject in found.subjects):
        raise CantMeasure(f"{folder} holds people. This measures pets and things; `myvlm eval concepts` measures people too.")
    sights = Sights([encoder], (subject.kind for subject in found.subjects))
    sights.fill(counted(paths := all_photos(found), "seeing", len(paths)))
    trials = [run_seed(found, sights, make_look, shots, seed, None) for seed in range(seeds)]
    names = [s.name for s in found.subjects]
    figures: dict[str, Any] = {
        "recognition": means([figures_of(seen, names) for seen, _ in trials]),
        "reliability": reliability([s for seen, _ in trials for s in seen]),
    }
    if scopes:
        per_seed = [curve(found, sights, make_look, seen, enrolment, scopes, load_bank(encoder.fingerprint)) for seen, enrolment in trials]
        figures["scopes"] = {size: means([each[size] for each in per_seed]) for size in per_seed[0]}
    if corrections:
        given = [corrected(Ground(names, sights, make_look, encoder), *trial, corrections, seed) for seed, trial in enumerate(trials)]
        figures["corrections"] = {part: means([each[part] for each in given]) for part in given[0]}
    return figures


# -- how true scores are
def reliability(seen: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """Per bin of scores: the share of (photo, concept) pairs with such a score whose concept is in the photo, and how many they are.
    Empty bins are left out."""
    told = lambda s: {s.photo.subject, *s.photo.negative_of}
    scored = [(score, name == s.photo.subject) for s in seen for name, score in s.scores.items() if name in told(s)]
    bins: dict[str, dict[str, float]] = {}
    for low, high in BINS:
        right = [is_right for score, is_right in scored if low <= score < high or score == high == 1.0]
        if right:
            bins[f"{low}-{high}"] = {"right": statistics.fmean(right), "scores": float(len(right))}
    return bins


# -- more concepts in scope
def curve(
    found: PhotoSet, sights: Sights, make_look: MakeLook, seen: Sequence[Seen], enrolment: Enrolment, scopes: Sequence[int], bank: Bank
) -> dict[str, dict[str, float]]:
    """The six figures with so many concepts enrolled: the first subjects, then distractors. With "match_ms" of processor a photo."""
    names = [s.name for s in found.subjects]
    strangers = distractors(bank, max(0, max(scopes) - len(names)), list(enrolment.heads.values()))
    return {str(size): _scope_of(size, names, strangers, sights, make_look, seen, enrolment) for size in scopes}


def _scope_of(
    size: int,
    names: Sequence[str],
    strangers: Mapping[str, Head],
    sights: Sights,
    make_look: MakeLook,
    seen: Sequence[Seen],
    enrolment: Enrolment,
) -> dict[str, float]:
    ours = list(names[:size])
    others = dict(list(strangers.items())[: max(0, size - len(ours))])
    look = make_look({**{name: enrolment.heads[name] for name in ours}, **others})
    photos = [p for s in seen if (p := s.photo).subject in (None, *ours)]
    everybody = frozenset({*ours, *others})
    again = looked_at([replace(p, negative_of=everybody - {p.subject}) for p in photos], sights, look)
    started = time.process_time()
    looked_at(photos[:TIMED], sights, look)  # once more: by now all has been seen, closer looks too
    per_photo_ms = 1000 * (time.process_time() - started) / max(1, len(photos[:TIMED]))
    return {**figures_of(again, ours), "match_ms": per_photo_ms}


def distractors(bank: Bank, count: int, like: Sequence[Head]) -> dict[str, Head]:
    """Heads of things that are in none of the photos: each looks for neighbouring regions of a bank photo, for as many and as strictly as
    the heads `like` do."""
    rows = np.linspace(0, len(bank.vectors) - 1, count).astype(int)
    heads: dict[str, Head] = {}
    for start in range(0, count, AT_ONCE):
        real = [like[number % len(like)] for number in range(start, min(start + AT_ONCE, count))]
        groups = [bank.vectors[row : row + len(head.biases)] for row, head in zip(rows[start:], real, strict=False)]
        for number, (scorer, head) in enumerate(zip(standardised(groups, bank), real, strict=True), start):
            parts = {"vectors": pack(scorer.vectors, "float32"), "biases": scorer.biases.tolist()}
            heads[f"distractor {number}"] = head.model_copy(update=parts)
    return heads


# -- corrections
@dataclass(frozen=True, eq=False)
class Ground:
    """What all questions about corrections share."""

    names: Sequence[str]
    sights: Sights
    make_look: MakeLook
    encoder: Encoder

    def right(self, heads: Mapping[str, Head], answers: Sequence[Answer], copies: bool = False) -> float:
        """The share of answers that the heads agree with, on the photos or on mirrored and darker copies of them."""
        look, see = self.make_look(heads), self.copy_of if copies else self.photo_of
        return statistics.fmean(agrees(a, look(*see(a.photo.path))) for a in answers) if answers else 1.0

    def figures(self, heads: Mapping[str, Head], photos: Sequence[Evaluated]) -> dict[str, float]:
        return figures_of(looked_at(photos, self.sights, self.make_look(heads)), self.names)

    def photo_of(self, path: Path) -> tuple[list[Sight], Closer]:
        """What the encoder sees of it, and how it looks closer."""
        return self.sights.all_of(path), partial(self.sights.closer, path)

    def kept_of(self, path: Path, look: Look) -> list[Sight]:
        """What the bot keeps of a photo that somebody corrects: all that was seen of it when `look` answered it, places seen closer too."""
        (seen, closer), more = self.photo_of(path), []

        def noted(places: Sequence[Box]) -> list[Sight]:
            more.extend(found := closer(places))
            return found

        look(seen, noted)
        return [both(sight, other) if (other := of_encoder(sight.encoder, more)) else sight for sight in seen]

    def copy_of(self, path: Path) -> tuple[list[Sight], Closer]:
        """The same of the photo mirrored and darker."""
        copy = ImageEnhance.Brightness(ImageOps.mirror(read_photo(path))).enhance(DARKER)
        return [sight_of(self.encoder, copy)], partial(sights_closer, [self.encoder], copy)


def corrected(ground: Ground, seen: Sequence[Seen], enrolment: Enrolment, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Half of the photos are answered by a member: the `count` worst mistakes or closest calls among them. The other half tells whether
    anything else got worse, and what as many more taught photos would have given."""
    order = random.Random(seed).sample(range(len(seen)), len(seen))
    asked, rest = [seen[i] for i in order[::2]], [seen[i].photo for i in order[1::2]]
    answers = worst(asked, count)
    more = [Answer(s.photo, s.photo.subject, True) for s in asked if s.photo.subject is not None][:count]
    before, after = enrolment.heads, refitted(ground, enrolment, answers)
    taught = refitted(ground, enrolment, more, confirmed=False)
    return {
        "same_photos": {
            "right_before": ground.right(before, answers),
            "right": ground.right(after, answers),
            "augmented_right": ground.right(after, answers, copies=True),
        },
        "others_before": ground.figures(before, rest),
        "others_corrected": ground.figures(after, rest),
        "others_more_photos": ground.figures(taught, rest),
    }


def worst(asked: Sequence[Seen], count: int) -> list[Answer]:
    """Mistakes first, surest ones foremost, then the closest calls."""
    told = [(score, Answer(s.photo, name, name == s.photo.subject)) for s in asked for name, score in s.scores.items()]
    fair = [(1 - score if a.present else score, a) for score, a in told if a.present or a.name in a.photo.negative_of]
    return [answer for _, answer in sorted(fair, key=lambda pair: -pair[0])[:count]]


def refitted(ground: Ground, enrolment: Enrolment, answers: Sequence[Answer], confirmed: bool = True) -> dict[str, Head]:
    """All heads, those that something was said of fitted again. Not `confirmed`: photos of theirs are taught ones, seen once."""
    requests: dict[str, FitRequest] = {}
    look = ground.make_look(enrolment.heads)
    for answer in answers:
        request, path = requests.get(answer.name, enrolment.requests[answer.name]), answer.photo.path
        sights = ground.kept_of(path, look) if confirmed else ground.sights.all_of(path)
        if answer.present:
            said = request.confirmed + len(sights) * confirmed
            more: dict[str, Any] = {"positives": [*request.positives, *sights], "confirmed": said}
        else:
            more = {"corrections": [*request.corrections, *sights]}
        requests[answer.name] = request.model_copy(update=more)
    return {**enrolment.heads, **{name: fit_head(ground.encoder, request)[0] for name, request in requests.items()}}


def of_encoder(encoder: str, sights: Sequence[Sight]) -> Sight | None:
    return next((sight for sight in sights if sight.encoder == encoder), None)


def both(one: Sight, other: Sight) -> Sight:
    """Two sights of one photo by one encoder as one."""
    vectors = pack(np.vstack([one.array(), other.array()]))
    return Sight(encoder=one.encoder, width=one.width, vectors=vectors, boxes=[*one.boxes, *other.boxes])


def agrees(answer: Answer, matches: Sequence[Match]) -> bool:
    """Whether a head says of a photo what the member said."""
    return any(m.subject == answer.name and m.score >= FIRES_AT for m in matches) == answer.present

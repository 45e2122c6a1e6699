"""Recognition's part of `myvlm eval concepts`: every subject of a folder gets a head, all are enrolled at once, held photos are looked at.

How heads are held against each other on a photo is handed in (the store knows that). Knows no set by name, no VLM and no caption.
"""

from __future__ import annotations

import hashlib
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from .concept_trial import FIRES_AT, Look, Match
from .messages import FACES, Box, FitRequest, Head, Kind, Sight, overlap, pack
from .photo_sets import CantMeasure, PhotoSet, Split, read_photo_set, split
from .pocket.weights import cache_folder
from .recognition.afar import room_hash
from .recognition.encoders import Encoder
from .recognition.encoders import Seen as Seeing
from .recognition.face_descriptor import HOW_TO_INSTALL
from .recognition.fitting import fit_head
from .recognition.negatives import read_photo

MakeLook = Callable[[Mapping[str, Head]], Look]
NEIGHBOURS = 8  # the bot's: concepts that look most alike are each other's negatives
ASKS_AT = 0.25  # the bot's: from there on it asks "is this …?"
BALANCES = {"strict": 0.8, "eager": 0.4}  # the bot's on servers that chose another one: named from there on
FIGURES = ("recall", "precision", "macro_f1", "specificity", "rank1", "false_name_photos")


@dataclass(frozen=True)
class Evaluated:
    """A photo to look at."""

    path: Path
    subject: str | None  # who is in it; None: nobody of the set
    negative_of: frozenset[str]  # subjects it counts as a negative for
    box: Box | None = None  # where the subject is; None: nobody said


@dataclass(frozen=True)
class Seen:
    """What the enrolled heads said of one photo."""

    photo: Evaluated
    scores: dict[str, float]  # subject -> score
    box: Box | None = None  # where the photo's own subject was seen

    @property
    def fired(self) -> set[str]:
        return self.at_least(FIRES_AT)

    @property
    def asked(self) -> set[str]:
        return self.at_least(ASKS_AT) - self.fired

    @property
    def wrong(self) -> set[str]:
        return self.fired & self.photo.negative_of

    def at_least(self, score: float) -> set[str]:
        return {name for name, found in self.scores.items() if found >= score}


@dataclass(frozen=True)
class Enrolment:
    """All subjects' heads of one seed."""

    heads: dict[str, Head]
    boxes: dict[str, list[Box]]  # of the taught photos
    fit_s: list[float]
    requests: dict[str, FitRequest] = field(default_factory=dict)  # what the heads were fitted from


def evaluate_recognition(
    folder: Path,
    make_look: MakeLook,
    sights: Sights,
    shots: int | None = None,
    seeds: Sequence[int] = (0,),
    limit: int | None = None,
    counted: Callable[[Iterable[Path], str, int], Iterable[Path]] = lambda items, title, total: items,
) -> dict[str, float]:
    """The six figures of `myvlm eval concepts`, each the mean over seeds, with "any_name_negatives" (the share of negatives/ and random/
    with a name), "fit_p50" (s) and "photos" (a seed). Errors: CantMeasure with a sentence about the folder."""
    found = read_photo_set(folder)
    sights.fill(counted(paths := all_photos(found), "seeing", len(paths)))
    trials = [run_seed(found, sights, make_look, shots, seed, limit) for seed in seeds]
    per_seed = [figures_of(seen, [s.name for s in found.subjects]) for seen, _ in trials]
    return {
        **means(per_seed),
        "fit_p50": statistics.median(s for _, enrolment in trials for s in enrolment.fit_s),
        "photos": len(trials[0][0]),
    }


def run_seed(
    found: PhotoSet, sights: Sights, make_look: MakeLook, shots: int | None, seed: int, limit: int | None
) -> tuple[list[Seen], Enrolment]:
    """Teaches everybody, then looks at what was not taught (at most `limit` photos, drawn with the seed)."""
    splits = [split(subject, shots, seed) for subject in found.subjects]
    enrolment = enrol(splits, sights, make_look)
    photos = evaluated_photos(found, splits)
    if limit is not None and limit < len(photos):
        photos = random.Random(seed).sample(photos, limit)
    return looked_at(photos, sights, make_look(enrolment.heads)), enrolment


def looked_at(photos: Sequence[Evaluated], sights: Sights, look: Look) -> list[Seen]:
    """What the enrolled heads say of photos."""
    return [_seen(p, look(sights.all_of(p.path), partial(sights.closer, p.path))) for p in photos]


def _seen(photo: Evaluated, matches: Sequence[Match]) -> Seen:
    return Seen(photo, {m.subject: m.score for m in matches}, next((m.box for m in matches if m.subject == photo.subject), None))


def enrol(splits: Sequence[Split], sights: Sights, make_look: MakeLook) -> Enrolment:
    """As the bot does: a first head from the taught photos alone, then one that knows its nearest neighbours' photos as negatives."""
    kinds = {s.subject.name: s.subject.kind for s in splits}
    positives = {s.subject.name: [sights.of(path, s.subject.kind) for path in s.taught] for s in splits}
    afar = {s.subject.name: [one for path in s.taught if (one := sights.from_afar(path, s.subject.kind))] for s in splits}
    requests = {name: FitRequest(kind=kinds[name], positives=taught, afar=afar[name]) for name, taught in positives.items()}
    alone = {name: make_look({name: sights.fitted(request)[0]}) for name, request in requests.items()}  # not held against each other
    enrolment = Enrolment({}, {}, [])
    for name, request in requests.items():
        others = {other: look for other, look in alone.items() if other != name and sights.same_encoder(kinds[other], kinds[name])}
        alike = neighbours(positives[name], others)
        negatives = [sight for other in alike for sight in positives[other]]
        enrolment.requests[name] = request.model_copy(update={"negatives": negatives})
        started = time.monotonic()
        enrolment.heads[name], enrolment.boxes[name] = sights.fitted(enrolment.requests[name])
        enrolment.fit_s.append(time.monotonic() - started)
    return enrolment


def neighbours(taught: Sequence[Sight], others: Mapping[str, Look]) -> list[str]:
    """The other subjects whose heads score highest on these photos, each by itself, as the store finds them."""
    highest = {other: max((m.score for sight in taught for m in look([sight])), default=0.0) for other, look in others.items()}
    return sorted(highest, key=lambda other: -highest[other])[:NEIGHBOURS]


def all_photos(found: PhotoSet) -> list[Path]:
    groups = [*(photos for s in found.subjects for photos in (s.photos, s.teaching)), *found.lookalikes.values(), found.others]
    return [path for group in groups for path in group]


def evaluated_photos(found: PhotoSet, splits: Sequence[Split]) -> list[Evaluated]:
    """Held photos of subjects, which are negatives of all other subjects; negatives of one; negatives of all."""
    everybody = frozenset(s.name for s in found.subjects)
    held = [Evaluated(p, s.subject.name, everybody - {s.subject.name}, s.subject.boxes.get(p.name)) for s in splits for p in s.held]
    lookalikes = [Evaluated(p, None, frozenset({name})) for name, photos in found.lookalikes.items() for p in photos]
    return [*held, *lookalikes, *(Evaluated(p, None, everybody) for p in found.others)]


def figures_of(seen: Sequence[Seen], names: Sequence[str]) -> dict[str, float]:
    """FIGURES, "any_name_negatives", "wrong_name_subjects" (the share of subjects' photos with a wrong name), "asked" (whose own head is
    not sure) and "asked_wrong" (the share of all photos with a question about somebody who isn't in them) of one seed. Where the set says
    where those are that are named, also "where_iou" and "where_half": the mean overlap (intersection over union) of the box that is told
    with the true one, and the share with at least half. Other shares of nothing are 0. Of BALANCES, with their names behind them, the
    four that they change."""
    own = [s for s in seen if s.photo.subject is not None]
    hits = sum(s.photo.subject in s.fired for s in own)
    wrong = sum(len(s.wrong) for s in seen)
    nobody = [s for s in seen if s.photo.subject is None]
    told = [overlap(s.photo.box, s.box) for s in own if s.photo.box and s.box and s.photo.subject in s.fired]
    where = {"where_iou": statistics.fmean(told), "where_half": statistics.fmean(one >= 0.5 for one in told)} if told else {}
    met = [name for name in names if any(name == s.photo.subject or name in s.wrong for s in seen)]  # with a limit not all are
    return {
        "recall": _share(hits, len(own)),
        "precision": _share(hits, hits + wrong),
        "macro_f1": statistics.fmean(_f1(seen, name) for name in met) if met else 0.0,
        "specificity": 1 - _share(wrong, sum(len(s.photo.negative_of) for s in seen)),
        "rank1": _share(sum(max(s.scores, key=lambda n: s.scores[n], default=None) == s.photo.subject for s in own), len(own)),
        "false_name_photos": _share(sum(bool(s.wrong) for s in seen), len(seen)),
        "any_name_negatives": _share(sum(bool(s.wrong) for s in nobody), len(nobody)),
        "wrong_name_subjects": _share(sum(bool(s.wrong) for s in own), len(own)),
        "asked": _share(sum(s.photo.subject in s.asked for s in own), len(own)),
        "asked_wrong": _share(sum(bool(s.asked & s.photo.negative_of) for s in seen), len(seen)),
        **where,
        **{f"{figure}_{name}": share for name, at in BALANCES.items() for figure, share in _balanced(own, nobody, at).items()},
    }


def _balanced(own: Sequence[Seen], nobody: Sequence[Seen], named_from: float) -> dict[str, float]:
    wrong = lambda s: bool(s.at_least(named_from) & s.photo.negative_of)
    return {
        "recall": _share(sum(s.photo.subject in s.at_least(named_from) for s in own), len(own)),
        "asked": _share(sum(s.photo.subject in s.at_least(ASKS_AT) - s.at_least(named_from) for s in own), len(own)),
        "wrong_name_subjects": _share(sum(map(wrong, own)), len(own)),
        "any_name_negatives": _share(sum(map(wrong, nobody)), len(nobody)),
    }


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure over the seeds that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: statistics.fmean(row[name] for row in rows if name in row) for name in names}


def _f1(seen: Sequence[Seen], name: str) -> float:
    """F1 of one head over the photos with its subject and those that are its negatives."""
    right = sum(name in s.fired for s in seen if s.photo.subject == name)
    missed = sum(name not in s.fired for s in seen if s.photo.subject == name)
    return _share(2 * right, 2 * right + missed + sum(name in s.wrong for s in seen))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


class Sights:
    """What every encoder saw: faces for people, regions for the rest. Photos are seen by those that have a subject in the set."""

    def __init__(self, encoders: Sequence[Encoder], kinds: Iterable[Kind]):
        """Errors: CantMeasure where people are in the set and no encoder of faces is at hand, or only people and no other encoder."""
        self._caches = {kind: SightCache(encoder_of(kind, encoders)) for kind in sorted(set(kinds))}
        self._each = list({cache.encoder.fingerprint: cache for cache in self._caches.values()}.values())

    def fill(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self.all_of(path)

    def of(self, path: Path, kind: Kind) -> Sight:
        return self._caches[kind].of(path)

    def from_afar(self, path: Path, kind: Kind) -> Sight | None:
        """How a photo that teaches looks small in a room; None where the encoder can't tell."""
        return self._caches[kind].from_afar(path)

    def all_of(self, path: Path) -> list[Sight]:
        return [cache.of(path) for cache in self._each]

    def closer(self, path: Path, places: Sequence[Box]) -> list[Sight]:
        """These places of the photo, seen larger by the encoders that can."""
        return [sight for cache in self._each if (sight := cache.closer(path, places))]

    def fitted(self, request: FitRequest) -> tuple[Head, list[Box]]:
        return fit_head(self._caches[request.kind].encoder, request)

    def same_encoder(self, one: Kind, other: Kind) -> bool:
        return self._caches[one].encoder is self._caches[other].encoder


def encoder_of(kind: Kind, encoders: Sequence[Encoder]) -> Encoder:
    """Errors: CantMeasure."""
    for encoder in encoders:
        if encoder.fingerprint.startswith(FACES) == (kind == "person"):
            return encoder
    raise CantMeasure(f"Nothing here recognises the kind {kind!r}. {HOW_TO_INSTALL if kind == 'person' else ''}".rstrip())


class SightCache:
    """What one encoder saw, kept on disk by the photo's content and the encoder's fingerprint: each photo is encoded once."""

    def __init__(self, encoder: Encoder, folder: Path | None = None):
        self.encoder = encoder
        self.folder = (folder or cache_folder() / "sights") / encoder.fingerprint
        self._known: dict[tuple[Path, str], Sight] = {}

    def fill(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self.of(path)

    def of(self, path: Path) -> Sight:
        """Errors: CantMeasure naming a file that isn't a picture."""
        return self._of(path, self.encoder.see, "")

    def from_afar(self, path: Path) -> Sight | None:
        """How it looks small in a room; None where the encoder can't tell. Errors: CantMeasure."""
        see = getattr(self.encoder, "see_from_afar", None)
        return self._of(path, see, f"-afar-{room_hash()}") if see else None

    def closer(self, path: Path, places: Sequence[Box]) -> Sight | None:
        """These places of the photo, seen larger; None where the encoder can't look closer. Errors: CantMeasure."""
        see = getattr(self.encoder, "see_closer", None)
        key = hashlib.sha256(repr([tuple(place) for place in places]).encode()).hexdigest()[:16]
        return self._of(path, partial(see, places=places), f"-closer-{key}") if see else None

    def _of(self, path: Path, see: Callable[[Image.Image], Seeing], ending: str) -> Sight:
        if (path, ending) not in self._known:
            self._known[path, ending] = self._read(path, see, ending)
        return self._known[path, ending]

    def _read(self, path: Path, see: Callable[[Image.Image], Seeing], ending: str) -> Sight:
        kept = self.folder / f"{hashlib.sha256(path.read_bytes()).hexdigest()}{ending}.npz"
        if not kept.exists():
            self._keep(path, see, kept)
        with np.load(kept) as parts:
            vectors, boxes = parts["vectors"], parts["boxes"]
        return Sight(
            encoder=self.encoder.fingerprint, width=self.encoder.width, vectors=pack(vectors), boxes=[tuple(b) for b in boxes.tolist()]
        )

    def _keep(self, path: Path, see: Callable[[Image.Image], Seeing], kept: Path) -> None:
        try:
            image = read_photo(path)
        except OSError as error:
            raise CantMeasure(f"{path} can't be read as a picture. Take it out of the folder or replace it.") from error
        vectors, boxes = see(image)
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = kept.with_suffix(f".{os.getpid()}.partial.npz")  # another process may see the same photo
        np.savez(begun, vectors=vectors, boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4))
        begun.rename(kept)

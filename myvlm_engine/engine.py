"""MyVLM step by step: see a photo, fit a concept's head, teach its concept embedding, answer with it.

Stateless: it keeps models and no photo, no concept. Plain functions for one thread; knows no HTTP, no store and no Discord.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .concept_embedding import ConceptEmbedding, Standing, read_embedding
from .devices import best_device
from .errors import BadRequest, NoPhotos, OtherEncoder, TooManyConcepts
from .messages import (
    FACES,
    AnswerReply,
    AnswerRequest,
    Base64,
    Box,
    FitReply,
    FitRequest,
    Kind,
    KnownConcept,
    LocateReply,
    LocateRequest,
    SeeReply,
    SeeRequest,
    Sight,
    TeachEvent,
    TeachRequest,
    pack,
)
from .photo import decode_photo

if TYPE_CHECKING:
    from PIL import Image

    from .personalise.training import Progress
    from .recognition.encoders import Encoder, Seen
    from .vlms.base import Vlm

MAX_CONCEPTS = 4  # in one answer: what naming was measured with
PLAIN_NOUNS: dict[Kind, str] = {"pet": "pet", "person": "person", "object": "thing"}
LESSONS = 4  # where a batch of several costs hardly more than one; a CPU is as slow for four as for one after another
EMBEDDING_EVERY_STEPS = 5  # a run that breaks off loses at most these steps; a few KB a vector, four times that with where learning stands


@dataclass(frozen=True)
class Parts:
    """What an engine is made of. Tests pass small ones in; `load_engine` makes the real ones."""

    vlm: Vlm
    encoders: Sequence[Encoder]
    fit_head: Callable[..., Any]  # as recognition.fitting.fit_head
    learn_concept: Callable[..., Iterator[Progress]]  # as personalise.training.learn_concept
    answer: Callable[..., Any]  # as personalise.naming.answer
    device: str = "cpu"
    dtype: str = "float32"
    lessons: int = 1  # concepts that learn at the same time, in one batch
    large_faces: Callable[[Image.Image], list[Box]] = lambda image: []  # as recognition.faces.large_faces


@dataclass(frozen=True, eq=False)
class FiredConcept:
    """A concept in a photo, for the answer: what it is called and what makes the VLM say it."""

    name: str
    class_noun: str
    kind: Kind
    embedding: np.ndarray | None  # (K, D) float32; None: not learned yet, the name takes the class noun's place
    box: Box | None


class Engine:
    """The five verbs over frozen parts. Not thread-safe: the service gives it one thread."""

    def __init__(self, parts: Parts):
        self.parts = parts
        self.encoders = {e.fingerprint: e for e in parts.encoders}

    @property
    def vlm_fingerprint(self) -> str:
        return self.parts.vlm.fingerprint

    # -- recognise
    def see(self, request: SeeRequest) -> SeeReply:
        """Region vectors of one photo, one pass per encoder (without `faces` none of faces); a second one where it teaches. Of `places`
        alone, where there are any, by encoders that can look closer. Errors: NotAPicture."""
        image = decode_photo(request.photo)
        if request.places:
            return SeeReply(sights=sights_closer(self.parts.encoders, image, request.places))
        hints = [hint for e in self.parts.encoders if (hint := e.noun_hint(image))]
        sights = [sight_of(e, image) for e in self.parts.encoders if request.faces or not e.fingerprint.startswith(FACES)]
        noun = hints[0] if hints else None
        if not request.taught:
            return SeeReply(sights=sights, noun=noun)
        afar = [sight for e in self.parts.encoders if (sight := sight_from_afar(e, image))]
        return SeeReply(sights=sights, noun=noun, afar=afar, faces=self.parts.large_faces(image))

    def fit(self, request: FitRequest) -> FitReply:
        """One concept's head from region vectors; the negatives are ours. Errors: NoPhotos, NoFace,
        SeveralFaces, PeopleOff, OtherEncoder."""
        started = time.monotonic()
        encoder = self._encoder_of(request)
        head, boxes = self.parts.fit_head(encoder, request)
        return FitReply(head=head, photo_boxes=boxes, seconds=time.monotonic() - started)

    def _encoder_of(self, request: FitRequest) -> Encoder:
        if not request.positives:
            raise NoPhotos()
        expected = request.positives[0].encoder
        if expected not in self.encoders:
            raise OtherEncoder(expected=", ".join(self.encoders), found=expected)
        for sight in (*request.positives, *request.afar, *request.negatives, *request.corrections):
            if sight.encoder != expected:
                raise OtherEncoder(expected=expected, found=sight.encoder)
            check_sight(sight, self.encoders[expected].width)
        return self.encoders[expected]

    # -- communicate
    def teach(self, request: TeachRequest) -> Iterator[TeachEvent]:
        """Learns a concept embedding: one event a step. Between two the caller may do other work, or stop for good.
        Errors, before the first event: NoPhotos, NotAPicture, BadRequest, OtherVlm."""
        if not request.photos:
            raise NoPhotos()
        photos = [decode_photo(p.photo) for p in request.photos]
        begun = self._embedding(request.resume) if request.resume else None
        return self._taught(request, photos, begun)

    def _taught(self, request: TeachRequest, photos: list[Image.Image], begun: ConceptEmbedding | None) -> Iterator[TeachEvent]:
        steps = self.parts.learn_concept(
            self.parts.vlm,
            photos,
            name=request.name,
            class_noun=noun_of(request),
            kind=request.kind,
            captions=[p.captions for p in request.photos],
            boxes=[p.box for p in request.photos],
            resume=begun.vectors if begun else None,
            standing=begun.standing if begun and is_of(begun, request) else None,
            seed=request.seed,
        )
        for progress in steps:
            yield self._event(request, progress)

    def _event(self, request: TeachRequest, progress: Progress) -> TeachEvent:
        done = progress.stage == "done"
        keep = progress.vector is not None and (done or progress.step % EMBEDDING_EVERY_STEPS == 0)
        return TeachEvent(
            stage=progress.stage,
            step=progress.step,
            of=progress.of,
            loss=progress.loss,
            sample=progress.sample,
            noun_seen=progress.noun_seen or not request.class_noun.strip(),
            embedding=self._bytes(request, progress.vector, None if done else progress.standing) if keep else None,
            vlm=self.vlm_fingerprint if keep else None,
        )

    # -- answer
    def answer(self, request: AnswerRequest) -> AnswerReply:
        """A caption, or the answer to a question, with the concepts that fired named.
        Errors: NotAPicture, TooManyConcepts, OtherVlm, BadRequest."""
        started = time.monotonic()
        if len(request.concepts) > MAX_CONCEPTS:
            raise TooManyConcepts(found=len(request.concepts), at_most=MAX_CONCEPTS)
        view = self.parts.vlm.views([decode_photo(request.photo)])[0]
        concepts = [self._fired(c) for c in request.concepts]
        text, base_text, named = self.parts.answer(self.parts.vlm, view, request.question, concepts, request.absent_names)
        return AnswerReply(text=text, base_text=base_text, named=named, seconds=time.monotonic() - started)

    def locate(self, request: LocateRequest) -> LocateReply:
        """Where the VLM itself sees things of a kind; nothing where it wasn't made for that. Errors: NotAPicture."""
        image = decode_photo(request.photo)
        if not self.grounds:
            return LocateReply(boxes=[])
        vlm: Any = self.parts.vlm
        return LocateReply(boxes=vlm.places(vlm.views([image])[0], request.class_noun))

    @property
    def grounds(self) -> bool:
        return getattr(self.parts.vlm, "grounds", False)

    def _fired(self, known: KnownConcept) -> FiredConcept:
        embedding = self._embedding(known.embedding).vectors if known.embedding else None
        return FiredConcept(known.name, noun_of(known), known.kind, embedding, known.box)

    # -- concept embeddings as they travel
    def _embedding(self, text: Base64) -> ConceptEmbedding:
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise BadRequest("embedding: not base64") from error
        return read_embedding(data, self.vlm_fingerprint, self.parts.vlm.width)

    def _bytes(self, request: TeachRequest, vectors: Any, standing: Standing | None) -> Base64:
        vectors = np.asarray(vectors, dtype=np.float32)
        learned = ConceptEmbedding(vectors, self.vlm_fingerprint, request.name, request.class_noun, standing)
        return base64.b64encode(learned.to_bytes()).decode()


def is_of(begun: ConceptEmbedding, request: TeachRequest) -> bool:
    """Whether that run learned to say the same: a score for another name says nothing."""
    return (begun.name, begun.class_noun) == (request.name, request.class_noun)


def noun_of(concept: TeachRequest | KnownConcept) -> str:
    """What its name takes the place of; the kind's own word where nobody said."""
    return concept.class_noun.strip() or PLAIN_NOUNS[concept.kind]


def sight_of(encoder: Encoder, image: Image.Image) -> Sight:
    """One encoder's pass over one photo."""
    return _sight(encoder, encoder.see(image))


def sight_from_afar(encoder: Encoder, image: Image.Image) -> Sight | None:
    """How a photo that teaches looks small in a room; None of encoders that can't tell."""
    see = getattr(encoder, "see_from_afar", None)
    return _sight(encoder, see(image)) if see else None


def sights_closer(encoders: Sequence[Encoder], image: Image.Image, places: Sequence[Box]) -> list[Sight]:
    """What is seen of places cut out of a photo, by encoders that can look closer."""
    return [_sight(e, see(image, places)) for e in encoders if (see := getattr(e, "see_closer", None))]


def _sight(encoder: Encoder, seen: Seen) -> Sight:
    vectors, boxes = seen
    return Sight(encoder=encoder.fingerprint, width=encoder.width, vectors=pack(vectors), boxes=boxes)


def check_sight(sight: Sight, width: int) -> None:
    """Errors: BadRequest unless it holds finite vectors of this width, one a box."""
    try:
        vectors = sight.array()
    except (binascii.Error, ValueError) as error:
        raise BadRequest("sight: not vectors") from error
    if vectors.shape != (len(sight.boxes), width) or not np.isfinite(vectors).all():
        raise BadRequest("sight: not one finite vector a box")


def load_engine(vlm: str = "pocket", encoders: Sequence[str] = ("embedded",), device: str = "auto", threads: int = 0) -> Engine:
    """The real parts, loaded once. Seconds; imports torch. Errors: ValueError with a sentence for a name nobody knows,
    and what a model's files lack (RuntimeError)."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from .personalise.naming import answer
    from .personalise.training import Together, learn_concept
    from .recognition.faces import large_faces
    from .recognition.fitting import fit_head
    from .recognition.negatives import encoder_with_bank
    from .vlms.base import load_vlm

    disable_progress_bar()  # of weights: the log is for events
    if threads:
        torch.set_num_threads(threads)
    wanted = best_device() if device == "auto" else device
    seeing = [encoder_with_bank(name, wanted) for name in encoders]
    speaking = load_vlm(vlm, wanted)
    place = getattr(speaking, "device", wanted)
    lessons, learn = (1 if place == "cpu" else LESSONS), partial(learn_concept, together=Together())
    dtype = getattr(speaking, "dtype", "float32")
    return Engine(Parts(speaking, seeing, fit_head, learn, answer, place, dtype, lessons, large_faces))

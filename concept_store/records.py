"""The store's records: frozen dataclasses, one per thing a person would name. Knows no database and no network."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType

import numpy as np

ConceptId = NewType("ConceptId", str)
PhotoId = NewType("PhotoId", str)
GuildId = NewType("GuildId", int)
UserId = NewType("UserId", int)
Box = tuple[float, float, float, float]  # left, top, right, bottom, 0..1


class Kind(enum.StrEnum):
    PET = "pet"
    PERSON = "person"
    OBJECT = "object"


class State(enum.StrEnum):
    QUEUED = "queued"  # accepted, durable, nothing learned yet
    TRAINING = "training"  # a worker holds the lease; usable already if it has a head
    READY = "ready"  # head and embedding are learned
    FAILED = "failed"  # `failure` says why; may be retried


@dataclass(frozen=True)
class Scope:
    """Where and for whom a question is asked: decides which concepts are known."""

    user_id: UserId
    guild_id: GuildId | None  # None: a direct message


@dataclass(frozen=True)
class Announce:
    """Where the last word about a training goes, after the interaction's token has run out."""

    channel_id: int
    message_id: int | None  # the progress reply, edited while it can be
    locale: str = "en-US"


@dataclass(frozen=True)
class NewConcept:
    name: str  # as the member wrote it, 1..32 characters
    kind: Kind
    class_noun: str  # "dog", "mug"
    owner_id: UserId
    guild_id: GuildId | None
    private: bool
    announce: Announce | None
    subject_id: UserId | None = None  # the member a person concept shows, where it is one


@dataclass(frozen=True)
class NewPhoto:
    data: bytes  # JPEG, upright, capped, without metadata
    thumbnail: bytes  # small JPEG
    digest: str  # of the decoded pixels: the same photo twice has the same digest
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Concept:
    id: ConceptId
    name: str
    kind: Kind
    class_noun: str
    owner_id: UserId
    guild_id: GuildId | None
    private: bool
    announce: Announce | None
    state: State
    failure: str | None  # an error code of the engine, or of the bot ("lost"); "ready" with one: what was added was taken back
    attempts: int
    created_at: datetime  # UTC
    ready_at: datetime | None
    has_head: bool  # for some encoder
    has_embedding: bool  # a finished one, for some VLM
    photo_count: int
    sample: str | None  # a sentence it said when it was ready
    announced: bool  # the last word has been said
    subject_id: UserId | None = None  # the member it shows; that member's deletion deletes it too
    ticket: int = 0  # its place in line, another one each time it is queued again after it was ready or had failed


@dataclass(frozen=True)
class Photo:
    id: PhotoId
    concept_id: ConceptId
    data: bytes
    thumbnail: bytes
    digest: str
    captions: tuple[str, ...]
    box: Box | None  # where the subject is
    faces: tuple[Box, ...] = ()  # its teacher was asked which of these is meant
    face: Box | None = None  # the one its teacher chose


@dataclass(frozen=True, eq=False)
class Regions:
    """What one encoder saw in one photo."""

    encoder: str  # fingerprint
    vectors: np.ndarray  # (n, d) float16 rows, L2-normalised
    boxes: tuple[Box, ...]  # n
    closer_from: int | None = None  # from which on they were seen in a closer look at parts of the photo; not kept


@dataclass(frozen=True, eq=False)
class Head:
    """k vectors, k biases and a calibration: probability = sigmoid(slope * max(region . vector + bias) + offset). From a score of
    `doubtful_at` on it is worth a question at least."""

    encoder: str
    vectors: np.ndarray  # (k, d) float32
    biases: np.ndarray  # (k,) float32
    slope: float
    offset: float
    doubtful_at: float | None = None


@dataclass(frozen=True)
class Embedding:
    """A learned concept embedding: opaque safetensors bytes, bound to the VLM it was learned for."""

    vlm: str  # fingerprint
    data: bytes
    step: int
    finished: bool


@dataclass(frozen=True)
class Claim:
    """A worker's hold on one concept's training until `expires_at`."""

    concept_id: ConceptId
    worker: str
    expires_at: datetime
    token: str = ""  # the store's mark of this very hold; a later hold by the same worker has another


@dataclass(frozen=True)
class Match:
    """A concept seen in a photo. `score` is the calibrated probability, 0..1, higher is surer."""

    concept: Concept
    score: float
    box: Box | None  # where it is
    spoke: Box | None = None  # the box of the region that said so, as it stands in the sights
    told: bool = False  # a member said so of this photo; `box` is where the head thinks that it is


@dataclass(frozen=True, eq=False)
class Correction:
    """What a member said of one photo: the concept is in it, or it isn't."""

    digest: str  # of the photo, as NewPhoto.digest
    present: bool
    regions: Regions  # what one encoder saw in it


@dataclass(frozen=True)
class Said:
    """A correction without its vectors."""

    present: bool
    user_id: UserId | None  # who said so


@dataclass(frozen=True)
class SaidOf:
    """A correction as whoever made it finds it in the copy of what is kept about them."""

    name: str  # of the concept
    digest: str
    present: bool
    made_at: datetime


@dataclass(frozen=True)
class Consent:
    """That a member may be taught by another in one guild."""

    subject_id: UserId
    teacher_id: UserId
    guild_id: GuildId
    given_at: datetime


@dataclass(frozen=True)
class Kept:
    """What is kept about one person, as owner or as subject, or of one guild."""

    concepts: int
    photos: int
    photo_bytes: int  # thumbnails included
    vectors: int  # of regions, heads and corrections
    oldest: datetime | None
    names: tuple[str, ...] = field(default=())
    corrections: int = 0  # that this person made, or of the guild's concepts; with vectors or without
    consents: int = 0  # to being taught, that this person gave or was given, or in the guild

    @property
    def anything(self) -> bool:
        return bool(self.concepts or self.corrections or self.consents)

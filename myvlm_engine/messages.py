"""What goes over the wire between the bot and the engine: requests, replies and error codes (pydantic only).

The bot imports this file and nothing else of the engine. Photos travel as base64 JPEG or PNG, vectors as base64 float16.
"""

from __future__ import annotations

import base64
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["pet", "person", "object"]
Base64 = str
Name = Annotated[str, Field(min_length=1, max_length=100)]  # the bot's limit is 32
Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the photo, 0..1


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes that have an area."""
    shared = max(0.0, min(one[2], other[2]) - max(one[0], other[0])) * max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return shared / (area(one) + area(other) - shared)


Share = Annotated[float, Field(ge=0, le=1)]
Place = tuple[Share, Share, Share, Share]  # a box that somebody asks about
MAX_PLACES = 8  # in one request
FACES = "faces"  # the fingerprint of an encoder of faces begins with it; people are recognised by such an encoder and by no other


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sight(Message):
    """What one encoder saw in one photo: n region vectors."""

    encoder: str  # fingerprint: encoder name and its weights' hash; vectors of different fingerprints are never compared
    width: int  # d
    vectors: Base64  # (n, d) float16, row-major, each row L2-normalised
    boxes: list[Box]  # n; the first is the whole photo where the encoder sees regions; a face encoder lists faces only

    def array(self) -> np.ndarray:
        """(n, d) float32."""
        return unpack(self.vectors).reshape(-1, self.width).astype(np.float32)


class SeeRequest(Message):
    photo: Base64
    places: list[Place] = Field(default=[], max_length=MAX_PLACES)  # these only, cut out and seen larger; none: the whole photo
    taught: bool = False  # it teaches a pet or a thing: also see it from afar, and say where large faces are
    faces: bool = True  # false: no face is described, because nobody may be recognised there


class SeeReply(Message):
    sights: list[Sight]  # one per encoder
    noun: str | None = None  # what the encoder's own classifier calls the main thing, if it is sure: a hint for class_noun
    afar: list[Sight] = []  # of a photo that teaches, by encoders that can tell: how it looks small in a room
    faces: list[Box] = []  # of a photo that teaches: where somebody's face is a good part of it; nothing tells whose


class Head(Message):
    """A concept's recogniser: score of a photo = max over regions and rows of `region . vector + bias`, then calibrated:
    probability = 1 / (1 + exp(-(slope * score + offset))). Of a photo that was looked at closer the store wants two looks to agree."""

    encoder: str
    width: int
    vectors: Base64  # (k, d) float32, row-major
    biases: list[float]  # k
    slope: float
    offset: float
    doubtful_at: float | None = None  # a lower score than what says yes, from which on "is this …?" is worth asking all the same


class FitRequest(Message):
    """Learns one head. Seconds at most; needs no negatives: the engine has its own bank."""

    kind: Kind
    positives: list[Sight]  # one per taught photo, then one per corrected photo the concept is in
    confirmed: int = Field(default=0, ge=0)  # how many of the positives, the last ones, are corrected photos
    afar: list[Sight] = []  # the taught photos as they look from afar
    negatives: list[Sight] = []  # photos of the scope's other concepts that look most alike, and corrections
    corrections: list[Sight] = []  # photos that were wrongly named: never again


class FitReply(Message):
    head: Head
    photo_boxes: list[Box]  # per positive photo: the region found to be the subject
    seconds: float


class TaughtPhoto(Message):
    photo: Base64
    captions: list[str] = []  # the user's own, naming the concept; may be empty
    box: Box | None = None  # where the subject is (from FitReply)


class TeachRequest(Message):
    """Learns one concept embedding. The reply is a stream of TeachEvent, one JSON object a line."""

    name: Name  # what it must say
    class_noun: str  # "dog", "mug": the word the name replaces in drafted captions
    kind: Kind
    photos: Annotated[list[TaughtPhoto], Field(max_length=32)]
    resume: Base64 | None = None  # an `embedding` of an earlier, broken-off run
    seed: int = 0


class TeachEvent(Message):
    stage: Literal["drafting", "learning", "done", "failed"]
    step: int = 0
    of: int = 0
    loss: float | None = None
    sample: str | None = None  # the caption of a taught photo as of now
    embedding: Base64 | None = None  # safetensors bytes: sent every few steps, with what it takes to go on from there, and with "done"
    vlm: str | None = None  # fingerprint the embedding belongs to
    noun_seen: bool = True  # false: the frozen VLM calls nothing in these photos by the class noun, nor by a word like it
    error: ErrorReply | None = None  # with "failed"


class KnownConcept(Message):
    """A concept whose head fired on the photo, for /v1/answer."""

    name: Name
    class_noun: str
    kind: Kind = "object"
    embedding: Base64 | None = None  # None: the name is put in place of the class noun
    box: Box | None = None


class AnswerRequest(Message):
    photo: Base64
    question: Annotated[str, Field(max_length=1000)] | None = None  # None: a caption
    concepts: list[KnownConcept] = []  # those that fired, surest first; at most 4
    absent_names: list[str] = []  # concepts of the scope that did not fire: must not be named unless the question names them


class LocateRequest(Message):
    """Where a VLM that grounds says that things of a kind are. Which of them is meant, is for heads to say."""

    photo: Base64
    class_noun: Annotated[str, Field(min_length=1, max_length=100)]


class LocateReply(Message):
    boxes: list[Box]  # none of a VLM that can't tell


class NamedConcept(Message):
    name: str
    how: Literal["embedding", "substitution", "missing"]  # missing: fired, but the text doesn't name it


class AnswerReply(Message):
    text: str
    base_text: str  # what the frozen VLM says without any concept
    named: list[NamedConcept]
    seconds: float


class HealthReply(Message):
    ready: bool
    vlm: str  # fingerprint: name and weights' hashes
    encoders: list[str]  # fingerprints
    device: str
    dtype: str
    busy: bool  # as many teaches are running as may
    lessons: int = 1  # how many teaches learn at the same time, in one batch
    waiting: int  # requests in line
    uptime_s: float
    memory_bytes: int
    version: str
    grounds: bool = False  # whether /v1/locate has something to tell
    failure: str | None = None  # why the models couldn't be loaded; the engine must be started again once it is mended


ErrorCode = Literal[
    "not_a_picture",  # the bytes can't be decoded
    "no_photos",  # a request without photos or sights
    "too_many_concepts",  # more than four at once
    "busy",  # the line is full; facts: waiting
    "other_encoder",  # a sight or head of another fingerprint; facts: expected, found
    "other_vlm",  # an embedding of another fingerprint; facts: expected, found
    "no_face",  # a person was taught and no face was found; facts: photos (indices)
    "several_faces",  # nothing tells which face is meant; facts: photo (index), boxes (thousandths of its sides, four a face)
    "people_off",  # a person was taught and this engine looks at no faces (engine.people in config.toml)
    "out_of_memory",  # facts: needed
    "not_ready",  # the models are still loading, or couldn't be loaded; facts: why (only then)
    "not_allowed",  # the engine wants a bearer token and got none or another (engine.token in config.toml)
    "bad_request",  # facts: what
    "internal",  # a fault of ours; facts: type
]


class ErrorReply(Message):
    """Body of every reply with status >= 400, and of TeachEvent.error. The sentence for people is the bot's."""

    code: ErrorCode
    facts: dict[str, str | int | float | list[int]] = {}


def pack(array: np.ndarray, dtype: str = "float16") -> Base64:
    """An array's bytes as base64; the shape travels beside it."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


def unpack(text: Base64, dtype: str = "float16") -> np.ndarray:
    """The flat array of `pack`. Errors: ValueError when it isn't base64 or not whole numbers of elements."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=dtype)


TeachEvent.model_rebuild()

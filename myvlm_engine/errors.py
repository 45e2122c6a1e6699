"""Every way the engine can refuse: one class per code of messages.py, with its HTTP status and its facts.

The sentence for people is the bot's; the docstrings here are for operators and logs. Knows neither torch nor HTTP.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from .messages import Box, ErrorCode, ErrorReply

Fact = str | int | float | list[int]


class EngineError(Exception):
    """The engine refused."""

    code: ClassVar[ErrorCode] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, **facts: Fact):
        told = ", ".join(f"{k}={v}" for k, v in facts.items())
        super().__init__(f"{type(self).__doc__}{f' ({told})' if told else ''}")
        self.facts = facts

    def reply(self) -> ErrorReply:
        return ErrorReply(code=self.code, facts=self.facts)


class NotAPicture(EngineError):
    """The bytes can't be decoded as a picture."""

    code, status = "not_a_picture", 422


class NoPhotos(EngineError):
    """The request has no photos or sights."""

    code, status = "no_photos", 422


class TooManyConcepts(EngineError):
    """More concepts at once than an answer can hold."""

    code, status = "too_many_concepts", 422

    def __init__(self, found: int, at_most: int):
        super().__init__(found=found, at_most=at_most)


class Busy(EngineError):
    """The line is full."""

    code, status = "busy", 503

    def __init__(self, waiting: int):
        super().__init__(waiting=waiting)


class OtherEncoder(EngineError):
    """These vectors were made by another encoder."""

    code, status = "other_encoder", 409

    def __init__(self, expected: str, found: str):
        super().__init__(expected=expected, found=found)


class OtherVlm(EngineError):
    """This concept embedding was learned for another VLM."""

    code, status = "other_vlm", 409

    def __init__(self, expected: str, found: str):
        super().__init__(expected=expected, found=found)


class NoFace(EngineError):
    """A person was taught and no face was found."""

    code, status = "no_face", 422

    def __init__(self, photos: Sequence[int]):
        super().__init__(photos=list(photos))


class SeveralFaces(EngineError):
    """A person was taught and nothing tells which of several faces is meant."""

    code, status = "several_faces", 422

    def __init__(self, photo: int, boxes: Sequence[Box]):
        super().__init__(photo=photo, boxes=[round(1000 * side) for box in boxes for side in box])


class PeopleOff(EngineError):
    """A person was taught and this engine looks at no faces."""

    code, status = "people_off", 422


class OutOfMemory(EngineError):
    """The machine's memory isn't enough for this."""

    code, status = "out_of_memory", 507


class NotReady(EngineError):
    """The models are still loading, or couldn't be loaded."""

    code, status = "not_ready", 503


class NotAllowed(EngineError):
    """The bearer token is missing or wrong."""

    code, status = "not_allowed", 401


class BadRequest(EngineError):
    """The request isn't one of messages.py."""

    code, status = "bad_request", 400

    def __init__(self, what: str, **facts: Fact):
        super().__init__(what=what, **facts)


class TooLarge(BadRequest):
    """The request's body is over the limit."""

    status = 413

    def __init__(self, limit_bytes: int):
        super().__init__("size", limit_bytes=limit_bytes)


class Internal(EngineError):
    """A fault of ours."""

    def __init__(self, cause: BaseException):
        super().__init__(type=type(cause).__name__)


class CallerGone(EngineError):
    """Whoever asked hung up before its turn came."""

    status = 499  # nobody reads it; nginx's number for this


MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA and MPS; CPU on Linux; CPU on Windows
MEMORY_NEEDED = re.compile(r"tried to allocate ([\d.]+ ?\w+)", re.IGNORECASE)


def as_engine_error(error: Exception) -> EngineError:
    """The refusal that tells what went wrong, without the error's text (it may quote a name or a sentence)."""
    if isinstance(error, EngineError):
        return error
    text = str(error)
    if isinstance(error, MemoryError) or any(words in text.lower() for words in MEMORY_WORDS):
        needed = MEMORY_NEEDED.search(text)
        return OutOfMemory(needed=needed.group(1) if needed else "unknown")
    return Internal(error)


@contextmanager
def told_as_engine_errors() -> Iterator[None]:
    """Whatever is raised inside leaves as an EngineError, its cause kept."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise as_engine_error(error) from error


def where(error: BaseException) -> list[str]:
    """Files and lines an error passed through, and nothing it says: logs hold no texts."""
    cause = error.__cause__ or error
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)][-8:]

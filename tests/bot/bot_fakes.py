"""An engine that comes in by the door of bot/engine_client.py: it really sees (the average colour of a photo) and never guesses.

What it says and when it breaks is set by the test. Also photos of one colour, and settings without a wait.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Sequence

import numpy as np
from PIL import Image

from bot.config import PhotoSettings, Settings, TeachingSettings
from bot.engine_client import EngineError, EngineUnreachable, Facts
from myvlm_engine.messages import (
    AnswerReply,
    AnswerRequest,
    Box,
    ErrorCode,
    FitReply,
    FitRequest,
    Head,
    HealthReply,
    LocateReply,
    LocateRequest,
    NamedConcept,
    SeeReply,
    Sight,
    TeachEvent,
    TeachRequest,
    pack,
)

ENCODER, VLM = "colours:1", "parrot:1"
WHOLE = (0.0, 0.0, 1.0, 1.0)


class FakeEngine:
    """`down`, `refuse` and `break_after` make it fail; `gate`, when cleared, holds a teach before its first step."""

    def __init__(self, steps: int = 4):
        self.steps = steps
        self.down = False
        self.ready = True
        self.failure: str | None = None  # why it isn't and won't be
        self.vlm = VLM
        self.encoders = [ENCODER]
        self.noun: str | None = None
        self.noun_seen = True  # the model calls what it learns by its noun
        self.faces: list[Box] = []  # large ones, in every photo that teaches
        self.sees_from_afar = False
        self.sees_quarters = False  # of the photo, and of places in it
        self.looked_closer: list[list[Box]] = []
        self.places: list[Box] | None = None  # of every kind of thing, by a VLM that grounds; None: it doesn't
        self.located: list[LocateRequest] = []
        self.refuse: dict[str, EngineError] = {}  # verb -> error
        self.break_after: int | None = None  # steps after which the stream is cut, once
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls: list[str] = []
        self.taught: list[TeachRequest] = []
        self.fitted: list[FitRequest] = []
        self.answered: list[AnswerRequest] = []
        self.lessons = 1
        self.teaching = 0
        self.most_teaching = 0

    def _called(self, verb: str) -> None:
        self.calls.append(verb)
        if self.down:
            raise EngineUnreachable()
        if verb in self.refuse:
            raise self.refuse[verb]

    async def see(self, photo: bytes, taught: bool = False, places: Sequence[Box] = (), faces: bool = True) -> SeeReply:
        self._called("see")
        if places:
            self.looked_closer.append(list(places))
            return SeeReply(sights=[sight_of_quarters(photo, places)] if self.sees_quarters else [])
        sight = sight_of_quarters(photo, [WHOLE]) if self.sees_quarters else sight_of_colour(photo)
        if not taught:
            return SeeReply(sights=[sight], noun=self.noun)
        return SeeReply(sights=[sight], noun=self.noun, afar=[sight] if self.sees_from_afar else [], faces=self.faces)

    async def fit(self, request: FitRequest) -> FitReply:
        self._called("fit")
        self.fitted.append(request)
        return FitReply(head=head_of_colours(request.positives), photo_boxes=[WHOLE] * len(request.positives), seconds=0.01)

    async def teach(self, request: TeachRequest) -> AsyncIterator[TeachEvent]:
        self._called("teach")
        self.taught.append(request)
        self.teaching += 1
        self.most_teaching = max(self.most_teaching, self.teaching)
        try:
            await self.gate.wait()
            first = 1 + (int(base64.b64decode(request.resume).decode().split(":")[1]) if request.resume else 0)
            for step in range(first, self.steps + 1):
                if self.break_after is not None and step > self.break_after:
                    self.break_after = None
                    raise EngineUnreachable()
                yield self._event("learning", step, request)
            yield self._event("done", self.steps, request)
        finally:
            self.teaching -= 1

    def _event(self, stage: str, step: int, request: TeachRequest) -> TeachEvent:
        embedding = base64.b64encode(f"{request.name}:{step}".encode()).decode()
        return TeachEvent(
            stage=stage,  # type: ignore[arg-type]
            step=step,
            of=self.steps,
            loss=1.0 / step,
            sample=f"{request.name} on the grass.",
            embedding=embedding,
            vlm=self.vlm,
            noun_seen=self.noun_seen,
        )

    async def answer(self, request: AnswerRequest) -> AnswerReply:
        self._called("answer")
        self.answered.append(request)
        named = [NamedConcept(name=c.name, how="embedding" if c.embedding else "substitution") for c in request.concepts]
        names = " and ".join(c.name for c in request.concepts) or "an animal"
        text = f"yes, {names}" if request.question else f"{names} on the grass."
        return AnswerReply(text=text, base_text="an animal on the grass.", named=named, seconds=0.1)

    async def locate(self, request: LocateRequest) -> LocateReply:
        self._called("locate")
        self.located.append(request)
        return LocateReply(boxes=self.places or [])

    async def health(self) -> HealthReply:
        self._called("health")
        return HealthReply(
            grounds=self.places is not None,
            ready=self.ready,
            failure=self.failure,
            vlm=self.vlm,
            encoders=self.encoders,
            device="cpu",
            dtype="float32",
            busy=False,
            lessons=self.lessons,
            waiting=0,
            uptime_s=1.0,
            memory_bytes=1,
            version="0",
        )

    async def close(self) -> None: ...


def sight_of_colour(photo: bytes) -> Sight:
    """(1, 3): the average colour around grey, of unit length."""
    pixels = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"), dtype=np.float32)
    colour = pixels.reshape(-1, 3).mean(0) - 100.0
    return Sight(encoder=ENCODER, width=3, vectors=pack((colour / np.linalg.norm(colour))[None]), boxes=[WHOLE])


def sight_of_quarters(photo: bytes, places: Sequence[Box]) -> Sight:
    """Of each place, and of its four quarters."""
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    boxes = [box for place in places for box in (place, *quarters(place))]
    pixels = [image.crop(tuple(np.multiply(box, (*image.size, *image.size)))) for box in boxes]  # type: ignore[arg-type]
    colours = np.array([np.asarray(part, dtype=np.float32).reshape(-1, 3).mean(0) for part in pixels]) - 100.0
    return Sight(encoder=ENCODER, width=3, vectors=pack(colours / np.linalg.norm(colours, axis=1, keepdims=True)), boxes=boxes)


def quarters(place: Box) -> list[Box]:
    left, top, right, bottom = place
    across, down = (left + right) / 2, (top + bottom) / 2
    return [(left, top, across, down), (across, top, right, down), (left, down, across, bottom), (across, down, right, bottom)]


def head_of_colours(positives: Sequence[Sight]) -> Head:
    """Fires where the cosine with the mean positive is above 0.9."""
    mean = np.mean([sight.array().mean(0) for sight in positives], axis=0)
    mean /= np.linalg.norm(mean)
    return Head(encoder=ENCODER, width=3, vectors=pack(mean[None], "float32"), biases=[-0.9], slope=60.0, offset=0.0)


RED, GREEN, BLUE = (200, 40, 40), (40, 200, 40), (40, 40, 200)


async def learning_begun(engine: FakeEngine) -> None:
    """Until the gate is all that a lesson waits for."""
    async with asyncio.timeout(30):
        while not engine.teaching:
            await asyncio.sleep(0.01)


def photo_of(colour: tuple[int, int, int], seed: int = 0, size: tuple[int, int] = (96, 64), form: str = "JPEG") -> bytes:
    """A different picture for every seed, of nearly one colour: stripes at a place of their own."""
    rng = np.random.default_rng([*colour, seed])
    pixels = np.full((size[1], size[0], 3), colour, dtype=np.int16)
    for _ in range(6):
        x, y = rng.integers(0, size[0] // 2), rng.integers(0, size[1] // 2)
        pixels[y : y + size[1] // 3, x : x + size[0] // 3] += rng.integers(-50, 50, dtype=np.int16)
    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, form, **({"quality": 95} if form == "JPEG" else {}))
    return out.getvalue()


def upload(colour: tuple[int, int, int], seed: int = 0) -> tuple[str, bytes]:
    return f"photo{seed}.jpg", photo_of(colour, seed)


def painted(
    ground: tuple[int, int, int], colour: tuple[int, int, int], box: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[str, bytes]:
    """An upload of one colour with a box (left, upper, right, lower in pixels) of another, without loss."""
    image = Image.new("RGB", size, ground)
    image.paste(colour, box)
    out = io.BytesIO()
    image.save(out, "PNG")
    return "photo.png", out.getvalue()


def uploads(colour: tuple[int, int, int], number: int = 4, first: int = 0) -> dict[str, tuple[str, bytes]]:
    """photo1=…, photo2=… for /teach."""
    return {f"photo{at + 1}": upload(colour, first + at) for at in range(number)}


def test_settings(**photos: int) -> Settings:
    return Settings(photos=PhotoSettings(**photos), teaching=TeachingSettings(progress_every_s=0.0001, max_concepts_per_owner=5))


test_settings.__test__ = False  # type: ignore[attr-defined]


def refusal_of(code: ErrorCode, **facts: str | int) -> EngineError:
    known: Facts = dict(facts)
    return EngineError(code, known)


class FaceEngine(FakeEngine):
    """Finds faces too: stripes of one colour. As with the real engine, a person's head needs a photo with one face alone."""

    def __init__(self, steps: int = 4):
        super().__init__(steps)
        self.encoders = [ENCODER, FACES]

    async def see(self, photo: bytes, taught: bool = False, places: Sequence[Box] = (), faces: bool = True) -> SeeReply:
        reply = await super().see(photo, taught, places)
        if places or not faces:
            return reply
        return reply.model_copy(update={"sights": [*reply.sights, sight_of_stripes(photo, self.encoders[1])]})

    async def fit(self, request: FitRequest) -> FitReply:
        if request.kind != "person":
            return await super().fit(request)
        self._called("fit")
        self.fitted.append(request)
        alone = [sight for sight in request.positives if len(sight.boxes) == 1]
        if not alone:
            numbers = [round(1000 * side) for box in request.positives[0].boxes for side in box]
            raise EngineError("several_faces", {"photo": 0, "boxes": numbers})
        head = head_of_colours(alone).model_copy(update={"encoder": self.encoders[1]})
        theirs = alone[0].array()[0]
        boxes = [sight.boxes[int((sight.array() @ theirs).argmax())] for sight in request.positives]
        return FitReply(head=head, photo_boxes=boxes, seconds=0.01)


FACES = "faces-stripes:1"


def crowd(*colours: tuple[int, int, int], seed: int = 0, widths: Sequence[int] = ()) -> bytes:
    """A photo with a stripe of each colour, from left to right; neighbours must differ. 48 pixels wide where `widths` doesn't say."""
    stripes = [
        Image.open(io.BytesIO(photo_of(colour, seed, (width, 64))))
        for colour, width in zip(colours, widths or [48] * len(colours), strict=True)
    ]
    photo = Image.new("RGB", (sum(stripe.width for stripe in stripes), 64))
    left = 0
    for stripe in stripes:
        photo.paste(stripe, (left, 0))
        left += stripe.width
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def sight_of_stripes(photo: bytes, encoder: str) -> Sight:
    """(n, 3): the colour of each stripe around grey, of unit length."""
    columns = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"), dtype=np.float32).mean(0)  # (W, 3)
    ends = np.flatnonzero(np.diff(columns.argmax(1))) + 1
    stripes = [(start, end) for start, end in zip([0, *ends], [*ends, len(columns)], strict=True) if end - start > 3]
    vectors = np.stack([columns[start:end].mean(0) - 100.0 for start, end in stripes])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    boxes = [(start / len(columns), 0.0, end / len(columns), 1.0) for start, end in stripes]
    return Sight(encoder=encoder, width=3, vectors=pack(vectors), boxes=boxes)

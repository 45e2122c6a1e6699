"""What the tests put into a store: people, concepts, photos, vectors, a clock that stands still."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from ..records import (
    Announce,
    Claim,
    Concept,
    ConceptId,
    Embedding,
    GuildId,
    Head,
    Kind,
    NewConcept,
    NewPhoto,
    Regions,
    Scope,
    UserId,
)
from ..store import ConceptStore

Opener = Callable[[Callable[[], datetime]], Awaitable[ConceptStore]]

ANNA, BEN, CARA = UserId(111), UserId(2**62 + 1), UserId(333)  # Discord's ids fill 64 bits in the end
HOME, AWAY = GuildId(1001), GuildId(2**62 + 5)
ENCODER, OTHER_ENCODER, VLM, OTHER_VLM = "grid/1a2b", "faces/3c4d", "pocket/5e6f", "llava/7a8b"
WIDTH = 6
LEFT, RIGHT, WHOLE = (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)
LEASE_S = 60.0
NOWHERE = ConceptId("no-such-concept")
numbers = itertools.count()


class TestClock:
    """Stands still until it is told to go on."""

    __test__ = False  # no test class, whatever its name

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def go_on(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Contract:
    """The fixtures of every part; the author gives `opener`."""

    @pytest.fixture
    def clock(self) -> TestClock:
        return TestClock()

    @pytest_asyncio.fixture
    async def store(self, opener: Opener, clock: TestClock) -> AsyncIterator[ConceptStore]:
        store = await opener(clock)
        yield store
        await store.close()


def scope(user_id: UserId = ANNA, guild_id: GuildId | None = HOME) -> Scope:
    return Scope(user_id, guild_id)


def new(name: str = "Biscuit", **changes: Any) -> NewConcept:
    values: dict[str, Any] = {
        "kind": Kind.PET,
        "class_noun": "dog",
        "owner_id": ANNA,
        "guild_id": HOME,
        "private": False,
        "announce": Announce(channel_id=77, message_id=None, locale="de"),
    }
    return NewConcept(name, **{**values, **changes})


def photo(text: str | None = None, **changes: Any) -> NewPhoto:
    text = text or f"photo {next(numbers)}"
    return NewPhoto(**{"data": b"jpeg of " + text.encode(), "thumbnail": b"small " + text.encode(), "digest": text, **changes})


async def create(store: ConceptStore, name: str = "Biscuit", photos: int = 2, **changes: Any) -> Concept:
    """Whom it shows has agreed."""
    concept = new(name, **changes)
    if concept.subject_id and concept.guild_id:
        await store.give_consent(concept.subject_id, concept.owner_id, concept.guild_id)
    return await store.create_concept(concept, [photo() for _ in range(photos)])


async def claim(store: ConceptStore, worker: str = "worker") -> Claim:
    claimed = await store.claim_next(worker, LEASE_S)
    assert claimed is not None, "something waits, and nobody gets it"
    return claimed


async def learn(store: ConceptStore, name: str, direction: int, **changes: Any) -> Concept:
    """A concept that is ready, and recognised in whatever shows this direction."""
    concept = await create(store, name, **changes)
    claimed = await claim(store)
    assert claimed.concept_id == concept.id, "something else was waiting"
    await store.save_head(claimed, head(direction))
    await store.save_embedding(claimed, embedding())
    return await store.concept(concept.id)


def direction(*of: int, width: int = WIDTH) -> np.ndarray:
    """(n, width) unit vectors."""
    return np.eye(width, dtype=np.float32)[list(of)]


def head(*of: int, encoder: str = ENCODER, slope: float = 20.0, offset: float = -10.0, width: int = WIDTH) -> Head:
    """Nearly 1 for a region that shows one of the directions, nearly 0 for one that is at right angles to all."""
    return Head(encoder, direction(*of, width=width), np.zeros(len(of), np.float32), slope, offset)


def seen(*of: int, encoder: str = ENCODER, boxes: tuple[Any, ...] | None = None, width: int = WIDTH) -> Regions:
    """A photo with one region for each direction."""
    return Regions(encoder, direction(*of, width=width).astype(np.float16), boxes or (WHOLE,) * len(of))


def embedding(step: int = 40, finished: bool = True, vlm: str = VLM, data: bytes = b"\x00safetensors\xff") -> Embedding:
    return Embedding(vlm, data, step, finished)


def same_regions(a: Regions, b: Regions) -> bool:
    return (a.encoder, a.boxes) == (b.encoder, b.boxes) and a.vectors.dtype == b.vectors.dtype and np.array_equal(a.vectors, b.vectors)


def names(concepts: list[Concept]) -> list[str]:
    return [concept.name for concept in concepts]

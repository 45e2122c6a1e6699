"""The ConceptStore Protocol: what a store must do, in docstrings. `open_store(url)` finds the plug-in that does it.

Implementations are held to this by `conformance.py`. All times are UTC; all methods are safe to call concurrently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .records import (
    Claim,
    Concept,
    ConceptId,
    Embedding,
    GuildId,
    Head,
    Kept,
    Match,
    NewConcept,
    NewPhoto,
    Photo,
    PhotoId,
    Regions,
    Scope,
    UserId,
)


class ConceptStore(Protocol):
    # -- life
    async def close(self) -> None: ...

    async def healthy(self) -> bool:
        """True when a trivial read works."""

    # -- concepts
    async def create_concept(self, new: NewConcept, photos: Sequence[NewPhoto], limit_per_owner: int | None = None) -> Concept:
        """Stores everything in one transaction; on return it survives kill -9. State is "queued".
        Errors: NameTaken (compared without case, accents kept, spaces folded) among what the owner could meet in one scope:
        the same guild's concepts and the owner's own; TooManyConcepts."""

    async def concept(self, concept_id: ConceptId) -> Concept:
        """Errors: NotFound."""

    async def known(self, scope: Scope) -> list[Concept]:
        """What is known in this scope, by name. In a guild: the guild's concepts that aren't private, and the asker's own
        concepts taught there or private. In a DM: all of the asker's own."""

    async def find(self, scope: Scope, name: str) -> Concept:
        """By name among `known(scope)`, compared as in create_concept. Errors: NotFound."""

    async def delete_concept(self, concept_id: ConceptId) -> None:
        """Deletes the concept and everything that came from it; running claims are lost. Errors: NotFound."""

    async def rename_concept(self, concept_id: ConceptId, name: str) -> Concept:
        """Errors: NotFound, NameTaken."""

    async def delete_user(self, user_id: UserId) -> int:
        """Deletes everything the user owns; returns how many concepts that were."""

    async def delete_guild(self, guild_id: GuildId) -> int: ...

    async def kept_about(self, user_id: UserId) -> Kept: ...

    # -- photos and what encoders saw in them
    async def photos(self, concept_id: ConceptId) -> list[Photo]:
        """In the order they were taught."""

    async def thumbnail(self, concept_id: ConceptId) -> bytes:
        """Small JPEG of the first photo. Errors: NotFound."""

    async def save_regions(self, photo_id: PhotoId, regions: Regions) -> None:
        """Replaces what this encoder had seen."""

    async def save_box(self, photo_id: PhotoId, box: tuple[float, float, float, float]) -> None: ...

    async def regions(self, concept_id: ConceptId, encoder: str) -> list[Regions]:
        """Of the concept's photos, in order; photos this encoder hasn't seen are left out."""

    # -- training: the queue is the store
    async def claim_next(self, worker: str, lease_s: float) -> Claim | None:
        """Takes the oldest concept that is queued, or whose lease has run out; state becomes "training", attempts += 1."""

    async def renew(self, claim: Claim, lease_s: float) -> Claim:
        """Errors: LeaseLost."""

    async def release(self, claim: Claim) -> None:
        """Back to "queued" without counting the attempt (the engine wasn't there). Errors: LeaseLost."""

    async def save_head(self, claim: Claim, head: Head) -> None:
        """From now on the concept is matched. Errors: LeaseLost."""

    async def refit_head(self, concept_id: ConceptId, head: Head) -> None:
        """Replaces a head outside a training (a neighbour was added, a correction). Errors: NotFound."""

    async def save_embedding(self, claim: Claim, embedding: Embedding, sample: str | None = None) -> None:
        """Partial ones too. A finished one makes the concept "ready" and ends the claim. Errors: LeaseLost."""

    async def fail(self, claim: Claim, failure: str) -> None:
        """State "failed"; ends the claim. Errors: LeaseLost."""

    async def retry(self, concept_id: ConceptId) -> Concept:
        """failed or ready -> queued (attempts = 0). Errors: NotFound."""

    async def queue_position(self, concept_id: ConceptId) -> int:
        """0: training now or done; 1: next; and so on. Errors: NotFound."""

    async def unannounced(self) -> list[Concept]:
        """Ready or failed concepts whose last word hasn't been said."""

    async def mark_announced(self, concept_id: ConceptId) -> None: ...

    async def set_announce_message(self, concept_id: ConceptId, message_id: int) -> None: ...

    async def queue_length(self) -> int: ...

    # -- what was learned
    async def head(self, concept_id: ConceptId, encoder: str) -> Head | None: ...

    async def embedding(self, concept_id: ConceptId, vlm: str) -> Embedding | None:
        """Only of that very model; an unfinished one too."""

    async def match(self, scope: Scope, sights: Sequence[Regions], threshold: float = 0.5, at_most: int = 4) -> list[Match]:
        """Concepts of the scope whose head fires, surest first. Heads of other encoders are never compared. One region can
        speak for one concept only: where several heads fire on overlapping regions, the surest wins (matching.py)."""

    async def neighbours(self, scope: Scope, sights: Sequence[Regions], at_most: int = 8) -> list[ConceptId]:
        """Concepts of the scope whose heads score highest on these photos, fired or not: hard negatives for each other."""


async def open_store(url: str) -> ConceptStore:
    """Opens the store of the URL's scheme ("sqlite:///path", "sqlite://" for memory), migrated to the newest schema.
    Plug-ins are entry points of the group "concept_store.stores": scheme -> async callable(url) -> ConceptStore.
    Errors: ValueError with a sentence naming the known schemes."""
    from importlib.metadata import entry_points

    scheme = url.split(":", 1)[0].split("+", 1)[0]
    if scheme == "sqlite":
        from .sql import open_sql_store

        return await open_sql_store(url)
    plugins = {e.name: e for e in entry_points(group="concept_store.stores")}
    if scheme not in plugins:
        known = ", ".join(sorted({"sqlite", *plugins}))
        raise ValueError(f"No concept store for {scheme!r}. Known: {known}. Check store.url in config.toml.")
    return await plugins[scheme].load()(url)

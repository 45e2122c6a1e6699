"""The ConceptStore Protocol: what a store must do, in docstrings. `open_store(url)` finds the plug-in that does it.

Implementations are held to this by the test kit `conformance`. All times are UTC; all methods are safe to call concurrently.
Beside the errors named, every method may raise StoreClosed (after close) and StoreUnavailable (locked for long, disk full).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from .errors import StoreUnusable
from .records import (
    Announce,
    Box,
    Claim,
    Concept,
    ConceptId,
    Consent,
    Correction,
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
    Said,
    SaidOf,
    Scope,
    UserId,
)


class ConceptStore(Protocol):
    # -- life
    async def close(self) -> None:
        """Closing twice is fine."""

    async def healthy(self) -> bool:
        """True when a trivial read works. Never raises."""

    # -- concepts
    async def create_concept(self, new: NewConcept, photos: Sequence[NewPhoto], limit_per_owner: int | None = None) -> Concept:
        """Stores everything in one transaction; on return it survives kill -9. State is "queued".
        Errors: NameTaken (compared without case, accents kept, spaces folded: names.py) among what the owner could meet in one
        scope: the same guild's concepts and the owner's own, wherever taught. Others' private concepts don't count: a refusal
        would give their names away. NoConsent where a person is shown who hasn't agreed there to be taught by this owner, or has taken it
        back. TooManyConcepts when the owner has `limit_per_owner` already; ValueError without photos."""

    async def concept(self, concept_id: ConceptId) -> Concept:
        """Errors: NotFound."""

    async def known(self, scope: Scope) -> list[Concept]:
        """What is known in this scope, by name. In a guild: the guild's concepts that aren't private, and the asker's own
        concepts taught there or private. In a DM: all of the asker's own."""

    async def find(self, scope: Scope, name: str) -> Concept:
        """By name among `known(scope)`, compared as in create_concept; the asker's own first, where two members' concepts share
        a name. Errors: NotFound."""

    async def delete_concept(self, concept_id: ConceptId, ticket: int | None = None) -> None:
        """Deletes the concept and everything that came from it; running claims are lost. Errors: NotFound, with `ticket` also where it was
        queued again since it had that one."""

    async def rename_concept(self, concept_id: ConceptId, name: str) -> Concept:
        """Errors: NotFound, NameTaken."""

    async def set_class_noun(self, concept_id: ConceptId, class_noun: str) -> Concept:
        """What kind of thing it is, when its teacher didn't say and the encoder could tell. Errors: NotFound."""

    async def delete_user(self, user_id: UserId) -> int:
        """Deletes everything the user owns, concepts that show them, their corrections and consents; returns how many concepts
        that were."""

    async def delete_guild(self, guild_id: GuildId) -> int:
        """Deletes all concepts taught there, private ones too, and the guild's settings and consents; returns how many concepts."""

    async def kept_about(self, user_id: UserId) -> Kept: ...

    async def kept_in(self, guild_id: GuildId) -> Kept:
        """All that `delete_guild` deletes, but its settings, counted. Without names: those of private concepts are their owners'."""

    async def about(self, user_id: UserId) -> list[Concept]:
        """All that the user owns or is shown by, in every guild, by name."""

    async def guilds(self) -> list[GuildId]:
        """Of which something is kept: concepts, settings or consents."""

    # -- photos and what encoders saw in them
    async def photos(self, concept_id: ConceptId) -> list[Photo]:
        """In the order they were taught; none when there is no such concept."""

    async def thumbnail(self, concept_id: ConceptId) -> bytes:
        """Small JPEG of the first photo. Errors: NotFound."""

    async def save_regions(self, photo_id: PhotoId, regions: Regions) -> None:
        """Replaces what this encoder had seen. Errors: NotFound (the photo was deleted), WrongFingerprint (none is given)."""

    async def save_box(self, photo_id: PhotoId, box: Box) -> None:
        """Of one photo; a training keeps all with its head (`save_head`). Errors: NotFound."""

    async def offer_faces(self, photo_id: PhotoId, faces: Sequence[Box], claim: Claim | None = None) -> None:
        """Its teacher is asked which of these is meant. What was offered in the concept's other photos is offered no more, and what
        was chosen in this one is forgotten; so is what encoders saw in photos that no head knows yet (those without a box): whoever else
        is in them has agreed to nothing, and the answer may never come. Errors: NotFound, LeaseLost where `claim` holds no longer."""

    async def choose_face(self, photo_id: PhotoId, face: Box) -> None:
        """This one is meant, whatever an encoder sees there later. Errors: NotFound."""

    async def regions(self, concept_id: ConceptId, encoder: str) -> list[Regions]:
        """Of the concept's photos, in order; photos this encoder hasn't seen are left out."""

    # -- training: the queue is the store
    async def claim_next(self, worker: str, lease_s: float) -> Claim | None:
        """Takes the oldest concept that is queued, or whose lease has run out; state becomes "training", attempts += 1.
        Oldest by when it was queued: a release or a crash keeps its place, a retry goes to the end."""

    async def renew(self, claim: Claim, lease_s: float) -> Claim:
        """From now on for lease_s. A lease that ran out is still good until somebody else takes it. Errors: LeaseLost."""

    async def release(self, claim: Claim) -> None:
        """Back to "queued" without counting the attempt (the engine wasn't there). Errors: LeaseLost."""

    async def waits(self, claim: Claim, waiting: bool) -> None:
        """A training that only waits for its turn is no attempt: taken off while `waiting`, and counted again after. Errors: LeaseLost."""

    async def save_head(self, claim: Claim, head: Head, boxes: Mapping[PhotoId, Box] = MappingProxyType({})) -> None:
        """From now on the concept is matched; one head per encoder. `boxes`: where the subject is in its photos, kept with it or not at
        all: a photo without one is known to no head. Errors: LeaseLost, WrongFingerprint (heads of this encoder have another width, or no
        fingerprint is given)."""

    async def refit_head(self, concept_id: ConceptId, head: Head) -> None:
        """Replaces a head outside a training (a neighbour was added, a correction). Errors: NotFound, WrongFingerprint."""

    async def save_embedding(self, claim: Claim, embedding: Embedding, sample: str | None = None) -> None:
        """Partial ones too: they stand beside a finished one of an earlier training until the new one is finished. A finished
        one makes the concept "ready" and ends the claim. Errors: LeaseLost, WrongFingerprint (none is given)."""

    async def fail(self, claim: Claim, failure: str) -> None:
        """State "failed"; ends the claim. Errors: LeaseLost."""

    async def take_back(self, claim: Claim, failure: str) -> None:
        """Deletes the photos behind the last that has a box: no head has learned from them. Ends the claim: state "ready" where it has a
        finished embedding, else "failed"; either way `failure` says why, and its last word is owed.
        Errors: LeaseLost; ValueError where no photo would be left."""

    async def retry(self, concept_id: ConceptId, announce: Announce | None = None) -> Concept:
        """failed or ready -> queued (attempts = 0), to be announced again, at `announce` where given; what was learned stays in
        use meanwhile. Queued or training: unchanged. Errors: NotFound."""

    async def add_photos(
        self, concept_id: ConceptId, photos: Sequence[NewPhoto], announce: Announce | None = None, at_most: int | None = None
    ) -> Concept:
        """Behind those it has, in one transaction; on return they survive kill -9. The concept is queued (attempts = 0), to be announced
        again, at `announce` where given; one that is queued or training keeps its place. Whoever trains it loses the lease, and what was
        begun of an embedding is dropped: neither knew these photos. What was learned stays in use meanwhile.
        Errors: NotFound; TooManyPhotos where it would have more than `at_most`; ValueError without photos."""

    async def remove_photo(self, photo_id: PhotoId, announce: Announce | None = None) -> Concept:
        """With all that came from it, in one transaction. The concept is queued and announced as by add_photos; where the subject is in its
        other photos is forgotten, so that its head is fitted again.
        Errors: NotFound; ValueError where it is the only one."""

    async def queue_position(self, concept_id: ConceptId) -> int:
        """0: training now or done; 1: next; and so on. Whose lease has run out waits again. Errors: NotFound."""

    async def unannounced(self) -> list[Concept]:
        """Ready or failed concepts whose last word hasn't been said, oldest first."""

    async def mark_announced(self, concept_id: ConceptId, ticket: int | None = None) -> None:
        """Does nothing when the concept was deleted, or, with `ticket`, queued again since it had that one."""

    async def set_announce_message(self, concept_id: ConceptId, message_id: int) -> None:
        """Does nothing when the concept was deleted or has nowhere to announce."""

    async def queue_length(self) -> int:
        """How many wait: queued, or their lease has run out."""

    async def outdated(self, encoders: Sequence[str], vlm: str) -> list[Concept]:
        """Ready concepts that an engine with these encoders and this VLM can't use: no head of any of the encoders, or no finished
        embedding of the VLM. To be retried after the engine's models have changed."""

    # -- what was learned
    async def head(self, concept_id: ConceptId, encoder: str) -> Head | None: ...

    async def embedding(self, concept_id: ConceptId, vlm: str) -> Embedding | None:
        """Only of that very model: the finished one, else the unfinished."""

    async def progress(self, concept_id: ConceptId, vlm: str) -> Embedding | None:
        """The unfinished one of that very model, for a broken-off training to go on from."""

    async def match(
        self, scope: Scope, sights: Sequence[Regions], threshold: float = 0.5, at_most: int = 4, digest: str | None = None
    ) -> list[Match]:
        """Concepts of the scope whose head fires, surest first. Heads of other encoders are never compared. One region can
        speak for one concept only: where several heads fire on overlapping regions, the surest wins (matching.py).
        A correction of this very photo (`digest`) overrides the head: present -> score 1.0, and no box where its head
        doesn't fire; absent -> never.
        Errors: WrongFingerprint when sights and heads of one encoder differ in width."""

    async def worth_a_closer_look(self, scope: Scope, sights: Sequence[Regions]) -> list[Box]:
        """Places in a photo where a concept of the scope may be and is small, likeliest first, at most three (matching.py). What an
        encoder sees there, larger, is matched together with all the rest.
        Errors: WrongFingerprint when sights and heads of one encoder differ in width."""

    async def neighbours(self, scope: Scope, sights: Sequence[Regions], at_most: int = 8) -> list[ConceptId]:
        """Concepts of the scope whose heads score highest on these photos, fired or not: hard negatives for each other. The
        concept the photos are of is among them once it has a head."""

    # -- corrections: what members said of photos that were answered
    async def add_correction(
        self,
        concept_id: ConceptId,
        regions: Sequence[Regions],
        present: bool,
        digest: str,
        user_id: UserId | None = None,
        at_most: int | None = None,
    ) -> None:
        """One per user, concept and photo, where a newer one replaces it; of one photo what the concept's teacher said holds, else the
        newest. `regions` is what each encoder saw in the photo. Where the concept has more than `at_most` with regions now, those of older
        ones are dropped: first of what doesn't hold, then of those that say the same (`present`), oldest first, then of the others, and of
        what the concept's teacher said only after all of these. What was said of a photo is kept for good.
        Errors: NotFound, WrongFingerprint (none is given)."""

    async def corrections(self, concept_id: ConceptId, encoder: str) -> list[Correction]:
        """Those that hold, with what this encoder saw, oldest first; photos it hasn't seen, or whose regions were dropped, are left
        out."""

    async def said(self, concept_id: ConceptId, digest: str, user_id: UserId | None = None) -> Said | None:
        """What holds of this concept and photo, or what this user said of it, whether it holds or not."""

    async def remove_corrections(self, concept_id: ConceptId, digest: str | None = None, user_id: UserId | None = None) -> int:
        """Of one photo, or all of the concept's, of one user or all; returns how many. What others said of the photo holds again."""

    async def corrected_by(self, user_id: UserId) -> list[ConceptId]:
        """Of which concepts this user has said something, once for each correction, oldest first."""

    async def said_by(self, user_id: UserId) -> list[SaidOf]:
        """All that this user has said, oldest first."""

    # -- guilds
    async def setting(self, guild_id: GuildId, key: str, default: Any = None) -> Any:
        """A JSON value."""

    async def set_setting(self, guild_id: GuildId, key: str, value: Any) -> None:
        """None removes it. Errors: TypeError when it isn't JSON."""

    # -- consent of members who are taught
    async def give_consent(self, subject_id: UserId, teacher_id: UserId, guild_id: GuildId) -> None:
        """This teacher may teach this member in this guild. Giving it twice is fine."""

    async def has_consent(self, subject_id: UserId, teacher_id: UserId, guild_id: GuildId) -> bool: ...

    async def consents_of(self, user_id: UserId) -> list[Consent]:
        """That this person gave or was given, oldest first."""

    async def withdraw_consent(self, subject_id: UserId, guild_id: GuildId) -> int:
        """Takes back all consent given there and deletes the concepts that show this member there, whoever owns them; returns how
        many those were."""


def store_file(url: str) -> Path | None:
    """Where a SQLite store is, in full. None in memory, and for plug-ins, which see to it themselves. Errors: StoreUnusable."""
    if scheme_of(url) != "sqlite":
        return None
    from .sql.database import Place

    return Place.of(url).path


def file_to_be_made(url: str) -> Path | None:
    """What `open_store` would make, where nothing is kept yet. Errors: StoreUnusable."""
    path = store_file(url)
    return path if path and not path.exists() else None


def copy_store(url: str, file: Path) -> None:
    """Writes a whole copy of a SQLite store to `file`, which must not be there yet, while the bot runs or not. Errors: StoreUnusable."""
    if scheme_of(url) != "sqlite":
        raise StoreUnusable("Only a SQLite store is copied like this. Use the backup command of your database.")
    from .sql.database import Place, copy_to

    copy_to(Place.of(url), file)


async def open_store(url: str) -> ConceptStore:
    """Opens the store of the URL's scheme ("sqlite:///path", "sqlite://" for memory), migrated to the newest schema.
    Plug-ins are entry points of the group "concept_store.stores": scheme -> async callable(url) -> ConceptStore.
    Errors: ValueError with a sentence naming the known schemes; StoreUnusable with a sentence saying why."""
    from importlib.metadata import entry_points

    scheme = scheme_of(url)
    if scheme == "sqlite":
        from .sql import open_sql_store

        return await open_sql_store(url)
    plugins = {e.name: e for e in entry_points(group="concept_store.stores")}
    if scheme not in plugins:
        known = ", ".join(sorted({"sqlite", *plugins}))
        raise ValueError(f"No concept store for {scheme!r}. Known: {known}. Check store.url in config.toml.")
    return await plugins[scheme].load()(url)


def scheme_of(url: str) -> str:
    return url.split(":", 1)[0].split("+", 1)[0]

"""What is kept about a person, as zip files they can take away: their photos and one JSON file of facts. Knows no Discord.

Only what fits an upload is held in memory at a time: a large collection comes in several parts.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import AsyncIterator, Sequence
from typing import Any

from concept_store.records import Concept, Consent, Kept, Photo, SaidOf, UserId
from concept_store.store import ConceptStore

ABOUT = "about.json"
REQUEST_BYTES = 24 * 1024 * 1024  # Discord takes 25 MiB a request, whatever a file may have
ENVELOPE_BYTES = 4096  # of a zip and the request around it
ENTRY_BYTES = 512  # of a file in a zip: its name twice, and its headers


async def parts(store: ConceptStore, user_id: UserId, limit_bytes: int) -> AsyncIterator[bytes]:
    """Zip files of at most this size. A photo never exceeds it: kept photos are scaled down."""
    room = min(limit_bytes, REQUEST_BYTES) - ENVELOPE_BYTES
    concepts = await store.about(user_id)
    facts = [_facts(concept, await store.photos(concept.id), user_id) for concept in concepts]
    kept = await store.kept_about(user_id)
    about = _json(facts, kept, await store.said_by(user_id), await store.consents_of(user_id))
    filled: list[tuple[str, bytes]] = [(ABOUT, about)]
    for concept in concepts:
        for number, photo in enumerate(await store.photos(concept.id), 1):
            if _size(filled) + len(photo.data) + ENTRY_BYTES > room:
                yield zipped(filled)
                filled = []
            filled.append((photo_name(concept, number), photo.data))
    yield zipped(filled)


def _size(files: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(data) + ENTRY_BYTES for _, data in files)


def zipped(files: Sequence[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:  # stored: JPEG gets no smaller
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def photo_name(concept: Concept, number: int) -> str:
    """A folder for each concept; two may have the same name."""
    folder = re.sub(r"[^\w -]", "_", concept.name)
    return f"{folder}-{concept.id[:8]}/photo{number}.jpg"


def _facts(concept: Concept, photos: Sequence[Photo], user_id: UserId) -> dict[str, Any]:
    return {
        "name": concept.name,
        "kind": concept.kind.value,
        "what": concept.class_noun,
        "taught_by_you": concept.owner_id == user_id,
        "shows_you": concept.subject_id == user_id,
        "server": concept.guild_id and str(concept.guild_id),
        "private": concept.private,
        "state": concept.state.value,
        "taught_at": concept.created_at.isoformat(),
        "ready_at": concept.ready_at and concept.ready_at.isoformat(),
        "sentence": concept.sample,
        "photos": [
            {"file": photo_name(concept, number), "captions": list(photo.captions), "subject_at": photo.box, "face_you_chose": photo.face}
            for number, photo in enumerate(photos, 1)
        ],
    }


def _json(concepts: list[dict[str, Any]], kept: Kept, said: Sequence[SaidOf], consents: Sequence[Consent]) -> bytes:
    about = {
        "concepts": concepts,
        "photos": kept.photos,
        "vectors_computed_from_photos": kept.vectors,
        "corrections_you_made": [
            {"concept": one.name, "in_the_photo": one.present, "photo_sha256": one.digest, "made_at": one.made_at.isoformat()}
            for one in said
        ],
        "consents_you_gave_or_were_given": [
            {
                "member": str(one.subject_id),
                "may_be_taught_by": str(one.teacher_id),
                "server": str(one.guild_id),
                "given_at": one.given_at.isoformat(),
            }
            for one in consents
        ],
    }
    return json.dumps(about, ensure_ascii=False, indent=2).encode()

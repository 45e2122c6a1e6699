"""What a button under an answer carries of it: who asked, which photo (its digest), which concept. Knows neither Discord nor the store.

Packed, because Discord allows 100 characters. The photo and the question stay in the message itself; nothing of them is kept.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

from concept_store.records import ConceptId, UserId

ASKER, DIGEST = 11, 43  # characters of 8 and of 32 bytes in base64 without padding
NONE = ConceptId("")


@dataclass(frozen=True)
class Mark:
    asker: UserId
    digest: str  # SHA-256 in hex, of the photo as it was uploaded
    concept_id: ConceptId = NONE

    @property
    def packed(self) -> str:
        return _letters(self.asker.to_bytes(8, "big")) + _letters(bytes.fromhex(self.digest)) + self.concept_id

    @classmethod
    def unpack(cls, text: str) -> Mark:
        asker, digest = _bytes(text[:ASKER]), _bytes(text[ASKER : ASKER + DIGEST])
        return cls(UserId(int.from_bytes(asker, "big")), digest.hex(), ConceptId(text[ASKER + DIGEST :]))

    def of(self, concept_id: str) -> Mark:
        return replace(self, concept_id=ConceptId(concept_id))


def _letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(letters: str) -> bytes:
    return base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))

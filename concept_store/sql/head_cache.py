"""Heads kept in memory, stacked for matching, as long as no head has changed. Knows no database.

Scopes that know the same concepts share one stack: in a guild, that is everybody without private concepts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import WrongFingerprint
from ..matching import Scored, Stacked, match_stacked, stack, worth_a_closer_look
from ..records import Box, ConceptId, Head, Regions, Scope

MAX_BYTES = 64 * 2**20  # of stacked vectors; a bot process should stay below 200 MB


@dataclass(frozen=True, eq=False)
class ScopeHeads:
    """All heads that are known in one scope."""

    concept_ids: tuple[ConceptId, ...]  # one per head; a concept may have heads of several encoders
    stacked: Stacked
    widths: dict[str, int]  # by encoder
    size_bytes: int

    def scores(self, sights: Sequence[Regions]) -> list[tuple[ConceptId, Scored]]:
        """Of heads that can be compared with these sights of one photo. Errors: WrongFingerprint."""
        self._check(sights)
        return [(self.concept_ids[scored.index], scored) for scored in match_stacked(self.stacked, sights)]

    def places(self, sights: Sequence[Regions]) -> list[Box]:
        """Of one photo, that are worth a closer look. Errors: WrongFingerprint."""
        self._check(sights)
        return worth_a_closer_look(self.stacked, sights)

    def _check(self, sights: Sequence[Regions]) -> None:
        for sight in sights:
            expected, found = self.widths.get(sight.encoder), sight.vectors.shape[-1]
            if len(sight.vectors) and expected not in (None, found):
                raise WrongFingerprint(f"Heads of {sight.encoder} have {expected} numbers a vector; the photo's have {found}.")


def stack_heads(concept_ids: Sequence[ConceptId], heads: Sequence[Head]) -> ScopeHeads:
    return ScopeHeads(
        concept_ids=tuple(concept_ids),
        stacked=stack(heads),
        widths={head.encoder: head.vectors.shape[1] for head in heads},
        size_bytes=sum(head.vectors.nbytes for head in heads),
    )


class HeadCache:
    """Holds for one change number; another one empties it."""

    def __init__(self, max_bytes: int = MAX_BYTES):
        self._max_bytes = max_bytes
        self._change = -1
        self._known: dict[Scope, tuple[ConceptId, ...]] = {}
        self._same: dict[tuple[ConceptId, ...], tuple[ConceptId, ...]] = {}  # one tuple for all who know the same
        self._heads: OrderedDict[tuple[ConceptId, ...], ScopeHeads] = OrderedDict()

    def now(self, change: int) -> None:
        if change != self._change:
            self._known.clear()
            self._same.clear()
            self._heads.clear()
            self._change = change

    def known(self, scope: Scope) -> tuple[ConceptId, ...] | None:
        return self._known.get(scope)

    def know(self, scope: Scope, concept_ids: tuple[ConceptId, ...], change: int) -> None:
        if change == self._change:
            self._known[scope] = self._same.setdefault(concept_ids, concept_ids)

    def get(self, concept_ids: tuple[ConceptId, ...]) -> ScopeHeads | None:
        if found := self._heads.get(concept_ids):
            self._heads.move_to_end(concept_ids)
        return found

    def keep(self, concept_ids: tuple[ConceptId, ...], heads: ScopeHeads, change: int) -> None:
        """The least recently used make room; a change that came meanwhile makes these worthless."""
        if change != self._change:
            return
        self._heads[concept_ids] = heads
        while len(self._heads) > 1 and sum(kept.size_bytes for kept in self._heads.values()) > self._max_bytes:
            self._heads.popitem(last=False)

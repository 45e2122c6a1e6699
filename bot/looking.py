"""How the store holds heads against each other on a photo, for `myvlm eval`: the engine's messages in, plain tuples out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from concept_store.matching import match_stacked, stack
from myvlm_engine.messages import Box, Head, Sight

from .sights import head_of, regions_of

Looked = tuple[str, float, Box | None]  # a head's name, its probability after arbitration, where


def looking(heads: Mapping[str, Head]) -> Callable[[Sequence[Sight]], list[Looked]]:
    """For a photo's sights: every head, surest first."""
    names = list(heads)
    stacked = stack([head_of(head) for head in heads.values()])

    def look(sights: Sequence[Sight]) -> list[Looked]:
        return [(names[s.index], s.score, s.box) for s in match_stacked(stacked, [regions_of(sight) for sight in sights])]

    return look

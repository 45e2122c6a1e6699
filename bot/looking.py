"""How the store holds heads against each other on a photo, for `myvlm eval`: the engine's messages in, plain tuples out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from concept_store.matching import match_stacked, stack, worth_a_closer_look
from myvlm_engine.messages import Box, Head, Sight

from .sights import head_of, regions_of, united, without_faces

Looked = tuple[str, float, Box | None]  # a head's name, its probability after arbitration, where
Closer = Callable[[Sequence[Box]], Sequence[Sight]]  # sees these places again, larger


def looking(heads: Mapping[str, Head]) -> Callable[[Sequence[Sight], Closer | None], list[Looked]]:
    """For a photo's sights: every head, surest first; as the bot looks (answering.py) where there is a way to look closer."""
    names = list(heads)
    stacked = stack([head_of(head) for head in heads.values()])

    def look(sights: Sequence[Sight], closer: Closer | None = None) -> list[Looked]:
        seen = [regions_of(sight) for sight in sights]
        if closer and (places := worth_a_closer_look(stacked, without_faces(seen))):
            seen = united(seen, [regions_of(sight) for sight in closer(places)])
        return [(names[s.index], s.score, s.box) for s in match_stacked(stacked, seen)]

    return look

"""Who may do what with a concept: pure functions over the store's records. Knows neither Discord nor the store."""

from __future__ import annotations

from concept_store.records import Concept, UserId

from .errors import Refusal

PEOPLE_SETTING = "people"  # of a guild in the store: whether people may be taught and are recognised there


def refuse_forgetting(concept: Concept, user_id: UserId, guild_id: int | None, moderates: bool) -> None:
    """Its teacher may, and whoever manages the server it is known in. Errors: Refusal not_yours."""
    moderated_here = moderates and not concept.private and guild_id is not None and concept.guild_id == guild_id
    if concept.owner_id != user_id and not moderated_here:
        raise Refusal("not_yours", name=concept.name, teacher_id=concept.owner_id)


def refuse_changing(concept: Concept, user_id: UserId) -> None:
    """Only its teacher renames it or has it learned again. Errors: Refusal not_yours."""
    if concept.owner_id != user_id:
        raise Refusal("not_yours", name=concept.name, teacher_id=concept.owner_id)


def can_forget(concept: Concept, user_id: UserId, guild_id: int | None, moderates: bool) -> bool:
    try:
        refuse_forgetting(concept, user_id, guild_id, moderates)
    except Refusal:
        return False
    return True


def visible(concept: Concept, user_id: UserId, guild_id: int | None) -> bool:
    """Whether this concept is in what `ConceptStore.known` gives this person in this place."""
    mine = concept.owner_id == user_id
    if guild_id is None:
        return mine
    return (concept.guild_id == guild_id and (mine or not concept.private)) or (mine and concept.private)

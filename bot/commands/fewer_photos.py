"""One photo less of what somebody taught: the button on its page, and one for each photo. For its teacher only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord

from concept_store.errors import NotFound
from concept_store.records import Concept, Photo, UserId

from .. import replies, views
from ..errors import Refusal
from ..permissions import refuse_changing
from ..progress import hidden
from ..responding import reply
from .concepts import behind
from .teach import begin, deferred

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]


async def which_photo(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer(thinking=True, ephemeral=True)
    concept, photos = await mine(interaction, fact)
    await reply(interaction, views.photo_question(concept, photos, UserId(interaction.user.id)))


async def remove(interaction: Interaction, fact: str) -> None:
    """It is gone at once; what is left is learned again."""
    concept_id, _, photo_id = fact.partition("-")
    concept, photos = await mine(interaction, concept_id)
    number = next((at for at, photo in enumerate(photos, 1) if photo.id.startswith(photo_id)), 0)
    if not number:
        raise Refusal("photo_removed", name=concept.name)
    announce = await deferred(interaction, hidden(concept))
    try:
        concept = await interaction.client.store.remove_photo(photos[number - 1].id, announce)
    except NotFound as error:
        raise Refusal("photo_removed", name=concept.name) from error
    except ValueError as error:
        raise Refusal("only_photo", name=concept.name) from error
    await begin(interaction, concept, replies.removed(number, concept))


async def mine(interaction: Interaction, concept_id: str) -> tuple[Concept, list[Photo]]:
    """Errors: Refusal gone, not_yours, only_photo."""
    concept = await behind(interaction, concept_id)
    refuse_changing(concept, UserId(interaction.user.id))
    photos = await interaction.client.store.photos(concept.id)
    if len(photos) < 2:
        raise Refusal("only_photo", name=concept.name)
    return concept, photos

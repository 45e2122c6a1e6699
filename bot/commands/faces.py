"""The buttons of "Which face?": one for each face, cancel, and the one that shows the faces (again). For whoever taught it only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord

from concept_store.records import Announce, Concept, UserId

from .. import replies, views
from ..asking import Choice, Question, question_of
from ..errors import Refusal
from ..permissions import refuse_changing
from ..progress import faces_shown
from ..responding import replace, reply
from ..teaching import NOWHERE
from .concepts import behind
from .teach import proceed

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]


async def which_face(interaction: Interaction, fact: str) -> None:
    """Seen by its teacher alone: the faces of people nobody asked may be among them."""
    await interaction.response.defer(thinking=True, ephemeral=True)
    concept, question = await asked(interaction, fact)
    await reply(interaction, await faces_shown(concept, question))


async def choose(interaction: Interaction, fact: str) -> None:
    """The learning goes on at once. What the photo's other faces looked like is forgotten by the trainer, before anything else."""
    await interaction.response.defer()
    bot, choice = interaction.client, Choice.unpack(fact)
    concept, question = await asked(interaction, choice.concept_id)
    number = question.face_number(choice)
    if number is None:
        raise Refusal("face_chosen", name=concept.name)
    await bot.store.choose_face(question.photo.id, choice.face)
    concept = await bot.store.retry(concept.id, new_place(interaction, concept))
    await replace(interaction, views.said(replies.face_chosen(concept, number), views.GREEN))
    await proceed(bot, concept)


async def cancel(interaction: Interaction, fact: str) -> None:
    """What was never usable is as if it had never been taught; what was learned before stays."""
    await interaction.response.defer()
    concept, _ = await asked(interaction, fact)
    if concept.has_head:
        return await replace(interaction, views.said(replies.face_left_open(concept)))
    await interaction.client.store.delete_concept(concept.id)
    await replace(interaction, views.said(replies.forgotten(concept.name)))
    await interaction.client.progress.forgotten([concept])


async def asked(interaction: Interaction, concept_id: str) -> tuple[Concept, Question]:
    """Errors: Refusal gone, not_yours, face_chosen."""
    concept = await behind(interaction, concept_id)
    refuse_changing(concept, UserId(interaction.user.id))
    question = question_of(concept, await interaction.client.store.photos(concept.id))
    if question is None:
        raise Refusal("face_chosen", name=concept.name)
    return concept, question


def new_place(interaction: Interaction, concept: Concept) -> Announce | None:
    """Here, where nobody had waited for the training; else where it was begun."""
    if concept.announce and concept.announce.channel_id != NOWHERE.channel_id:
        return None
    return Announce(interaction.channel_id or NOWHERE.channel_id, None, str(interaction.locale))

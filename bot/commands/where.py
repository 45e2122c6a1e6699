"""/where: the place of somebody known, drawn on a photo; and the button "Why?" under an answer. Looking only; nothing is kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from concept_store.records import UserId

from .. import replies, views
from ..answering import fitting
from ..drawing import boxed
from ..errors import Refusal
from ..marks import Mark
from ..permissions import visible
from ..responding import answering, reply
from .concepts import named, suggest_names
from .corrections import look_again, question_of
from .describe import explained, scope_of
from .uploads import read_attachment, refuse_size

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]


@app_commands.command(description="Where somebody I know is in a photo")
@app_commands.describe(name="Whom or what to look for", photo="The photo to look in", private="Only you see the answer")
async def where(interaction: Interaction, name: str, photo: discord.Attachment, private: bool = False) -> None:
    async with answering(interaction):
        refuse_size(photo.size, interaction.client.reader.limits.max_bytes, which=0)
        await interaction.response.defer(thinking=True, ephemeral=private)
        bot, scope = interaction.client, scope_of(interaction)
        concept = await named(interaction, name)
        if not concept.has_head:
            raise Refusal("not_met", name=concept.name)
        await bot.answerer.refuse_person(concept, scope)
        look = await bot.answerer.look(await read_attachment(bot.reader, photo, 0), scope)
        found = await bot.answerer.find(look, concept)
        certain = found is not None and found.score >= (await bot.answerer.balance(scope)).named_from
        place = await bot.answerer.place(look, found) if found else None
        drawn = await asyncio.to_thread(boxed, look.photo.data, [place])
        await reply(interaction, views.pictured(replies.where(concept, found, certain), drawn, look.photo.spoiler))


where.autocomplete("name")(suggest_names)


async def why(interaction: Interaction, fact: str) -> None:
    """Told to whoever presses, only; of concepts that are private to whoever asked, nothing."""
    await interaction.response.defer()
    look = await look_again(interaction, Mark.unpack(fact))
    asker = UserId(interaction.user.id)
    look = fitting(look, question_of(interaction))
    seen = tuple(match for match in look.certain if visible(match.concept, asker, interaction.guild_id))
    await reply(interaction, await explained(interaction, replace(look, certain=seen)))

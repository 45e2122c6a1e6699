"""/where: the place of somebody known, drawn on a photo; and the button "Why?" under an answer. Looking only; nothing is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from .. import replies, views
from ..drawing import boxed
from ..marks import Mark
from ..responding import answering, reply
from .concepts import named, suggest_names
from .corrections import look_again
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
        look = await bot.answerer.look(await read_attachment(bot.reader, photo, 0), scope)
        found = await bot.answerer.find(look, concept)
        certain = found is not None and found.score >= (await bot.answerer.balance(scope)).named_from
        drawn = await asyncio.to_thread(boxed, look.photo.data, [found.box if found else None])
        await reply(interaction, views.pictured(replies.where(concept, found, certain), drawn))


where.autocomplete("name")(suggest_names)


async def why(interaction: Interaction, fact: str) -> None:
    """Told to whoever presses, only."""
    await interaction.response.defer()
    await reply(interaction, await explained(interaction, await look_again(interaction, Mark.unpack(fact))))

"""/where: the place of somebody known, drawn on a photo; and the button "Why?" under an answer. Looking only; nothing is kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from concept_store.names import name_key
from concept_store.records import Concept, UserId

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
        called = await wanted(interaction, name)
        look = await bot.answerer.look(await read_attachment(bot.reader, photo, 0), scope)
        found = max(filter(None, [await bot.answerer.find(look, one) for one in called]), key=lambda match: match.score, default=None)
        concept = found.concept if found else called[0]
        certain = found is not None and found.score >= (await bot.answerer.balance(scope)).named_from
        place = await bot.answerer.place(look, found) if found else None
        drawn = await asyncio.to_thread(boxed, look.photo.data, [place])
        await reply(interaction, views.pictured(replies.where(concept, found, certain), drawn, look.photo.spoiler))


async def wanted(interaction: Interaction, name: str) -> list[Concept]:
    """Everybody of that name that may be looked for: one's own Biscuit, and the one that the server knows. Errors: Refusal unknown_concept,
    not_met, and of `refuse_person` where nobody else is called so."""
    answerer, scope, first = interaction.client.answerer, scope_of(interaction), await named(interaction, name)
    called = [one for one in await interaction.client.store.known(scope) if name_key(one.name) == name_key(first.name) and one.has_head]
    if not called:
        raise Refusal("not_met", name=first.name)
    allowed = [one for one in called if await answerer.allows(one, scope)]
    if not allowed:
        await answerer.refuse_person(called[0], scope)
    return allowed


where.autocomplete("name")(suggest_names)


async def why(interaction: Interaction, fact: str) -> None:
    """Told to whoever presses, only; of concepts that are private to whoever asked, nothing."""
    await interaction.response.defer()
    look = await look_again(interaction, Mark.unpack(fact))
    asker = UserId(interaction.user.id)
    look = fitting(look, question_of(interaction))
    seen = tuple(match for match in look.certain if visible(match.concept, asker, interaction.guild_id))
    await reply(interaction, await explained(interaction, replace(look, certain=seen)))

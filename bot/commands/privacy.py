"""/privacy: what is kept about the person who asks, a copy of it, and deleting all of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from concept_store.records import UserId

from .. import replies, views
from ..export import parts
from ..responding import answering, replace, reply

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]


@app_commands.command(description="What I keep about you, and how to delete it")
async def privacy(interaction: Interaction) -> None:
    async with answering(interaction):
        await interaction.response.defer(thinking=True, ephemeral=True)
        user = UserId(interaction.user.id)
        kept = await interaction.client.store.kept_about(user)
        await reply(interaction, views.privacy(replies.privacy(kept), user, kept.anything))


# -- buttons
async def export(interaction: Interaction, fact: str) -> None:
    """To this person only: below the message that only they see, or in their direct messages."""
    await interaction.response.defer()
    number = 0
    async for part in parts(interaction.client.store, UserId(interaction.user.id), interaction.filesize_limit):
        number += 1
        file = discord.File(io.BytesIO(part), f"myvlm-{number}.zip")
        await interaction.followup.send(replies.exported(number), file=file, ephemeral=True)


async def ask_to_delete(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer()
    user = UserId(interaction.user.id)
    kept = await interaction.client.store.kept_about(user)
    await replace(interaction, views.delete_question(replies.delete_question(kept), user))


async def delete_everything(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer()
    bot, user = interaction.client, UserId(interaction.user.id)
    concepts = await bot.store.about(user)
    corrected = await bot.store.corrected_by(user)
    number = await bot.store.delete_user(user)
    await bot.teacher.note(*corrected)
    await replace(interaction, views.said(replies.deleted(number)))
    await bot.progress.forgotten(concepts)
    bot.spawn(bot.teacher.refit(*corrected))  # heads forget what they learned from this person's corrections


async def keep_everything(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer()
    await replace(interaction, views.said(replies.NOTHING_DELETED))

"""/describe, /ask and the message command "Describe photos": looking only; nothing is kept or learned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from concept_store.records import GuildId, Scope, UserId

from .. import replies, views
from ..answering import Answer, Look
from ..drawing import boxed
from ..errors import Refusal
from ..explaining import reasons
from ..names import clean_question
from ..responding import answering, reply, tell_error
from .uploads import read_attachment, refuse_size

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]

AT_MOST = 4  # photos of one message


@app_commands.command(description="Describe a photo, with the names of those I know")
@app_commands.describe(
    photo="The photo to describe", private="Only you see the answer", why="Also show what made me think so: the place and the taught photo"
)
async def describe(interaction: Interaction, photo: discord.Attachment, private: bool = False, why: bool = False) -> None:
    async with answering(interaction):
        await look_at(interaction, photo, None, private, why)


@app_commands.command(description="Ask something about a photo")
@app_commands.describe(question="What you want to know", photo="The photo it is about", private="Only you see the answer")
async def ask(interaction: Interaction, question: str, photo: discord.Attachment, private: bool = False) -> None:
    async with answering(interaction):
        await look_at(interaction, photo, clean_question(question), private)


@app_commands.context_menu(name="Describe photos")
async def describe_message(interaction: Interaction, message: discord.Message) -> None:
    """Inference on what somebody posted; seen by the asker only."""
    async with answering(interaction):
        pictures = [found for found in attachments_of(message) if looks_like_a_picture(found)]
        if not pictures:
            raise Refusal("message_without_photo")
        await interaction.response.defer(thinking=True, ephemeral=True)
        for which, picture in enumerate(pictures[:AT_MOST], 1):
            await describe_one(interaction, picture, which if len(pictures) > 1 else 0)
        if len(pictures) > AT_MOST:
            await reply(interaction, views.said(replies.first_photos(AT_MOST, len(pictures))))


async def describe_one(interaction: Interaction, picture: discord.Attachment, which: int) -> None:
    """One that can't be opened doesn't keep the others from being described."""
    try:
        answer = await answered(interaction, picture, None, which)
    except Refusal as error:
        return await tell_error(interaction, error)
    await reply(interaction, shown(interaction, answer, private=True))


async def look_at(interaction: Interaction, photo: discord.Attachment, question: str | None, private: bool, why: bool = False) -> None:
    refuse_size(photo.size, interaction.client.reader.limits.max_bytes, which=0)
    await interaction.response.defer(thinking=True, ephemeral=private)
    answer = await answered(interaction, photo, question)
    await reply(interaction, shown(interaction, answer, private))
    if why and answer.look:
        await reply(interaction, await explained(interaction, answer.look))


async def answered(interaction: Interaction, attachment: discord.Attachment, question: str | None, which: int = 0) -> Answer:
    photo = await read_attachment(interaction.client.reader, attachment, which)
    return await interaction.client.answerer.answer(photo, scope_of(interaction), question)


def shown(interaction: Interaction, answer: Answer, private: bool) -> views.Message:
    return views.answered(answer, UserId(interaction.user.id), hidden=private or interaction.guild_id is None)


async def explained(interaction: Interaction, look: Look) -> views.Message:
    found = await reasons(interaction.client.store, look)
    drawn = await asyncio.to_thread(boxed, look.photo.data, [one.box for one in found])
    return views.explained(found, drawn, look.photo.spoiler)


def scope_of(interaction: discord.Interaction) -> Scope:
    return Scope(UserId(interaction.user.id), GuildId(interaction.guild_id) if interaction.guild_id else None)


def attachments_of(message: discord.Message) -> list[discord.Attachment]:
    """Its own and, where it forwards others, theirs: of a forwarded message Discord sends a snapshot."""
    return [*message.attachments, *(found for snapshot in message.message_snapshots for found in snapshot.attachments)]


def looks_like_a_picture(attachment: discord.Attachment) -> bool:
    """By what Discord says of it; whether it is one shows when it is decoded."""
    return (attachment.content_type or "image/").startswith("image/")

"""/server: what whoever manages a server decides for it: how sure the bot must be, and that all of it is forgotten. Knows no photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands

from concept_store.records import GuildId, UserId

from .. import replies, views
from ..answering import BALANCE_SETTING, BALANCES, NORMAL
from ..errors import Refusal
from ..responding import answering, replace, reply
from .people import guild_of

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]

HERE = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)
server = app_commands.Group(name="server", description="Settings of this server", allowed_contexts=HERE)


@server.command(name="balance", description="For whoever manages this server: how sure must I be before I name somebody?")
@app_commands.describe(balance="strict: fewer wrong names; eager: fewer missed ones; left out: how it is now")
@app_commands.choices(balance=[app_commands.Choice(name=name, value=name) for name in BALANCES])
async def set_balance(interaction: Interaction, balance: str | None = None) -> None:
    async with answering(interaction):
        if balance is None:
            await interaction.response.defer(thinking=True, ephemeral=True)
            chosen = await interaction.client.store.setting(guild_of(interaction), BALANCE_SETTING, NORMAL)
            return await reply(interaction, views.said(replies.balance_now(chosen)))
        guild = managed(interaction)
        await interaction.response.defer(thinking=True, ephemeral=True)
        await interaction.client.store.set_setting(guild, BALANCE_SETTING, balance)
        await reply(interaction, views.said(replies.balance(balance), views.GREEN))


@server.command(name="forget", description="For whoever manages this server: delete all that was taught here, for good")
async def forget_server(interaction: Interaction) -> None:
    async with answering(interaction):
        guild = managed(interaction)
        await interaction.response.defer(thinking=True, ephemeral=True)
        question = replies.forget_server_question(await interaction.client.store.kept_in(guild))
        await reply(interaction, views.delete_question(question, UserId(interaction.user.id), "forget-server"))


async def forget_everything(interaction: Interaction, fact: str) -> None:
    """The button. Whether this member still manages the server is asked again: the question may be old."""
    bot, guild = interaction.client, managed(interaction)
    await interaction.response.defer()
    learning = bot.progress.learning_in(guild)
    number = await bot.store.delete_guild(guild)
    await replace(interaction, views.said(replies.server_forgotten(number)))
    await bot.progress.forgotten(learning)


def managed(interaction: Interaction) -> GuildId:
    """The server that this member manages. Errors: Refusal only_managers, people_need_server."""
    if not interaction.permissions.manage_guild:
        raise Refusal("only_managers")
    return guild_of(interaction)

"""/server: what whoever manages a server decides for it. Knows no concept and no photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands

from .. import replies, views
from ..answering import BALANCE_SETTING, BALANCES, NORMAL
from ..errors import Refusal
from ..responding import answering, reply
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
        if not interaction.permissions.manage_guild:
            raise Refusal("only_managers")
        await interaction.response.defer(thinking=True, ephemeral=True)
        await interaction.client.store.set_setting(guild_of(interaction), BALANCE_SETTING, balance)
        await reply(interaction, views.said(replies.balance(balance), views.GREEN))

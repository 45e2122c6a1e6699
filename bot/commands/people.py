"""/people: an administrator allows faces on a server, a member agrees to be taught, or takes it back with everything learned.

Before a member agrees, no photo of theirs is downloaded, kept or looked at. Knows no photo and no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.abc import Snowflake

from concept_store.records import GuildId, UserId

from .. import replies, views
from ..errors import Refusal
from ..permissions import PEOPLE_SETTING
from ..progress import only
from ..responding import answering, replace, reply

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]

Member = discord.Member | discord.User

HERE = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)
people = app_commands.Group(name="people", description="Whether people may be taught here", allowed_contexts=HERE)


@people.command(name="allow", description="For whoever manages this server: may people be taught and recognised here?")
@app_commands.describe(allowed="Yes: members who agree can be taught. No: nobody's face is recognised here any more")
async def allow(interaction: Interaction, allowed: bool) -> None:
    async with answering(interaction):
        if not interaction.permissions.manage_guild:
            raise Refusal("only_managers")
        if allowed and not interaction.client.people_allowed:
            raise Refusal("people_off_everywhere")
        await interaction.response.defer(thinking=True, ephemeral=True)
        await interaction.client.store.set_setting(guild_of(interaction), PEOPLE_SETTING, allowed or None)
        await reply(interaction, views.said(replies.PEOPLE_ALLOWED if allowed else replies.PEOPLE_FORBIDDEN))
        if allowed:
            interaction.client.spawn(interaction.client.teacher.people_allowed())


@people.command(name="withdraw", description="I shall not be recognised here any more: forget everything about my face")
async def withdraw(interaction: Interaction) -> None:
    async with answering(interaction):
        await interaction.response.defer(thinking=True, ephemeral=True)
        bot, member = interaction.client, UserId(interaction.user.id)
        guild = guild_of(interaction)
        shown = [one for one in await bot.store.about(member) if one.subject_id == member and one.guild_id == guild]
        number = await bot.store.withdraw_consent(member, guild)
        await reply(interaction, views.said(replies.withdrawn(number)))
        await bot.progress.forgotten(shown)


# -- asking a member
def check_member(interaction: Interaction, member: Member | None) -> Member:
    """What can be told before anything is asked of the store. Errors: Refusal people_off, people_need_server, member_missing."""
    if not interaction.client.people_allowed:
        raise Refusal("people_off")
    guild_of(interaction)
    if member is None or member.bot:
        raise Refusal("member_missing")
    return member


async def agreed(interaction: Interaction, member: Snowflake, name: str) -> bool:
    """Whether this member may be taught by who asks, here; where they haven't said yet, they are asked. The reply must be deferred.
    Errors: Refusal people_off_here."""
    store, guild = interaction.client.store, guild_of(interaction)
    if not await store.setting(guild, PEOPLE_SETTING):
        raise Refusal("people_off_here")
    subject, teacher = UserId(member.id), UserId(interaction.user.id)
    if await must_be_asked(interaction, member):
        await ask(interaction, member, name)
        return False
    if subject == teacher:  # running the command is agreeing
        await store.give_consent(subject, teacher, guild)
    return True


async def must_be_asked(interaction: Interaction, member: Snowflake) -> bool:
    """Whether this member hasn't said yet that who asks may teach them here."""
    subject, teacher = UserId(member.id), UserId(interaction.user.id)
    return subject != teacher and not await interaction.client.store.has_consent(subject, teacher, guild_of(interaction))


async def ask(interaction: Interaction, member: Snowflake, name: str) -> None:
    """In place of an answer. Mentions the member and nobody else."""
    text = replies.consent_question(member.id, interaction.user.id, name)
    question = views.consent_question(text, UserId(member.id), interaction.user.id)
    await interaction.edit_original_response(view=question.view, allowed_mentions=only(member.id))


async def agree(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer()
    member = UserId(interaction.user.id)
    await interaction.client.store.give_consent(member, UserId(int(fact)), guild_of(interaction))
    await replace(interaction, views.said(replies.consent_given(member, int(fact)), views.GREEN))
    await interaction.followup.send(replies.teach_again(member, int(fact)), allowed_mentions=only(int(fact)))  # an edit notifies nobody


async def decline(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer()
    await replace(interaction, views.said(replies.consent_declined(interaction.user.id), views.GREY))


def guild_of(interaction: Interaction) -> GuildId:
    """Errors: Refusal people_need_server."""
    if interaction.guild_id is None:
        raise Refusal("people_need_server")
    return GuildId(interaction.guild_id)

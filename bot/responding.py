"""How one interaction is answered: deferred at once, edited, and every error turned into its sentence. Knows no concept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import discord
import structlog

from concept_store.errors import NameTaken, NoConsent, NotFound, TooManyConcepts, TooManyPhotos

from . import replies
from .engine_client import EngineError, EngineUnreachable
from .errors import Refusal

if TYPE_CHECKING:
    from .views import Message

log = structlog.get_logger("myvlm.bot")
# a person's or a moment's: no line in the error log
EXPECTED = (Refusal, EngineUnreachable, NameTaken, NoConsent, NotFound, TooManyConcepts, TooManyPhotos)


@asynccontextmanager
async def answering(interaction: discord.Interaction[Any]) -> AsyncIterator[None]:
    """The one error handler of commands, buttons and modals: whatever goes wrong inside is told to the person."""
    try:
        yield
    except Exception as error:
        await tell_error(interaction, error)


async def tell_error(interaction: discord.Interaction[Any], error: BaseException) -> None:
    _note(interaction, error)
    from . import views

    try:
        await reply(interaction, views.said(replies.sentence(error), views.RED), ephemeral=True)
    except discord.HTTPException as failed:  # the token has run out, or the message is gone: nobody is left to be told
        log.warning("could_not_tell", interaction=interaction.id, status=failed.status)


def _note(interaction: discord.Interaction[Any], error: BaseException) -> None:
    command = interaction.command.qualified_name if interaction.command else "button"
    if isinstance(error, EXPECTED):
        log.info("refused", command=command, error=str(error))
    elif isinstance(error, EngineError):
        log.warning("engine_refused", command=command, code=error.code)
    else:
        log.error("failed", command=command, interaction=interaction.id, exc_info=error)


async def reply(interaction: discord.Interaction[Any], message: Message, ephemeral: bool = False) -> None:
    """The first answer, in place of "thinking…" where it was deferred; further ones come below it."""
    thinking = interaction.response.type is discord.InteractionResponseType.deferred_channel_message
    if not interaction.response.is_done():
        await interaction.response.send_message(view=message.view, files=message.files(), ephemeral=ephemeral)
    elif thinking and not interaction.extras.get("answered"):
        await interaction.edit_original_response(view=message.view, attachments=message.files())
    else:
        await interaction.followup.send(view=message.view, files=message.files(), ephemeral=True)
    interaction.extras["answered"] = True


async def replace(interaction: discord.Interaction[Any], message: Message) -> None:
    """The message whose button was pressed (and deferred) becomes this one."""
    await interaction.edit_original_response(view=message.view, attachments=message.files())

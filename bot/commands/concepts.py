"""/concepts list, show, add, forget, rename, and their buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands

from concept_store.errors import NotFound
from concept_store.names import name_key
from concept_store.records import Concept, ConceptId, State, UserId

from .. import replies, views
from ..asking import question_of
from ..errors import Refusal
from ..names import clean_name
from ..permissions import can_forget, refuse_changing, refuse_forgetting, visible
from ..progress import hidden
from ..responding import answering, replace, reply
from ..teaching import NOWHERE
from .describe import scope_of
from .more_photos import take_more
from .teach import begin, deferred

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]

concepts = app_commands.Group(name="concepts", description="Whom and what I know")


@concepts.command(name="list", description="Everyone and everything I know here")
async def list_concepts(interaction: Interaction) -> None:
    async with answering(interaction):
        await interaction.response.defer(thinking=True, ephemeral=True)
        await reply(interaction, await list_page(interaction, 0))


@concepts.command(name="show", description="One of them: photos, state, who may use it")
@app_commands.describe(name="Its name")
async def show_concept(interaction: Interaction, name: str) -> None:
    async with answering(interaction):
        await interaction.response.defer(thinking=True, ephemeral=True)
        concept = await named(interaction, name)
        await reply(interaction, await shown(interaction, concept))


@concepts.command(name="add", description="Give one that you taught more photos; I learn it again with all of them")
@app_commands.describe(
    name="Its name",
    photo1="A photo of it that I haven't had yet",
    **{f"photo{number}": "Another photo: another side, place or light, or one from afar" for number in range(2, 6)},
)
async def add_photos(
    interaction: Interaction,
    name: str,
    photo1: discord.Attachment,
    photo2: discord.Attachment | None = None,
    photo3: discord.Attachment | None = None,
    photo4: discord.Attachment | None = None,
    photo5: discord.Attachment | None = None,
) -> None:
    async with answering(interaction):
        given = [photo for photo in (photo1, photo2, photo3, photo4, photo5) if photo]
        await take_more(interaction, await named(interaction, name), given)


@concepts.command(name="forget", description="Forget one for good, with all its photos")
@app_commands.describe(name="Its name")
async def forget_concept(interaction: Interaction, name: str) -> None:
    async with answering(interaction):
        await interaction.response.defer(thinking=True, ephemeral=True)
        concept = await named(interaction, name)
        refuse_forgetting(concept, *who(interaction))
        await reply(interaction, views.forget_question(concept, UserId(interaction.user.id)))


@concepts.command(name="rename", description="Give one another name")
@app_commands.describe(name="Its name now", new_name="Its new name, up to 32 characters")
async def rename_concept(interaction: Interaction, name: str, new_name: str) -> None:
    """The new name is said at once, in place of the noun; what was learned to say is the old one, so it is learned anew."""
    async with answering(interaction):
        await interaction.response.defer(thinking=True, ephemeral=True)
        concept = await named(interaction, name)
        refuse_changing(concept, UserId(interaction.user.id))
        if clean_name(new_name) == concept.name:
            return await reply(interaction, views.said(replies.kept_as_is(concept.name)))
        renamed = await interaction.client.store.rename_concept(concept.id, clean_name(new_name))
        await interaction.client.store.retry(concept.id, NOWHERE)
        await reply(interaction, views.said(replies.renamed(concept.name, renamed.name), views.GREEN))
        interaction.client.spawn(interaction.client.teacher.wake())


@show_concept.autocomplete("name")
@add_photos.autocomplete("name")
@forget_concept.autocomplete("name")
@rename_concept.autocomplete("name")
async def suggest_names(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    known = await interaction.client.store.known(scope_of(interaction))
    hits = [concept.name for concept in known if name_key(typed) in name_key(concept.name)]
    return [app_commands.Choice(name=name, value=name) for name in hits[:25]]


# -- buttons
async def turn_page(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer()
    await replace(interaction, await list_page(interaction, int(fact)))


async def ask_to_forget(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer(thinking=True, ephemeral=True)
    concept = await behind(interaction, fact)
    refuse_forgetting(concept, *who(interaction))
    await reply(interaction, views.forget_question(concept, UserId(interaction.user.id)))


async def forget(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer()
    concept = await behind(interaction, fact)
    refuse_forgetting(concept, *who(interaction))
    await interaction.client.store.delete_concept(concept.id)
    await replace(interaction, views.said(replies.forgotten(concept.name)))
    await interaction.client.progress.forgotten([concept])


async def keep(interaction: Interaction, fact: str) -> None:
    await interaction.response.defer()
    concept = await behind(interaction, fact)
    await replace(interaction, views.said(replies.kept_as_is(concept.name)))


async def try_again(interaction: Interaction, fact: str) -> None:
    bot = interaction.client
    concept = await behind(interaction, fact)
    refuse_changing(concept, UserId(interaction.user.id))
    if concept.state is not State.FAILED:
        raise Refusal("not_failed", name=concept.name)
    announce = await deferred(interaction, hidden(concept))
    await begin(interaction, await bot.store.retry(concept.id, announce))


# -- what they share
async def named(interaction: Interaction, name: str) -> Concept:
    try:
        return await interaction.client.store.find(scope_of(interaction), name)
    except NotFound as error:
        raise Refusal("unknown_concept", name=name[:64]) from error


async def behind(interaction: Interaction, fact: str) -> Concept:
    """The concept of a button. Whoever can't see it here is told that it's gone: buttons must not give names away."""
    try:
        concept = await interaction.client.store.concept(ConceptId(fact))
    except NotFound as error:
        raise Refusal("gone") from error
    if not visible(concept, UserId(interaction.user.id), interaction.guild_id) and concept.owner_id != interaction.user.id:
        raise Refusal("gone")
    return concept


def who(interaction: Interaction) -> tuple[UserId, int | None, bool]:
    return UserId(interaction.user.id), interaction.guild_id, interaction.permissions.manage_guild


async def list_page(interaction: Interaction, page: int) -> views.Message:
    store, asker = interaction.client.store, UserId(interaction.user.id)
    known = await store.known(scope_of(interaction))
    if not known:
        return views.said(replies.NO_CONCEPTS)
    page = min(page, (len(known) - 1) // views.PAGE)
    shown_here = known[page * views.PAGE : (page + 1) * views.PAGE]
    thumbnails = [await store.thumbnail(concept.id) for concept in shown_here]
    return views.concept_list(known, thumbnails, page, asker, here=interaction.guild_id is not None)


async def shown(interaction: Interaction, concept: Concept) -> views.Message:
    """Its teacher sees all taught photos, others the first."""
    asker = UserId(interaction.user.id)
    mine = concept.owner_id == asker
    store = interaction.client.store
    photos = await store.photos(concept.id) if mine else []
    pictures = [photo.thumbnail for photo in photos] or [await store.thumbnail(concept.id)]
    asks_face = question_of(concept, photos) is not None
    forgettable, here = can_forget(concept, *who(interaction)), interaction.guild_id is not None
    return views.concept_page(concept, pictures, asker, mine, forgettable, asks_face, here)

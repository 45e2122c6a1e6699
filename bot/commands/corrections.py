"""What members say to an answer: the buttons "right", "not …", "is …" (yes, and "also in the photo …") and "undo".

The photo and the question are read from the message itself: only the photo's vectors are kept, and only with a correction. Those of
faces never, and of a person's photo none, because people nobody asked may be in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import discord
import structlog

from concept_store.errors import NotFound, StoreError
from concept_store.records import Concept, ConceptId, GuildId, Kind, Scope, UserId

from .. import replies, views
from ..answering import Look
from ..engine_client import EngineError, EngineUnreachable
from ..errors import Refusal
from ..marks import Mark
from ..permissions import can_forget, refuse_forgetting, visible
from ..photos import Photo
from ..responding import replace, reply
from ..sights import without_faces
from .concepts import behind, who
from .uploads import downloaded

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]

log = structlog.get_logger("myvlm.bot")


async def right(interaction: Interaction, fact: str) -> None:
    """Whoever the answer names, and may be used by who presses, is confirmed: not whom the heads would name by now. The answer stays as
    it is."""
    await interaction.response.defer()
    look = await look_again(interaction, Mark.unpack(fact))
    named = [await concept_or_none(interaction, concept_id) for concept_id in named_in(interaction)]
    asker = UserId(interaction.user.id)
    seen = [concept for concept in named if concept and visible(concept, asker, interaction.guild_id)]
    if not seen:
        raise Refusal("nobody_recognised")
    kept, refused = [], []
    for concept in seen:  # one that is refused is no reason to lose the others
        try:
            await keep(interaction, concept, look, present=True)
            kept.append(concept)
        except (Refusal, NotFound) as error:
            refused.append(error)
    if not kept:
        raise refused[0]
    refit(interaction, *kept)
    said = [replies.confirmed([concept.name for concept in kept]), *map(replies.sentence, refused)]
    await reply(interaction, views.said("\n".join(said), views.GREEN))


async def is_there(interaction: Interaction, fact: str) -> None:
    await correct(interaction, Mark.unpack(fact), present=True)


async def is_not_there(interaction: Interaction, fact: str) -> None:
    await correct(interaction, Mark.unpack(fact), present=False)


async def correct(interaction: Interaction, mark: Mark, present: bool) -> None:
    """The answer becomes the corrected one, at once; the head learns in the background."""
    await interaction.response.defer()
    concept = await behind(interaction, mark.concept_id)
    look = await look_again(interaction, mark)
    await keep(interaction, concept, look, present)
    refit(interaction, concept)
    async with done_already(interaction, concept, replies.noted(concept, present)):
        await answer_anew(interaction, mark, look, concept, replies.corrected(concept, present, interaction.user.id), undo=True)


async def undo(interaction: Interaction, fact: str) -> None:
    """What was taken back already, elsewhere or when the photo couldn't be described, is out of this answer too then. What others have
    said of the photo before holds again."""
    await interaction.response.defer()
    mark, store = Mark.unpack(fact), interaction.client.store
    concept = await behind(interaction, mark.concept_id)
    whose = await undoable(interaction, concept, mark.digest)
    look = await look_again(interaction, mark)
    await store.remove_corrections(concept.id, mark.digest, whose)
    await interaction.client.teacher.note(*learning_from(concept))
    left = await store.said(concept.id, mark.digest)
    async with done_already(interaction, concept, replies.taken_back(concept, left)):
        await refitted(interaction, concept)  # waited for: until then the head goes by what is taken back
        await answer_anew(interaction, mark, look, concept, replies.undone(concept, left), undo=False)


async def undo_all(interaction: Interaction, fact: str) -> None:
    """Of one concept, by its teacher or whoever manages the server it is known in, wherever the answers were given."""
    await interaction.response.defer()
    concept = await behind(interaction, fact)
    refuse_forgetting(concept, *who(interaction))
    number = await interaction.client.store.remove_corrections(concept.id)
    await interaction.client.teacher.note(*learning_from(concept))
    await reply(interaction, views.said(replies.all_undone(concept, number), views.GREEN))
    refit(interaction, concept)


# -- steps
async def undoable(interaction: Interaction, concept: Concept, digest: str) -> UserId:
    """Whose word about the photo is taken back: that of whom the answer names, by themself, the concept's teacher or whoever manages the
    server. Pressed again, it takes back nobody else's. Errors: Refusal not_yours_to_undo."""
    user, author = UserId(interaction.user.id), corrector_in(interaction)
    if author in (None, user) or can_forget(concept, *who(interaction)):
        return author or user
    if await interaction.client.store.said(concept.id, digest, author):
        raise Refusal("not_yours_to_undo", name=concept.name, teacher_id=concept.owner_id)
    return author


async def keep(interaction: Interaction, concept: Concept, look: Look, present: bool) -> None:
    """What its teacher said of a photo, nobody else changes. Errors: Refusal teacher_said, NotFound."""
    store, user, digest = interaction.client.store, UserId(interaction.user.id), look.photo.digest
    at_most = interaction.client.settings.teaching.max_corrections_per_concept
    said = await store.said(concept.id, digest, concept.owner_id)
    if said and concept.owner_id != user and said.present != present:
        raise Refusal("teacher_said", name=concept.name, teacher_id=concept.owner_id)
    vectors = () if concept.kind is Kind.PERSON else without_faces(look.sights)
    await store.add_correction(concept.id, vectors, present, digest, user, at_most)
    await interaction.client.teacher.note(*learning_from(concept))  # before anything is waited for that a restart can break off


async def answer_anew(interaction: Interaction, mark: Mark, look: Look, concept: Concept, note: str, undo: bool) -> None:
    answerer = interaction.client.answerer
    answer = await answerer.said_of(await answerer.look_again(look), question_of(interaction))
    hidden = interaction.guild_id is None or bool(interaction.message and interaction.message.flags.ephemeral)
    await replace(interaction, views.answered(answer, mark.asker, hidden, note, concept.id if undo else None))


@asynccontextmanager
async def done_already(interaction: Interaction, concept: Concept, told: str) -> AsyncIterator[None]:
    """What was pressed for is in the store. Where no new answer comes of it, that is told; the old one, where it wasn't deleted, keeps its
    buttons to try again."""
    try:
        yield
    except (EngineError, EngineUnreachable, StoreError, discord.HTTPException) as error:
        log.warning("not_answered_anew", concept=concept.id, error=str(error))
        why = "" if isinstance(error, discord.HTTPException) else f" {replies.NOT_ANEW}"  # there is no answer to press again
        await reply(interaction, views.said(told + why, views.GREY), ephemeral=True)


def refit(interaction: Interaction, *concepts: Concept) -> None:
    interaction.client.spawn(refitted(interaction, *concepts))


async def refitted(interaction: Interaction, *concepts: Concept) -> None:
    await interaction.client.teacher.refit(*learning_from(*concepts))


def learning_from(*concepts: Concept) -> list[ConceptId]:
    """Whose heads learn from corrections: people's don't, of whose photos no vector is kept."""
    return [concept.id for concept in concepts if concept.kind is not Kind.PERSON]


async def look_again(interaction: Interaction, mark: Mark) -> Look:
    """The photo of the answer whose button was pressed, in the scope of whoever asked. Errors: Refusal photo_gone, EngineError."""
    photo = await photo_of(interaction, mark.digest)
    guild = GuildId(interaction.guild_id) if interaction.guild_id else None
    return await interaction.client.answerer.look(photo, Scope(mark.asker, guild))


async def photo_of(interaction: Interaction, digest: str) -> Photo:
    """Errors: Refusal photo_gone."""
    found = next((part for part in parts_of(interaction) if isinstance(part, discord.MediaGalleryComponent)), None)
    if found is None or not found.items:
        raise Refusal("photo_gone")
    bot = interaction.client
    data = await downloaded(bot.http.get_from_cdn(found.items[0].media.url), Refusal("photo_gone"))
    return dataclasses.replace(await bot.reader.again(data, digest), spoiler=found.items[0].spoiler)


def named_in(interaction: Interaction) -> list[ConceptId]:
    """Whom the answer names: each has a button "✗ not …" beside the "✓ right" that was pressed."""
    rows = (part for part in parts_of(interaction) if isinstance(part, discord.ActionRow))
    for row in rows:
        ids = [child.custom_id or "" for child in row.children if isinstance(child, discord.Button)]
        if any(one.startswith("right:") for one in ids):
            return [Mark.unpack(one.rsplit(":", 1)[1]).concept_id for one in ids if one.startswith("not:")]
    return []


async def concept_or_none(interaction: Interaction, concept_id: ConceptId) -> Concept | None:
    """None: it was forgotten."""
    try:
        return await interaction.client.store.concept(concept_id)
    except NotFound:
        return None


def corrector_in(interaction: Interaction) -> UserId | None:
    texts = [part.content for part in parts_of(interaction) if isinstance(part, discord.TextDisplay)]
    author = replies.corrector("\n".join(texts))
    return None if author is None else UserId(author)


def question_of(interaction: Interaction) -> str | None:
    found = next((part for part in parts_of(interaction) if isinstance(part, discord.TextDisplay)), None)
    return replies.question_in(found.content) if found else None


def parts_of(interaction: Interaction) -> Iterator[Any]:
    for component in interaction.message.components if interaction.message else ():
        yield from getattr(component, "children", [component])

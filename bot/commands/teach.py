"""/teach: a name, what it is, and up to ten photos; kept first, learned after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from concept_store.errors import NameTaken
from concept_store.names import name_key
from concept_store.records import Announce, Concept, GuildId, Kind, NewConcept, NewPhoto, UserId

from .. import replies
from ..errors import Refusal
from ..names import clean_name, clean_noun, suggested_nouns
from ..photos import Photo, distinct
from ..responding import answering
from ..teaching import NOWHERE, Progress
from .describe import scope_of
from .people import Member, agreed, check_member, must_be_asked
from .uploads import read_attachments, refuse_size

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]

KINDS = [app_commands.Choice(name=kind.value, value=kind.value) for kind in (Kind.PET, Kind.OBJECT, Kind.PERSON)]


@dataclass(frozen=True)
class Lesson:
    """A checked /teach, before anything was downloaded."""

    name: str
    kind: Kind
    noun: str  # "" when not said
    private: bool
    member: Member | None = None  # whom a person's photos show


@app_commands.command(description="Teach me a pet or a thing by name, with photos of it")
@app_commands.describe(
    name="What I shall call it, up to 32 characters",
    kind="What it is",
    photo1="A photo of it; 3–5 different ones work best",
    what="The word for such a thing: dog, cat, mug … (I guess when you leave it out)",
    private="Only you can use it (otherwise everyone on this server)",
    member="For a person: who it is. I ask them before I look at any photo",
    **{f"photo{number}": "Another photo: another side, place or light, and one from afar" for number in range(2, 11)},
)
@app_commands.choices(kind=KINDS)
async def teach(
    interaction: Interaction,
    name: str,
    kind: str,
    photo1: discord.Attachment,
    photo2: discord.Attachment | None = None,
    photo3: discord.Attachment | None = None,
    photo4: discord.Attachment | None = None,
    photo5: discord.Attachment | None = None,
    photo6: discord.Attachment | None = None,
    photo7: discord.Attachment | None = None,
    photo8: discord.Attachment | None = None,
    photo9: discord.Attachment | None = None,
    photo10: discord.Attachment | None = None,
    what: str | None = None,
    private: bool = False,
    member: discord.User | None = None,
) -> None:
    given = [photo1, photo2, photo3, photo4, photo5, photo6, photo7, photo8, photo9, photo10]
    async with answering(interaction):
        await take_lesson(interaction, name, Kind(kind), [photo for photo in given if photo], what, private, member)


@teach.autocomplete("what")
async def suggest_what(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=noun, value=noun) for noun in suggested_nouns(interaction.namespace.kind, typed)]


async def take_lesson(
    interaction: Interaction,
    name: str,
    kind: Kind,
    attachments: Sequence[discord.Attachment],
    what: str | None,
    private: bool,
    member: Member | None = None,
) -> None:
    """Wrong words are answered at once and only to the person; then the reply is deferred, a person's member is asked, and the photos
    are read."""
    bot = interaction.client
    lesson = check(name, kind, what, private or interaction.guild_id is None, bot.people_allowed)
    if kind is Kind.PERSON:
        lesson = replace(lesson, member=check_member(interaction, member))
    elif member is not None:
        raise Refusal("member_not_meant")
    check_uploads([attachment.size for attachment in attachments], bot.settings.photos.max_photos, bot.reader.limits.max_bytes)
    seen_by_all = not private or interaction.guild_id is None or (lesson.member and await must_be_asked(interaction, lesson.member))
    announce = await deferred(interaction, hidden=not seen_by_all)
    if lesson.member and not await agreed(interaction, lesson.member, lesson.name):
        return
    photos = await read_attachments(bot.reader, attachments)
    kept = check_photos(photos)
    concept = await keep(interaction, lesson, kept, announce)
    await begin(interaction, concept, replies.advice(len(photos), kept))


async def deferred(interaction: Interaction, hidden: bool) -> Announce:
    """Answers within Discord's three seconds; gives where the last word goes."""
    reply = await interaction.response.defer(thinking=True, ephemeral=hidden)
    return Announce(interaction.channel_id or NOWHERE.channel_id, reply.message_id if reply else None, str(interaction.locale))


async def begin(interaction: Interaction, concept: Concept, note: str = "") -> None:
    """From here on the deferred reply shows how it goes."""
    interaction.client.progress.open(concept, interaction, note)
    await proceed(interaction.client, concept)


async def proceed(bot: MyVlmBot, concept: Concept) -> None:
    """A concept that has just been queued: its reply says so, and it is learned when its turn comes."""
    if reason := bot.teacher.paused:
        await bot.progress.progress(concept, Progress("waiting", reason=reason, broken=bot.teacher.broken))
    else:
        await bot.progress.show_queued(concept)
    bot.spawn(bot.teacher.wake())


def check(name: str, kind: Kind, what: str | None, private: bool, people_allowed: bool) -> Lesson:
    """Errors: Refusal."""
    lesson = Lesson(clean_name(name), kind, clean_noun(what), private)
    if kind is Kind.PERSON and not people_allowed:
        raise Refusal("people_off")
    return lesson


def check_uploads(sizes_bytes: Sequence[int], max_photos: int, max_bytes: int) -> None:
    """Errors: Refusal too_many_photos, empty_file, too_many_bytes."""
    if len(sizes_bytes) > max_photos:
        raise Refusal("too_many_photos", photos=len(sizes_bytes), limit=max_photos)
    for which, size_bytes in enumerate(sizes_bytes, 1):
        refuse_size(size_bytes, max_bytes, which)


def check_photos(photos: Sequence[Photo]) -> list[Photo]:
    """Each picture once. Errors: Refusal same_photo, when several are all the same."""
    kept = distinct(photos)
    if len(kept) == 1 and len(photos) > 1:
        raise Refusal("same_photo", photos=len(photos))
    return kept


async def keep(interaction: Interaction, lesson: Lesson, photos: Sequence[Photo], announce: Announce) -> Concept:
    """From here on the teach survives whatever is killed. Errors: NameTaken, TooManyConcepts, Refusal name_yours."""
    bot = interaction.client
    new = NewConcept(
        name=lesson.name,
        kind=lesson.kind,
        class_noun=lesson.noun,
        owner_id=UserId(interaction.user.id),
        guild_id=GuildId(interaction.guild_id) if interaction.guild_id else None,
        private=lesson.private,
        announce=announce,
        subject_id=UserId(lesson.member.id) if lesson.member else None,
    )
    pictures = [NewPhoto(photo.data, photo.thumbnail, photo.digest) for photo in photos]
    await bot.note_membership(interaction.guild_id)
    try:
        return await bot.store.create_concept(new, pictures, bot.settings.teaching.max_concepts_per_owner)
    except NameTaken:
        await refuse_own_name(interaction, lesson.name)
        raise


async def refuse_own_name(interaction: Interaction, name: str) -> None:
    """What is one's own, and known here, can be given more photos. Errors: Refusal name_yours."""
    known = await interaction.client.store.known(scope_of(interaction))
    mine = [one.name for one in known if one.owner_id == interaction.user.id and name_key(one.name) == name_key(name)]
    if mine:
        raise Refusal("name_yours", name=mine[0])

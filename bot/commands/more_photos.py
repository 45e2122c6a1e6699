"""/concepts add: more photos for a concept that is known already, from its teacher; kept first, learned after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import discord

from concept_store.records import Concept, Kind, NewPhoto, UserId

from .. import replies
from ..errors import Refusal
from ..permissions import refuse_changing
from ..photos import Photo, same_photo
from ..progress import hidden
from .people import agreed, guild_of
from .teach import begin, check_photos, check_uploads, deferred
from .uploads import read_attachments

if TYPE_CHECKING:
    from ..app import MyVlmBot

    Interaction = discord.Interaction[MyVlmBot]


async def take_more(interaction: Interaction, concept: Concept, attachments: Sequence[discord.Attachment]) -> None:
    """As /teach does it: what can be told without the photos is told at once, then the reply is deferred, and the photos are read."""
    bot = interaction.client
    limit = bot.settings.photos.max_photos
    refuse_changing(concept, UserId(interaction.user.id))
    member = check_person(interaction, concept) if concept.kind is Kind.PERSON else None
    check_room(concept, len(attachments), limit)
    check_uploads([attachment.size for attachment in attachments], limit, bot.reader.limits.max_bytes)
    announce = await deferred(interaction, hidden(concept))
    if member and not await agreed(interaction, member, concept.name):
        return
    photos = check_photos(await read_attachments(bot.reader, attachments))
    kept = await bot.store.photos(concept.id)
    new = check_new(photos, [await bot.reader.again(photo.data, photo.digest) for photo in kept])
    pictures = [NewPhoto(photo.data, photo.thumbnail, photo.digest) for photo in new]
    concept = await bot.store.add_photos(concept.id, pictures, announce, limit)
    await begin(interaction, concept, replies.added(len(attachments), len(new)))


def check_person(interaction: Interaction, concept: Concept) -> discord.Object:
    """Whose consent is needed: given where the concept was taught, it counts there. Errors: Refusal people_off_everywhere,
    people_need_server."""
    if not interaction.client.people_allowed:
        raise Refusal("people_off_everywhere")
    if concept.subject_id is None or guild_of(interaction) != concept.guild_id:
        raise Refusal("people_need_server")
    return discord.Object(concept.subject_id)


def check_room(concept: Concept, photos: int, limit: int) -> None:
    """Errors: Refusal too_many_added."""
    room = max(0, limit - concept.photo_count)
    if photos > room:
        raise Refusal("too_many_added", name=concept.name, kept=concept.photo_count, limit=limit, room=room)


def check_new(photos: Sequence[Photo], kept: Sequence[Photo]) -> list[Photo]:
    """Those that aren't kept yet. Errors: Refusal known_photos."""
    new = [photo for photo in photos if not any(same_photo(photo, old) for old in kept)]
    if not new:
        raise Refusal("known_photos", photos=len(photos))
    return new

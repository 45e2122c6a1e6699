"""The live reply of each teach, and the last word when it is over. The trainer's listener; knows no engine.

While an interaction's token lives (15 minutes) the reply is edited by it; afterwards, or after a restart, as the bot's own
message. The last word is a message of its own, because edits notify nobody: it mentions the teacher and nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import discord
import structlog

from concept_store.errors import NotFound
from concept_store.records import Concept, ConceptId, Kind, State
from concept_store.store import ConceptStore

from . import replies, views
from .asking import Question, question_of, waits
from .drawing import numbered_faces
from .errors import Refusal
from .portraits import SHOWS_PERSON
from .teaching import NOWHERE, Progress
from .views import Message

log = structlog.get_logger("myvlm.progress")
UNSENT = (discord.HTTPException, aiohttp.ClientError, OSError)


@dataclass
class Reply:
    """One teach's reply. `interaction` is None after a restart."""

    concept: Concept
    interaction: discord.Interaction[Any] | None
    note: str = ""  # small print that stays under every state
    last_edit: float = float("-inf")
    waiting: list[tuple[Concept, Progress]] = field(default_factory=list)  # to be shown: the newest, and "usable" before "learning"
    shown: Progress | None = None
    noun_seen: bool = True  # as the trainer last said: still told when it is ready
    editing: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class Word:
    """What is said when a training is over: the last word, or the question whose face is meant. Both as discord.py's `send` has them."""

    concept: Concept
    question: Message | None = None

    def to_teacher(self) -> dict[str, Any]:
        if self.question is None:
            return {"content": replies.last_word(self.concept)}
        return {"view": self.question.view, "files": self.question.files()}

    def to_all(self) -> dict[str, Any]:
        return self.to_teacher() if self.question is None else {"view": views.face_asked(self.concept).view}


class ProgressReplies:
    def __init__(
        self,
        client: discord.Client,
        store: ConceptStore,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        every_s: float = 2.0,
    ):
        self.client, self.store, self.every_s = client, store, every_s
        self._spawn = spawn
        self._replies: dict[ConceptId, Reply] = {}
        self._announcing: set[ConceptId] = set()

    def open(self, concept: Concept, interaction: discord.Interaction[Any], note: str = "") -> None:
        """How it goes is shown there from now on; an earlier reply that is still shown says so."""
        earlier = self._replies.get(concept.id)
        self._replies[concept.id] = Reply(concept, interaction, note)
        if earlier:
            self._spawn(self._show_last(earlier, earlier.concept, Progress("elsewhere")))

    # -- the trainer's listener
    async def progress(self, concept: Concept, progress: Progress) -> None:
        """Edits the reply, at most every `every_s`, beside the training: a slow Discord never holds it up. What comes sooner waits
        for its time, and only the newest is shown; that it is usable is shown in any case, because it is what a person waits for."""
        reply = self._replies.get(concept.id) or await self._anew(concept)
        if reply is None:
            return
        if progress.stage == "learning":
            reply.noun_seen = progress.noun_seen
        before = [(one, at) for one, at in reply.waiting if (at.stage, progress.stage) == ("usable", "learning")]
        somebody_waits = bool(reply.waiting)
        reply.waiting = [*before, (concept, progress)]
        if not somebody_waits:
            self._spawn(self._show_waiting(reply))

    async def _anew(self, concept: Concept) -> Reply | None:
        """After a restart. Of what was forgotten meanwhile the last word is said already, though the engine may still learn it."""
        try:
            await self.store.concept(concept.id)
        except NotFound:
            return None
        return self._replies.setdefault(concept.id, Reply(concept, None))

    async def finished(self, concept: Concept) -> None:
        reply = self._replies.pop(concept.id, None) or Reply(concept, None)
        asks = await self._question(concept) is not None
        if asks:
            self._replies[concept.id] = reply  # it goes on with the answer
        with self._word_of(concept) as unsaid:  # from before the reply is edited, so that nobody else says it meanwhile
            await self._show_last(reply, concept, Progress("asking" if asks else ended(concept)))
            if unsaid:
                await self._announce(concept, reply.interaction)
        await self.move_up()

    async def move_up(self) -> None:
        """Those still in line have one less before them."""
        for concept_id, reply in list(self._replies.items()):
            if not only_queued(reply):
                continue
            try:
                concept, place = await self.store.concept(concept_id), await self.store.queue_position(concept_id)
            except NotFound:
                self._replies.pop(concept_id, None)
                continue
            if place and only_queued(reply):  # its turn may have come meanwhile
                await self.progress(concept, Progress("queued", ahead=place - 1))

    async def forgotten(self, concepts: Collection[Concept]) -> None:
        """They were deleted: what was being learned says so instead of staying where it was, and earlier replies, which show a taught
        photo, say so in its place."""
        for concept in concepts:
            if reply := self._replies.pop(concept.id, None):
                await self._show_last(reply, reply.concept, None)
            elif concept.announce and concept.announce.message_id:
                self._spawn(self._show_last(Reply(concept, None), concept, None))  # many take their time: Discord limits edits

    def learning_in(self, guild_id: int) -> list[Concept]:
        return [reply.concept for reply in self._replies.values() if reply.concept.guild_id == guild_id]

    async def show_queued(self, concept: Concept) -> None:
        ahead = max(0, await self.store.queue_position(concept.id) - 1)
        await self.progress(concept, Progress("queued", ahead=ahead))

    # -- editing
    async def _show_waiting(self, reply: Reply) -> None:
        wait_s = reply.last_edit + self.every_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        async with reply.editing:
            if not reply.waiting:
                return  # it is over
            concept, progress = reply.waiting.pop(0)
            more = bool(reply.waiting)
            await self._edit(reply, concept, progress)
        if more:
            await self._show_waiting(reply)

    async def _show_last(self, reply: Reply, concept: Concept, progress: Progress | None) -> None:
        """In place of whatever waits to be shown. `progress` None: the concept is gone."""
        reply.waiting = []
        async with reply.editing:
            await self._edit(reply, concept, progress)

    async def _edit(self, reply: Reply, concept: Concept, progress: Progress | None) -> None:
        """Only by whoever holds `reply.editing`: edits arrive in order."""
        reply.last_edit, reply.shown = asyncio.get_running_loop().time(), progress
        try:
            await self._send(reply, concept, await self._message(reply, concept, progress))
        except (*UNSENT, NotFound) as error:  # deleted, out of sight or out of reach: the last word is still said
            log.info("reply_not_edited", concept=concept.id, error=type(error).__name__)

    async def _message(self, reply: Reply, concept: Concept, progress: Progress | None) -> Message:
        if progress is None:
            return views.said(replies.forgotten(concept.name))
        doubt = replies.unseen(concept.class_noun) if progress.stage == "ready" and not reply.noun_seen else ""
        text = "\n".join(filter(None, (replies.progress(concept, progress), doubt, reply.note)))
        pressed = {"failed": views.after_failure, "asking": lambda one: [views.which_face(one)]}.get(progress.stage)
        buttons = pressed(concept) if pressed else []
        # sent once, not with every step; nobody's face is left in a channel
        shown = progress.stage == "ready" and concept.kind is not Kind.PERSON
        picture = await self.store.thumbnail(concept.id) if shown else None
        return views.teaching(text, progress.stage, picture, buttons)

    async def _send(self, reply: Reply, concept: Concept, message: Message) -> None:
        if reply.interaction is not None and not reply.interaction.is_expired():
            await reply.interaction.edit_original_response(view=message.view, attachments=message.files())
        elif (told := concept.announce) and told.message_id and not concept.private:
            channel = self.client.get_partial_messageable(told.channel_id)
            await channel.get_partial_message(told.message_id).edit(view=message.view, attachments=message.files())

    # -- the last word
    async def announce(self, concept: Concept, interaction: discord.Interaction[Any] | None = None) -> None:
        """Says the last word and notes that it was said. When Discord is away it stays unsaid, for the next call; so it does where the word
        of an earlier training is just being said."""
        with self._word_of(concept) as unsaid:
            if unsaid:
                await self._announce(concept, interaction)

    @contextmanager
    def _word_of(self, concept: Concept) -> Iterator[bool]:
        """Whether nobody else is about to say it; nobody else does, as long as the block lasts."""
        if concept.id in self._announcing:
            yield False
            return
        self._announcing.add(concept.id)
        try:
            yield True
        finally:
            self._announcing.discard(concept.id)

    async def _announce(self, concept: Concept, interaction: discord.Interaction[Any] | None) -> None:
        if concept.announce and concept.announce.channel_id == NOWHERE.channel_id:
            return await self.store.mark_announced(concept.id, concept.ticket)
        try:
            now = await self.store.concept(concept.id)
            if now.announced or now.ticket != concept.ticket:
                return  # said meanwhile, or it learns again
            await self._say(concept, interaction)
            await self._said(concept)
        except NotFound:
            log.info("not_announced", concept=concept.id, error="forgotten")
        except UNSENT as error:
            log.warning("not_announced", concept=concept.id, error=type(error).__name__)

    async def _say(self, concept: Concept, interaction: discord.Interaction[Any] | None) -> None:
        """By the token while it lives, else in the channel, else in a direct message; a question in the direct message first, because
        nobody else is to see the faces. Whoever has closed all three isn't told."""
        word = await self._word(concept)
        later = (self._in_person, self._in_channel) if word.question else (self._in_channel, self._in_person)
        for way in (self._by_token, *later):
            try:
                if await way(concept, word, interaction):
                    return
            except discord.HTTPException as error:
                if error.status >= 500:
                    raise
                log.info("not_said", concept=concept.id, way=way.__name__, status=error.status, code=error.code)

    async def _said(self, concept: Concept) -> None:
        """Whoever's face was taken for a thing was never asked: nothing of those photos stays, and the name is free. Where other photos
        came to it meanwhile, it learns again, and this word wasn't its last."""
        if concept.state is State.FAILED and concept.failure == SHOWS_PERSON and not concept.has_head:
            with suppress(NotFound):
                await self.store.delete_concept(concept.id, concept.ticket)
        else:
            await self.store.mark_announced(concept.id, concept.ticket)

    async def _question(self, concept: Concept) -> Question | None:
        return question_of(concept, await self.store.photos(concept.id)) if waits(concept) else None

    async def _word(self, concept: Concept) -> Word:
        question = await self._question(concept)
        try:
            return Word(concept, await faces_shown(concept, question) if question else None)
        except Refusal:  # its photo can't be opened: what is left to say is that it didn't work
            return Word(concept)

    async def _by_token(self, concept: Concept, word: Word, interaction: discord.Interaction[Any] | None) -> bool:
        if interaction is None or interaction.is_expired():
            return False
        alone = hidden(concept) or word.question is not None
        await interaction.followup.send(**word.to_teacher(), ephemeral=alone, allowed_mentions=only(concept.owner_id), wait=True)
        return True

    async def _in_channel(self, concept: Concept, word: Word, interaction: object) -> bool:
        if concept.announce is None or concept.private:
            return False
        channel = self.client.get_partial_messageable(concept.announce.channel_id)
        await channel.send(**word.to_all(), allowed_mentions=only(concept.owner_id))
        return True

    async def _in_person(self, concept: Concept, word: Word, interaction: object) -> bool:
        teacher = await self.client.fetch_user(concept.owner_id)
        await teacher.send(**word.to_teacher(), allowed_mentions=only(concept.owner_id))
        return True


def only_queued(reply: Reply) -> bool:
    """Nothing else of it is shown or about to be."""
    return reply.shown is not None and all(at.stage == "queued" for at in (reply.shown, *(at for _, at in reply.waiting)))


def ended(concept: Concept) -> Literal["ready", "unchanged", "failed"]:
    """Ready with a failure: what was added to it was taken back."""
    if concept.state is State.READY:
        return "unchanged" if concept.failure else "ready"
    return "failed"


async def faces_shown(concept: Concept, question: Question) -> Message:
    """Errors: Refusal taught_photo_gone."""
    try:
        picture = await asyncio.to_thread(numbered_faces, question.photo.data, question.faces)
    except OSError as error:
        raise Refusal("taught_photo_gone", name=concept.name) from error
    return views.face_question(concept, question, picture)


def only(user_id: int) -> discord.AllowedMentions:
    return discord.AllowedMentions(everyone=False, roles=False, replied_user=False, users=[discord.Object(user_id)])


def hidden(concept: Concept) -> bool:
    """Whether only the teacher sees the replies. In a direct message there is nobody else."""
    return concept.private and concept.guild_id is not None

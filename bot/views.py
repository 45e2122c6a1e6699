"""How replies look (Components V2 layouts) and the buttons that outlive a restart. Sentences come from replies.py.

A button's custom_id carries all it needs: a verb, a fact and whose it is. What the verb does is in commands/.
"""

from __future__ import annotations

import io
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import discord
from discord import ui

from concept_store.records import Concept, ConceptId, Photo, State, UserId

from . import replies
from .answering import Answer
from .asking import Choice, Question
from .drawing import BUTTONS_A_ROW, SQUARES
from .errors import Refusal
from .explaining import Reason
from .marks import Mark
from .portraits import SHOWS_PERSON
from .responding import answering

OPTIONS = 25  # of a select, Discord's limit
PAGE = 8  # concepts on a page: three components each of the 40 a message may have, and one file each of the 10
BLUE, GREEN, RED, GREY = (discord.Colour(value) for value in (0x5865F2, 0x3BA55D, 0xD83C3E, 0x80848E))
OTHER_PHOTOS = ("no_face", SHOWS_PERSON)  # failures that only other photos help against
COLOURS = {"ready": GREEN, "failed": RED, "waiting": GREY}


Item = ui.Item[Any]


@dataclass(frozen=True)
class Message:
    """What goes to Discord: a layout and the files it shows. Files are made anew for every send: sending uses them up."""

    view: ui.LayoutView
    pictures: tuple[tuple[str, bytes], ...] = ()  # (file name, JPEG)

    def files(self) -> list[discord.File]:
        return [discord.File(io.BytesIO(data), name) for name, data in self.pictures]


def layout(*items: Item, colour: discord.Colour | None = None) -> ui.LayoutView:
    view = ui.LayoutView(timeout=None)  # every button is a DynamicItem: nothing to expire
    view.add_item(ui.Container(*items, accent_colour=colour))
    return view


def said(text: str, colour: discord.Colour | None = None) -> Message:
    return Message(layout(ui.TextDisplay(text), colour=colour))


def _row(*buttons: Button) -> list[Item]:
    return [ui.ActionRow(*buttons)] if buttons else []  # type: ignore[type-var]


def _rows(buttons: Sequence[Button]) -> list[Item]:
    """As many to a row as Discord takes."""
    return [row for at in range(0, len(buttons), BUTTONS_A_ROW) for row in _row(*buttons[at : at + BUTTONS_A_ROW])]


def _numbered(pictures: Sequence[bytes]) -> tuple[tuple[str, bytes], ...]:
    """With file names in their order."""
    return tuple((f"{at}.jpg", data) for at, data in enumerate(pictures))


def _gallery(names: Sequence[str], words: str, spoiler: bool = False) -> Item:
    items = (discord.MediaGalleryItem(f"attachment://{name}", description=words, spoiler=spoiler) for name in names)
    return ui.MediaGallery(*items)


# -- teaching
def try_again(concept: Concept) -> Button:
    """Everybody sees it under a failed teach; who may press it is asked when it is pressed."""
    return Button("try-again", concept.id, 0, "Try again", discord.ButtonStyle.primary)


def forget(concept: Concept, owner: int = 0) -> Button:
    return Button("ask-forget", concept.id, owner, "Forget …")


def after_failure(concept: Concept) -> list[Button]:
    """Where the photos are the reason, trying again with them ends the same way; the name has to be free for a teach with others. Those
    that show a person are gone already."""
    if concept.failure == SHOWS_PERSON:
        return []
    return [forget(concept) if concept.failure in OTHER_PHOTOS else try_again(concept)]


def teaching(text: str, stage: str, thumbnail: bytes | None, buttons: Sequence[Button] = ()) -> Message:
    """The progress reply."""
    words: Item = ui.TextDisplay(text)
    if thumbnail is not None:
        words = ui.Section(text, accessory=ui.Thumbnail("attachment://taught.jpg", description="A taught photo"))
    return Message(layout(words, *_row(*buttons), colour=COLOURS.get(stage, BLUE)), (("taught.jpg", thumbnail),) if thumbnail else ())


# -- whose face
def which_face(concept: Concept) -> Button:
    """Everybody sees it; who may press it is asked when it is pressed."""
    return Button("which-face", concept.id, 0, "Which face?", discord.ButtonStyle.primary)


def face_question(concept: Concept, question: Question, picture: bytes) -> Message:
    """For its teacher's eyes only."""
    faces = enumerate(question.faces, 1)
    buttons = [Button("face", Choice(concept.id, question.number, face).packed, 0, str(number)) for number, face in faces]
    end = _row(Button("no-face", concept.id, 0, "Cancel"))
    gallery = _gallery(["faces.jpg"], replies.faces_alt(len(buttons)))
    text: Item = ui.TextDisplay(replies.face_question(concept, question.number))
    return Message(layout(text, gallery, *_rows(buttons), *end, colour=BLUE), (("faces.jpg", picture),))


def face_asked(concept: Concept) -> Message:
    """What everybody may see of it."""
    return Message(layout(ui.TextDisplay(replies.face_asked(concept)), *_row(which_face(concept)), colour=BLUE))


# -- answers
def answered(answer: Answer, asker: UserId, hidden: bool, note: str = "", undo: ConceptId | None = None) -> Message:
    """The photo and what was said of it (its alt text too), and what members can say to that. `hidden`: only the asker sees it;
    what everybody sees offers no private concept's name. `note`, `undo`: of a correction just made."""
    assert answer.look is not None
    photo = answer.look.photo
    mark = Mark(asker, photo.digest)
    gallery = _gallery(["photo.jpg"], replies.alt_text(replies.spoken(answer)), photo.spoiler)
    text = "\n".join(filter(None, (replies.answer(answer), note)))
    rows = [*_doubts(answer, mark), *_opinions(answer, mark, undo), *_also(answer, mark, hidden)]
    return Message(layout(gallery, ui.TextDisplay(text), *rows, colour=BLUE), (("photo.jpg", photo.data),))


def explained(reasons: Sequence[Reason], drawn: bytes, spoiler: bool = False) -> Message:
    """The photo with a frame for each, and beside each sentence the taught photo."""
    if not reasons:
        return said(replies.NO_REASON)
    gallery, pictures = _gallery(["why.jpg"], "The photo with frames", spoiler), [("why.jpg", drawn)]
    items: list[Item] = []
    for at, reason in enumerate(reasons):
        words = replies.why(SQUARES[at % len(SQUARES)], reason)
        if reason.thumbnail is None:
            items.append(ui.TextDisplay(words))
            continue
        pictures.append((f"taught{at}.jpg", reason.thumbnail))
        items.append(ui.Section(words, accessory=ui.Thumbnail(f"attachment://taught{at}.jpg", description=reason.name)))
    return Message(layout(gallery, *items, colour=BLUE), tuple(pictures))


def pictured(text: str, picture: bytes, spoiler: bool = False) -> Message:
    gallery = _gallery(["where.jpg"], replies.alt_text(text), spoiler)
    return Message(layout(gallery, ui.TextDisplay(text), colour=BLUE), (("where.jpg", picture),))


def _doubts(answer: Answer, mark: Mark) -> list[Item]:
    return [item for concept in answer.doubtful for item in _doubt(concept, mark.of(concept.id).packed)]


def _doubt(concept: Concept, fact: str) -> list[Item]:
    yes = Button("is", fact, 0, f"Yes, {concept.name}", discord.ButtonStyle.success)
    return [ui.TextDisplay(replies.doubt(concept)), *_row(yes, Button("not", fact, 0, "No"))]


def _opinions(answer: Answer, mark: Mark, undo: ConceptId | None) -> list[Item]:
    wrong = [Button("not", mark.of(one.concept_id).packed, 0, f"✗ not {one.name}") for one in answer.recognised]
    right = [Button("right", mark.packed, 0, "✓ right")] if wrong else []
    back = [Button("undo", mark.of(undo).packed, 0, "↩ Undo")] if undo else []
    reason = [Button("why", mark.packed, 0, "Why?")] if wrong else []
    return [*_row(*right, *wrong), *_row(*reason, *back)]


def _also(answer: Answer, mark: Mark, hidden: bool) -> list[Item]:
    offered = [concept for concept in answer.others if hidden or not concept.private][:OPTIONS]
    return [ui.ActionRow(Also(mark.packed, offered))] if offered else []  # type: ignore[type-var]


# -- concepts
def concept_list(concepts: Sequence[Concept], thumbnails: Sequence[bytes], page: int, asker: UserId, here: bool) -> Message:
    """`thumbnails` are those of the page's concepts, in order."""
    pages = max(1, -(-len(concepts) // PAGE))
    shown = concepts[page * PAGE : (page + 1) * PAGE]
    sections: list[Item] = [
        ui.Section(replies.concept_line(concept, asker, here), accessory=ui.Thumbnail(f"attachment://{at}.jpg", description=concept.name))
        for at, concept in enumerate(shown)
    ]
    turns = [Button("page", to, asker, label) for to, label in ((page - 1, "◀"), (page + 1, "▶")) if 0 <= to < pages]
    heading: Item = ui.TextDisplay(replies.concepts_heading(len(concepts), page, pages, here))
    return Message(layout(heading, *sections, *_row(*turns), colour=BLUE), _numbered(thumbnails))


def concept_page(
    concept: Concept, pictures: Sequence[bytes], asker: UserId, mine: bool, can_forget: bool, asks_face: bool, here: bool
) -> Message:
    gallery = _gallery([f"{at}.jpg" for at in range(len(pictures))], concept.name)
    buttons: list[Button] = []
    if mine and concept.state is State.FAILED and (asks_face or concept.failure not in OTHER_PHOTOS):
        buttons.append(which_face(concept) if asks_face else try_again(concept))
    if can_forget and concept.has_head:
        buttons.append(Button("undo-all", concept.id, asker, "Undo corrections"))
    if mine and concept.photo_count > 1:
        buttons.append(Button("which-photo", concept.id, asker, "Remove a photo …"))
    if can_forget:
        buttons.append(forget(concept, asker))
    text: Item = ui.TextDisplay(replies.concept_page(concept, asker, here))
    return Message(layout(text, gallery, *_row(*buttons), colour=BLUE), _numbered(pictures))


def photo_question(concept: Concept, photos: Sequence[Photo], asker: UserId) -> Message:
    """A custom_id holds 100 characters: the beginning of a photo's id tells it from the concept's others."""
    numbers = [Button("drop-photo", f"{concept.id}-{photo.id[:12]}", asker, str(at)) for at, photo in enumerate(photos, 1)]
    pictures = _numbered([photo.thumbnail for photo in photos])
    gallery = _gallery([name for name, _ in pictures], concept.name)
    text: Item = ui.TextDisplay(replies.photo_question(concept))
    end = _row(Button("keep", concept.id, asker, "Keep all"))
    return Message(layout(text, gallery, *_rows(numbers), *end, colour=RED), pictures)


def forget_question(concept: Concept, asker: UserId) -> Message:
    row = _row(
        Button("forget", concept.id, asker, "Forget for good", discord.ButtonStyle.danger), Button("keep", concept.id, asker, "Keep")
    )
    return Message(layout(ui.TextDisplay(replies.forget_question(concept)), *row, colour=RED))


# -- people
def consent_question(text: str, member: UserId, teacher: int) -> Message:
    """Only the member may press."""
    row = _row(Button("agree", teacher, member, "I agree", discord.ButtonStyle.success), Button("decline", teacher, member, "No"))
    return Message(layout(ui.TextDisplay(text), *row, colour=BLUE))


# -- privacy
def privacy(text: str, asker: UserId, anything: bool) -> Message:
    row = _row(Button("export", "", asker, "Get a copy"), Button("ask-delete", "", asker, "Delete everything …")) if anything else []
    return Message(layout(ui.TextDisplay(text), *row, colour=BLUE))


def delete_question(text: str, asker: UserId, verb: str = "delete") -> Message:
    row = _row(Button(verb, "", asker, "Delete everything for good", discord.ButtonStyle.danger), Button("keep-all", "", asker, "Keep"))
    return Message(layout(ui.TextDisplay(text), *row, colour=RED))


# -- buttons
class Button(ui.DynamicItem[ui.Button[Any]], template=r"(?P<verb>[a-z-]+):(?P<owner>[0-9]+):(?P<fact>[0-9A-Za-z_-]*)"):
    """`verb` is looked up among the client's `pressed`; `fact` is what it is about; only `owner` may press it (0: anyone)."""

    def __init__(self, verb: str, fact: object, owner: int, label: str = "…", style: discord.ButtonStyle = discord.ButtonStyle.secondary):
        super().__init__(ui.Button(label=label, custom_id=f"{verb}:{owner}:{fact}", style=style))
        self.verb, self.fact, self.owner = verb, str(fact), owner

    @classmethod
    async def from_custom_id(cls, interaction: Any, item: ui.Item[Any], match: re.Match[str], /) -> Button:
        return cls(match["verb"], match["fact"], int(match["owner"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with answering(interaction):
            if self.owner not in (0, interaction.user.id):
                raise Refusal("not_your_button")
            press: Press = interaction.client.pressed[self.verb]
            await press(interaction, self.fact)


class Also(ui.DynamicItem[ui.Select[Any]], template=r"also/(?P<fact>[0-9A-Za-z_-]*)"):
    """ "➕ also in the photo …": the verb "also", with the chosen concept behind the fact."""

    def __init__(self, fact: str, concepts: Sequence[Concept] = ()):
        options = [discord.SelectOption(label=concept.name, value=concept.id) for concept in concepts]
        super().__init__(ui.Select(custom_id=f"also/{fact}", placeholder="➕ also in the photo …", options=options))
        self.fact = fact

    @classmethod
    async def from_custom_id(cls, interaction: Any, item: ui.Item[Any], match: re.Match[str], /) -> Also:
        return cls(match["fact"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with answering(interaction):
            data: Any = interaction.data
            (chosen,) = data["values"]
            await interaction.client.pressed["is"](interaction, self.fact + chosen)


Press = Callable[[discord.Interaction[Any], str], Awaitable[None]]

# ruff: noqa: E501 - sentences are read whole
"""Every sentence the bot says: pure functions from codes, facts and records to Discord markdown. Knows no Discord object.

A sentence about something that went wrong says what to do next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import get_args

from concept_store.errors import NameTaken, NoConsent, NotFound, StoreError, TooManyConcepts, TooManyPhotos
from concept_store.records import Concept, Kept, Kind, Match, Said, State
from myvlm_engine.messages import ErrorCode

from .answering import Answer, Recognised
from .asking import waits
from .engine_client import EngineError, EngineUnreachable
from .errors import Refusal, RefusalCode
from .explaining import Reason
from .names import DEFAULT_NOUNS
from .photos import Photo
from .portraits import ADDED_PERSON, SHOWS_PERSON
from .teaching import LOST, PEOPLE_OFF, Progress

BAR_CELLS = 12
TEXT_LIMIT = 1500  # of what the model says; a message holds 4,000 characters in all
ALT_LIMIT = 1024
Facts = Mapping[str, object]
NAMES_LISTED = 40  # of 32 characters at most, in a list that can be long
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


# -- refusals: one sentence a code
def _which(facts: Facts) -> str:
    """`which` counts from 1 where there are several photos."""
    return f"Photo {facts['which']}" if facts.get("which") else "This file"


REFUSALS: dict[RefusalCode, Callable[[Facts], str]] = {
    "not_a_picture": lambda f: f"{_which(f)} isn't a picture I can open. Send a JPEG, PNG, WebP or GIF.",
    "empty_file": lambda f: f"{_which(f)} is empty (0 bytes). Send it again; it may not have been uploaded completely.",
    "too_many_bytes": lambda f: (
        f"{_which(f)} is too big: {megabytes(f['size_bytes'])}, and I open up to {megabytes(f['limit_bytes'])}. "
        "Send a smaller copy, for instance a screenshot of it."
    ),
    "too_many_pixels": lambda f: (
        f"{_which(f)} has too many pixels for me: {megapixels(f['pixels'])}. Scale it down to 4000 × 3000 or less and send it again."
    ),
    "broken_picture": lambda f: f"{_which(f)} is damaged or was cut off on the way. Open it on your device, save it again and send that.",
    "unsupported_format": lambda f: f"{_which(f)} is {f['found']}, which I can't read. Save it as JPEG or PNG and send that.",
    "too_small": lambda f: (
        f"{_which(f)} is too small or too narrow to see anything in it: {f['width']} × {f['height']} pixels. Send a larger copy."
    ),
    "download_failed": lambda f: (
        f"Discord didn't hand me {_which(f)[0].lower()}{_which(f)[1:]}. Nothing was changed; please send it again."
    ),
    "same_photo": lambda f: (
        f"{all_photos(f['photos'])} are the same picture, and from one view I learn badly. Send 3–5 **different** photos: other sides, "
        "places and light. If you have just one, send it once."
    ),
    "too_many_photos": lambda f: f"{f['photos']} photos are too many here: I take up to {f['limit']}. Choose the clearest ones.",
    "too_many_added": lambda f: (
        f"**{f['name']}** has {photos(f['kept'])} of the {f['limit']} I keep of one, so {f['room']} more "  # type: ignore[arg-type]
        f"{'fits' if f['room'] == 1 else 'fit'}. Choose the clearest and send no more than that."
        if f["room"]
        else f"**{f['name']}** has {photos(f['kept'])}, and I keep up to {f['limit']} of one, so no more fit. "  # type: ignore[arg-type]
        "If clearer ones should take their place, take others out first: `/concepts show` has the button."
    ),
    "known_photos": lambda f: (
        f"{those_are(f['photos'])} known to me already, so nothing was changed. Send others: other sides, places and light."
    ),
    "name_empty": lambda f: "The name is empty. Give it the name you want me to say, such as `Biscuit`.",
    "name_too_long": lambda f: f"That name has {f['length']} characters; up to {f['limit']} fit. Choose a shorter one.",
    "name_pings": lambda f: "That name would ping somebody. Choose one without `@`, such as `Biscuit`.",
    "name_markdown": lambda f: f"A name can't contain {code(f['found'])}: Discord would read it as formatting. Leave it out.",
    "name_custom_emoji": lambda f: (
        f"A custom emoji like {code(f['found'])} can't be part of a name: it is a picture, not a letter. Leave it out; "
        "an ordinary emoji beside letters is fine."
    ),
    "name_link": lambda f: "A name can't be a link. Choose the word you would say aloud, such as `Biscuit`.",
    "name_invisible": lambda f: (
        "That name has invisible or piled-up characters in it; emoji put together of several have them too. Type it again by hand, in plain letters."
    ),
    "name_lines": lambda f: "A name is a single line of visible characters. Type it again without line breaks.",
    "name_without_letters": lambda f: "A name needs at least one letter or digit, so that I can say it. Add one.",
    "name_yours": lambda f: (
        f"That name is taken: you have taught me **{f['name']}** already. Run `/concepts add` to give it more photos, or choose another name."
    ),
    "name_needed": lambda f: (
        f"I need the word {code(f['name'])} in every other sentence, so as a name it would be misunderstood. Choose another one, such as `Biscuit`."
    ),
    "noun_not_a_word": lambda f: (
        f"{code(f['found'])} isn't a word for a kind of thing. Write one like `dog`, `cat` or `mug` at `what`, or leave it out."
    ),
    "noun_too_long": lambda f: (
        f"The word at `what` has {f['length']} characters; up to {f['limit']} fit. Write a shorter one, such as `dog`, or leave it out."
    ),
    "noun_with_digits": lambda f: (
        f"{code(f['found'])} has digits in it, and a word for a kind of thing has none. Write it without them at `what`, or leave it out; "
        "in the name they are fine."
    ),
    "question_empty": lambda f: "There is no question. Ask something like `what is Biscuit doing?`",
    "question_too_long": lambda f: f"That question has {f['length']} characters; up to {f['limit']} fit. Ask it in fewer words.",
    "people_off": lambda f: "People are off here: I learn pets and things only. Choose `pet` or `object` at `kind`.",
    "people_off_everywhere": lambda f: (
        "People are switched off for all servers: nobody is recognised by their face. Ask whoever runs the bot to set `engine.people = true`; then run this again."
    ),
    "people_off_here": lambda f: (
        "People are off on this server: I learn pets and things only. Whoever manages it can change that: run `/people allow`."
    ),
    "person_elsewhere": lambda f: f"**{f['name']}** is a person and agreed to be recognised on another server, not here. Ask me there.",
    "people_need_server": lambda f: "I learn people on a server only, where they can agree to it themselves. Run the command there.",
    "member_missing": lambda f: "Whose face is it? Choose the member at `member`; I ask them before I look at any photo.",
    "member_not_meant": lambda f: (
        "`member` is for people only: whose face it is. Leave it out for a pet or a thing, or choose `person` at `kind`."
    ),
    "only_managers": lambda f: "Only whoever manages this server can change that. Ask somebody with the permission **Manage Server**.",
    "not_yours": lambda f: f"**{f['name']}** was taught by <@{f['teacher_id']}>. Ask them to change it; I do that for its teacher only.",
    "not_your_button": lambda f: "Only the person it asks may press this button. Run the command yourself to get one of your own.",
    "unknown_concept": lambda f: f"I don't know anyone or anything called {code(f['name'])} here. `/concepts list` shows whom I know.",
    "not_met": lambda f: (
        f"I haven't met **{f['name']}** yet, so I can't look for it. `/concepts show` shows how far its photos are; try again when it is usable."
    ),
    "gone": lambda f: "That one has been forgotten meanwhile. `/concepts list` shows whom I know.",
    "only_photo": lambda f: (
        f"That is the only photo of **{f['name']}**. Give it others with `/concepts add` first, or forget it whole with `/concepts forget`."
    ),
    "photo_removed": lambda f: f"That photo of **{f['name']}** is deleted already. `/concepts show` shows those that are left.",
    "not_failed": lambda f: f"**{f['name']}** is learned or being learned already; there is nothing to try again.",
    "photo_gone": lambda f: (
        "The photo of that answer can't be fetched any more, so I can't look at it again. Run the command again with the photo."
    ),
    "teacher_said": lambda f: (
        f"Whoever taught **{f['name']}** (<@{f['teacher_id']}>) has already said how it is in this photo. Ask them if you see it differently."
    ),
    "not_yours_to_undo": lambda f: (
        f"A correction is taken back by whoever made it, by <@{f['teacher_id']}>, who taught **{f['name']}**, or by whoever manages the "
        "server. Ask one of them."
    ),
    "nobody_recognised": lambda f: (
        "I recognise nobody of yours in this photo any more, so there is nothing to confirm. Run `/describe` with it to see how it stands."
    ),
    "face_chosen": lambda f: (
        f"Whose face **{f['name']}** is was said already, or is asked anew by now. `/concepts show` shows how it stands."
    ),
    "taught_photo_gone": lambda f: (
        f"I can't open that photo of **{f['name']}** any more. Run `/concepts forget`, and teach it again with other photos."
    ),
    "message_without_photo": lambda f: "There is no photo in that message. Choose one with a picture attached, or use `/describe`.",
}

ENGINE_ERRORS: dict[ErrorCode, Callable[[Facts], str]] = {
    "not_a_picture": lambda f: "I couldn't open that picture after all. Save it as JPEG or PNG and send it again.",
    "no_photos": lambda f: "There was no photo to look at. Send at least one; 3–5 different ones work best.",
    "too_many_concepts": lambda f: (
        "There are more than four known faces and things in that photo. Crop it to the ones you mean and try again."
    ),
    "busy": lambda f: "I'm busy with other photos right now. Try again in a minute.",
    # Of a fit, which nobody waits for: the trainer asks again by itself.
    "other_encoder": lambda f: f"My recognition was changed a moment ago. {RELEARNED}",
    # Only when the second try of an answer, with the fingerprint the engine has just told, is refused too: as when two with different
    # models answer at one address.
    "other_vlm": lambda f: f"My language model was changed a moment ago. {RELEARNED}",
    "no_face": lambda f: (
        "I found no face in the photos. Run `/concepts forget`, then `/teach` again with ones where the face is large, sharp and seen from the front."
    ),
    "several_faces": lambda f: (
        "There are several faces and nothing tells me whose you mean. Run `/concepts forget`, then `/teach` again with photos of this person "
        "alone, or several with different company."
    ),
    "people_off": lambda f: (
        "I don't look at faces here, so I can't learn a person. Whoever runs the bot can switch it on: `engine.people = true`."
    ),
    "out_of_memory": lambda f: (
        "That was too much for this machine's memory. Try with fewer or smaller photos, or tell whoever runs the bot."
    ),
    "not_ready": lambda f: NOT_LOADED if f.get("why") else "I'm still waking up: the models are being loaded. Try again in half a minute.",
    "not_allowed": lambda f: (
        "The engine doesn't accept this bot's password. Whoever runs it must set the same `engine.token` on both sides."
    ),
    "bad_request": lambda f: "Bot and engine don't understand each other. Whoever runs them should bring both to the same version.",
    "internal": lambda f: (
        "Something broke on my side; nothing of yours was lost. Try again, and tell whoever runs the bot if it happens twice."
    ),
}

NOT_LOADED = "My models can't be loaded. Ask whoever runs the bot to look into its log, and to run `myvlm doctor`."
RELEARNED = "What I was taught is learned again by itself. Try again in a minute, and tell whoever runs the bot if it stays so."
UNREACHABLE = "My eyes are away: the recognition service isn't running. Nothing was changed; try again in a minute."
SLOW = "That took too long, so I gave up on it. Nothing was changed; try again in a minute."
STORE_DOWN = "I can't reach my memory right now. Nothing was changed; try again in a minute, or tell whoever runs the bot."
PERSON_SHOWN = (
    "What these photos have in common is somebody's face, and I learn people only with `kind: person`, where they are asked first. I "
    "deleted the photos again. Run `/teach` with photos that show the pet or the thing without a face in the middle; or, if it is a doll, a "
    "statue or a picture, with that word in `what`."
)
ADDED_PERSON_SHOWN = (
    "With the photos you added, what they have in common is somebody's face, and I learn people only with `kind: person`, where they are "
    "asked first. I deleted the added photos again. Add ones that show the pet or the thing without a face in the middle."
)
BROKEN_OFF = "Learning broke off several times. The photos are kept: press **Try again**, or tell whoever runs the bot."
# Of a teach; the others are the engine's codes.
PEOPLE_SWITCHED_OFF = (
    "People are off on this server, so I didn't look at the photos. When whoever manages it has run `/people allow` again, press **Try "
    "again**; `/people withdraw` and `/concepts forget` delete what is kept."
)
OWN_FAILURES = {LOST: BROKEN_OFF, PEOPLE_OFF: PEOPLE_SWITCHED_OFF, SHOWS_PERSON: PERSON_SHOWN, ADDED_PERSON: ADDED_PERSON_SHOWN}


def sentence(error: BaseException) -> str:
    """What a person is told about any error."""
    match error:
        case Refusal():
            return REFUSALS[error.code](error.facts)
        case EngineError():
            return ENGINE_ERRORS[error.code](error.facts)
        case EngineUnreachable():
            return SLOW if error.slow else UNREACHABLE
        case StoreError():
            return store_sentence(error)
    return ENGINE_ERRORS["internal"]({})


def store_sentence(error: StoreError) -> str:
    match error:
        case NoConsent():
            return "They haven't agreed to be taught, or have just taken it back. Nothing was kept. Run `/teach` again to ask them."
        case NameTaken():
            return "That name is taken: something here, or another one of yours, is called so already. Choose another name, or `/concepts forget` it first."
        case TooManyConcepts():
            return "You have taught me as much as I may keep for one person. Make room with `/concepts forget`, then teach again."
        case TooManyPhotos():
            return "Photos were added to it meanwhile, and so many don't fit any more. `/concepts show` shows how many it has; send fewer."
        case NotFound():
            return REFUSALS["gone"]({})
    return STORE_DOWN


def failure_sentence(failure: str | None) -> str:
    """Of `Concept.failure`: an engine's code, or one of OWN_FAILURES."""
    if failure in OWN_FAILURES:
        return OWN_FAILURES[failure]
    if failure in get_args(ErrorCode):
        return ENGINE_ERRORS[failure]({})  # type: ignore[index]
    return ENGINE_ERRORS["internal"]({})


# -- teaching
def progress(concept: Concept, at: Progress) -> str:
    name, noun = concept.name, concept.class_noun or concept.kind.value
    match at.stage:
        case "queued" if at.ahead:
            return f"### Kept: {name}\n⏳ {others(at.ahead)} ahead of it. You can close Discord; I'll tell you when I'm done."
        case "queued":
            return f"### Kept: {name}\n⏳ Its turn comes next."
        case "seeing":
            return f"### Meeting {name}\n👀 Looking at photo {at.step} of {at.of} …"
        case "usable":
            wait = f" {others(at.ahead)} first." if at.ahead else ""
            return f"### {name} is usable now\n✅ I recognise {name} already, and say the name in place of “{noun}” until I have learned it.{wait}"
        case "learning":
            said = f"\n> {quoted(at.sample)}" if at.sample else ""
            doubt = "" if at.noun_seen else f"\n{unseen(noun)}"
            return f"### Learning to say {name}\n{bar(at.step, at.of)}{said}\n-# Usable already: `/describe` puts the name in place of “{noun}”.{doubt}"
        case "elsewhere":
            return f"### {name} is learned anew\n↪️ How far it is stands under a newer answer of mine."
        case "asking":
            return (
                f"### Which face is {name}?\n🙋 There are several in a photo, and nothing tells me whose is meant. I have asked whoever "
                "taught it. The photos are safe, and learning goes on with the answer."
            )
        case "waiting":
            return f"### Kept: {name}\n💤 {waiting(at.reason, at.broken)} Your photos are safe; it goes on by itself."
        case "ready":
            return ready(concept)
        case "unchanged":
            return f"### {concept.name} stays as it was\n⚠️ {failure_sentence(concept.failure)}"
    return failed(concept)


def unseen(noun: str) -> str:
    if noun in DEFAULT_NOUNS.values():
        return "-# I can't tell what it is. If my sentences turn out odd, `/concepts forget` it and teach it with a word for it at `what`, such as `dog` or `mug`."
    return f"-# I wouldn't call it “{noun}” myself. If my sentences turn out odd, `/concepts forget` it and teach it with another word at `what`."


def waiting(reason: str | None, broken: bool = False) -> str:
    if reason == "unreachable":
        return "The recognition service isn't running right now, so this is kept and goes on when it is back."
    if reason == "not_ready":
        return NOT_LOADED if broken else "My models are still being loaded."
    return "I'm busy with other work right now."


def ready(concept: Concept) -> str:
    sample = f"\n> {quoted(concept.sample)}" if concept.sample else ""
    return (
        f"### {concept.name} is ready{sample}\n🎓 Learned from {photos(concept.photo_count)}. Try `/describe` with a photo I haven't seen."
    )


def failed(concept: Concept) -> str:
    usable = f" I still recognise {concept.name} and put the name in place of the noun." if concept.has_head else ""
    return f"### Learning {concept.name} didn't work\n⚠️ {failure_sentence(concept.failure)}{usable}"


def last_word(concept: Concept) -> str:
    """Mentions the teacher and nobody else."""
    if concept.state is State.FAILED:
        return f"<@{concept.owner_id}> Learning **{concept.name}** didn't work. {failure_sentence(concept.failure)}"
    if concept.failure:
        return f"<@{concept.owner_id}> **{concept.name}** stays as it was. {failure_sentence(concept.failure)}"
    sample = f" For example: “{quoted(concept.sample)}”" if concept.sample else ""
    return f"<@{concept.owner_id}> **{concept.name}** is ready.{sample}"


def face_question(concept: Concept, photo_number: int) -> str:
    """Mentions the teacher and nobody else."""
    place, these = ("the photo", "this photo") if concept.photo_count == 1 else (f"photo {photo_number}", "these photos")
    end = "keeps everything as it is" if concept.has_head else f"forgets {concept.name} and {these}"
    return (
        f"### Which face is {concept.name}?\n<@{concept.owner_id}> There are several in {place}, and nothing tells me whose you "
        f"mean. Press its number; what I computed from the other faces here is deleted then.\n-# If it isn't among them, teach with photos "
        f"where it is larger. **Cancel** {end}."
    )


def face_asked(concept: Concept) -> str:
    """Mentions the teacher and nobody else."""
    photo = "photo" if concept.photo_count == 1 else "photos"
    return (
        f"<@{concept.owner_id}> There are several faces in your {photo} of **{concept.name}**, and nothing tells me whose you mean. Press the "
        "button to choose; only you will see them."
    )


def faces_alt(number: int) -> str:
    return f"{number} faces cut out of the photo, numbered from 1"


def face_chosen(concept: Concept, number: int) -> str:
    return f"Face {number} is **{concept.name}**. I go on learning, and tell you when I'm done."


def face_left_open(concept: Concept) -> str:
    return f"**{concept.name}** stays as it is. `/concepts show` has the button when you want to choose after all."


def advice(given: int, distinct: Sequence[Photo]) -> str:
    """Small print under an accepted /teach, empty when there is nothing to say."""
    if len(distinct) == 1:
        return (
            "-# One photo is little to go by: 3–5 different ones (other sides, places, light, one from afar) work much better; "
            "`/concepts add` takes them."
        )
    if given > len(distinct):
        copies = given - len(distinct)
        return f"-# {copies} of {given} photos {'was a copy' if copies == 1 else 'were copies'}, so I learn from {len(distinct)}."
    return ""


def added(given: int, new: int) -> str:
    """Small print under an accepted /concepts add, empty when there is nothing to say."""
    return f"-# {given - new} of {given} photos I had already or twice, so I add {new}." if given > new else ""


def photo_question(concept: Concept) -> str:
    return (
        f"### Which photo of {concept.name} shall go?\nPress its number, counted row by row. It is deleted at once, with all that was computed from it; "
        f"{concept.name} is known as before until I have learned it again from the others."
    )


def removed(number: int, concept: Concept) -> str:
    """Small print."""
    return f"-# Photo {number} is deleted; {photos(concept.photo_count)} {'is' if concept.photo_count == 1 else 'are'} left."


def bar(step: int, of: int) -> str:
    if not of or not step:
        return f"{'▱' * BAR_CELLS} drafting what to say …"
    full = round(BAR_CELLS * min(step, of) / of)
    return f"{'▰' * full}{'▱' * (BAR_CELLS - full)} {step}/{of}"


# -- answers
def answer(answer: Answer) -> str:
    """The first line is the question where there was one: `question_in` reads it again."""
    asked = f"{QUESTION}{quoted(answer.question)}\n" if answer.question else ""
    return f"{asked}{quoted(spoken(answer))}\n{recognised(answer)}"


QUESTION = "-# "


def question_in(text: str) -> str | None:
    """Of an answer's text: what was asked. A sentence can't begin like this, because `quoted` escapes the #."""
    first = text.split("\n", 1)[0]
    return unquoted(first.removeprefix(QUESTION)) if first.startswith(QUESTION) else None


def spoken(answer: Answer) -> str:
    return not_seen(answer) if answer.missed else answer.text


def not_seen(answer: Answer) -> str:
    """Of those asked about by name. Doubtful ones are said to be doubtful."""
    doubtful = {concept.name for concept in answer.doubtful}
    unsure = [name for name in answer.missed if name in doubtful]
    missing = [name for name in answer.missed if name not in doubtful]
    sentences = []
    if missing:
        sentences.append(f"I don't see {either(missing)} in this photo.")
    if unsure:
        sentences.append(f"I'm not sure whether {either(unsure)} is in this photo.")
    return " ".join(sentences)


def either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def doubt(concept: Concept) -> str:
    return f"🤔 Is this **{concept.name}**?"


def corrected(concept: Concept, present: bool, user_id: int) -> str:
    """Small print under the corrected answer; nobody is notified by it."""
    return f"-# ✏️ <@{user_id}> said: **{concept.name}** {in_photo(present)}. I'll remember that."


def corrector(text: str) -> int | None:
    """Of a corrected answer's text: who said so. An answer's own sentences can't begin like this: `quoted` escapes the <."""
    found = re.search(r"^-# ✏️ <@(\d+)> said: ", text, re.MULTILINE)
    return int(found.group(1)) if found else None


def undone(concept: Concept, left: Said | None) -> str:
    return f"-# ↩ {taken_back(concept, left)}"


def noted(concept: Concept, present: bool) -> str:
    return f"Noted: **{concept.name}** {in_photo(present)}."


def in_photo(present: bool) -> str:
    return "is in this photo" if present else "isn't in this photo"


def taken_back(concept: Concept, left: Said | None) -> str:
    """`left`: what another has said of the photo."""
    if left is None:
        return f"What was said about **{concept.name}** in this photo is taken back."
    who = f"<@{left.user_id}>" if left.user_id else "somebody"
    return f"That is taken back. What {who} said holds: **{concept.name}** {in_photo(left.present)}."


NOT_ANEW = (
    "But I can't describe the photo anew just now, so the answer stays as it was. Press the same button again in a minute, or run "
    "`/describe` with the photo."
)


def where(concept: Concept, found: Match | None, certain: bool) -> str:
    if found is None:
        return f"I don't see {concept.name} in this photo."
    if found.box is None:
        return f"**{concept.name}** is in this photo because somebody told me so; where, I can't tell."
    if found.told:
        return f"**{concept.name}** is in this photo because somebody told me so; I think it is here."
    if not certain:
        return f"Perhaps **{concept.name}** is here: I'm only {percent(found.score)} sure."
    return f"**{concept.name}** is here, {percent(found.score)} sure."


def why(square: str, reason: Reason) -> str:
    if reason.box is None:
        return f"**{reason.name}**: somebody told me that it is in this photo."
    which = f"photo {reason.number} of the {reason.of}" if reason.of > 1 else "the photo"
    alike = f" It looks most like {which} I was taught with." if reason.number else ""
    if reason.told:
        return f"{square} **{reason.name}**: somebody told me that it is in this photo. I think it is in the frame.{alike}"
    return f"{square} **{reason.name}**, {percent(reason.score)} sure, because of what is in the frame.{alike}"


NO_REASON = "I recognised nobody here, so there is nothing to explain."


def all_undone(concept: Concept, number: int) -> str:
    if not number:
        return f"Nobody has corrected me about **{concept.name}**, so there is nothing to take back."
    return f"{counted(number, 'correction')} of **{concept.name}** taken back. I recognise it by your photos alone again."


def confirmed(names: Sequence[str]) -> str:
    return (
        f"Thank you. I'll remember that {' and '.join(f'**{name}**' for name in names)} {'is' if len(names) == 1 else 'are'} in this photo."
    )


def recognised(answer: Answer) -> str:
    if not answer.recognised:
        return "-# Nobody I'm sure of." if answer.doubtful else "-# Nobody and nothing I know in it."
    return "\n".join(f"-# {_recognised(one, bool(answer.question))}" for one in answer.recognised)


def _recognised(one: Recognised, asked: bool) -> str:
    """An answer to a question needs no name; a caption does."""
    sure = f"**{one.name}**: somebody told me so" if one.told else f"**{one.name}** recognised, {percent(one.score)} sure"
    if one.how == "substitution":
        why = "still learning to say it" if one.learning else "learned for another model"
        return f"{sure}; the name stands in for “{one.class_noun}” ({why})"
    return f"{sure}; not mentioned in the sentence" if one.how == "missing" and not asked else sure


def first_photos(shown: int, given: int) -> str:
    return f"These are the first {shown} of {given} photos. Send the {'other one' if given - shown == 1 else 'others'} to `/describe`."


def alt_text(text: str) -> str:
    """Read aloud, not formatted."""
    return text.replace("**", "")[:ALT_LIMIT]


# -- concepts
STATES = {State.QUEUED: "⏳ waiting", State.TRAINING: "📚 learning", State.READY: "🎓 ready", State.FAILED: "⚠️ failed"}


def state(concept: Concept) -> str:
    if waits(concept):
        return "🙋 waits for its teacher to choose a face"
    words = STATES[concept.state]
    usable = concept.has_head and concept.state is not State.READY
    return f"{words}, usable already" if usable else words


def who(concept: Concept, here: bool) -> str:
    """Who may use it. `here`: it is shown on a server, which is its own where it isn't private."""
    if concept.private:
        return "only you"
    return "everyone on this server" if here else "everyone on the server where you taught it"


def concept_line(concept: Concept, asker_id: int, here: bool = True) -> str:
    teacher = "you" if concept.owner_id == asker_id else f"<@{concept.owner_id}>"
    what = concept.class_noun or concept.kind.value
    return (
        f"**{concept.name}** · {what} · {state(concept)}\n-# for {who(concept, here)} · taught by {teacher} · {photos(concept.photo_count)}"
    )


def concept_page(concept: Concept, asker_id: int, here: bool = True) -> str:
    sample = f"\n> {quoted(concept.sample)}" if concept.sample else ""
    trouble = f"\n⚠️ {failure_sentence(concept.failure)}" if concept.state is State.FAILED else ""
    return f"### {concept.name}\n{concept_line(concept, asker_id, here)} · {day(concept.created_at)}{sample}{trouble}"


def concepts_heading(count: int, page: int, pages: int, here: bool) -> str:
    place = "here" if here else "for you"
    more = f" (page {page + 1} of {pages})" if pages > 1 else ""
    return f"### {count} known {place}{more}"


NO_CONCEPTS = "I know nobody and nothing here yet. Teach me with `/teach`: a name, what it is, and 3–5 photos."


def forget_question(concept: Concept) -> str:
    them = "it" if concept.photo_count == 1 else "them"
    return (
        f"### Forget {concept.name}?\nIts {photos(concept.photo_count)} and everything learned from {them} are deleted for good. "
        "This can't be undone."
    )


def forgotten(name: str) -> str:
    return f"**{name}** is forgotten: photos, vectors and everything learned are deleted."


def kept_as_is(name: str) -> str:
    return f"**{name}** stays as it is."


def renamed(old: str, new: str) -> str:
    return f"**{old}** is called **{new}** from now on. I say the new name at once, and learn it properly in the background."


# -- people
PEOPLE_ALLOWED = (
    "People can be taught here now. A member is recognised only after agreeing with their own button, and can take it back any time "
    "with `/people withdraw`."
)
PEOPLE_FORBIDDEN = (
    "Nobody's face is recognised here any more, and no person can be taught. What was learned of people is kept and not used; each of them "
    "can have it deleted with `/people withdraw`, and you can with `/concepts forget` (private ones with `/server forget`). Pets and things are as before."
)


def consent_question(member_id: int, teacher_id: int, name: str) -> str:
    return (
        f"### May I learn your face?\n<@{member_id}>, <@{teacher_id}> wants to teach me your face, under the name **{quoted(name)}**; they can "
        "change the name and teach me more photos later. If you agree, I keep the photos they give me and what I compute from your face, and "
        "name you in photos on this server. I haven't looked at any photo yet. You can take it back any time with `/people withdraw`: then all of it is deleted."
    )


def consent_given(member_id: int, teacher_id: int) -> str:
    return f"<@{member_id}> agreed that <@{teacher_id}> teaches me their face."


def teach_again(member_id: int, teacher_id: int) -> str:
    """Mentions the teacher and nobody else."""
    return f"<@{teacher_id}> <@{member_id}> agreed. Run `/teach` again with the photos; nothing was kept of the first try."


def consent_declined(member_id: int) -> str:
    return f"<@{member_id}> would rather not. No photo was looked at and nothing was kept."


def withdrawn(number: int) -> str:
    forgot = (
        f"{counted(number, 'concept')} that showed you, with all photos and vectors, deleted." if number else "There was nothing to delete."
    )
    return f"You are not recognised here any more. {forgot} Whoever wants to teach me your face must ask you again."


# -- privacy
def privacy(kept: Kept) -> str:
    return "\n".join(["### What I keep about you", *(_kept(kept) or ["Nothing."]), PROMISE])


def _kept(kept: Kept) -> list[str]:
    since = f" since {day(kept.oldest)}" if kept.oldest else ""
    return _those_that_are(
        (kept.concepts, f"{counted(kept.concepts, 'concept')}{since}: {listed(kept.names)}"),
        (kept.concepts, _pictures(kept)),
        (kept.corrections, f"What you said of answers: {counted(kept.corrections, 'time')}"),
        (kept.vectors, f"{counted(kept.vectors, 'vector')} computed from photos"),
        (kept.consents, f"Agreed that a face may be taught, by you or with you: {counted(kept.consents, 'time')}"),
    )


def _those_that_are(*lines: tuple[int, str]) -> list[str]:
    """The lines of which there is any."""
    return [line for number, line in lines if number]


def _pictures(kept: Kept) -> str:
    return f"{photos(kept.photos)} ({megabytes(kept.photo_bytes)})"


PROMISE = (
    "-# Photos you teach with are kept without their metadata until you forget the concept. Photos given to `/describe`, `/ask` and "
    "`/where` are looked at and not kept; where you press a button under an answer, their vectors (never those of a face) are, with a fingerprint of the photo and what you said. I read no messages, and nothing is used for anything but naming what you taught."
)


def exported(number: int) -> str:
    return f"Your copy, part {number}: photos, and what I know of them in `about.json`." if number == 1 else f"Part {number}: more photos."


def delete_question(kept: Kept) -> str:
    return "\n".join(["### Delete everything?", *_kept(kept), "All of it goes for good. This can't be undone."])


def deleted(concepts: int) -> str:
    also = f" ({counted(concepts, 'concept')})" if concepts else ""
    return f"Everything I kept about you is deleted{also}."


NOTHING_DELETED = "Nothing was deleted."


# -- what was taught on a server
def forget_server_question(kept: Kept) -> str:
    return "\n".join(
        [
            "### Forget everything of this server?",
            *(_kept_here(kept) or ["Nothing was taught here."]),
            "Its settings (`/server balance`, `/people allow`) go back to how they were at first.",
            "All of it goes for good, for every member. This can't be undone.",
        ]
    )


def _kept_here(kept: Kept) -> list[str]:
    return _those_that_are(
        (kept.concepts, f"{counted(kept.concepts, 'concept')}, with those that members keep to themselves"),
        (kept.concepts, _pictures(kept)),
        (kept.vectors, f"{counted(kept.vectors, 'vector')} computed from photos"),
        (kept.corrections, f"What members said of answers: {counted(kept.corrections, 'time')}"),
        (kept.consents, f"Agreed that a face may be taught: {counted(kept.consents, 'time')}"),
    )


def server_forgotten(concepts: int) -> str:
    return f"Everything that was taught on this server is deleted ({counted(concepts, 'concept')}), and its settings are as at first."


# -- small words
def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def all_photos(number: object) -> str:
    return "Both photos" if number == 2 else f"All {number} photos"


def those_are(number: object) -> str:
    """Of so many photos."""
    return "That photo is" if number == 1 else f"{'Both' if number == 2 else 'All'} of these photos are"


def listed(names: Sequence[str]) -> str:
    """As many as surely fit a message."""
    more = len(names) - NAMES_LISTED
    return ", ".join(names[:NAMES_LISTED]) + (f", and {more} more (a copy lists them all)" if more > 0 else "")


def photos(number: int) -> str:
    return counted(number, "photo")


def others(number: int) -> str:
    return "1 other is" if number == 1 else f"{number} others are"


def percent(score: float) -> str:
    return f"{min(99, int(100 * score))} %"


def megabytes(size_bytes: object) -> str:
    return f"{max(0.1, float(size_bytes) / 1024 / 1024):.1f} MB"  # type: ignore[arg-type]


def megapixels(pixels: object) -> str:
    return f"{float(pixels) / 1e6:.0f} million"  # type: ignore[arg-type]


def day(moment: datetime) -> str:
    """Shown by Discord in the reader's own time and language."""
    return f"<t:{int(moment.timestamp())}:d>"


def kind_words(kind: Kind) -> str:
    return {Kind.PET: "a pet", Kind.PERSON: "a person", Kind.OBJECT: "a thing"}[kind]


def code(text: object) -> str:
    return f"`{str(text).replace('`', 'ˋ')}`"


def quoted(text: str | None) -> str:
    """A model's or a person's words as plain text on one line: no formatting, no mention, no link preview."""
    flat = " ".join((text or "").split())[:TEXT_LIMIT]
    flat = re.sub(r"([\\*_~`|>\[\]#<])", r"\\\1", flat)
    return flat.replace("@", "@\u200b").replace("://", ":\u200b//")


def unquoted(text: str) -> str:
    """What `quoted` was given, on one line."""
    plain = text.replace("@\u200b", "@").replace(":\u200b//", "://")
    return re.sub(r"\\([\\*_~`|>\[\]#<])", r"\1", plain)


# -- servers
BALANCE_WORDS = {
    "strict": "strict: I name somebody only when I'm very sure, and ask more often",
    "normal": "normal: I name somebody when I'm rather sure",
    "eager": "eager: I name somebody early, and am wrong more often",
}


def balance(chosen: str) -> str:
    return f"On this server I am now {BALANCE_WORDS[chosen]}."


def balance_now(chosen: str) -> str:
    return f"On this server I am {BALANCE_WORDS[chosen]}. Choose another one at `balance` to change it."

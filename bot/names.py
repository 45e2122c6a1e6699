"""What a concept may be called, and what it may be called a kind of: pure rules, any script, nothing that pings or pretends."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from concept_store.names import VARIATION, name_key

from .errors import Refusal

NAME_LIMIT = 32
NOUN_LIMIT = 24
QUESTION_LIMIT = 300
MARKS_LIMIT = 4  # combining marks in a row: Hebrew and Vietnamese need three, "zalgo" uses dozens
JOINERS = "\u200c\u200d"  # between letters of some scripts they change the spelling; elsewhere they are invisible
JOINING_SCRIPTS = (
    "ARABIC", "SYRIAC", "MONGOLIAN", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA",
    "MALAYALAM", "SINHALA", "KHMER", "MYANMAR",
)  # fmt: skip
BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"  # letters by category, but nothing to be seen (Hangul fillers, empty braille)
MARKDOWN = "*_~`|\\[]<>{}"
CUSTOM_EMOJI = re.compile(r"<a?:(\w+):\d+>")  # as Discord sends what is typed :biscuit:
LINK = re.compile(r"://|www\.|\w\.\w{2,}/|discord\.gg", re.IGNORECASE)
# Words that every caption and question needs: as a name they would be forbidden to say, or taken for a mention, in everybody's photos.
NEEDED_WORDS = (
    "a an the this that these those it its he him his she her they them their we us our you your i me my "
    "is are was were be been am do does did has have had can could would should must not no yes and or but if as "
    "of in on at to from by for with into over under near who whom whose what which where when why how "
    "all any some none there"
)
HELPERS = ("may", "will")  # names too, but neither in small letters nor as the first word of a question
DEFAULT_NOUNS = {"pet": "pet", "person": "person", "object": "thing"}
NOUNS = {
    "pet": ("dog", "cat", "rabbit", "hamster", "guinea pig", "bird", "parrot", "horse", "turtle", "fish", "snake", "lizard"),
    "person": ("person", "man", "woman", "girl", "boy", "child", "baby"),
    "object": ("mug", "toy", "plush toy", "figurine", "bag", "backpack", "shoe", "hat", "bottle", "bowl", "car", "bicycle", "guitar",
               "chair", "lamp", "clock", "plant", "statue"),
}  # fmt: skip


def clean_name(name: str) -> str:
    """Trimmed, composed, single spaces. Errors: Refusal name_…"""
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name.strip()):
        raise Refusal("name_lines")
    name = unicodedata.normalize("NFC", " ".join(name.translate(VARIATION).split()))
    if not name:
        raise Refusal("name_empty")
    if emoji := CUSTOM_EMOJI.search(name):  # before its length, of which nobody typed the most
        raise Refusal("name_custom_emoji", found=f":{emoji[1]}:")
    if len(name) > NAME_LIMIT:
        raise Refusal("name_too_long", length=len(name), limit=NAME_LIMIT)
    _refuse_tricks(name)
    if not _sayable(name):
        raise Refusal("name_without_letters")
    if _inside(_plain(name_key(name))) in NEEDED_WORDS.split():  # "The!" and "Thé" as well
        raise Refusal("name_needed", name=name)
    return name


def _sayable(text: str) -> bool:
    return any(unicodedata.category(letter)[0] in "LN" for letter in text)


def _refuse_tricks(name: str) -> None:
    if "@" in name or re.match(r"(everyone|here)$", name, re.IGNORECASE):
        raise Refusal("name_pings")
    if LINK.search(name):
        raise Refusal("name_link")
    if found := next((letter for letter in name if letter in MARKDOWN), None) or (name[0] if name[0] in "#->" else None):
        raise Refusal("name_markdown", found=found)
    if any(_invisible(name, at) for at in range(len(name))) or _piled_up(name):
        raise Refusal("name_invisible")


def _invisible(name: str, at: int) -> bool:
    letter = name[at]
    if letter in JOINERS:
        return not (0 < at < len(name) - 1 and _joins(name[at - 1]) and _joins(name[at + 1]))
    return letter in BLANK_LETTERS or unicodedata.category(letter) in ("Cf", "Co", "Cs", "Cn")


def _joins(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(JOINING_SCRIPTS)


def _piled_up(name: str) -> bool:
    run = 0
    for letter in unicodedata.normalize("NFD", name):
        run = run + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        if run > MARKS_LIMIT:
            return True
    return False


def clean_noun(noun: str | None) -> str:
    """A common noun in lower case, "" when none was given. Errors: Refusal noun_too_long, noun_with_digits, noun_not_a_word."""
    cleaned = unicodedata.normalize("NFC", " ".join(CUSTOM_EMOJI.sub(r":\1:", noun or "").lower().split()))
    cleaned = re.sub(r"^(a|an|the|my|our) ", "", cleaned)
    if len(cleaned) > NOUN_LIMIT:
        raise Refusal("noun_too_long", length=len(cleaned), limit=NOUN_LIMIT)
    wrong = {unicodedata.category(letter)[0] for letter in cleaned if letter not in " -'"} - set("LM")
    if wrong:
        raise Refusal("noun_with_digits" if wrong == {"N"} else "noun_not_a_word", found=cleaned)
    return cleaned


def clean_question(question: str) -> str:
    """One line. Errors: Refusal question_empty, question_too_long."""
    joined = lambda at: question[at] in JOINERS and not _invisible(question, at)
    seen = (" " if unicodedata.category(letter)[0] == "C" and not joined(at) else letter for at, letter in enumerate(question))
    cleaned = " ".join("".join(seen).split())
    if not _sayable(cleaned):
        raise Refusal("question_empty")
    if len(cleaned) > QUESTION_LIMIT:
        raise Refusal("question_too_long", length=len(cleaned), limit=QUESTION_LIMIT)
    return cleaned


def suggested_nouns(kind: str | None, typed: str) -> list[str]:
    """For the autocompletion of `what`, at most 25: those that begin so, then those that contain it."""
    known = NOUNS.get(kind or "", tuple(dict.fromkeys(noun for nouns in NOUNS.values() for noun in nouns)))
    typed = typed.lower().strip()
    hits = sorted((noun for noun in known if typed in noun), key=lambda noun: not noun.startswith(typed))
    own = [typed] if typed and typed not in hits and len(typed) <= NOUN_LIMIT else []
    return (hits + own)[:25]


ARTICLES = ("a", "an", "the", "any", "some", "many", "every", "each")  # before what is no name: "the dog", where one is called Dog
# before a word in small letters that is no name: "how much snow"
DETERMINER = re.compile(
    r"\b(this|that|these|those|my|your|his|her|its|our|their|whose|which|much|more|no|one|two|three|four|five|six|\d+) $", re.IGNORECASE
)
POINTING = re.compile(r"\b(this|that) $", re.IGNORECASE)  # "is this biscuit?" asks for the name
DOTTED = re.compile(r"(?<![\w'])([^\W\d_]|mrs?|ms|mx|dr|st|sr|jr|prof|sgt|capt|col|gen|lt)\.", re.IGNORECASE)  # "Mr.", as the engine has it
ACCENT = re.compile("[\u0300-\u036f]")  # of Latin, Greek and Cyrillic letters; those of other scripts make other letters
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")  # scripts without spaces between words


def mentioned(text: str, names: Sequence[str]) -> list[str]:
    """Those of the names that stand in the text as words of their own, compared without case, accents and the kind of dash, and without an
    article before them. The longest name is found first and used up, so that "Biscuit Junior" is no mention of "Biscuit"; of those that
    sound alike (José, Jose) the one that is written like this, then the first of `names`."""
    written, found = _plain(text), []
    left, typed = written.lower(), name_key(text)
    as_written = lambda name: len(name) if name_key(name) in typed else 0  # signs and accents included
    for name in sorted(names, key=lambda name: (len(_inside(_plain(name))), as_written(name)), reverse=True):
        pattern = _as_words(_inside(_plain(name).lower()))
        meant = [hit for hit in pattern.finditer(left) if not _common(written, hit)]
        if meant and not _only_helps(name, text):
            found.append(name)
            left = pattern.sub(lambda hit: "\n" * len(hit[0]), left)  # as long as before: places stay
    return found


def _plain(text: str) -> str:
    """Without accents, with one kind of apostrophe, dash and space: telephones write ’ where a keyboard writes '."""
    letters = "".join(letter for letter in unicodedata.normalize("NFD", text) if not ACCENT.match(letter))
    spaced = re.sub("[\u2010-\u2015\u2212-]", " ", letters.replace("’", "'").translate(VARIATION))
    return " ".join(DOTTED.sub(r"\1 ", spaced).split())


def _inside(name: str) -> str:
    """Without the signs at its ends: "biscuit" of "biscuit 🐶"; of nothing but signs all of them."""
    letters = [at for at, letter in enumerate(name) if letter.isalnum()]
    return name[letters[0] : letters[-1] + 1] if letters else name


def _common(text: str, hit: re.Match[str]) -> bool:
    """Whether the word for such things is meant: "is this coffee hot?", where one is called Coffee."""
    before, after = text[: hit.start()], text[hit.end() :]
    if POINTING.search(before) and not any(letter.isalnum() for letter in after):
        return False
    return text[hit.start()].islower() and bool(DETERMINER.search(before))


def _only_helps(name: str, text: str) -> bool:
    """Whether it is no mention: "May I …", "Will it …"."""
    return name.casefold() in HELPERS and not re.search(rf"\w\W+{re.escape(name)}\b", text)


def _as_words(name: str) -> re.Pattern[str]:
    articles = "".join(rf"(?<!\b{article} )" for article in ARTICLES)
    before = "" if _unspaced(name[:1]) else rf"(?<!\w){articles}"
    after = "" if _unspaced(name[-1:]) else r"(?!\w)"
    return re.compile(before + re.escape(name) + after)


def _unspaced(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(UNSPACED)

"""What a concept may be called, and what it may be called a kind of: pure rules, any script, nothing that pings or pretends."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

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
LINK = re.compile(r"://|www\.|\w\.\w{2,}/|discord\.gg", re.IGNORECASE)
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
    name = unicodedata.normalize("NFC", " ".join(name.replace("\ufe0f", "").replace("\ufe0e", "").split()))
    if not name:
        raise Refusal("name_empty")
    if len(name) > NAME_LIMIT:
        raise Refusal("name_too_long", length=len(name), limit=NAME_LIMIT)
    _refuse_tricks(name)
    if not any(unicodedata.category(letter)[0] in "LN" for letter in name):
        raise Refusal("name_without_letters")
    return name


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
    """A common noun in lower case, "" when none was given. Errors: Refusal noun_not_a_word."""
    cleaned = unicodedata.normalize("NFC", " ".join((noun or "").lower().split()))
    cleaned = re.sub(r"^(a|an|the|my|our) ", "", cleaned)
    ok = len(cleaned) <= NOUN_LIMIT and all(letter in " -'" or unicodedata.category(letter)[0] in "LM" for letter in cleaned)
    if not ok:
        raise Refusal("noun_not_a_word", found=cleaned[:NOUN_LIMIT])
    return cleaned


def clean_question(question: str) -> str:
    """One line. Errors: Refusal question_empty, question_too_long."""
    cleaned = " ".join("".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in question).split())
    if not cleaned:
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


UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")  # scripts without spaces between words


def mentioned(text: str, names: Sequence[str]) -> list[str]:
    """Those of the names that stand in the text as words of their own, compared without case. The longest name is found first and
    used up, so that "Biscuit Junior" is no mention of "Biscuit"."""
    left, found = " ".join(text.casefold().split()), []
    for name in sorted(names, key=len, reverse=True):
        pattern = _as_words(name.casefold())
        if pattern.search(left):
            found.append(name)
            left = pattern.sub("\n", left)
    return found


def _as_words(name: str) -> re.Pattern[str]:
    before = "" if _unspaced(name[:1]) else r"(?<!\w)"
    after = "" if _unspaced(name[-1:]) else r"(?!\w)"
    return re.compile(before + re.escape(name) + after)


def _unspaced(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(UNSPACED)

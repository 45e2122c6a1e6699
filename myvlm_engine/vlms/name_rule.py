"""Which names may stand in a text: whole words, in any case, whatever the spaces and the Unicode form. Text only; knows no model."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property


def folded(text: str) -> str:
    """Equal for texts that differ in case, in spaces, in invisible characters or only in how Unicode writes them."""
    composed = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    seen = "".join(c for c in composed if unicodedata.category(c) != "Cf")  # "Bis\u200bcuit" reads as Biscuit
    return re.sub(r"\s+", " ", seen)


@dataclass(frozen=True)
class NameRule:
    """`forbidden` names may not be said; `allowed` ones may, though a forbidden one may stand in them ("Corgi Joe" and "Joe")."""

    forbidden: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    @cached_property
    def _forbidden(self) -> tuple[str, ...]:
        return tuple(f for name in self.forbidden if (f := folded(name).strip()))

    @cached_property
    def _allowed(self) -> tuple[str, ...]:
        return tuple(sorted((f for name in self.allowed if (f := folded(name).strip())), key=len, reverse=True))

    def broken_by(self, text: str, unfinished: bool = False) -> str | None:
        """The first forbidden name (folded) that stands in the text; None when none does. In an `unfinished` text the beginning of
        an allowed name at its very end may still become that name."""
        text = folded(text)
        there = [name for name in self._forbidden if name in text]  # cheap, and almost always all there is to do
        if not there:
            return None
        for name in self._allowed:
            text = _whole(name).sub("\n", text)
        if unfinished:
            text = text[: len(text) - self._begun(text)]
        return next((name for name in there if _whole(name).search(text)), None)

    def _begun(self, text: str) -> int:
        """How many letters at the end of the text are the beginning of an allowed name."""
        longest = 0
        for name in self._allowed:
            for size in range(min(len(name) - 1, len(text)), longest, -1):
                if text.endswith(name[:size]) and _bounded(text, len(text) - size):
                    longest = size
                    break
        return longest


@cache
def _whole(name: str) -> re.Pattern[str]:
    """The name as whole words. A side on which it has no letter (or whose script has no spaces) counts as it stands."""
    before = r"(?<![^\W_])" if _spaced(name[0]) else ""  # "_Biscuit_" is the name in italics
    after = r"(?![^\W_])" if _spaced(name[-1]) else ""
    return re.compile(before + re.escape(name) + after)


def _spaced(letter: str) -> bool:
    """Whether words of this letter's script are kept apart by something: no for Han, Kana, Thai, Lao, Khmer, Burmese and symbols."""
    unspaced = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
    return letter.isalnum() and not unicodedata.name(letter, "").startswith(unspaced)


def _bounded(text: str, at: int) -> bool:
    return at == 0 or not (_spaced(text[at - 1]) and _spaced(text[at]))

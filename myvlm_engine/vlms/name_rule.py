"""Which names may stand in a text: whole words, in any case, whatever the spaces and the Unicode form. Text only; knows no model.

Texts are compared by their fold. What was found is told by places in the text as it was written: a fold may be shorter or longer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

ALIKE = str.maketrans(dict.fromkeys("’‘‛ʼʹ′´`＇", "'") | {"−": "-", "™": None, "℠": None})
# Accents, and the vowel signs that Hebrew and Arabic leave out as they like; those of kana, Hindi or Thai make other letters.
MARKS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670\ufe00-\ufe0f\u20dd-\u20e4]")
DOTTED = re.compile(r"(?<![\w'])([^\W\d_]|mrs?|ms|mx|dr|st|sr|jr|prof|sgt|capt|col|gen|lt)\.", re.IGNORECASE)  # "J.", "Mr."
ASCII = str.maketrans({**{chr(code): " " for code in range(128) if chr(code).isspace()}, "-": " ", "`": "'"})  # as `_letter` has it
# A name of which but one of these would be left keeps its signs: "Thé" isn't "the". Without them no sentence could be said.
SMALL_WORDS = (
    "a an the this that these those it its he him his she her they them their we us our you your i me my is are was were be been am do "
    "does did has have had can could would should must not no yes and or but if as of in on at to from by for with into over under near "
    "who whom whose what which where when why how all any some none there"
)


def folded(text: str, cased: bool = False) -> str:
    """Equal for texts that differ in case (unless `cased`), in spaces and dashes, in accents, in the kind of apostrophe, in the dot behind
    "Mr", in invisible characters or only in how Unicode writes them."""
    if text.isascii():  # the same, four times as fast: it is done for every token that may be said
        letters = (text if cased else text.lower()).translate(ASCII)
    else:
        letters = "".join(_letter(cluster, cased) for _, cluster in _clusters(text))
    return re.sub(" +", " ", DOTTED.sub(r"\1 ", letters))


@lru_cache(maxsize=8192)
def core(name: str, cased: bool = False) -> str:
    """The fold without the signs at its ends: "biscuit" for "★ Biscuit!"; of nothing but signs, all of them."""
    letters = folded(name, cased).strip()
    return letters[slice(*_inside(letters))]


@dataclass(frozen=True)
class Hit:
    """Where a name stands in a text: text[start:end]."""

    start: int
    end: int
    name: str


def hits(text: str, names: Iterable[str]) -> list[Hit]:
    """Names in a text from left to right, the longest first at each place: "Corgi Joe" doesn't say "Joe". Of names that are alike the
    one is meant that is written so."""

    def unlike(hit: Hit) -> tuple[bool, bool]:
        said = text[hit.start : hit.end]
        return said != hit.name, said.casefold() != hit.name.casefold()

    return _longest(sorted(_standing(text, folded(text), [_spelling(name) for name in dict.fromkeys(names)]), key=unlike))


@dataclass(frozen=True)
class NameRule:
    """`forbidden` names may not be said; `allowed` ones may, and a forbidden one may stand in them: of "Joe" and "Corgi Joe", whichever
    is allowed, the longer is meant where it stands."""

    forbidden: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    @cached_property
    def _forbidden(self) -> list[_Spelling]:
        return [_spelling(name) for name in self.forbidden]

    @cached_property
    def _allowed(self) -> list[_Spelling]:
        return [_spelling(name) for name in self.allowed]

    def broken_by(self, text: str, unfinished: bool = False) -> str | None:
        """The first forbidden name (its core) that stands in the text; None when none does. In an `unfinished` text the beginning of
        an allowed name at its very end may still become that name."""
        letters = folded(text)
        wrong = _standing(text, letters, self._forbidden)
        if not wrong:  # almost always
            return None
        right = _standing(text, letters, self._allowed)
        meant = [hit for hit in _longest([*right, *wrong]) if hit in right]
        if unfinished and (begun := self._begun(letters)):
            meant.append(Hit(_aligned(text).starts[-begun], len(text), ""))
        left = [hit for hit in wrong if not any(m.start <= hit.start and hit.end <= m.end for m in meant)]
        return core(min(left, key=lambda hit: hit.start).name) if left else None

    def _begun(self, letters: str) -> int:
        """How many letters at the end of the folded text are the beginning of an allowed name."""
        longest = 0
        for name in self._allowed:
            for size in range(min(len(name.core) - 1, len(letters)), longest, -1):
                if letters.endswith(name.core[:size]) and _bounded(letters, len(letters) - size):
                    longest = size
                    break
        return longest


# -- names and texts as they are compared
@dataclass(frozen=True)
class _Spelling:
    """A name, ready to be looked for."""

    name: str
    core: str
    pattern: re.Pattern[str]  # of the core
    before: str  # signs at its ends, which count to the name where the text has them
    behind: str
    exactly: bool  # nothing but the name as it is written will do: "C++", "Thé"


@lru_cache(maxsize=8192)
def _spelling(name: str) -> _Spelling:
    letters, there = core(name), _aligned(name)
    at = there.letters.find(letters)
    before, behind = (name[: there.starts[at]], name[there.ends[at + len(letters) - 1] :]) if letters else ("", "")
    short = f" {letters} " in f" {SMALL_WORDS} " or sum(letter.isalpha() for letter in letters) < 2
    return _Spelling(name, letters, _whole(letters), before, behind, short and letters != _plain(name))


def _standing(text: str, letters: str, names: Sequence[_Spelling]) -> list[Hit]:
    """Every place of every name; `letters` are the text's fold."""
    there = [name for name in names if name.core and name.core in letters]  # cheap, and almost always all there is to do
    aligned = _aligned(text) if there else None
    return [hit for name in there for hit in _places(name, text, aligned)] if aligned else []


def _places(name: _Spelling, text: str, aligned: _Aligned) -> Iterator[Hit]:
    for found in name.pattern.finditer(aligned.letters):
        start, end = aligned.starts[found.start()], aligned.ends[found.end() - 1]
        start -= len(name.before) if text[:start].endswith(name.before) else 0
        end += len(name.behind) if text[end:].startswith(name.behind) else 0
        if not name.exactly or _plain(text[start:end]) == _plain(name.name):
            yield Hit(start, end, name.name)


def _longest(found: Sequence[Hit]) -> list[Hit]:
    """Those that are meant, from left to right; of two in one place the first of `found`."""
    meant: list[Hit] = []
    for hit in sorted(found, key=lambda hit: (hit.start, -hit.end)):
        if not meant or hit.start >= meant[-1].end:
            meant.append(hit)
    return meant


@dataclass(frozen=True)
class _Aligned:
    """A folded text, and where in the text as it was written each of its letters begins and ends."""

    letters: str
    starts: list[int]
    ends: list[int]


def _aligned(text: str) -> _Aligned:
    found = [(letter, at, at + len(cluster)) for at, cluster in _clusters(text) for letter in _letter(cluster, False)]
    letters = DOTTED.sub(r"\1 ", "".join(letter for letter, _, _ in found))
    kept = [i for i, letter in enumerate(letters) if letter != " " or i == 0 or letters[i - 1] != " "]
    return _Aligned("".join(letters[i] for i in kept), [found[i][1] for i in kept], [found[i][2] for i in kept])


def _clusters(text: str) -> Iterator[tuple[int, str]]:
    """(place, letter with all the marks on it) one after the other."""
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not _marks(text[at]):
            yield start, text[start:at]
            start = at


@lru_cache(maxsize=8192)
def _marks(letter: str) -> bool:
    """Whether it makes one letter with the one before: marks, the rest of a Hangul syllable, kana's halfwidth sound marks."""
    return unicodedata.category(letter)[0] == "M" or "\u1160" <= letter <= "\u11ff" or letter in "ﾞﾟ"


@lru_cache(maxsize=8192)
def _letter(cluster: str, cased: bool) -> str:
    plain = cluster.translate(ALIKE)
    if plain.isspace() or (plain and unicodedata.category(plain[0]) == "Pd"):
        return " "
    whole = unicodedata.normalize("NFKC", plain)
    parts = unicodedata.normalize("NFKD", whole if cased else whole.casefold())
    seen = (part for part in parts if unicodedata.category(part) != "Cf" and not MARKS.match(part))  # "Bis\u200bcuit" reads as Biscuit
    return unicodedata.normalize("NFC", "".join(seen))


def _plain(text: str) -> str:
    """Only case, spaces and how Unicode writes it make no difference."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def _inside(letters: str) -> tuple[int, int]:
    """Where the first and the last letter or digit is; everything where there is none."""
    at = [i for i, letter in enumerate(letters) if unicodedata.category(letter)[0] in "LMN"]
    return (at[0], at[-1] + 1) if at else (0, len(letters))


def _whole(letters: str) -> re.Pattern[str]:
    """The name as whole words. A side on which it has no letter (or whose script has no spaces) counts as it stands."""
    before = r"(?<![^\W_])" if _spaced(letters[:1]) else ""  # "_Biscuit_" is the name in italics
    after = r"(?![^\W_])" if _spaced(letters[-1:]) else ""
    return re.compile(before + re.escape(letters) + after)


def _spaced(letter: str) -> bool:
    """Whether words of this letter's script are kept apart by something: no for Han, Kana, Thai, Lao, Khmer, Burmese and symbols."""
    unspaced = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
    return letter.isalnum() and not unicodedata.name(letter, "").startswith(unspaced)


def _bounded(text: str, at: int) -> bool:
    return at == 0 or not (_spaced(text[at - 1]) and _spaced(text[at]))

"""Noun phrases in captions: which words mean the concept's class, and putting a name in a phrase's place. Text only.

"A brown and white dog is running" with the noun "dog" and the name "Biscuit" becomes "Biscuit is running".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ..vlms.name_rule import Hit, core, hits

# What a captioner may call a thing of this class; the class noun itself always comes first.
SYNONYMS = {
    "dog": ("puppy", "pup", "animal"),
    "puppy": ("dog", "pup", "animal"),
    "cat": ("kitten", "kitty", "animal"),
    "kitten": ("cat", "kitty", "animal"),
    "pet": ("dog", "cat", "puppy", "kitten", "animal"),
    "person": ("man", "woman", "boy", "girl", "child", "guy", "lady", "kid", "player", "climber", "skier", "surfer"),
    "man": ("person", "guy", "boy", "player"),
    "woman": ("person", "lady", "girl"),
    "girl": ("child", "woman", "kid", "person"),
    "boy": ("child", "man", "kid", "person"),
    "stuffed animal": ("teddy bear", "teddy", "plush", "toy", "stuffed toy"),
    "toy": ("stuffed animal", "teddy", "object"),
    "glasses": ("sunglasses", "pair of glasses", "pair of sunglasses"),
    "sneaker": ("shoe", "running shoe", "boot"),
    "boot": ("shoe", "sneaker"),
    "mug": ("cup", "coffee mug"),
    "cup": ("mug", "coffee mug"),
    "thing": ("object", "item"),
}
ARTICLES = "a pair of|a|an|the|one|his|her|their|its|this|that|another"
# Words that end a noun phrase: between an article and its noun none of these may stand.
BREAKS = (
    "a|an|the|of|with|in|on|at|to|by|from|for|is|are|was|were|be|has|have|that|who|which|while|as|near|next|behind|under|over|beside|front"
    "|wearing|holding|carrying|riding|sitting|standing|running|walking|jumping|playing|looking|lying|laying"
)
IRREGULAR = {"man": "men", "woman": "women", "child": "children", "person": "people", "mouse": "mice", "goose": "geese"}
NUMBERS = (
    "none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
COUNTS = {**{word: number for number, word in enumerate(NUMBERS) if number > 1}, "half a dozen": 6, "a dozen": 12}
LARGE = "dozens?|hundreds?|thousands?|millions?|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-[a-z]+)?"
_ADJECTIVE = rf"(?!(?:{BREAKS})\b)[\w'-]+,?"
_NOUNS = rf"{'|'.join(IRREGULAR.values())}|[\w'-]*[^\Wsu]s"
_OF_MANY = rf"(?!(?:{'|'.join(NUMBERS)}|{LARGE}|{_NOUNS})(?![\w'-])){_ADJECTIVE}"  # an adjective of a plural: no number, no other plural
OWNERS = "my|your|his|her|its|our|their"
GROUP = "group|number|gathering|couple|pair|bunch|pack|crowd|herd|flock|litter|team|lot|row|line"
_GROUP_OF = (
    rf"(?:(?:an?|the|this|that|{OWNERS})\s+|^|(?<=[.,;!?]\s))"  # nobody writes "group of dogs" but where a sentence begins
    rf"(?:(?:very|large|larger|small|smaller|big|bigger|huge|whole|little|young|mixed|diverse|long),?\s+)*(?:{GROUP})\s+of"
)
_BOTH = rf"both(?:\s+of)?(?:\s+(?:the|these|those|{OWNERS}))?"
VAGUE = rf"some|several|many|a few|lots of|other|all|the|these|those|{OWNERS}|{_GROUP_OF}"
# In "a hot dog" there is no dog.
OTHER_THINGS = {"dog": ("hot", "corn", "prairie")}
# Behind these a noun means nobody, nobody in particular, or more than can be counted; behind ABOUT a number can't be relied on.
NOBODY = rf"no|not|nor|any|without|zero|every|each|most|few|{LARGE}|[\w.,]*\d[\w.,]*"
ABOUT = rf"about|almost|approximately|around|exactly|least|most|nearly|roughly|than|(?:{'|'.join(NUMBERS)}|\d+)\s+(?:or|to)"
# "A photo of dogs" shows them; in "a statue of dogs" and "one of the dogs" they are a part of something else.
SHOWS = (
    "photos?|photographs?|pictures?|images?|portraits?|paintings?|drawings?|videos?|shots?|views?|close-?ups?|up|front|top|side|back|ahead"
    "|out|instead|because|full"
)
PART = rf"{'|'.join(NUMBERS)}|\d+|some|many|most|all|each|any|several|few|half|lots|plenty|rest|majority|part|{LARGE}|{GROUP}"
# What may follow "a group of dogs" and ends as verbs do.
ADVERBS = ("outdoors", "indoors", "upstairs", "downstairs", "towards", "always", "sometimes", "besides", "as", "its", "his", "this")
ARTICLE = re.compile(r"(?<!\w)(?:a|an|the)\s+$", re.IGNORECASE)
# Before a word in small letters these say that it is no name: "this coffee", "how much snow".
_DETERMINERS = rf"this|that|these|those|{OWNERS}|much|many|more|no|any|some|every|each|another|{'|'.join(NUMBERS)}|{LARGE}|\d[\d.,]*"
DETERMINER = re.compile(rf"(?<!\w)(?:{_DETERMINERS})\s+$", re.IGNORECASE)


def words_for(class_noun: str) -> tuple[str, ...]:
    """The class noun and what else a captioner may call it, likeliest first; the head of a compound too ("tea mug": "mug")."""
    noun = class_noun.lower().strip()
    head = noun.split()[-1] if noun else "thing"
    found = [noun, *SYNONYMS.get(noun, ()), head, *SYNONYMS.get(head, ())]
    return tuple(dict.fromkeys(w for w in found if w))


def mentions(text: str, phrase: str) -> bool:
    """Whether `phrase` stands in `text` as whole words, in any case. Scripts without spaces count as they stand."""
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE) is not None


def put_name(text: str, class_noun: str, name: str, keep: Iterable[str] = ()) -> str | None:
    """`text` with the first phrase that means the class replaced by `name`; None when no such phrase is there.
    Phrases inside names of `keep` (concepts already named) are left alone."""
    kept = places(text, keep)
    for word in words_for(class_noun):
        noun = _noun(word, word)
        phrase = rf"\b(?P<article>{ARTICLES})\s+(?:{_ADJECTIVE}\s+){{0,4}}?{noun}\b|\b{noun}\b"
        for match in re.finditer(phrase, text, re.IGNORECASE):
            if not _within(match, kept) and _somebody(text[: match.start()], match["article"] is not None):
                return tidy(text[: match.start()] + name + text[match.end() :])
    return None


def _noun(word: str, form: str) -> str:
    """A pattern of the word in this form where it isn't a part of another thing's name."""
    return "".join(rf"(?<!\b{first}\s)" for first in OTHER_THINGS.get(word, ())) + re.escape(form)


def _somebody(before: str, article: bool) -> bool:
    """Whether a noun behind these words means somebody: "not a dog", "no brown dog" don't."""
    if article:
        return re.search(r"\b(?:not|nor|without)\s+$", before, re.IGNORECASE) is None
    return re.search(rf"(?<!\w)(?:{NOBODY})\s+(?:{_ADJECTIVE}\s+){{0,3}}$", before, re.IGNORECASE) is None


def _within(match: re.Match[str], kept: Sequence[Hit]) -> bool:
    return any(match.start() < one.end and one.start < match.end() for one in kept)


def put_names(text: str, subjects: Sequence[tuple[str, str]], keep: Iterable[str] = ()) -> str:
    """`text` with as many of the (class noun, name) put in as there are phrases for them: "Two dogs and a man run" becomes "Biscuit
    and Rex and Anna run", and with one of the dogs known "Biscuit and another dog and Anna run". Names of `keep` are left alone."""
    kept, left = list(keep), list(subjects)
    text, left = _put_together(text, left, kept, at_least=2)
    for subject in list(left):
        if (put := put_name(text, *subject, keep=kept)) is not None:
            text = put
            kept.append(subject[1])
            left.remove(subject)
    return _put_together(text, left, kept, at_least=1)[0]


def _put_together(text: str, left: list[tuple[str, str]], kept: list[str], at_least: int) -> tuple[str, list[tuple[str, str]]]:
    """Plural phrases that stand for at least so many of those left; the text, and who is left then."""
    for word in dict.fromkeys(w for noun, _ in left for w in words_for(noun)):
        group = [s for s in left if word in words_for(s[0])]
        match = _plural_phrase(text, word, kept) if len(group) >= at_least else None
        if match:
            names = [name for _, name in group]
            rest = _as_several(match, text[match.end() :])
            text = tidy(text[: match.start()] + _with_the_rest(names, match["count"], word) + rest)
            kept += names
            left = [s for s in left if s not in group]
    return text, left


def _plural_phrase(text: str, word: str, kept: Sequence[str]) -> re.Match[str] | None:
    number = rf"{'|'.join(sorted(COUNTS, key=len, reverse=True))}|(?<![\d.,])(?:[2-9]|[1-9]\d+)|{_BOTH}"
    first = rf"(?:(?:all|the|these|those|{OWNERS}|{_GROUP_OF})\s+)*"
    noun = _noun(word, plural(word))
    phrase = rf"\b(?:{first}(?P<count>{number}|{VAGUE})\s+(?:{_OF_MANY}\s+){{0,4}}?)?{noun}(?![\w'’])"
    names = places(text, kept)
    found = re.finditer(phrase, text, re.IGNORECASE)
    return next((m for m in found if not _within(m, names) and _several(text[: m.start()], m["count"])), None)


def _several(before: str, count: str | None) -> bool:
    """Whether a plural behind these words means some of its kind, the named one among them."""
    before = before.lower()
    if count is None:
        of = re.search(rf"\bof\s+(?:{_OF_MANY}\s+){{0,3}}$", before)
        return _somebody(before, article=False) and (of is None or re.search(rf"(?<!\w)(?:{SHOWS})\s+$", before[: of.start()]) is not None)
    if re.match(_GROUP_OF, count, re.IGNORECASE) and re.search(r"\b(?:in|into|inside|within|through)\s+$", before):
        return False
    return re.search(rf"(?<!\w)(?:{NOBODY}|{ABOUT}|(?:{PART})\s+of)\s+$|[-–]$", before) is None


def _as_several(match: re.Match[str], rest: str) -> str:
    """What follows "a group of dogs", as it follows several: " is running" -> " are running"."""
    verb = re.match(r"((?:\s+(?:that|which|who))?\s+)([a-z]+(?:n't)?)(?![\w'])", rest)
    if verb is None or not re.match(_GROUP_OF, match[0], re.IGNORECASE):
        return rest
    return verb[1] + _of_several(verb[2]) + rest[verb.end() :]


def _of_several(verb: str) -> str:
    """ "run" for "runs", "carry" for "carries", "are" for "is"; any other word as it is."""
    if verb in (irregular := {"is": "are", "was": "were", "has": "have", "isn't": "aren't", "wasn't": "weren't", "lies": "lie"}):
        return irregular[verb]
    if verb in ADVERBS or not re.search(r"[^s]s$", verb):
        return verb
    return re.sub(r"ies$", "y", verb) if verb.endswith("ies") else re.sub(r"(?<=ss|ch|sh)es$|(?<=[xzo])es$|s$", "", verb)


def _with_the_rest(names: Sequence[str], count: str | None, word: str) -> str:
    """ "Biscuit and another dog" for one of two dogs, "Biscuit and other dogs" for one of some."""
    number = _number(count or "")
    if number > len(names):
        more = number - len(names)
        said = NUMBERS[more] if more < len(NUMBERS) else str(more)
        return listing([*names, f"another {word}" if more == 1 else f"{said} other {plural(word)}"])
    return listing(names if number or len(names) > 1 else [*names, f"other {plural(word)}"])


def _number(count: str) -> int:
    """0 where nobody counted."""
    said = " ".join(count.lower().split())
    return int(said) if said.isdecimal() else 2 if said.startswith("both") else COUNTS.get(said, 0)


def plural(word: str) -> str:
    """ "dogs", "puppies", "boxes", "women"."""
    head, last = word.rpartition(" ")[::2]
    start = f"{head} " if head else ""
    if last in IRREGULAR:
        return start + IRREGULAR[last]
    if re.search(r"[^aeiou]y$", last):
        return f"{start}{last[:-1]}ies"
    return start + last + ("es" if re.search(r"(s|x|z|ch|sh)$", last) else "s")


def listing(words: Sequence[str]) -> str:
    """ "Biscuit", "Biscuit and Anna", "Biscuit, Anna and Rex"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


# -- names
def spoken_of(text: str, names: Iterable[str]) -> list[Hit]:
    """Where the names are meant, however they are written, each with the article before it."""
    found = [(hit, ARTICLE.search(text[: hit.start])) for hit in hits(text, names) if not _common(text, hit)]
    return [Hit(article.start(), hit.end, hit.name) if article else hit for hit, article in found]


def places(text: str, names: Iterable[str]) -> list[Hit]:
    """Where the names stand as they are written."""
    return [hit for hit in hits(text, names) if as_written(text[hit.start : hit.end], hit.name) and not _common(text, hit)]


def as_written(said: str, name: str) -> bool:
    """Whether it is the name with its capitals, whatever the accents and signs."""
    return core(said, cased=True) == core(name, cased=True)


def _common(text: str, hit: Hit) -> bool:
    """Whether the word is no name there: "a biscuit" and "this biscuit" are to eat; "the Biscuit" and "this Biscuit" are somebody."""
    before, said = text[: hit.start], text[hit.start : hit.end]
    if ARTICLE.search(before):
        return not as_written(said, hit.name)
    return said.islower() and DETERMINER.search(before) is not None


def replaced(text: str, found: Sequence[Hit], instead: Mapping[str, str]) -> str:
    """The text with what is said instead of each name in its place; names that have nothing instead are left."""
    for hit in sorted(found, key=lambda hit: hit.start, reverse=True):
        text = text[: hit.start] + instead.get(hit.name, text[hit.start : hit.end]) + text[hit.end :]
    return text


def named_in(text: str, names: Iterable[str], others: Iterable[str] = ()) -> set[str]:
    """Names that stand in the text as they are written: a "cookie" isn't Cookie, and "Corgi Joe" doesn't name Joe, whichever of them is
    among the `others` (names that nobody asks for)."""
    mine = list(names)
    return {hit.name for hit in places(text, [*mine, *others])} & set(mine)


def polished(text: str, names: Iterable[str], others: Iterable[str] = ()) -> str:
    """Names as they are written and without an article: "the Biscuit", "biscuit" -> "Biscuit"; "a biscuit" is one to eat. Names of
    `others` are left as they are."""
    mine = list(names)
    return replaced(text, spoken_of(text, [*mine, *others]), {name: name for name in mine})


def unstammered(text: str, names: Iterable[str]) -> str:
    """"Wobbles cat is looking at the camera." -> "Wobbles is looking at the camera.": no noun right behind a name, where a verb or the end
    comes next. "Biscuit dog bed" stays."""
    known = set(names)
    for name in known:
        behind = rf"(?<!\w)({re.escape(name)}) (?:cat|dog)(?= (?:is|are|was|were|\w+ing)\b|[.,]|$)"
        text = re.sub(behind, lambda found: found[0] if found[0] in known else found[1], text)
    return text


def tidy(text: str) -> str:
    """Single spaces, no space before punctuation, first letter as it is (a name keeps its case)."""
    return re.sub(r"\s+([.,;!?])", r"\1", " ".join(text.split()))


def opening_with(subject: str) -> str:
    """How a sentence about a class begins: "A dog", "An umbrella"."""
    return f"{'An' if subject[:1].lower() in 'aeiou' else 'A'} {subject}"

"""Noun phrases in captions: which words mean the concept's class, and putting a name in a phrase's place. Text only.

"A brown and white dog is running" with the noun "dog" and the name "Biscuit" becomes "Biscuit is running".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

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
NUMBERS = ("none", "one", "two", "three", "four", "five", "six")
VAGUE = "some|several|many|both|the|these|those|a (?:group|couple|pair|bunch) of"
_ADJECTIVE = rf"(?!(?:{BREAKS})\b)[\w'-]+,?"


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
    kept = [m.span() for k in keep for m in re.finditer(re.escape(k), text, re.IGNORECASE)]
    for word in words_for(class_noun):
        noun = re.escape(word)
        phrase = rf"\b(?:{ARTICLES})\s+(?:{_ADJECTIVE}\s+){{0,4}}?{noun}\b|\b{noun}\b"
        for match in re.finditer(phrase, text, re.IGNORECASE):
            if not any(match.start() < end and start < match.end() for start, end in kept):
                return tidy(text[: match.start()] + name + text[match.end() :])
    return None


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
            text = tidy(text[: match.start()] + _with_the_rest(names, match["count"], word) + text[match.end() :])
            kept += names
            left = [s for s in left if s not in group]
    return text, left


def _plural_phrase(text: str, word: str, kept: Sequence[str]) -> re.Match[str] | None:
    phrase = rf"\b(?:(?P<count>{'|'.join(NUMBERS[2:])}|[2-9]|{VAGUE})\s+(?:{_ADJECTIVE}\s+){{0,3}}?)?{re.escape(plural(word))}\b"
    spans = [m.span() for name in kept for m in re.finditer(re.escape(name), text, re.IGNORECASE)]
    found = re.finditer(phrase, text, re.IGNORECASE)
    return next((m for m in found if not any(m.start() < end and start < m.end() for start, end in spans)), None)


def _with_the_rest(names: Sequence[str], count: str | None, word: str) -> str:
    """ "Biscuit and another dog" for one of two dogs, "Biscuit and other dogs" for one of some."""
    said = (count or "").lower()
    number = NUMBERS.index(said) if said in NUMBERS else int(said) if said.isdigit() else 0
    if number > len(names):
        more = number - len(names)
        return listing([*names, f"another {word}" if more == 1 else f"{NUMBERS[more]} other {plural(word)}"])
    return listing(names if number or len(names) > 1 else [*names, f"other {plural(word)}"])


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


def named_in(text: str, names: Iterable[str]) -> set[str]:
    """Names that stand in the text as they are written: a "cookie" isn't Cookie, and "Corgi Joe" doesn't name Joe."""
    found = set()
    for name in sorted(names, key=len, reverse=True):
        text, count = re.subn(rf"(?<!\w){re.escape(name)}(?!\w)", "\n", text)
        if count:
            found.add(name)
    return found


def polished(text: str, names: Iterable[str]) -> str:
    """Names as they are written and without an article: "the Biscuit", "biscuit" -> "Biscuit"; "a biscuit" is one to eat."""
    for name in sorted(names, key=len, reverse=True):

        def written(found: re.Match[str], name: str = name) -> str:
            return found[0] if found["article"] and found["name"] != name else name

        text = re.sub(rf"(?<!\w)(?P<article>(?:a|an|the)\s+)?(?P<name>{re.escape(name)})(?!\w)", written, text, flags=re.IGNORECASE)
    return text


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

"""Noun phrases in captions: which words mean the concept's class, and putting a name in a phrase's place. Text only.

"A brown and white dog is running" with the noun "dog" and the name "Biscuit" becomes "Biscuit is running".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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
ARTICLES = "a|an|the|one|his|her|their|its|this|that|another"
# Words that end a noun phrase: between an article and its noun none of these may stand.
BREAKS = (
    "a|an|the|of|with|in|on|at|to|by|from|for|is|are|was|were|be|has|have|that|who|which|while|as|near|next|behind|under|over|beside|front"
    "|wearing|holding|carrying|riding|sitting|standing|running|walking|jumping|playing|looking|lying|laying"
)
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


def tidy(text: str) -> str:
    """Single spaces, no space before punctuation, first letter as it is (a name keeps its case)."""
    return re.sub(r"\s+([.,;!?])", r"\1", " ".join(text.split()))


def opening_with(subject: str) -> str:
    """How a sentence about a class begins: "A dog", "An umbrella"."""
    return f"{'An' if subject[:1].lower() in 'aeiou' else 'A'} {subject}"

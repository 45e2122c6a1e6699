"""Answers with concepts: the question is asked once with the embeddings in place ("Is Biscuit asleep?") and once of the frozen VLM
in plain words ("Is the dog asleep?"); the answer that both find likeliest is given.

Whether somebody is there at all is for the heads to say, not for the VLM. Knows English questions; knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from ..vlms.base import Decoding, Target, View, Vlm, generate
from ..vlms.name_rule import NameRule, hits
from .naming import UNTOLD, Answered, Fired, named, names_of, permitted, rule_of, stacked, with_names
from .phrases import listing, named_in, opening_with, places, polished, replaced, spoken_of, words_for

YES_NO = re.compile(r"(is|are|am|was|were|do|does|did|has|have|had|can|could|will|would|should|may|might)(n't)?\b", re.IGNORECASE)
WHO = re.compile(r"who\b", re.IGNORECASE)
OF_A_KIND = re.compile(r"\b(kind|breed|type|sort|species|animal|or)\b", re.IGNORECASE)  # answered with a noun, not with a name
NAME = "\0"  # in these patterns, and in the questions that are held against them
WHAT_IS = rf"what('s|’s| is| are|s)( the)? {NAME}\W*"  # so is this one, by what its teacher said
EMPTY = re.compile(r"\b(a|an|the|it|is|this|that|of|with|its)\b|[\W_]", re.IGNORECASE)  # words and signs that say nothing by themselves
PLACE = r"(here|there|present|around|(in|on) (this|the|that) (photo|picture|image|pic|shot))"
IS_THERE = (
    r"(is|can you see|do you see|does (this|the) (photo|picture|image) (show|have)|is (this|that|it|there)) (the )?"
    rf"{NAME}( {PLACE})?\W*"
)
IS_THIS = rf"is (this|that) {NAME}\W*"


def reply(vlm: Vlm, view: View, question: str, concepts: Sequence[Fired], absent_names: Sequence[str]) -> Answered:
    """A short sentence. Questions that are answered by yes or no get one of these."""
    spoken = asked_about(question, [*names_of(concepts), *absent_names])
    asked = [n for n in absent_names if n in spoken]
    rule = rule_of(concepts, absent_names, asked)
    plain = plain_question(question, concepts, absent_names)
    base = sentence(generate(vlm, view, plain))  # with no names about, these are the base model's own words
    if asked and not any(c.name in spoken for c in concepts):
        text = not_seen(question, asked)
    elif not concepts:
        text = sentence(permitted(vlm, view, plain, base, rule))
    else:
        text = sentence(permitted(vlm, view, plain, known(vlm, view, question, plain, base, concepts, absent_names), rule))
    text = next(t for t in (text, *UNTOLD) if rule.broken_by(t) is None)
    return text, base, named(text, concepts, absent_names)


def not_seen(question: str, names: Sequence[str]) -> str:
    """Their heads are silent; whatever the VLM says of them would be of somebody else."""
    told = f"I don't see {listing(names)} in this photo."
    return f"No, {told}" if YES_NO.match(question.strip()) else told


def known(vlm: Vlm, view: View, question: str, plain: str, base: str, concepts: Sequence[Fired], absent_names: Sequence[str]) -> str:
    """The answer where somebody is recognised."""
    names = [*names_of(concepts), *absent_names]
    if any(is_presence(question, c.name, names) for c in concepts):
        return "Yes"
    for concept in concepts:
        if asks(WHAT_IS, question, concept.name, names):
            return opening_with(concept.class_noun)
    vectors = stacked(vlm, concepts)
    personal = polished(question.strip(), names_of(concepts), absent_names)
    if YES_NO.match(personal) and " or " not in personal:
        return likelier(vlm, view, personal, plain, ("Yes", "No"), vectors)
    said = [generate(vlm, view, personal, vectors)] if len(vectors) and personal != plain else []
    found = list(dict.fromkeys([base, *(sentence(s) for s in said)]))
    text = likelier(vlm, view, personal, plain, found, vectors)
    if WHO.match(personal):
        named_there = with_names(text, concepts)
        return named_there if named_in(named_there, names_of(concepts)) else listing(unasked(question, concepts))
    if OF_A_KIND.search(personal):
        return text
    told = [f for f in found if not says_nothing(f, personal, concepts)]
    if text not in told:
        text = likelier(vlm, view, personal, plain, told, vectors) if told else anything_else(vlm, view, plain, concepts)
    return with_names(text, concepts)


def says_nothing(text: str, question: str, concepts: Sequence[Fired]) -> bool:
    """ "What is Biscuit made of?" isn't answered by "A dog." or "Biscuit."."""
    spoken = asked_about(question, names_of(concepts))
    asked = [c for c in concepts if c.name in spoken]
    rest = with_names(text, asked)
    rest = replaced(rest, places(rest, names_of(asked)), dict.fromkeys(names_of(asked), " "))
    return bool(asked) and not EMPTY.sub("", rest)


def anything_else(vlm: Vlm, view: View, plain: str, concepts: Sequence[Fired]) -> str:
    """The VLM's answer in other words than the names and nouns of those in the question."""
    words = NameRule(tuple(word for c in concepts for word in (c.name, *words_for(c.class_noun))))
    said = sentence(generate(vlm, view, plain, None, Decoding(forbidden=words.forbidden)))
    return said if words.broken_by(said) is None else UNTOLD[0]


def unasked(question: str, concepts: Sequence[Fired]) -> list[str]:
    """ "Who is with Biscuit?" isn't answered by Biscuit, unless there is nobody else."""
    spoken = asked_about(question, names_of(concepts))
    return [c.name for c in concepts if c.name not in spoken] or names_of(concepts)


def likelier(vlm: Vlm, view: View, personal: str, plain: str, found: Sequence[str], vectors: torch.Tensor) -> str:
    """The answer with the lowest mean token cross-entropy, over the question with the embeddings and the plain one without."""
    if len(found) == 1:
        return found[0]
    short = [f.rstrip(".").lower() if f in ("Yes", "No") else f for f in found]
    with torch.no_grad():
        cost = vlm.losses([view], [Target(0, plain, f) for f in short], torch.zeros(0, vlm.width), "", attention=False).cross_entropy
        if len(vectors):
            cost = cost + vlm.losses([view], [Target(0, personal, f) for f in short], vectors, "", attention=False).cross_entropy
    return found[int(cost.argmin())]


# -- the question's words
def asked_about(question: str, names: Sequence[str]) -> set[str]:
    """Those of the names of which the question speaks: "is biscuit asleep?" does, "is there a biscuit?", "is this biscuit fresh?" don't."""
    spoken = {hit.name for hit in spoken_of(question, names)}
    return spoken | {hit.name for hit in hits(question, names) if asks(IS_THIS, question, hit.name, names)}


def is_asked_about(question: str, name: str, others: Sequence[str] = ()) -> bool:
    """Whether the question speaks of this one, and not of one of the others whose name is longer."""
    return name in asked_about(question, [name, *others])


def is_presence(question: str, name: str, others: Sequence[str] = ()) -> bool:
    """Whether all it asks is if the concept is there."""
    return asks(IS_THERE, question, name, others)


def asks(pattern: str, question: str, name: str, others: Sequence[str]) -> bool:
    """Whether the question is one of these, of this name."""
    there = [hit for hit in hits(question, [name, *others]) if hit.name == name]
    return bool(there) and re.fullmatch(pattern, replaced(question, there, {name: NAME}).strip(), re.IGNORECASE) is not None


def plain_question(question: str, concepts: Sequence[Fired], others: Sequence[str] = ()) -> str:
    """ "Is Biscuit asleep?" -> "Is the dog asleep?", possessives kept; names of `others` too."""
    nouns = {c.name: f"the {words_for(c.class_noun)[0]}" for c in concepts}
    return replaced(question, spoken_of(question, [*nouns, *others]), nouns)


def sentence(text: str) -> str:
    """Short answers as a person writes them: capital first, full stop last."""
    text = text.strip()
    if not text:
        return UNTOLD[0]
    return text[:1].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")

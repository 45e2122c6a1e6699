"""How well short answers agree with the true ones: pure comparing of words. Knows no model and no file."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

COUNTING = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBERS = {word: str(number) for number, word in enumerate(COUNTING)}
FILLERS = {"a", "an", "the", "it", "is", "are", "there", "and"}  # "it is red" answers as well as "red"
KINDS = (("colour", r"\bcolou?rs?\b"), ("count", r"\bhow many\b"), ("place", r"^(where|what is (on|in|under|behind|near|at)\b)"))


def answer_words(text: str) -> tuple[str, ...]:
    """Lower-case words without fillers and plural s; numbers as digits."""
    found = re.findall(r"\w+", text.lower().replace("_", " "))
    return tuple(NUMBERS.get(w) or _singular(w) for w in found if w not in FILLERS)


def exact_match(said: str, true: str) -> bool:
    """The same words, in any order ("cup, stand" is a set)."""
    return Counter(answer_words(said)) == Counter(answer_words(true))


def soft_match(said: str, true: str) -> float:
    """F1 of the words, 0..1, as in SQuAD (Rajpurkar et al., 2016)."""
    mine, theirs = Counter(answer_words(said)), Counter(answer_words(true))
    shared = sum((mine & theirs).values())
    return 2 * shared / (mine.total() + theirs.total()) if shared else 0.0


def question_kind(question: str) -> str:
    """colour, count, place or other."""
    return next((kind for kind, pattern in KINDS if re.search(pattern, question.lower())), "other")


def answer_scores(asked: Sequence[str], said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    """exact and soft over all questions, and exact_<kind> with its count for every kind of question."""
    exact = [exact_match(s, t) for s, t in zip(said, true, strict=True)]
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for question, hit in zip(asked, exact, strict=True):
        by_kind[question_kind(question)].append(hit)
    scores = {"exact": float(np.mean(exact)), "soft": float(np.mean([soft_match(s, t) for s, t in zip(said, true, strict=True)]))}
    for kind, hits in sorted(by_kind.items()):
        scores |= {f"exact_{kind}": float(np.mean(hits)), f"questions_{kind}": len(hits)}
    return scores


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word

"""Names in texts: spelled in many ways, and one within another."""

from __future__ import annotations

import random
import unicodedata

import pytest

from myvlm_engine.vlms import name_rule
from myvlm_engine.vlms.name_rule import Hit, NameRule, core, folded, hits


@pytest.mark.parametrize(
    ("forbidden", "allowed", "text", "said"),
    [
        ("Corgi Joe", "Joe", "Corgi Joe is here.", "corgi joe"),
        ("Corgi Joe", "Joe", "Joe is here.", None),
        ("Corgi Joe", "Joe", "Joe and Corgi Joe", "corgi joe"),
        ("Biscuit Junior", "Biscuit", "Biscuit and Biscuit  Junior", "biscuit junior"),
        ("Joe", "Corgi Joe", "Corgi Joe is here.", None),
        ("Joe", "Corgi Joe", "Corgi Joe and Joe", "joe"),
        ("Joe Black", "Corgi Joe", "Corgi Joe Black", "joe black"),  # half of it is somebody else's
        ("Jose", "José", "José is here.", None),  # nobody can tell them apart
    ],
)
def test_of_a_name_within_another_the_longer_is_meant(forbidden, allowed, text, said):
    assert NameRule((forbidden,), (allowed,)).broken_by(text) == said


def test_the_first_absent_name_in_the_text_is_told():
    assert NameRule(("Anna", "Rex", "Corgi Joe"), ("Joe",)).broken_by("Joe, Corgi Joe, Rex and Anna") == "corgi joe"


def test_half_said_an_allowed_name_excuses_only_what_stands_in_it():
    assert NameRule(("Joe",), ("Joe Black",)).broken_by("Here is Joe", unfinished=True) is None
    assert NameRule(("Big Joe",), ("Joe Black",)).broken_by("Here is Big Joe", unfinished=True) == "big joe"
    assert NameRule(("Jean",), ("Jean-Luc",)).broken_by("Here is Jean-", unfinished=True) is None
    assert NameRule(("Corgi Joe",), ("Joe", "Corgi Joe Black")).broken_by("Here is Corgi Joe", unfinished=True) is None
    assert NameRule(("Corgi Joe",), ("Joe",)).broken_by("Here is Corgi Joe", unfinished=True) == "corgi joe"


ALIKE = [
    ("O'Malley", "O’Malley"),
    ("Jean-Luc", "Jean‑Luc"),
    ("Jean-Luc", "Jean–Luc"),
    ("Jean-Luc", "Jean Luc"),
    ("Zoë", "Zoe"),
    ("José", "Jose\u0301"),
    ("Mr. Biscuit", "Mr Biscuit"),
    ("J. R. Biscuit", "J.R. Biscuit"),
    ("Biscuit 🐶", "Biscuit"),
    ("Biscuit!", "Biscuit"),
    ("★ Biscuit ★", "Biscuit"),
    ("Biscuit™", "BISCUIT"),
    ("İzmir", "izmir"),
    ("Straße", "STRASSE"),
    ("한소희", unicodedata.normalize("NFD", "한소희")),
    ("ビスケット", "ﾋﾞｽｹｯﾄ"),
    ("أحمد", "احمد"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_a_name_is_known_in_any_spelling(one, other):
    for name, said in ((one, other), (other, one)):
        text = f"A dog, {said}, sits on grass."
        assert NameRule((name,)).broken_by(text) == core(name)
        (hit,) = hits(text, [name])
        assert text[hit.start : hit.end] in said
        assert NameRule((name,)).broken_by("A dog sits on grass.") is None


@pytest.mark.parametrize(("one", "other"), [("ハス", "バス"), ("राम", "रम"), ("Jean-Luc", "Jeanluc"), ("Mr. T", "Mr. Tom")])
def test_what_makes_another_name_of_it_stays(one, other):
    assert NameRule((one,)).broken_by(f"{other} is here.") is None and NameRule((other,)).broken_by(f"{one} is here.") is None


@pytest.mark.parametrize("name", ["Thé", "The!", "C++", "À", "Who?", "$100", "+1"])
def test_a_name_that_would_be_a_small_word_without_its_signs_keeps_them(name):
    plain = "Who has the c of a 100 and 1?"
    assert NameRule((name,)).broken_by(plain) is None and hits(plain, [name]) == []
    assert NameRule((name,)).broken_by(f"Here is {name.upper()} again.") == core(name)


def test_places_are_those_of_the_text_as_it_was_written():
    text = "The ﬁne Straße\u200b of  Zoe\u0308 – o'malley’s ★ Biscuit ★."
    found = hits(text, ["Strasse", "Zoë", "O’Malley", "★ Biscuit ★", "Fine"])
    assert [text[hit.start : hit.end] for hit in found] == ["ﬁne", "Straße", "Zoe\u0308", "o'malley", "★ Biscuit ★"]
    assert hits("Jose, José", ["Jose", "José"]) == [Hit(0, 4, "Jose"), Hit(6, 10, "José")]


def test_with_places_and_without_them_a_text_has_one_fold():
    rng, letters = random.Random(0), "abZ é e\u0301-–'’. Mr. J. 한\u1112\u1161ßﬁﾋﾞ ビ🐶\u200b\ufe0f™İıहिन्दीสม½´\n\t"
    for _ in range(3000):
        text = "".join(rng.choice(letters) for _ in range(rng.randrange(12)))
        assert name_rule._aligned(text).letters == folded(text) == folded(unicodedata.normalize("NFC", text))
    for letter in map(chr, range(128)):
        assert folded(letter) == folded(f"{letter}\u200b"), "the short way for ASCII is the long way"

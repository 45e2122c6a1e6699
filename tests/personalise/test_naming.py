"""Captions with names: whoever fired is named, nobody else ever, and with nobody there the base model speaks for itself."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("torch")

from speakers import VIEW, Speaker, always, babbling, concept

from myvlm_engine.caption_scores import names_in
from myvlm_engine.personalise.naming import answer

BISCUIT, ANNA, REX = concept("Biscuit"), concept("Anna", "woman"), concept("Rex")


def said(vlm, question, concepts, absent=(), **more):
    return answer(vlm, VIEW, question, concepts, absent, **more)


def test_with_nobody_there_the_base_model_s_words_are_said_unchanged():
    vlm = always("a dog  runs ")
    assert said(vlm, None, [], ["Biscuit"]) == ("a dog  runs ", "a dog  runs ", [])
    assert not any(d.forbidden for d in vlm.asked)


@pytest.mark.parametrize(
    ("base", "concepts", "expected"),
    [
        ("A dog runs on grass.", [BISCUIT], "Biscuit runs on grass."),
        ("Two dogs and a woman on a beach.", [BISCUIT, ANNA, REX], "Biscuit and Rex and Anna on a beach."),
        ("Two dogs play.", [BISCUIT], "Biscuit and another dog play."),
        ("biscuit sleeps on the couch.", [BISCUIT], "Biscuit sleeps on the couch."),
        ("A man in a red shirt.", [BISCUIT], "Biscuit is there."),
        ("A dog on a beach.", [BISCUIT, ANNA], "Biscuit and Anna is there."),
    ],
)
def test_whoever_fired_is_named(base, concepts, expected):
    text, base_text, named = said(always(base), None, concepts)
    assert (text, base_text) == (expected, base)
    assert {n.name: n.how for n in named} == {c.name: "embedding" for c in concepts}


def test_a_concept_that_is_still_learning_takes_the_noun_s_place():
    text, _, named = said(always("A dog and a woman."), None, [BISCUIT, concept("Anna", "woman", learned=False)])
    assert text == "Biscuit and Anna." and [n.how for n in named] == ["embedding", "substitution"]


def test_the_sentence_that_is_likeliest_with_and_without_the_embedding_is_said():
    vlm = Speaker(
        lambda prompt, vectors, opening: ["Biscuit is on a sofa.", "Biscuit runs.", "A dog flies."] if vectors else ["A dog runs."],
        lambda prompt, vectors, text: 1.0 if "runs" in text else 2.0,
    )
    assert said(vlm, None, [BISCUIT])[0] == "Biscuit runs."


def test_a_name_that_is_an_ordinary_word_stands_for_its_concept():
    text = said(always("A dog eats a cookie."), None, [concept("Cookie")])[0]
    assert text == "Cookie eats a cookie."


def test_an_absent_name_isn_t_said_even_by_a_vlm_that_obeys_no_rule():
    text, base, named = said(always("A cookie on a plate."), None, [], ["Cookie"])
    assert text == "A photo." and base == "A cookie on a plate." and named == []
    assert said(always("Rex chases a dog."), None, [BISCUIT], ["Rex"])[0] == "Biscuit is there."


def test_the_paper_s_setting_says_what_the_vlm_says():
    assert said(always("A dog runs."), None, [BISCUIT], guided=False)[0] == "A dog runs."
    assert said(always("the biscuit runs."), None, [BISCUIT], guided=False)[2][0].how == "missing"
    assert said(always("the Biscuit runs."), None, [BISCUIT], guided=False)[0] == "Biscuit runs."


def test_name_substitution_as_published_names_only_where_the_noun_was_said():
    unlearned = concept("Biscuit", learned=False)
    assert said(always("A brown dog runs."), None, [unlearned], guided=False)[0] == "Biscuit runs."
    text, _, named = said(always("A sofa by a window."), None, [unlearned], guided=False)
    assert text == "A sofa by a window." and named[0].how == "missing"
    assert said(always("A dog barks at a dog."), None, [BISCUIT, concept("Rex", learned=False)], guided=False)[0] == "Rex barks at a dog."


def test_an_absent_name_isn_t_said_though_a_shorter_one_of_somebody_there_stands_in_it():
    junior = always("Biscuit Junior is on a sofa.")
    assert said(junior, None, [BISCUIT], ["Biscuit Junior"])[0] == "Biscuit is there."
    assert said(junior, "What is it?", [BISCUIT], ["Biscuit Junior"])[0] == "I can't tell."
    assert said(junior, None, [BISCUIT], ["Biscuit Junior"], guided=False)[0] == "A photo."
    assert said(junior, None, [concept("Biscuit Junior")], ["Biscuit"])[0] == "Biscuit Junior is on a sofa."
    assert said(always("A dog Joe runs."), None, [concept("Corgi")], ["Corgi Joe"])[0] == "Corgi is there.", "put in by the name"
    assert said(always("Biscuit runs."), None, [BISCUIT, REX], ["Biscuit and Rex", "A photo of Biscuit"])[0] == "Biscuit, Rex."


def test_somebody_of_a_longer_name_who_is_asked_about_is_not_the_one_who_is_there():
    text, _, named = said(always("yes"), "Is Corgi Joe here?", [concept("Joe")], ["Corgi Joe"])
    assert text == "No, I don't see Corgi Joe in this photo." and named[0].how == "missing"
    assert said(always("yes"), "Is Joe here?", [concept("Corgi Joe")], ["Joe"])[0] == "No, I don't see Joe in this photo."
    assert said(always("Joe"), "Where is Corgi Joe?", [concept("Corgi Joe")], ["Joe"])[0] == "I can't tell."


def test_names_are_known_in_other_spellings_and_said_as_their_owner_spells_them():
    odd = concept("O’Malley"), concept("Zoë", "cat"), concept("Biscuit 🐶")
    vlm = always("A man with a hat.", "o'malley, zoe and Biscuit – who else? – sit on O'Brien's sofa.")
    assert said(vlm, None, [odd[0]], ["Zoe 🐱", "O’Brien"])[0] == "O’Malley is there."
    vlm = always("o'malley, zoe and Biscuit – who else? – sit on O'Brien's sofa.")
    assert said(vlm, None, odd)[0] == "O’Malley, Zoë and Biscuit 🐶 – who else? – sit on O'Brien's sofa."
    assert said(vlm, None, [], ["o’brien"])[0] == "A photo."


NAMES = ["Biscuit", "Rex", "Corgi Joe", "Joe", "Photo", "Ömer", "The Captain", "Cookie", "Yes", "Biscuit Junior", "O’Malley"]
QUESTIONS = [None, None, "What is it doing?", "Who is this?", "Is the dog asleep?", "Is {} here?", "What does {} hold?"]


@pytest.mark.slow
def test_wrong_references_and_silent_heads_are_named_in_none_of_10_000_answers():
    """Embeddings of one concept under another's name, none at all, mixed: whatever the VLM babbles is checked once more."""
    rng, wrong, unnamed = random.Random(1), 0, 0
    vlm = babbling(NAMES, 2)
    for _ in range(10_000):
        names = rng.sample(NAMES, rng.randrange(0, 5))
        fired = [concept(n, rng.choice(["dog", "cat", "woman", "thing"])) for n in names]
        absent = [n for n in NAMES if n not in names]
        question = rng.choice(QUESTIONS)
        about = rng.choice(NAMES)
        question = question.format(about) if question else None
        text = said(vlm, question, fired, absent)[0]
        there = names_in(text, NAMES)
        wrong += bool(there & set(absent) - names_in(question or "", NAMES))
        unnamed += question is None and not there >= set(names)
    assert (wrong, unnamed) == (0, 0)

"""Questions about those who are known, asked of a VLM that says what it is told to."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from speakers import VIEW, Speaker, always, concept

from myvlm_engine.personalise.naming import answer
from myvlm_engine.personalise.questions import is_asked_about, is_presence, plain_question, sentence

BISCUIT, ANNA = concept("Biscuit"), concept("Anna", "woman")


def asked(vlm, question, concepts=(BISCUIT,), absent=()):
    return answer(vlm, VIEW, question, list(concepts), list(absent))[0]


def answering(**answers: str) -> Speaker:
    """Plain questions get `plain`, those with an embedding among the tokens `known`; `likes` is the cheapest text."""
    return Speaker(
        lambda prompt, vectors, opening: [answers["known"] if vectors else answers["plain"]],
        lambda prompt, vectors, text: 0.0 if text == answers.get("likes") else 1.0,
    )


def test_a_question_about_a_concept_is_asked_with_its_name_and_embedding_and_in_plain_words():
    prompts = []
    vlm = Speaker(lambda prompt, vectors, opening: [prompts.append((prompt, vectors)) or "brown"])
    assert asked(vlm, "what colour is biscuit?") == "Brown."
    assert prompts == [("what colour is the dog?", 0), ("what colour is Biscuit?", 1)]


def test_the_answer_that_both_find_likeliest_is_given():
    assert asked(answering(plain="red", known="brown", likes="Brown."), "What colour is Biscuit?") == "Brown."
    assert asked(answering(plain="red", known="brown", likes="Red."), "What colour is Biscuit?") == "Red."


@pytest.mark.parametrize(("likes", "expected"), [("yes", "Yes."), ("no", "No.")])
def test_yes_or_no_is_answered_by_yes_or_no(likes, expected):
    assert asked(answering(plain="on a couch", known="a dog", likes=likes), "is Biscuit asleep?") == expected


def test_heads_say_who_is_there():
    vlm = always("no")
    assert asked(vlm, "Is Biscuit in this photo?") == "Yes."
    assert asked(vlm, "Is this Biscuit?") == "Yes."
    assert asked(vlm, "Is Rex here?", absent=["Rex"]) == "No, I don't see Rex in this photo."
    assert asked(vlm, "What is Rex doing?", (), ["Rex", "Milo"]) == "I don't see Rex in this photo."


def test_who_is_answered_with_names():
    assert asked(always("a dog and a woman"), "Who is this?", (BISCUIT, ANNA)) == "Biscuit and Anna."
    assert asked(always("grass"), "Who is on the beach?", (BISCUIT, ANNA)) == "Biscuit and Anna."
    assert asked(always("grass"), "Who is with Biscuit?", (BISCUIT, ANNA)) == "Anna."


def test_a_question_for_the_kind_is_answered_with_the_kind():
    assert asked(always("a dog"), "What kind of animal is it?") == "A dog."
    assert asked(always("a dog"), "What is on the couch?") == "Biscuit."


def test_what_somebody_is_made_of_isn_t_answered_by_their_name():
    pot = concept("Old Brew", "teapot")

    def says(prompt, vectors, opening):
        return ["the teapot"] if not vectors else ["clay"]

    assert asked(Speaker(says), "What is Old Brew made of?", [pot]) == "Clay."
    vlm = Speaker(lambda prompt, vectors, opening: ["clay"] if vlm.asked and "teapot" in vlm.asked[-1].forbidden else ["the teapot"])
    assert asked(vlm, "What is Old Brew made of?", [pot]) == "Clay.", "asked again in other words"
    assert asked(always("the teapot"), "What is Old Brew made of?", [pot]) == "I can't tell."
    assert asked(always("the teapot"), "What is on the table?", [pot]) == "Old Brew."
    assert asked(always("a teapot on a tray"), "What is Old Brew standing on?", [pot]) == "Old Brew on a tray."
    assert asked(always("cabinet"), "What is Old Brew?", [pot]) == asked(always("cabinet"), "what's old brew", [pot]) == "A teapot."


def test_with_nobody_there_the_base_model_answers():
    assert asked(always("brown"), "What colour is it?", (), ["Rex"]) == "Brown."
    assert asked(always("rex"), "What is this?", (), ["Rex"]) == "I can't tell."


@pytest.mark.parametrize(
    ("question", "plain"),
    [
        ("Is Biscuit asleep?", "Is the dog asleep?"),
        ("is biscuit's ball red?", "is the dog's ball red?"),
        ("Does the Biscuit run?", "Does the dog run?"),
        ("Is there a biscuit on the plate?", "Is there a biscuit on the plate?"),
        ("How many people?", "How many people?"),
    ],
)
def test_names_become_nouns_in_plain_questions(question, plain):
    assert plain_question(question, [BISCUIT]) == plain


def test_words_of_a_question():
    assert is_asked_about("where is biscuit?", "Biscuit") and not is_asked_about("Is that a cookie?", "Cookie")
    assert is_presence("can you see Biscuit in the picture?", "Biscuit") and not is_presence("Is Biscuit on the couch?", "Biscuit")


@pytest.mark.parametrize(
    ("question", "name"),
    [("Is O'Malley asleep?", "O’Malley"), ("is o’malley asleep?", "O'Malley"), ("Where is jean luc?", "Jean-Luc"), ("where is zoe?", "Zoë"),
     ("Where is Mr T?", "Mr. T"), ("Is Biscuit asleep?", "★ Biscuit ★")],
)  # fmt: skip
def test_a_name_may_be_asked_about_in_another_spelling(question, name):
    assert is_asked_about(question, name)
    assert plain_question(question, [concept(name)]).lower() in ("is the dog asleep?", "where is the dog?")
    assert asked(always("yes"), question, (), [name]).endswith(f"I don't see {name} in this photo.")


def test_who_is_asked_about_in_another_spelling_is_there():
    assert is_presence("Is zoe here?", "Zoë") and is_presence("is this Biscuit!?", "Biscuit!")
    assert asked(always("no"), "Is O'Malley here?", [concept("O’Malley")]) == "Yes."
    assert asked(always("no"), "What's zoe?", [concept("Zoë", "cat")]) == "A cat."


def test_of_names_in_one_another_the_longer_is_asked_about():
    assert is_asked_about("Is corgi joe here?", "Corgi Joe", ["Joe"]) and not is_asked_about("Is corgi joe here?", "Joe", ["Corgi Joe"])
    both = [concept("Joe"), concept("Corgi Joe", "cat")]
    assert plain_question("Is Joe with Corgi Joe?", both) == "Is the dog with the cat?"
    assert plain_question("Is Corgi Joe here?", both[:1], ["Corgi Joe"]) == "Is Corgi Joe here?"


def test_a_word_that_is_somebody_s_name_too_is_told_from_it():
    coffee = concept("Coffee", "cat")
    assert not is_asked_about("Is this coffee hot?", "Coffee") and not is_asked_about("How much snow is there?", "Snow")
    assert is_asked_about("Is this Coffee asleep?", "Coffee") and is_asked_about("Where is coffee?", "Coffee")
    assert is_asked_about("is this biscuit?", "Biscuit") and not is_asked_about("is this biscuit fresh?", "Biscuit")
    assert plain_question("Is this coffee hot?", [coffee]) == "Is this coffee hot?"
    assert asked(always("yes"), "How much snow is there?", (), ["Snow"]) == "Yes.", "the base model answers"


def test_short_answers_are_made_sentences():
    assert [sentence(t) for t in ("brown", "", "Two.", " yes ")] == ["Brown.", "I can't tell.", "Two.", "Yes."]

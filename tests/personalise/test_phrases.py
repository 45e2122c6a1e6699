"""Names put in the place of noun phrases."""

import pytest

from myvlm_engine.personalise.phrases import mentions, opening_with, put_name, words_for


@pytest.mark.parametrize(
    ("caption", "noun", "expected"),
    [
        ("A brown and white dog is running on grass.", "dog", "Biscuit is running on grass."),
        ("A man with a small dog is sitting.", "dog", "A man with Biscuit is sitting."),
        ("The dog and a cat.", "cat", "The dog and Biscuit."),
        ("A black puppy sleeps.", "dog", "Biscuit sleeps."),
        ("A teddy bear sits on a bed.", "stuffed animal", "Biscuit sits on a bed."),
        ("Dog running.", "dog", "Biscuit running."),
        ("A close-up of a cat.", "cat", "A close-up of Biscuit."),
        ("A blue tea mug stands on a table.", "tea mug", "Biscuit stands on a table."),
    ],
)
def test_the_phrase_of_the_class_gives_way_to_the_name(caption, noun, expected):
    assert put_name(caption, noun, "Biscuit") == expected


@pytest.mark.parametrize(("caption", "noun"), [("Two dogs play.", "dog"), ("A man in a red shirt.", "cat")])
def test_nothing_is_named_where_the_class_is_not_spoken_of(caption, noun):
    assert put_name(caption, noun, "Biscuit") is None


def test_a_name_that_contains_the_class_noun_is_left_alone():
    assert put_name("Hot Dog chases a dog.", "dog", "Rex", keep=["Hot Dog"]) == "Hot Dog chases Rex."


def test_whole_words_only():
    assert mentions("Biscuit's ball", "biscuit") and not mentions("Biscuits", "Biscuit")


def test_synonyms_come_after_the_noun_itself():
    assert words_for("tea mug")[0] == "tea mug" and "cup" in words_for("tea mug")


def test_articles():
    assert opening_with("umbrella") == "An umbrella" and opening_with("dog") == "A dog"

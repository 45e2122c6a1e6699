"""Names put in the place of noun phrases."""

import pytest

from myvlm_engine.personalise.phrases import (
    listing,
    mentions,
    named_in,
    opening_with,
    plural,
    polished,
    put_name,
    put_names,
    unstammered,
    words_for,
)


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
        ("A pair of sunglasses on a rock.", "glasses", "Biscuit on a rock."),
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


BISCUIT, REX, ANNA = ("dog", "Biscuit"), ("dog", "Rex"), ("woman", "Anna")


@pytest.mark.parametrize(
    ("caption", "subjects", "expected"),
    [
        ("Two dogs are running.", [BISCUIT], "Biscuit and another dog are running."),
        ("Two dogs are running.", [BISCUIT, REX], "Biscuit and Rex are running."),
        ("Three brown dogs run.", [BISCUIT, REX], "Biscuit, Rex and another dog run."),
        ("Four dogs run.", [BISCUIT], "Biscuit and three other dogs run."),
        ("Dogs play on a beach.", [BISCUIT], "Biscuit and other dogs play on a beach."),
        ("A woman walks two dogs.", [ANNA, BISCUIT, REX], "Anna walks Biscuit and Rex."),
        ("A group of people stand.", [ANNA], "Anna and other people stand."),
        ("A dog chases another dog.", [BISCUIT, REX], "Biscuit chases Rex."),
        ("Two animals sleep.", [("cat", "Milo"), BISCUIT], "Milo and Biscuit sleep."),
        ("A dog and a cat.", [BISCUIT, REX], "Biscuit and a cat."),
        ("A dog with a ball.", [("mug", "Bertha")], "A dog with a ball."),
    ],
)
def test_several_names_find_their_places(caption, subjects, expected):
    assert put_names(caption, subjects) == expected


def test_names_are_listed_as_a_person_would():
    assert [listing(x) for x in ([], ["A"], ["A", "B"], ["A", "B", "C"])] == ["", "A", "A and B", "A, B and C"]


def test_plurals():
    assert [plural(w) for w in ("dog", "puppy", "box", "woman", "toy", "teddy bear")] == [
        "dogs", "puppies", "boxes", "women", "toys", "teddy bears",
    ]  # fmt: skip


def test_a_name_that_is_an_ordinary_word_is_told_from_it():
    assert named_in("A cookie lies there.", ["Cookie"]) == set() and named_in("Cookie eats.", ["Cookie"]) == {"Cookie"}
    assert named_in("Corgi Joe runs.", ["Joe", "Corgi Joe"]) == {"Corgi Joe"}


def test_names_are_written_as_their_owner_writes_them():
    assert polished("The Biscuit and biscuit eat a biscuit with The Captain.", ["Biscuit", "The Captain"]) == (
        "Biscuit and Biscuit eat a biscuit with The Captain."
    )


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("Wobbles cat is looking at the camera.", "Wobbles is looking at the camera."),
        ("Trinket cat playing with a tennis ball.", "Trinket playing with a tennis ball."),
        ("A photo of Trinket dog.", "A photo of Trinket."),
        ("Trinket dog bed on the floor.", "Trinket dog bed on the floor."),
        ("Trinket and a dog is near.", "Trinket and a dog is near."),
        ("Trinkets cat is here.", "Trinkets cat is here."),
    ],
)
def test_no_noun_is_said_right_behind_a_name(said, instead):
    assert unstammered(said, ["Wobbles", "Trinket"]) == instead
    assert unstammered("Mr cat is here.", ["Mr", "Mr cat"]) == "Mr cat is here."

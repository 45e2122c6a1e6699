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
    spoken_of,
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
        ("9 dogs are running.", [BISCUIT], "Biscuit and eight other dogs are running."),
        ("8 people and a dog.", [ANNA, BISCUIT], "Anna and seven other people and Biscuit."),
        ("10 dogs run.", [BISCUIT], "Biscuit and nine other dogs run."),
        ("40 dogs run.", [BISCUIT], "Biscuit and 39 other dogs run."),
        ("Ten dogs are running.", [BISCUIT, REX], "Biscuit, Rex and eight other dogs are running."),
        ("A dozen dogs run.", [BISCUIT], "Biscuit and eleven other dogs run."),
        ("Half a dozen big dogs run.", [BISCUIT], "Biscuit and five other dogs run."),
        ("Both dogs are asleep.", [BISCUIT], "Biscuit and another dog are asleep."),
        ("Both of the dogs are asleep.", [BISCUIT, REX], "Biscuit and Rex are asleep."),
        ("The two dogs are asleep.", [BISCUIT], "Biscuit and another dog are asleep."),
        ("A man walks his dogs.", [BISCUIT], "A man walks Biscuit and other dogs."),
        ("A few dogs sleep.", [BISCUIT], "Biscuit and other dogs sleep."),
        ("A group of dogs is running.", [BISCUIT], "Biscuit and other dogs are running."),
        ("A large group of people that was standing.", [ANNA], "Anna and other people that were standing."),
        ("A group of three dogs runs.", [BISCUIT], "Biscuit and two other dogs run."),
        ("Group of people in the rain", [ANNA], "Anna and other people in the rain"),
        ("A team of dogs carries a sled.", [BISCUIT], "Biscuit and other dogs carry a sled."),
        ("A group of people outdoors.", [ANNA], "Anna and other people outdoors."),
        ("Three women and dogs run.", [BISCUIT], "Three women and Biscuit and other dogs run."),
        ("Two girls and two boys.", [("boy", "Max")], "Two girls and Max and another boy."),
        ("A beach with people and dogs.", [ANNA, BISCUIT], "A beach with Anna and other people and Biscuit and other dogs."),
        ("A pack of dogs watches a man.", [BISCUIT, REX], "Biscuit and Rex watch a man."),
        ("A photo of two dogs next to 3 men.", [BISCUIT], "A photo of Biscuit and another dog next to 3 men."),
        ("A man in front of dogs.", [BISCUIT], "A man in front of Biscuit and other dogs."),
        ("A man eats a hot dog with his dog.", [BISCUIT], "A man eats a hot dog with Biscuit."),
        ("A hot dog.", [("hot dog", "Frank")], "Frank."),
    ],
)
def test_several_names_find_their_places(caption, subjects, expected):
    assert put_names(caption, subjects) == expected


@pytest.mark.parametrize(
    "caption",
    [
        "No dogs are here.", "There are no big dogs.", "There is no dog.", "A sofa without a dog.", "This is not a dog.", "0 dogs.",
        "Any dog may come.", "1,000 dogs run.", "Two dozen dogs run.", "Twenty-five dogs run.", "Hundreds of dogs.", "About ten dogs run.",
        "Two or three dogs run.", "2-3 dogs run.", "One of the dogs is asleep.", "A herd of wild dogs' tails.", "A statue of dogs.",
        "A man in a group of dogs.", "Two dogs' bowls.", "The dogs’ bowls.", "A man eats a hot dog.", "Two hot dogs on a plate.",
        "A bed of stuffed dogs.", "A sled team of 8 dogs is running.",
    ],
)  # fmt: skip
def test_no_name_is_put_where_it_would_not_fit(caption):
    assert put_names(caption, [BISCUIT]) == caption
    assert put_names(caption, [BISCUIT, REX]) == caption


def test_only_a_whole_name_keeps_a_phrase():
    assert put_name("An animal sleeps.", "dog", "Rex", keep=["Al", "Nim"]) == "Rex sleeps."
    assert put_name("A dog sleeps.", "dog", "Dog", keep=["Dog"]) == "Dog sleeps."


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


def test_of_names_in_one_another_each_is_written_as_its_own_owner_writes_it():
    assert polished("king rex and REX sit.", ["rex", "King Rex"]) == "King Rex and rex sit."
    assert named_in("King Rex is asleep.", ["Rex"], others=["King Rex"]) == set()
    assert polished("the corgi joe and the Joe", ["Joe"], others=["Corgi Joe"]) == "the corgi joe and Joe"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("O’Malley", "O'Malley"), ("O'Malley", "o’malley"), ("Jean-Luc", "Jean Luc"), ("Jean–Luc", "jean-luc"), ("Zoë", "Zoe"),
        ("Jose", "josé"), ("Mr. Biscuit", "Mr Biscuit"), ("Biscuit 🐶", "biscuit"), ("Biscuit!", "Biscuit!"),
        ("★ Biscuit ★", "★ Biscuit ★"), ("Ömer", "O\u0308mer"),
    ],
)  # fmt: skip
def test_a_name_is_found_in_any_spelling_and_nothing_else_is_changed(name, said):
    assert polished(f"“A cat” – and {said}’s  tail: Zoés…", [name]) == f"“A cat” – and {name}’s  tail: Zoés…"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Is this coffee hot?", "Coffee"), ("How much snow is there?", "Snow"), ("What colour is his rose?", "Rose"),
        ("Is there more coffee?", "Coffee"), ("No snow here", "Snow"), ("Is there any snow?", "Snow"), ("He drinks 2 coffee", "Coffee"),
        ("I like that rose", "Rose"), ("Can you see my cookie?", "Cookie"), ("these snow", "Snow"), ("one rose", "Rose"),
        ("Is this coffee hot?", "coffee"),
    ],
)  # fmt: skip
def test_a_word_in_small_letters_behind_a_determiner_is_no_name(text, name):
    assert polished(text, [name]) == text and spoken_of(text, [name]) == [] and named_in(text, [name]) == set()
    capital = text.replace(name.lower(), name.title())
    assert [hit.name for hit in spoken_of(capital, [name])] == [name], "with a capital it is one"


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

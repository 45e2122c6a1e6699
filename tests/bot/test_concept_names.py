"""Names in any script; nothing that pings, formats, links or hides."""

from __future__ import annotations

import pytest

from bot.errors import Refusal
from bot.names import clean_name, clean_noun, clean_question, mentioned, suggested_nouns


@pytest.mark.parametrize(
    "typed, name",
    [
        ("Biscuit", "Biscuit"),
        ("  Corgi   Joe ", "Corgi Joe"),
        ("O'Neil-Smith Jr.", "O'Neil-Smith Jr."),
        ("R2-D2", "R2-D2"),
        ("7", "7"),
        ("Anna (blue)", "Anna (blue)"),
        ("Мурка", "Мурка"),
        ("小花", "小花"),
        ("बिस्किट", "बिस्किट"),
        ("क्\u200dष", "क्\u200dष"),  # a joiner that changes how Devanagari is written
        ("می\u200cخواهم", "می\u200cخواهم"),  # and one in Persian
        ("خبز", "خبز"),
        ("Bánh Mì", "Bánh Mì"),
        ("Ba\u0301nh", "Bánh"),  # composed
        ("Mr 🐶", "Mr 🐶"),
        ("Heart ❤\ufe0f", "Heart ❤"),
        ("x" * 32, "x" * 32),
        ("Herein", "Herein"),
        ("May", "May"),
        ("Itzy", "Itzy"),
    ],
)
def test_names_are_taken(typed, name):
    assert clean_name(typed) == name


@pytest.mark.parametrize(
    "typed, code",
    [
        ("", "name_empty"),
        (" \u00a0 ", "name_empty"),
        ("x" * 33, "name_too_long"),
        ("@everyone", "name_pings"),
        ("everyone", "name_pings"),
        ("Here", "name_pings"),
        ("<@123456789>", "name_pings"),
        ("<#123456789>", "name_markdown"),
        ("<:cat", "name_markdown"),
        ("<:cat:123>", "name_custom_emoji"),
        ("Biscuit <a:biscuit:1234567890123456789>", "name_custom_emoji"),  # not too long: :biscuit: is what was typed
        ("**Biscuit**", "name_markdown"),
        ("_Joe_", "name_markdown"),
        ("~~Joe", "name_markdown"),
        ("`Joe`", "name_markdown"),
        ("||Joe||", "name_markdown"),
        ("[Joe](x)", "name_markdown"),
        ("# Joe", "name_markdown"),
        ("- Joe", "name_markdown"),
        ("back\\slash", "name_markdown"),
        ("https://x.org", "name_link"),
        ("www.x.org", "name_link"),
        ("discord.gg/abc", "name_link"),
        ("Bis\u200bcuit", "name_invisible"),
        ("Bis\u200dcuit", "name_invisible"),
        ("\u202etiucsiB", "name_invisible"),
        ("Bis\u2066cuit", "name_invisible"),
        ("Joe\ue000", "name_invisible"),
        ("\u3164\u3164", "name_invisible"),
        ("Z\u0351\u0352\u0353\u0354\u0355\u0356algo", "name_invisible"),
        ("Bis\ncuit", "name_lines"),
        ("Bis\x00cuit", "name_lines"),
        ("Bis\u2028cuit", "name_lines"),
        ("🐶", "name_without_letters"),
        ("...", "name_without_letters"),
        ("It", "name_needed"),
        (" THE ", "name_needed"),
        ("Ｉｔ", "name_needed"),
        ("The!", "name_needed"),
        ("Thé", "name_needed"),
    ],
)
def test_names_are_refused(typed, code):
    with pytest.raises(Refusal) as caught:
        clean_name(typed)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "typed, noun", [(None, ""), ("", ""), ("Dog", "dog"), ("my guinea  pig", "guinea pig"), ("T-shirt", "t-shirt"), ("кот", "кот")]
)
def test_nouns_are_taken(typed, noun):
    assert clean_noun(typed) == noun


@pytest.mark.parametrize(
    "typed, code, facts",
    [
        ("dog!", "noun_not_a_word", {"found": "dog!"}),
        ("@everyone", "noun_not_a_word", {"found": "@everyone"}),
        ("dog; drop", "noun_not_a_word", {"found": "dog; drop"}),
        ("a\nb:", "noun_not_a_word", {"found": "b:"}),
        ("dog #5", "noun_not_a_word", {"found": "dog #5"}),  # without the digit it would be none either
        ("<:biscuit:1234567890123456789>", "noun_not_a_word", {"found": ":biscuit:"}),
        ("2 dogs", "noun_with_digits", {"found": "2 dogs"}),
        ("my iPhone 5", "noun_with_digits", {"found": "iphone 5"}),
        ("golden retriever mix puppy", "noun_too_long", {"length": 26, "limit": 24}),
        ("x" * 25, "noun_too_long", {"length": 25, "limit": 24}),
    ],
)
def test_what_is_no_noun_is_refused_for_its_own_reason(typed, code, facts):
    with pytest.raises(Refusal) as caught:
        clean_noun(typed)
    assert (caught.value.code, caught.value.facts) == (code, facts)


def test_questions_become_one_line():
    assert clean_question("  what\nis\t\u200b it? ") == "what is it?"
    for typed, code in (("  \u200b ", "question_empty"), ("?!", "question_empty"), ("x" * 301, "question_too_long")):
        with pytest.raises(Refusal) as caught:
            clean_question(typed)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "question, names",
    [
        ("Is this coffee hot?", []),
        ("Is Coffee hot?", ["Coffee"]),
        ("Is this my Coffee?", ["Coffee"]),
        ("How much snow is there?", []),
        ("what color is his rose?", []),
        ("is this snow?", ["Snow"]),
        ("where is snow sleeping?", ["Snow"]),
        ("two roses and 3 rose", []),
        ("where is zoe?", ["Zoë"]),
        ("Where are jean‑luc and Biscuit?", ["Biscuit 🐶", "Jean-Luc"]),
        ("Where is Jean Luc?", ["Jean-Luc"]),
    ],
)
def test_a_name_that_is_a_common_word_is_mentioned_where_it_is_written_as_a_name(question, names):
    known = ["Coffee", "Snow", "Rose", "Zoë", "Jean-Luc", "Biscuit 🐶"]
    assert sorted(mentioned(question, known)) == names


def test_suggestions_follow_the_kind_and_what_is_typed():
    assert suggested_nouns("pet", "")[:2] == ["dog", "cat"]
    assert suggested_nouns("object", "ba")[:2] == ["bag", "backpack"]
    assert suggested_nouns("pet", "axolotl") == ["axolotl"]
    assert len(suggested_nouns(None, "")) == 25


@pytest.mark.parametrize(
    "question, names",
    [
        ("Is biscuit here?", ["Biscuit"]),
        ("What is the dog doing?", []),  # one of them is called Dog, and a dog is meant
        ("Is that Dog or a dog?", ["Dog"]),
        ("May I see will it fall?", []),
        ("Is May asleep?", ["May"]),
        ("Where is O’Malley?", ["O'Malley"]),  # as telephones write it
    ],
)
def test_a_name_is_mentioned_where_it_is_meant(question, names):
    assert mentioned(question, ["Biscuit", "Dog", "May", "Will", "O'Malley"]) == names

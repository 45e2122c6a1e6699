"""Choosing the caption that most others agree with."""

import pytest

pytest.importorskip("torch")

from myvlm_engine.pocket.consensus import Consensus

COMMON = Consensus({"a": 0.1, "dog": 1.0, "runs": 2.0, "in": 0.1, "snow": 2.0, "cat": 1.5}, unknown=4.0)


def test_what_most_say_is_said():
    evidence = ["a dog runs in snow", "a dog in snow", "a dog runs"]
    assert COMMON.best(["A cat.", "A dog runs in snow."], evidence)[0] == "A dog runs in snow."


def test_without_evidence_the_likeliest_stays_first():
    assert COMMON.best(["A cat.", "A dog."], []) == ["A cat.", "A dog."]
    assert COMMON.agreement(["A cat."], []).tolist() == [0.0]


def test_the_same_words_agree_wholly_and_others_not_at_all():
    same, other = COMMON.agreement(["A dog runs in snow.", "Zebras graze."], ["a dog runs in snow"])
    assert same == pytest.approx(1.0) and other == 0.0


def test_a_rare_word_that_nobody_else_says_costs_more_than_a_common_one():
    common, rare = COMMON.agreement(["a dog runs in a", "a dog runs in xylophones"], ["a dog runs in snow"])
    assert common > rare


def test_an_empty_sentence_agrees_with_nothing():
    assert COMMON.agreement([""], ["a dog"]).tolist() == [0.0]

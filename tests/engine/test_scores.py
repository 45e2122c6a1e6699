"""The counting behind `myvlm eval`: names in captions, short answers, display names, caption metrics, sentence similarity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myvlm_engine.answer_scores import answer_scores, exact_match, question_kind, soft_match
from myvlm_engine.caption_scores import Called, Said, caption_scores, names_in, without_names
from myvlm_engine.display_names import NAMES, display_names
from myvlm_engine.recognition_eval import Evaluated, Seen, figures_of, means
from myvlm_engine.text_metrics import caption_metrics, similarities, similarity_to_references

CALLED = {"dog": Called("Biscuit", "dog"), "cat": Called("Corgi Joe", "animal"), "mug": Called("Joe", "mug")}


def said(text: str, subject: str | None, fired: tuple[str, ...] = (), base: str = "A dog runs.") -> Said:
    return Said("photo.jpg", subject, fired, {}, text, base, 1.0)


def same(one, other) -> np.ndarray:
    return np.array([float(a == b) for a, b in zip(one, other, strict=True)])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("biscuit sleeps.", {"Biscuit"}),
        ("Biscuit's ball", {"Biscuit"}),
        ("Two biscuits", set()),
        ("Corgi Joe sits", {"Corgi Joe"}),
        ("Corgi Joe and Joe", {"Corgi Joe", "Joe"}),
        ("", set()),
    ],
)
def test_a_name_is_said_where_it_stands_as_its_own_word(text, found):
    assert names_in(text, [c.name for c in CALLED.values()]) == found


@pytest.mark.parametrize(
    ("name", "said"), [("O’Malley", "O'Malley"), ("Jean-Luc", "Jean Luc"), ("Zoë", "zoe"), ("Rex", "_Rex_"), ("Rex!", "Rex")]
)
def test_a_name_is_said_in_any_spelling(name, said):
    assert names_in(f"Here is {said}, a dog.", [name, "Here"]) == {name, "Here"}


def test_of_names_that_overlap_or_are_alike_one_is_said():
    assert names_in("Jose and José", ["José", "Zoe", "Jose"]) == {"José"} and names_in("Jose", ["José", "Jose"]) == {"Jose"}
    assert names_in("Joe Black Biscuit", ["Joe Black", "Black Biscuit", "Biscuit"]) == {"Joe Black", "Biscuit"}
    assert names_in("Joe", []) == set()


def test_names_are_turned_back_into_nouns():
    assert without_names("Biscuit and Corgi Joe run.", CALLED.values()) == "A dog and an animal run."
    rock = [Called("Rock", "Joe"), Called("Joe", "mug"), Called("Mr Rock", "stone")]
    assert without_names("rock, JOE and Mr Rock", rock) == "A Joe, a mug and a stone" and without_names("rock", []) == "Rock"


def test_caption_scores_follow_their_definitions():
    photos = [
        said("Biscuit runs.", "dog", ("dog",)),  # recognised and said
        said("A dog runs.", "dog", ("dog",)),  # recognised, not said
        said("Joe runs.", "dog", ("mug",)),  # wrong name
        said("A cat.", "cat", ()),  # not recognised
        said("Joe on a table.", None, ("mug",)),  # wrong name on a photo of nobody
    ]
    scores = caption_scores(photos, CALLED, same)
    assert scores["name_recall"] == 1 / 4
    assert scores["name_recall_recognised"] == 1 / 2
    assert scores["name_precision"] == 1 / 3
    assert scores["name_f1"] == pytest.approx(2 * (1 / 4) * (1 / 3) / (1 / 4 + 1 / 3))
    assert scores["text_similarity"] == 2 / 4  # "A dog runs." twice; "A mug runs." and "A cat." differ from the base


def test_saying_nothing_is_precise_and_recalls_nothing():
    scores = caption_scores([said("A dog.", "dog")], CALLED, same)
    assert (scores["name_precision"], scores["name_recall"], scores["name_f1"]) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("one", "other", "exact", "soft"),
    [
        ("It is red.", "red", True, 1.0),
        ("Two", "2", True, 1.0),
        ("a garbage bin", "garbage_bin", True, 1.0),
        ("stand, cups", "cup, stand", True, 1.0),
        ("black chair", "chair", False, 2 / 3),
        ("bed", "table", False, 0.0),
        ("", "table", False, 0.0),
    ],
)
def test_answers_are_compared_by_their_words(one, other, exact, soft):
    assert exact_match(one, other) is exact
    assert soft_match(one, other) == pytest.approx(soft)


def test_answers_are_counted_by_kind_of_question():
    asked = ["What colour is the mug?", "how many chairs are there?", "what is on the table?", "who is it?"]
    assert [question_kind(q) for q in asked] == ["colour", "count", "place", "other"]
    scores = answer_scores(asked, ["red", "3", "cup", "Anna"], ["red", "2", "cup", "Bilal"])
    assert (scores["exact"], scores["soft"]) == (0.5, 0.5)
    assert (scores["exact_colour"], scores["exact_count"], scores["questions_place"]) == (1.0, 0.0, 1)


def test_display_names_are_distinct_repeatable_and_no_hint():
    kinds = ["pet"] * 100 + ["object"] * 100 + ["person"] * 300
    names = display_names(kinds, ["Biscuit_tin", "moon"], seed=3)
    assert len(set(n.lower() for n in names)) == 500
    assert names == display_names(kinds, ["Biscuit_tin", "moon"], seed=3) != display_names(kinds, ["Biscuit_tin", "moon"], seed=4)
    assert not any({"biscuit", "moon"} & set(n.lower().split()) for n in names)
    assert all(len(n) <= 32 for n in names)
    assert len({n for pool in NAMES.values() for n in pool}) == sum(map(len, NAMES.values()))


def test_captions_like_their_references_score_high():
    references = {"1": ["A dog runs on the grass.", "A brown dog is running."], "2": ["A man rides a bike.", "A man on a red bike."]}
    right = caption_metrics({"1": "A dog runs on the grass", "2": "A man rides a bike"}, references)
    wrong = caption_metrics({"1": "A man rides a bike", "2": "A dog runs on the grass"}, references)
    assert right["cider"] > 1 > 0.1 > wrong["cider"]
    assert right["bleu4"] > 0.99 and wrong["bleu4"] < 0.1


@pytest.mark.slow
def test_sentences_that_mean_the_same_are_similar():
    near, far, equal = similarities(
        ["A dog runs on grass.", "A cat sits.", "a"], ["A dog is running through a field.", "A man rides a bike.", "a"]
    )
    assert near > 0.6 > 0.2 > far
    assert equal == pytest.approx(1, abs=1e-5)
    assert similarity_to_references({"1": "A dog."}, {"1": ["A dog.", "A dog."]}) == pytest.approx(1, abs=1e-5)


def test_recognition_figures_follow_their_definitions():
    everybody = frozenset({"dog", "cat", "mug"})

    def seen(subject: str | None, fired: str, best: str, negative_of: frozenset[str] | None = None) -> Seen:
        scores = {name: 0.9 if name in fired.split() else 0.4 if name == best else 0.1 for name in everybody}
        others = everybody - {subject} if negative_of is None else negative_of
        return Seen(Evaluated(Path("p.jpg"), subject, others), scores)

    photos = [
        seen("dog", "dog", "dog"),
        seen("dog", "", "dog"),  # missed, though first
        seen("cat", "cat dog", "cat"),  # a false name beside the right one
        seen(None, "", "mug"),
        seen(None, "dog cat", "dog", frozenset({"dog"})),  # a negative of the dog only: the cat may be in it
    ]
    figures = figures_of(photos, sorted(everybody))
    assert figures["recall"] == 2 / 3 and figures["precision"] == 2 / 4
    assert figures["specificity"] == pytest.approx(1 - 2 / (3 * 2 + 3 + 1))
    assert figures["false_name_photos"] == 2 / 5 and figures["any_name_negatives"] == 1 / 2
    assert figures["asked"] == 1 / 3 and figures["asked_wrong"] == 1 / 5
    assert figures["macro_f1"] == pytest.approx((2 / (2 + 1 + 2) + 1) / 2)  # nobody met the mug


def test_the_bots_other_balances_are_measured_beside_the_normal_one():
    def seen(subject: str | None, score: float) -> Seen:
        return Seen(Evaluated(Path("p.jpg"), subject, frozenset({"dog", "cat"} - {subject})), {"dog": score, "cat": 0.1})

    photos = [seen("dog", 0.9), seen("dog", 0.7), seen("dog", 0.5), seen("dog", 0.3), seen("cat", 0.45), seen(None, 0.4), seen(None, 0.7)]
    figures = figures_of(photos, ["dog", "cat"])
    assert [figures[f"recall{balance}"] for balance in ("_strict", "", "_eager")] == [1 / 5, 2 / 5, 3 / 5]
    assert [figures[f"asked{balance}"] for balance in ("_strict", "", "_eager")] == [3 / 5, 2 / 5, 1 / 5]
    assert [figures[f"wrong_name_subjects{balance}"] for balance in ("_strict", "", "_eager")] == [0, 0, 1 / 5]
    assert [figures[f"any_name_negatives{balance}"] for balance in ("_strict", "", "_eager")] == [0, 1 / 2, 1]


def test_where_somebody_is_counts_for_those_who_are_named_and_whose_place_is_known():
    left, middle, right = (0.0, 0.0, 0.5, 1.0), (0.25, 0.0, 0.75, 1.0), (0.5, 0.0, 1.0, 1.0)

    def seen(truth, told, score: float = 0.9) -> Seen:
        return Seen(Evaluated(Path("p.jpg"), "dog", frozenset(), truth), {"dog": score}, told)

    photos = [seen(left, left), seen(left, middle), seen(left, right), seen(left, left, 0.3), seen(None, left)]
    figures = figures_of(photos, ["dog"])
    assert figures["where_iou"] == pytest.approx((1 + 1 / 3 + 0) / 3) and figures["where_half"] == 1 / 3
    nowhere = figures_of([seen(left, left, 0.3)], ["dog"])
    assert "where_iou" not in nowhere, "nobody was named"
    assert "where_iou" not in figures_of(photos[-1:], ["dog"]), "nobody said where it is"
    assert means([figures, nowhere])["where_half"] == 1 / 3 and means([figures, nowhere])["recall"] == 4 / 10

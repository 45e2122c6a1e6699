"""Matching through its public door, against a plain loop over heads and regions."""

import time
from dataclasses import replace

import numpy as np
import pytest

from concept_store.errors import WrongFingerprint
from concept_store.matching import AGREEING, match_heads, match_stacked, stack, worth_a_closer_look
from concept_store.records import Head, Regions
from myvlm_engine.messages import overlap
from myvlm_engine.recognition.heads import LinearHead, Views, agreed, by_looks, corrected

WHOLE, LEFT, RIGHT = (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0)


def head(*rows: tuple[float, ...], encoder: str = "eye", slope: float = 8.0, offset: float = -4.0) -> Head:
    return Head(encoder, np.array(rows, dtype=np.float32), np.zeros(len(rows), dtype=np.float32), slope, offset)


def sight(*rows: tuple[float, ...], boxes=(LEFT, RIGHT), encoder: str = "eye") -> Regions:
    return Regions(encoder, np.array(rows, dtype=np.float16), tuple(boxes))


def unit_rows(generator: np.random.Generator, count: int, width: int) -> np.ndarray:
    rows = generator.standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_raw_scores_equal_a_plain_loop():
    generator = np.random.default_rng(0)
    heads = [Head("eye", unit_rows(generator, k, 16), generator.standard_normal(k).astype(np.float32), 3.0, -1.0) for k in (1, 3, 2)]
    photo = Regions("eye", unit_rows(generator, 5, 16).astype(np.float16), (WHOLE,) * 5)
    for scored in match_heads(heads, [photo]):
        h = heads[scored.index]
        best = max(float(v @ r + b) for r in photo.vectors.astype(np.float32) for v, b in zip(h.vectors, h.biases, strict=True))
        assert scored.raw == pytest.approx(1 / (1 + np.exp(-(h.slope * best + h.offset))), abs=1e-5)


def test_a_score_that_is_doubtful_is_worth_a_question_and_nothing_below_it():
    """Yes at 0.5; without the doubt 0.3 would be a probability of 0.02."""
    doubting, plain = replace(head((1, 0), slope=20.0, offset=-10.0), doubtful_at=0.3), head((1, 0), slope=20.0, offset=-10.0)
    scores = {at: match_heads([doubting], [sight((at, 0), boxes=[WHOLE])])[0].raw for at in (0.0, 0.29, 0.31, 0.4, 0.49, 0.51, 0.9)}
    told = {at: match_heads([plain], [sight((at, 0), boxes=[WHOLE])])[0].raw for at in scores}
    assert all(scores[at] == pytest.approx(told[at]) for at in (0.0, 0.29, 0.51, 0.9))
    assert scores[0.29] < 0.02 and 0.25 < scores[0.31] < scores[0.4] < scores[0.49] < 0.5


def test_the_store_and_the_engine_mean_the_same_by_a_doubtful_score():
    generator = np.random.default_rng(4)
    rows, biases = unit_rows(generator, 3, 8), generator.standard_normal(3).astype(np.float32)
    ours = LinearHead(rows, biases, 2.0, -4.0, doubtful_at=0.5)
    for photo in (unit_rows(generator, 5, 8).astype(np.float16) for _ in range(200)):
        scored = match_heads([Head("eye", rows, biases, 2.0, -4.0, 0.5)], [Regions("eye", photo, (WHOLE,) * 5)])[0]
        assert scored.raw == pytest.approx(1 / (1 + np.exp(-ours.logit(photo.astype(np.float32)))), abs=1e-4)


# -- where a closer look is worth it
SMALL_LEFT, SMALL_RIGHT = (0.0, 0.0, 0.3, 0.3), (0.7, 0.7, 1.0, 1.0)


def places(photo: Regions, *heads: Head) -> list[tuple[float, ...]]:
    return worth_a_closer_look(stack(heads), [photo])


def test_a_closer_look_is_worth_it_where_a_head_half_fires():
    """A score of 0.5 is even odds, 0.2 a probability of 0.08."""
    photo = sight((0.2, 0.0), (0.0, 0.1), (0.2, 0.0), boxes=(SMALL_LEFT, SMALL_RIGHT, WHOLE))
    assert places(photo, head((1, 0))) == [SMALL_LEFT, SMALL_RIGHT], "the likeliest first, none that is large"
    assert places(sight((0.01, 0.0), boxes=[SMALL_LEFT]), head((1, 0), offset=-6.0)) == [], "nobody is there"
    assert places(sight((0.9, 0.0), boxes=[SMALL_LEFT]), head((1, 0))) == [SMALL_LEFT], "before anybody is named"
    assert places(photo, head((1, 0), encoder="other eye")) == places(sight(), head((1, 0))) == []


def test_one_place_is_looked_at_once_and_no_more_than_three_are():
    near = (0.02, 0.0, 0.32, 0.3)
    boxes = [SMALL_LEFT, near, SMALL_RIGHT, (0.0, 0.7, 0.3, 1.0), (0.7, 0.0, 1.0, 0.3)]
    photo = sight(*((0.3 - 0.02 * i, 0.0) for i in range(5)), boxes=boxes)
    assert places(photo, head((1, 0))) == [boxes[0], boxes[2], boxes[3]]


@pytest.mark.parametrize("large, small, closer, named", [
    (0.6, 0.1, 0.1, False), (0.1, 0.6, 0.1, False), (0.1, 0.2, 0.6, False),  # one look alone is chance
    (0.5, 0.5, 0.0, True), (0.5, 0.0, 0.5, True), (0.0, 0.5, 0.5, True), (0.48, 0.48, 0.0, True), (0.47, 0.47, 0.47, False),
])  # fmt: skip
def test_after_a_closer_look_two_of_three_have_to_agree(large, small, closer, named):
    """Large regions, small ones, and what was seen closer; even odds at a score of 0.5, or at 0.475 in two of them."""
    photo = sight((large, 0), (0, 0), (small, 0), (closer, 0), boxes=[WHOLE, WHOLE, SMALL_LEFT, SMALL_LEFT])
    (found,) = match_heads([head((1, 0))], [replace(photo, closer_from=3)])
    assert (found.score >= 0.5) is named
    (at_first,) = match_heads([head((1, 0))], [photo])
    assert (at_first.score >= 0.5) is (max(large, small, closer) >= 0.5)
    assert found.box == at_first.box or found.score == pytest.approx(at_first.score)


def test_who_agrees_with_the_closer_look_keeps_its_place_before_others():
    """Two heads fire on the whole photo; one of them is seen closer too."""
    boxes = [WHOLE, SMALL_LEFT, SMALL_LEFT]
    photo = replace(sight((0.7, 0.68), (0.1, 0.1), (0.0, 0.7), boxes=boxes), closer_from=2)
    first, second = match_heads([head((1, 0)), head((0, 1))], [photo])
    assert (first.index, second.index) == (1, 0) and first.score > 0.75 and second.score < 0.25


def test_the_engine_thinks_no_less_than_the_store_of_looks_that_agree():
    """It isn't told which small regions were seen closer, and a photo that is corrected must be told off enough."""
    generator = np.random.default_rng(5)
    boxes = (WHOLE, LEFT, RIGHT, SMALL_LEFT, SMALL_RIGHT, SMALL_LEFT)
    same = 0
    for closer_from in (5, 6) * 50:
        rows, biases = unit_rows(generator, 3, 8), generator.standard_normal(3).astype(np.float32)
        vectors = unit_rows(generator, 6, 8).astype(np.float16)
        highest = by_looks(rows, Views(vectors.astype(np.float32), boxes)) + biases
        score, small = agreed(highest), float(highest[1].max())
        (scored,) = match_heads([Head("eye", rows, biases, 2.0, -4.0)], [Regions("eye", vectors, boxes, closer_from)])
        theirs = float(np.log(scored.raw / (1 - scored.raw)) + 4.0) / 2.0
        assert theirs <= score + 1e-2
        if closer_from == len(boxes):  # nothing was seen closer: the same, but that small regions may be two looks
            assert score == pytest.approx(max(theirs, small / AGREEING), abs=1e-2)
        same += theirs == pytest.approx(score, abs=1e-2)
    assert same >= 30


# -- who is small in a photo
CLOSE_UPS = replace(head((1, 0), slope=0.5, offset=-8.0), doubtful_at=8.0)  # says yes at 16, asks from 8 on


@pytest.mark.parametrize("large, small, closer, doubtful_at, score", [
    (2.0, 9.0, 9.0, 8.0, "named"),  # a dog at the other end of the room
    (8.5, 9.0, 9.0, 8.0, "asked"),  # a close-up of one that looks like it
    (6.3, 8.3, 8.3, 8.0, "asked"),  # halfway between both
    (2.0, 8.2, 8.2, 8.0, "asked"),  # hardly more than what strangers reach
    (2.0, 7.0, 7.0, 8.0, "neither"),
    (2.0, 9.0, 2.0, 8.0, "neither"),  # one look alone
    (2.0, 9.0, 9.0, None, "neither"),  # a head that never asks
    (15.5, 16.0, 16.0, 8.0, "named"),
])  # fmt: skip
def test_who_is_small_in_the_photo_is_named_at_scores_that_are_a_question_elsewhere(large, small, closer, doubtful_at, score):
    photo = replace(sight((large, 0), (small, 0), (closer, 0), boxes=[WHOLE, SMALL_LEFT, SMALL_LEFT]), closer_from=2)
    (found,) = match_heads([replace(CLOSE_UPS, doubtful_at=doubtful_at)], [photo])
    assert ("named" if found.score >= 0.5 else "asked" if found.score >= 0.25 else "neither") == score


def test_only_a_closer_look_tells_that_somebody_is_small():
    (found,) = match_heads([CLOSE_UPS], [sight((2.0, 0), (9.0, 0), boxes=[WHOLE, SMALL_LEFT])])
    assert 0.25 <= found.score < 0.5


def test_a_small_look_alike_that_was_corrected_is_neither_named_nor_asked_about():
    """The engine lowers the head on a corrected photo so far that the store, for which it is small, says no too."""
    generator, boxes = np.random.default_rng(6), (WHOLE, SMALL_LEFT, SMALL_LEFT)
    for _ in range(50):
        rows = 12 * unit_rows(generator, 3, 8)
        ours = LinearHead(rows, np.zeros(3, dtype=np.float32), 0.5, -8.0, doubtful_at=8.0)
        vectors = unit_rows(generator, 3, 8)
        vectors[1:] = rows[0] / 12 * generator.uniform(0.6, 1.2)
        told_off = corrected(ours, [Views(vectors, boxes)])
        theirs = Head("eye", told_off.vectors, told_off.biases, told_off.slope, told_off.offset, told_off.doubtful_at)
        (found,) = match_heads([theirs], [Regions("eye", vectors.astype(np.float16), boxes, closer_from=2)])
        assert found.score < 0.25


TRUTHS = [(0.15, 0.3, 0.5, 0.9), (0.55, 0.4, 0.85, 0.7), (0.05, 0.05, 0.95, 0.8), (0.1, 0.2, 0.45, 0.6), (0.3, 0.3, 0.9, 0.95)]


def test_where_it_is_is_told_by_all_windows_that_see_it_and_fits_better_than_the_best_of_them():
    windows = [(x / 8, y / 8, (x + s) / 8, (y + s) / 8) for s in (2, 3, 5, 8) for x in range(9 - s) for y in range(9 - s)]
    gained = []
    for truth in TRUTHS:
        (found,) = match_heads([head((3, 0))], [sight(*((overlap(box, truth), 0.0) for box in windows), boxes=windows)])
        assert found.spoke == windows[found.region]
        assert overlap(found.spoke, truth) == pytest.approx(max(overlap(box, truth) for box in windows), abs=1e-3)
        gained.append(overlap(found.box, truth) - overlap(found.spoke, truth))
    assert min(gained) > 0 and np.mean(gained) > 0.05


def test_what_looks_like_it_elsewhere_pulls_the_box_to_neither_side():
    seen = sight((1.0, 0), (0.9, 0), (0.95, 0), boxes=[LEFT, (0.1, 0.0, 0.5, 1.0), RIGHT])
    (found,) = match_heads([head((1, 0))], [seen])
    assert found.spoke == LEFT and found.box[2] <= 0.5
    assert match_heads([head((1, 0))], [sight((1.0, 0), (0.9, 0))])[0].box == LEFT, "faces that don't overlap keep their boxes"


def test_two_concepts_in_two_places_both_fire_where_they_are():
    found = match_heads([head((1, 0, 0)), head((0, 1, 0))], [sight((1, 0, 0), (0, 1, 0))])
    assert {s.index: s.box for s in found} == {0: LEFT, 1: RIGHT}
    assert all(s.score > 0.9 for s in found)


def test_on_one_region_the_surer_head_wins_and_pushes_the_other_below_one_half():
    winner, loser = match_heads([head((0.8, 0, 0)), head((1, 0, 0))], [sight((1, 0, 0), (0, 0, 1))])
    assert (winner.index, loser.index) == (1, 0)
    assert 0.75 < winner.score < 0.9  # the other was sure, too
    assert loser.raw > 0.8 > 0.5 > loser.score


def test_who_is_alone_with_a_place_is_as_sure_as_its_head():
    winner, other = match_heads([head((1, 0, 0)), head((0, 0, 0.8))], [sight((1, 0, 0), (0, 0, 1))])  # left and right
    assert winner.score == pytest.approx(winner.raw, abs=0.01) and other.score == pytest.approx(other.raw, abs=0.01)


def test_nearly_as_sure_of_another_part_of_the_same_place_both_are_asked_about():
    """A look-alike fires on the face, the other on the whole dog."""
    boxes = [WHOLE, (0.1, 0.1, 0.4, 0.4)]
    winner, loser = match_heads([head((1, 0, 0)), head((0, 0, 0.999))], [sight((1, 0, 0), (0, 0, 1), boxes=boxes)])
    assert winner.raw > 0.95 and loser.raw > 0.95 and 0.5 > winner.score > 0.25 and winner.score > loser.score


@pytest.mark.parametrize(("sure", "named"), [(0.56, False), (0.9, True)])
def test_beside_a_surer_head_s_subject_a_weak_name_is_a_question_and_a_strong_one_isn_t(sure, named):
    """A window shows both: the pot beside the vase is no teapot, but two dogs side by side are two."""
    boxes = [WHOLE, (0.1, 0.1, 0.4, 0.4), (0.6, 0.6, 0.9, 0.9)]
    photo = sight((0.9, 0), (1, 0), (0, 1), boxes=boxes)
    first, second = match_heads([head((1, 0)), head((0, sure))], [photo])
    assert first.index == 0 and first.score > 0.7 and second.raw > 0.6
    assert (second.score >= 0.5) is named and second.score > 0.25


def test_the_surer_head_speaks_for_the_other_parts_that_it_knows_too():
    """A shoe's toe looks like another shoe's; the head of the shoe knows its toe less well than its side, but better than the other."""
    side_and_toe, other = head((1, 0, 0.9)), head((0, 0, 0.8))
    winner, loser = match_heads([other, side_and_toe], [sight((1, 0, 0), (0, 0, 1))])
    assert (winner.index, winner.box) == (1, LEFT)
    assert loser.raw > 0.8 > 0.5 > loser.score


def test_two_heads_for_the_very_same_thing_are_both_unsure():
    scores = [s.score for s in match_heads([head((1, 0)), head((1, 0))], [sight((1, 0), boxes=[WHOLE])])]
    assert max(scores) == pytest.approx(0.495, abs=0.01) and min(scores) <= max(scores)


def test_heads_of_another_encoder_are_never_compared():
    found = match_heads([head((1, 0)), head((1, 0, 0), encoder="face")], [sight((1, 0), boxes=[WHOLE])])
    assert [s.index for s in found] == [0]


def test_no_heads_no_sights_and_a_photo_without_faces_match_nothing():
    assert match_heads([], [sight((1, 0), boxes=[WHOLE])]) == []
    assert match_heads([head((1, 0))], []) == []
    assert match_heads([head((1, 0))], [Regions("eye", np.zeros((0, 2), np.float16), ())]) == []


def test_vectors_of_another_width_are_refused():
    with pytest.raises(WrongFingerprint):
        match_heads([head((1, 0, 0))], [sight((1, 0), boxes=[WHOLE])])
    with pytest.raises(WrongFingerprint):
        stack([head((1, 0, 0)), head((1, 0))])


def test_a_thousand_heads_take_far_less_than_150_ms_of_processor_a_photo():
    """About 10; whatever else the machine does meanwhile isn't counted."""
    generator = np.random.default_rng(1)
    heads = [Head("eye", row[None], np.zeros(1, np.float32), 8.0, -4.0) for row in unit_rows(generator, 1000, 384)]
    stacked = stack(heads)
    boxes = tuple((x / 10, y / 10, (x + 1) / 10, (y + 1) / 10) for x in range(10) for y in range(9))
    photo = Regions("eye", unit_rows(generator, 90, 384).astype(np.float16), boxes)
    match_stacked(stacked, [photo])
    seconds = []
    for _ in range(5):
        started = time.thread_time()
        assert len(match_stacked(stacked, [photo])) == 1000
        seconds.append(time.thread_time() - started)
    assert min(seconds) < 0.1

"""`myvlm eval recognition` on a small folder, with the real encoder and heads."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.pictures import thing

from bot.looking import looking
from myvlm_engine.concept_evaluation import matched_by
from myvlm_engine.evaluation import CantMeasure, eval_recognition
from myvlm_engine.messages import Head, Sight, pack
from myvlm_engine.recognition.encoders import Seen as Seeing
from myvlm_engine.recognition.negatives import Bank
from myvlm_engine.recognition_eval import Evaluated, Seen, SightCache
from myvlm_engine.recognition_trials import Ground, distractors, reliability, worst

EVERYBODY = frozenset({"flag", "disc"})


def seen(scores: dict[str, float], subject: str | None) -> Seen:
    return Seen(Evaluated(Path("p.jpg"), subject, EVERYBODY - {subject}), scores)


def test_reliability_counts_the_right_among_scores_of_a_range():
    photos = [seen({"flag": 0.95, "disc": 0.6}, "flag"), seen({"flag": 0.6, "disc": 0.05}, "flag"), seen({"flag": 1.0}, None)]
    assert reliability(photos) == {"0.6-0.8": {"right": 0.5, "scores": 2.0}, "0.9-1.0": {"right": 0.5, "scores": 2.0}}


def test_the_worst_mistakes_are_told_first_then_the_closest_calls():
    photos = [seen({"flag": 0.9, "disc": 0.4}, "disc"), seen({"flag": 0.2, "disc": 0.3}, None)]
    told = worst(photos, 3)
    assert [(a.name, a.present) for a in told] == [("flag", False), ("disc", True), ("disc", False)]


def test_distractors_are_as_strict_as_real_heads_and_silent_on_most_photos():
    random_ = np.random.default_rng(0)
    rows = random_.standard_normal((600, 32)).astype(np.float32)
    bank = Bank("eye", rows / np.linalg.norm(rows, axis=1, keepdims=True), np.repeat(np.arange(200), 3))
    real = Head(encoder="eye", width=32, vectors=pack(rows[:1], "float32"), biases=[0.0], slope=0.8, offset=-8.0)
    heads = distractors(bank, 150, [real])
    assert len(heads) == 150 and {(h.slope, h.offset) for h in heads.values()} == {(0.8, -8.0)}
    look = matched_by(looking)(heads)
    other = random_.standard_normal((3, 32))
    sight = Sight(encoder="eye", width=32, vectors=pack(other / np.linalg.norm(other, axis=1, keepdims=True)), boxes=[(0, 0, 1, 1)] * 3)
    assert sum(m.score >= 0.5 for m in look([sight])) <= 3


def test_each_closer_look_is_taken_once_and_none_by_encoders_that_can_t(tmp_path):
    looked: list[list[tuple[float, ...]]] = []

    def see_closer(image, places):
        looked.append(places)
        return Seeing(np.ones((len(places), 3), np.float16), places)

    thing("flag", 1).save(photo := tmp_path / "flag.jpg")
    near, far = SimpleNamespace(fingerprint="near", width=3, see_closer=see_closer), SimpleNamespace(fingerprint="far", width=3)
    here, there = [(0.1, 0.1, 0.4, 0.4)], [(0.5, 0.5, 0.9, 0.9), (0.1, 0.1, 0.4, 0.4)]
    for _ in range(2):
        cache = SightCache(near, tmp_path / "cache")
        assert [cache.closer(photo, places).boxes for places in (here, there, here)] == [here, there, here]
    assert looked == [here, there]
    assert SightCache(far, tmp_path / "cache").closer(photo, here) is None


def a_sight(encoder: str, count: int, first: float) -> Sight:
    return Sight(encoder=encoder, width=2, vectors=pack(np.full((count, 2), first)), boxes=[(0, 0, first, 1)] * count)


@pytest.mark.parametrize("looks_closer", [True, False])
def test_of_a_corrected_photo_the_closer_look_is_kept_too_where_one_was_taken(looks_closer):
    first = [a_sight("eye", 3, 0.5), a_sight("other", 2, 0.25)]
    sights = SimpleNamespace(all_of=lambda path: first, closer=lambda path, places: [a_sight("eye", len(places), 1.0)])

    look = lambda sights, closer: closer([(0, 0, 0.5, 0.5)] * 2) if looks_closer else None
    eye, other = Ground(["flag"], sights, SimpleNamespace(), SimpleNamespace()).kept_of(Path("p.jpg"), look)
    assert other == first[1]
    if not looks_closer:
        assert eye == first[0]
        return
    assert eye.array()[:, 0].tolist() == [0.5, 0.5, 0.5, 1.0, 1.0]
    assert eye.boxes == [*first[0].boxes, *[(0, 0, 1.0, 1)] * 2]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path / "cache"))
    for kind in sorted(EVERYBODY):
        (tmp_path / "set/concepts" / kind).mkdir(parents=True)
        for seed in range(6):
            thing(kind, seed).save(tmp_path / f"set/concepts/{kind}/{seed}.jpg")
    return tmp_path / "set"


@pytest.mark.slow
def test_a_folder_is_measured_with_more_concepts_and_with_corrections(folder, tmp_path):
    eval_recognition(folder, scopes="1,2,30", corrections=2, json_path=tmp_path / "figures.json", looking=looking)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert set(found) == {"recognition", "reliability", "scopes", "corrections"}
    assert set(found["scopes"]) == {"1", "2", "30"} and found["scopes"]["2"]["recall"] == found["recognition"]["recall"]
    assert found["scopes"]["30"]["match_ms"] > 0
    assert found["corrections"]["same_photos"]["right"] == 1.0


def test_people_are_measured_elsewhere(folder):
    (folder / "concepts.json").write_text(json.dumps({"flag": {"kind": "person"}}))
    with pytest.raises(CantMeasure, match="holds people"):
        eval_recognition(folder, looking=looking)

"""`myvlm eval concepts` on a small folder: the real encoder and heads, a small VLM and teacher."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from engine_fakes import FakeVlm, Teacher, answer_fake
from PIL import Image
from support.pictures import thing

from bot.looking import looking
from myvlm_engine import evaluation
from myvlm_engine.concept_evaluation import Plan, concept_figures, matched_by, report_of
from myvlm_engine.concept_trial import teach_request
from myvlm_engine.engine import Engine, Parts
from myvlm_engine.evaluation import CantMeasure, eval_concepts, plan_of
from myvlm_engine.report import write_report

RECOGNITION = {"recall", "precision", "macro_f1", "specificity", "rank1", "false_name_photos"}
CAPTIONS = {"name_recall", "name_recall_recognised", "name_precision", "name_f1", "text_similarity"}
SECONDS = {"usable_p50", "learned_p50", "describe_p50"}


@pytest.fixture
def folder(tmp_path) -> Path:
    for kind in ("flag", "disc"):
        (tmp_path / "set/concepts" / kind).mkdir(parents=True)
        for seed in range(4):
            thing(kind, seed).save(tmp_path / f"set/concepts/{kind}/{seed}.jpg")
    (tmp_path / "set/negatives").mkdir()
    Image.effect_mandelbrot((320, 240), (-2, -1, 1, 1), 60).convert("RGB").save(tmp_path / "set/negatives/n.jpg")
    (tmp_path / "set/concepts.json").write_text(json.dumps({"flag": {"class": "flag"}}))
    (tmp_path / "set/concepts/flag/captions.json").write_text(json.dumps({f"{n}.jpg": ["<name> waves."] for n in range(4)}))
    return tmp_path / "set"


@pytest.fixture(scope="module")
def encoder():
    """The real one, which sees each of the few pictures once for all tests: seconds each where the CPU is old."""
    from myvlm_engine.recognition.encoders import load_encoder

    encoder, seen = load_encoder(), {}

    def once(how, look, image):
        key = (how, image.tobytes())
        if key not in seen:
            seen[key] = look(image)
        return seen[key]

    for how in ("see", "see_from_afar"):
        setattr(encoder, how, partial(once, how, getattr(encoder, how)))
    return encoder


@pytest.fixture
def engine(monkeypatch, tmp_path, encoder) -> Engine:
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path / "cache"))
    from myvlm_engine.recognition.heads import fit_head

    return Engine(Parts(FakeVlm(), [encoder], fit_head, Teacher(), answer_fake))


@pytest.mark.slow
def test_everybody_is_taught_and_named_and_the_figures_have_their_names(folder, engine, tmp_path):
    figures, trials, rows = concept_figures(engine, folder, matched_by(looking), Plan(seeds=2, composites=(2,), wrong_references=6))
    assert (
        figures["composites"]["2"]["photos"] == 1.0
        and figures["composites"]["2"]["name_f1"] == figures["composites"]["2"]["recognition_f1"]
    )
    assert figures["wrong_references"] == {"answers": 6, "named": 0} and len(rows) == 1
    assert set(figures["recognition"]) >= RECOGNITION and set(figures["captions"]) == CAPTIONS and set(figures["seconds"]) == SECONDS
    assert figures["recognition"]["recall"] == 1.0 and figures["captions"]["name_recall_recognised"] == 1.0
    assert figures["captions"]["text_similarity"] > 0.3 and all(v > 0 for v in figures["seconds"].values())
    assert len(figures["per_seed"]) == len(trials) == 2
    names = {c.called.name for t in trials for c in t.concepts.values()}
    assert not {n.lower() for n in names} & {"flag", "disc"}
    assert trials[0].concepts["flag"].called.class_noun == "flag"
    flag = trials[0].concepts["flag"]
    assert [p.captions for p in teach_request(flag, 0).photos] == [[f"{flag.called.name} waves."]] * 3
    write_report(report_of(folder, figures, trials[0]), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("data:image/jpeg") >= 6 + 2


@pytest.mark.slow
def test_without_an_embedding_nothing_is_learned_and_every_recognised_name_is_said(folder, engine):
    figures, trials, _ = concept_figures(engine, folder, matched_by(looking), Plan(methods=("no-embedding",)))
    assert not trials[0].learned and engine.parts.learn_concept.given == {}
    assert figures["captions"]["name_recall_recognised"] == 1.0
    assert figures["seconds"]["learned_p50"] == 0


@pytest.mark.slow
def test_recognition_alone_is_measured_without_a_vlm_and_written(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    eval_concepts(folder, plan_of(composites="2"), recognition_only=True, json_path=tmp_path / "figures.json", looking=looking)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures["recognition"]) >= RECOGNITION and "captions" not in figures
    assert figures["composites"]["2"]["photos"] == 1.0 and 0 <= figures["composites"]["2"]["recognition_f1"] <= 1
    assert not (tmp_path / evaluation.REPORT).exists()


@pytest.mark.slow
def test_methods_and_shots_are_compared_side_by_side(folder, engine):
    plan = Plan(methods=("name-substitution", "no-head"), shots=(1, 3), composites=(2,))
    figures, trials, rows = concept_figures(engine, folder, matched_by(looking), plan)
    assert [(r.method, r.shots) for r in rows] == [("name-substitution", 1), ("name-substitution", 3), ("no-head", 1), ("no-head", 3)]
    assert [len(c.split.taught) for c in trials[0].concepts.values()] == [1, 1] and figures["method"] == "name-substitution"
    no_head = rows[3].figures
    assert no_head["name_recall_recognised"].mean == 1.0  # handed in, and this small VLM says whatever it is handed
    assert no_head["name_precision"].mean < 0.7
    assert ["name_f1_of_2" in r.figures for r in rows] == [True, True, False, False]  # heads find who is in photos of several
    assert rows[0].figures["name_f1_of_2"].mean == figures["composites"]["2"]["name_f1"]
    assert [c["method"] for c in figures["comparison"]] == ["name-substitution", "name-substitution", "no-head", "no-head"]


@pytest.mark.slow
def test_methods_that_learn_alike_share_what_was_learned_and_others_don_t(folder, engine):
    plan = Plan(methods=("no-guidance", "name-substitution", "no-head", "no-regulariser"), seeds=2)
    _, trials, rows = concept_figures(engine, folder, matched_by(looking), plan)
    assert engine.parts.learn_concept.lessons == 2 * 2 * 2  # subjects, seeds, two ways of learning
    assert all(set(t.learned) == {"flag", "disc"} for t in trials)
    assert [r.method for r in rows] == list(plan.methods) and rows[1].figures["name_recall_recognised"].half_width is not None


@pytest.mark.slow
def test_seeds_one_by_one_are_those_of_one_run(folder, engine):
    run = lambda **seeds: concept_figures(engine, folder, matched_by(looking), Plan(("no-embedding",), composites=(2,), **seeds))
    (whole, _, _), (second, _, rows) = run(seeds=2), run(first_seed=1)
    assert list(rows[0].per_seed) == [1] and second["per_seed"][0]["captions"] == whole["per_seed"][1]["captions"]
    assert whole["comparison"][0]["per_seed"][1] == second["comparison"][0]["per_seed"][1]


def test_a_method_nobody_knows_is_told(tmp_path):
    with pytest.raises(CantMeasure, match=r"There is no method 'magic'\. Known: myvlm, no-guidance"):
        eval_concepts(tmp_path, plan_of("magic"), looking=looking)

"""`myvlm eval captions` and `eval vqa` on small folders with a small VLM."""

from __future__ import annotations

import json

import pytest
from engine_fakes import FakeVlm, picture

from myvlm_engine.evaluation import answer_figures, caption_figures, eval_captions, plain_question
from myvlm_engine.figures import counted, rounded, show, write_json
from myvlm_engine.photo_sets import CantMeasure, asked_photos, captioned_photos


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for colour in ("red", "green", "blue"):
        (tmp_path / f"images/{colour}.jpg").write_bytes(picture(colour))
    rows = [{"image": f"images/{c}.jpg", "captions": [f"A {c} ball on the floor.", f"the {c} ball"]} for c in ("red", "green", "blue")]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    colour, count = "what colour is the ball in the image12 ?", {"q": "how many balls are there ?", "a": "2"}
    rows = [{"image": f"images/{c}.jpg", "qa": [{"q": colour, "a": c}, count]} for c in ("red", "green", "blue")]
    (tmp_path / "qa.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


@pytest.mark.slow  # sentence similarity loads MiniLM
def test_captions_are_scored_against_their_references(folder):
    figures = caption_figures(captioned_photos(folder), FakeVlm())
    assert figures["captions"]["cider"] > 1 and figures["captions"]["bleu4"] > 0.9 and figures["captions"]["similarity"] > 0.8
    assert figures["photos"] == 3 and figures["vlm"] == FakeVlm.fingerprint and figures["seconds"]["describe_p50"] >= 0


def test_answers_are_scored_by_kind_of_question(folder):
    vlm = FakeVlm()
    figures = answer_figures(asked_photos(folder), vlm)
    assert figures["questions"] == 6
    assert figures["vqa"]["exact_colour"] == 1.0 and figures["vqa"]["exact_count"] == 0.0 and figures["vqa"]["exact"] == 0.5
    assert set(vlm.asked) == {"What colour is the ball in the photo?", "How many balls are there?"}


def test_every_nth_photo_can_be_asked_about_alone(folder):
    assert [a.path.stem for a in asked_photos(folder, every=2)] == ["red", "red", "blue", "blue"]


def test_a_photo_that_is_none_is_named(folder):
    (folder / "images/red.jpg").write_bytes(b"no picture")
    with pytest.raises(CantMeasure, match=r"red\.jpg can't be read as a picture"):
        answer_figures(asked_photos(folder), FakeVlm())


def test_a_model_nobody_knows_is_told(folder):
    with pytest.raises(CantMeasure, match="No VLM 'nonsense'"):
        eval_captions(folder, vlm="nonsense")


@pytest.mark.parametrize("broken", ["SafetensorError", "OSError"])
def test_a_model_whose_files_are_cut_short_is_told(folder, monkeypatch, broken):
    pytest.importorskip("torch")
    from safetensors import SafetensorError

    from myvlm_engine.vlms import base

    def load(name, device):
        raise {"SafetensorError": SafetensorError, "OSError": OSError}[broken]("model.safetensors: too short")

    monkeypatch.setattr(base, "load_vlm", load)
    with pytest.raises(CantMeasure, match=r"can't be read \(model\.safetensors: too short\)\. Install it again"):
        eval_captions(folder)


def test_questions_are_asked_as_a_member_would():
    assert plain_question("what is  on the image10 behind the image 3 ?") == "What is on the photo behind the photo?"


def test_figures_are_shown_and_written(tmp_path, capsys):
    show("captions", {"cider": 0.61234, "photos": 3})
    said = capsys.readouterr().out
    assert "cider" in said and "0.612" in said and "3" in said
    write_json({"captions": {"cider": 0.612345}, "all": [0.123456]}, tmp_path / "new/figures.json")
    assert json.loads((tmp_path / "new/figures.json").read_text()) == {"captions": {"cider": 0.6123}, "all": [0.1235]}
    write_json({"a": 1}, None)
    assert rounded({"a": (1, "b")}) == {"a": [1, "b"]}


def test_a_long_measurement_tells_how_far_it_is(capsys):
    assert list(counted(range(25), "seeing", 25)) == list(range(25))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 10 and told[-1] == "seeing 25/25"
    assert list(counted([], "seeing", 0)) == []

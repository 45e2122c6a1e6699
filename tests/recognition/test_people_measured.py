"""`myvlm eval concepts` where people and things are in one set: each kind is recognised by its own encoder. Eyes here see colours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bot.looking import looking
from myvlm_engine.concept_evaluation import Plan, matched_by, recognition_figures
from myvlm_engine.evaluation import encoders_for
from myvlm_engine.photo_sets import CantMeasure
from myvlm_engine.recognition.encoders import Seen
from myvlm_engine.recognition.face_vectors import lifted

WHOLE = (0.0, 0.0, 1.0, 1.0)


class ColourEyes:
    """A "face" is a red, green or blue picture; on grey ones there is none."""

    fingerprint, width, name = "faces-1-dlib-colours", 5, "faces"

    def see(self, image: Image.Image) -> Seen:
        pixel = np.asarray(image.convert("RGB").resize((1, 1)), dtype=np.float32).reshape(1, 3)
        if np.ptp(pixel) < 30:
            return Seen(np.zeros((0, 5), np.float16), [])
        return Seen(lifted(pixel / np.linalg.norm(pixel)).astype(np.float16), [WHOLE])


@pytest.fixture
def people(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path / "cache"))
    colours = {"anna": (220, 20, 20), "ben": (20, 220, 20), "clara": (20, 20, 220)}
    for name, colour in colours.items():
        (tmp_path / "set/concepts" / name).mkdir(parents=True)
        for n in range(5):
            Image.new("RGB", (40, 40), tuple(min(255, c + 5 * n) for c in colour)).save(tmp_path / f"set/concepts/{name}/{n}.png")
    (tmp_path / "set/negatives").mkdir()
    Image.new("RGB", (40, 40), "grey").save(tmp_path / "set/negatives/nobody.png")
    Image.new("RGB", (40, 40), (220, 220, 20)).save(tmp_path / "set/negatives/stranger.png")
    (tmp_path / "set/concepts.json").write_text(json.dumps({name: {"kind": "person"} for name in colours}))
    return tmp_path / "set"


def test_people_are_measured_by_their_faces_and_nothing_else_is_loaded(people):
    assert encoders_for(people) == ["faces"]
    found = recognition_figures([ColourEyes()], people, matched_by(looking), Plan(shots=(4,), seeds=2))["recognition"]
    assert found["recall"] == found["rank1"] == 1
    assert found["any_name_negatives"] == found["wrong_name_subjects"] == 0


def test_a_set_of_people_and_things_needs_both_encoders(people):
    (people / "concepts.json").write_text(json.dumps({"anna": {"kind": "person"}}))
    assert encoders_for(people) == ["embedded", "faces"]
    with pytest.raises(CantMeasure, match="'object'"):
        recognition_figures([ColourEyes()], people, matched_by(looking), Plan(shots=(4,)))

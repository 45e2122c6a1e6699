"""Asking a grounding VLM where things are: the words that reach it, and its answers read as boxes. What tiny random models say is nonsense,
so what real ones say is handed in."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from vlms.tiny import PROJECTORS  # noqa: E402

from myvlm_engine.vlms.base import Decoding, generate  # noqa: E402
from myvlm_engine.vlms.grounding import json_boxes, json_thousandths, location_tokens  # noqa: E402

LISTED = '```json\n[\n {"bbox_2d": [10, 20, 50, 80], "label": "dog"},\n {"bbox_2d": [60.5, 0, 100, 40], "label": "dog"}\n]\n```'


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        (LISTED, [(0.1, 0.1, 0.5, 0.4), (0.605, 0.0, 1.0, 0.2)]),
        (" ".join(LISTED.split()), [(0.1, 0.1, 0.5, 0.4), (0.605, 0.0, 1.0, 0.2)]),
        (LISTED[:80], [(0.1, 0.1, 0.5, 0.4)]),  # ran out of tokens
        ('{"bbox_2d": [-5, 20, 500, 80]}', [(0.0, 0.1, 1.0, 0.4)]),  # cut at the edges
        ('{"bbox_2d": [50, 20, 50, 80]}', []),  # no area
        ('{"bbox_2d": [10, 20, 50]}', []),
        ("There is no dog in the image.", []),
        ("", []),
    ],
)
def test_boxes_in_pixels_of_the_photo_as_the_model_sees_it(text, boxes):
    assert json_boxes(text, (100, 200)) == boxes


def test_boxes_in_thousandths_whatever_the_photos_size():
    assert json_thousandths(LISTED, (640, 480)) == [(0.01, 0.02, 0.05, 0.08), (0.0605, 0.0, 0.1, 0.04)]


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("<loc0256><loc0128><loc0768><loc0512> dog", [(0.125, 0.25, 0.5, 0.75)]),
        ("<loc0000><loc0000><loc0512><loc0512> dog ; <loc0512><loc0512><loc0768><loc0768> dog", [(0, 0, 0.5, 0.5), (0.5, 0.5, 0.75, 0.75)]),
        ("<loc0256><loc0128><loc0768>", []),
        ("dog", []),
    ],
)
def test_boxes_as_location_tokens(text, boxes):
    assert location_tokens(text, (224, 224)) == boxes


GROUNDED = {"qwen2.5-vl": "Locate every dog in", "qwen3-vl": "Locate every dog in", "paligemma": "detect dog"}


@pytest.mark.slow
@pytest.mark.parametrize("family", GROUNDED)
def test_the_question_reaches_the_model_as_it_stands(loaded, photos, family):
    vlm = loaded(family)
    (view,) = vlm.views(photos[:1])
    ids = vlm._prompt(view.state, vlm.family.grounding.asked("dog")).ids
    prompt = vlm.tokenizer.decode(ids, skip_special_tokens=True)
    assert GROUNDED[family] in prompt and "few words" not in prompt and "answer en" not in prompt
    assert all(0 <= side <= 1 for box in vlm.places(view, "dog") for side in box)  # nonsense, and no error


@pytest.mark.slow
@pytest.mark.parametrize("family", GROUNDED)
def test_what_a_real_model_would_say_is_where_it_says(loaded, photos, family, monkeypatch):
    vlm, (wide, *_) = loaded(family), photos
    (view,) = vlm.views([wide])
    columns, rows = vlm._size_of(view)
    said = {
        "qwen2.5-vl": f'[{{"bbox_2d": [{columns / 4}, 0, {columns / 2}, {rows}], "label": "dog"}}]',
        "qwen3-vl": '[{"bbox_2d": [250, 0, 500, 1000], "label": "dog"}]',
        "paligemma": "<loc0000><loc0256><loc1023><loc0512> dog",
    }[family]
    assert vlm.tokenizer.decode(vlm.tokenizer(said, add_special_tokens=False)["input_ids"], skip_special_tokens=True) == said
    monkeypatch.setattr(vlm, "candidates", lambda view, prompt, concepts, decoding: [said])
    assert vlm.places(view, "dog") == [pytest.approx((0.25, 0.0, 0.5, 1.0), abs=0.001)]


@pytest.mark.slow
@pytest.mark.parametrize("family", [family for family in PROJECTORS if family not in GROUNDED][:2])
def test_families_that_weren_t_taught_it_tell_no_place(loaded, photos, family):
    vlm = loaded(family)
    assert not vlm.grounds and vlm.places(vlm.views(photos[:1])[0], "dog") == []


@pytest.mark.slow
def test_questions_keep_the_familys_own_words(loaded, photos):
    vlm = loaded("qwen3-vl")
    (view,) = vlm.views(photos[:1])
    vlm.places(view, "dog")
    assert generate(vlm, view, "Is it red?", decoding=Decoding(max_tokens=4)) is not None
    assert "Answer in a few words." in vlm.tokenizer.decode(vlm._prompt(view.state, "Is it red?").ids)

"""Folders of photos to measure on: what is read, what is held, and the sentence for each thing that can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine_fakes import picture

from myvlm_engine.photo_sets import CantMeasure, asked_photos, captioned_photos, read_photo_set, split


def put(path: Path, content: bytes | str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture() if content is None else content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    for number in range(5):
        put(tmp_path / f"concepts/rex/{number}.jpg")
    for number in range(4):
        put(tmp_path / f"concepts/mug/{number}.PNG")
    put(tmp_path / "concepts/rex/notes.txt", "no photo")
    put(tmp_path / "concepts/empty/notes.txt", "no photo")
    put(tmp_path / "concepts.json", json.dumps({"rex": {"kind": "pet", "class": "dog"}}))
    put(tmp_path / "concepts/rex/captions.json", json.dumps({"0.jpg": ["<name> sleeps."]}))
    put(tmp_path / "concepts/rex/boxes.json", json.dumps({"1.jpg": [0.25, 0, 0.5, 1]}))
    for other in ("negatives/rex/a.jpg", "negatives/b.jpg", "random/c.webp"):
        put(tmp_path / other)
    return tmp_path


def test_subjects_negatives_and_captions_are_read(folder):
    photos = read_photo_set(folder)
    assert [(s.name, s.kind, s.class_noun, len(s.photos)) for s in photos.subjects] == [
        ("mug", "object", None, 4),
        ("rex", "pet", "dog", 5),
    ]
    assert photos.subjects[1].captions == {"0.jpg": ("<name> sleeps.",)}
    assert photos.subjects[1].boxes == {"1.jpg": (0.25, 0.0, 0.5, 1.0)}
    assert {k: [p.name for p in v] for k, v in photos.lookalikes.items()} == {"rex": ["a.jpg"]}
    assert [p.name for p in photos.others] == ["b.jpg", "c.webp"]


def test_four_photos_teach_where_there_are_five_else_three_and_a_seed_decides_which(folder):
    mug, rex = read_photo_set(folder).subjects
    assert [len(split(s, None, 0).taught) for s in (mug, rex)] == [3, 4]
    assert len(split(rex, 2, 0).held) == 3
    assert len(split(rex, 9, 0).held) == 1  # one is always left to describe
    assert split(rex, 2, 0) == split(rex, 2, 0)
    assert len({split(rex, 2, seed).taught for seed in range(10)}) > 1
    for seed in range(5):
        parts = split(rex, None, seed)
        assert sorted(parts.taught + parts.held) == sorted(rex.photos)


def test_photos_set_aside_to_teach_teach_and_all_others_are_held(folder):
    for number in range(6):
        put(folder / f"concepts/rex/taught/t{number}.jpg")
    mug, rex = read_photo_set(folder).subjects
    assert not mug.teaching
    assert [len(split(rex, shots, 0).taught) for shots in (None, 2, 9)] == [4, 2, 6]
    assert set(split(rex, 2, 0).taught) < set(rex.teaching)
    assert len({split(rex, 2, seed).taught for seed in range(10)}) > 1
    assert split(rex, None, 0).held == rex.photos


def test_captions_and_questions_of_a_held_split_are_preferred(tmp_path):
    for name in "abc":
        put(tmp_path / f"images/{name}.jpg")
    rows = [{"image": f"images/{n}.jpg", "captions": [n], "split": s} for n, s in (("a", "train"), ("b", "dev"), ("c", "test"))]
    put(tmp_path / "captions.jsonl", "\n".join(json.dumps(r) for r in rows) + "\n\n")
    put(tmp_path / "qa.jsonl", json.dumps({"image": "images/a.jpg", "qa": [{"q": "what?", "a": "a"}, {"q": "who?", "a": "b"}]}))
    assert [p.captions for p in captioned_photos(tmp_path)] == [("b",), ("c",)]
    assert len(captioned_photos(tmp_path, limit=1)) == 1
    assert [(a.question, a.answer) for a in asked_photos(tmp_path, limit=1)] == [("what?", "a")]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has no photos in concepts/<name>/"),
        ({"concepts/rex/a.jpg": None, "concepts.json": "{"}, "concepts.json isn't JSON"),
        ({"concepts/rex/a.jpg": None, "concepts.json": "[]"}, "must hold a JSON object"),
        ({"concepts/rex/a.jpg": None, "concepts.json": '{"rex": {"kind": "car"}}'}, "of kind 'car'. Known: pet, person, object"),
        ({"concepts/rex/a.jpg": None, "negatives/max/a.jpg": None}, "there is no subject 'max'"),
        ({"concepts/rex/a.jpg": None, "concepts/rex/boxes.json": '{"a.jpg": [0, 0, 1]}'}, "a.jpg needs four numbers"),
        ({"concepts/rex/a.jpg": None, "concepts/rex/boxes.json": '{"a.jpg": "left"}'}, "a.jpg needs four numbers"),
        ({"concepts/rex/a.jpg": None, "concepts/rex/boxes.json": '{"a.jpg": [0, 0, 640, 480]}'}, "They are shares of the photo"),
    ],
)
def test_a_folder_that_is_wrong_is_told_what_is_wrong(tmp_path, files, sentence):
    for name, content in files.items():
        put(tmp_path / name, content)
    with pytest.raises(CantMeasure) as refusal:
        read_photo_set(tmp_path)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (None, "There is no"),
        ("{", "line 1, isn't JSON"),
        ('{"image": "a.jpg"}', "lacks 'captions'"),
        ('{"image": "a.jpg", "captions": []}', "no photo"),
    ],
)
def test_captions_that_are_wrong_are_told_what_is_wrong(tmp_path, lines, sentence):
    if lines:
        put(tmp_path / "captions.jsonl", lines)
    with pytest.raises(CantMeasure) as refusal:
        captioned_photos(tmp_path)
    assert sentence in str(refusal.value)


def test_a_subject_with_one_photo_cannot_be_measured(tmp_path):
    put(tmp_path / "concepts/rex/a.jpg")
    with pytest.raises(CantMeasure, match="one to teach and one to describe"):
        split(read_photo_set(tmp_path).subjects[0], None, 0)

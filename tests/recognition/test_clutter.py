"""Small things in clutter as a set: what is written is what truth.json says, and no cut-out is used twice."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from myvlm_engine.photo_sets import read_photo_set
from myvlm_engine.recognition import clutter
from myvlm_engine.recognition.clutter import AREA, LIGHTS, lit, make_clutter, subject_mask
from myvlm_engine.recognition.drawn import drawn_picture

MAGENTA = (230, 0, 150)


def disc(side: int = 240, left: int = 60, top: int = 70) -> Image.Image:
    """A magenta disc before a grey wall."""
    image = Image.new("RGB", (side, side), (150, 155, 150))
    ImageDraw.Draw(image).ellipse((left, top, left + 110, top + 110), fill=MAGENTA)
    return image


@pytest.fixture
def made(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / "subjects/concepts" / name).mkdir(parents=True)
        for n in range(4):
            disc(left=40 + 15 * n).save(tmp_path / f"subjects/concepts/{name}/{name}{n}.png")
    (tmp_path / "subjects/concepts.json").write_text(json.dumps({"one": {"kind": "object", "class": "disc"}}))
    places = [tmp_path / f"place{n}.png" for n in range(9)]
    for n, place in enumerate(places):
        Image.new("RGB", (400, 300), (90 + 5 * n, 110, 90)).save(place)
    return tmp_path / "out", make_clutter(tmp_path / "subjects", places, tmp_path / "out")


def test_the_mask_is_the_subject():
    mask = subject_mask(disc())
    truth = np.asarray(disc().resize((clutter.THUMB_PX,) * 2))[..., 1] < 70
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8


def test_a_photo_without_a_subject_gives_an_ellipse():
    assert 0.3 < subject_mask(Image.new("RGB", (200, 200), (120, 120, 120))).mean() < 0.6


def test_the_set_is_read_by_the_evaluation_and_each_photo_and_place_is_used_once(made):
    out, composites = made
    found = read_photo_set(out)
    assert [(s.name, len(s.photos), s.class_noun) for s in found.subjects] == [("one", 4, "disc"), ("two", 4, None)]
    assert len(found.others) == 8
    assert len({(c.subject, c.source) for c in composites}) == len({c.background for c in composites}) == 8
    assert json.loads((out / "truth.json").read_text())[0]["box"] == list(composites[0].box)


def test_photos_that_teach_stay_as_they_are_and_are_never_cut_out(tmp_path, made):
    composites = make_clutter(tmp_path / "subjects", sorted(tmp_path.glob("place*.png")), tmp_path / "taught", taught=3)
    found = read_photo_set(tmp_path / "taught")
    assert [(len(s.teaching), len(s.photos)) for s in found.subjects] == [(3, 1), (3, 1)]
    for subject in found.subjects:
        assert {path.stem for path in subject.teaching}.isdisjoint(path.stem for path in subject.photos)
        for path in subject.teaching:
            assert path.read_bytes() == (tmp_path / "subjects/concepts" / subject.name / path.name).read_bytes()
    assert len(composites) == 2
    everything = make_clutter(tmp_path / "subjects", sorted(tmp_path.glob("place*.png")), tmp_path / "more", taught=9)
    assert len(everything) == 2  # one of each is always left to look at


def test_the_subject_is_small_and_where_the_truth_says(made):
    out, composites = made
    for c in composites:
        left, top, right, bottom = c.box
        assert AREA[0] * 0.9 <= (right - left) * (bottom - top) <= AREA[1] * 1.1
        photo = np.asarray(Image.open(out / f"concepts/{c.subject}/{Path(c.source).stem}.jpg"), dtype=int)
        rows, columns = np.nonzero(photo[..., 0] - photo[..., 1] > 60)
        height, width = photo.shape[:2]
        assert left - 0.03 <= columns.min() / width and columns.max() / width <= right + 0.03
        assert top - 0.03 <= rows.min() / height and rows.max() / height <= bottom + 0.03
        assert len(rows) >= (0.3 if c.hidden else 0.5) * (right - left) * width * (bottom - top) * height


def test_lights_and_hidden_subjects_vary(tmp_path):
    chance = np.random.default_rng(0)
    truths = [clutter.composite(disc(), drawn_picture(3), chance)[1] for _ in range(40)]
    assert {light for _, light, _ in truths} == set(LIGHTS)
    assert 5 <= sum(hidden > 0 for _, _, hidden in truths) <= 25
    means = {name: np.asarray(lit(disc(), name)).mean() for name in LIGHTS}
    assert means["dim"] < means["as it is"] < means["bright"]


def test_too_few_places_are_told(tmp_path):
    (tmp_path / "s/concepts/one").mkdir(parents=True)
    for n in range(2):
        disc().save(tmp_path / f"s/concepts/one/{n}.png")
    with pytest.raises(ValueError, match="2 photos need as many backgrounds; there are 1"):
        make_clutter(tmp_path / "s", [tmp_path / "only.png"], tmp_path / "out")

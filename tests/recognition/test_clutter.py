"""Small things in clutter as a set: what is written is what truth.json says, and no cut-out is used twice."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from myvlm_engine.photo_sets import read_photo_set
from myvlm_engine.recognition import clutter
from myvlm_engine.recognition.clutter import AREA, LIGHTS, lit, make_clutter
from myvlm_engine.recognition.cut_outs import cut_out
from myvlm_engine.recognition.drawn import drawn_picture

MAGENTA = (230, 0, 150)


def disc(side: int = 240, left: int = 60, top: int = 70) -> Image.Image:
    """A magenta disc before a grey wall."""
    image = Image.new("RGB", (side, side), (150, 155, 150))
    ImageDraw.Draw(image).ellipse((left, top, left + 110, top + 110), fill=MAGENTA)
    return image


def magenta(photo: Image.Image) -> Image.Image:
    """The mask of a magenta subject."""
    red, green, _ = (np.asarray(channel, dtype=int) for channel in photo.split())
    return Image.fromarray((255 * (red - green > 60)).astype(np.uint8))


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
    return tmp_path / "out", make_clutter(tmp_path / "subjects", places, tmp_path / "out", magenta)


def test_the_set_is_read_by_the_evaluation_and_each_photo_and_place_is_used_once(made):
    out, composites = made
    found = read_photo_set(out)
    assert [(s.name, len(s.photos), s.class_noun) for s in found.subjects] == [("one", 4, "disc"), ("two", 4, None)]
    assert len(found.others) == 8
    assert len({(c.subject, c.source) for c in composites}) == len({c.background for c in composites}) == 8
    assert json.loads((out / "truth.json").read_text())[0]["box"] == list(composites[0].box)
    assert {(s.name, photo, box) for s in found.subjects for photo, box in s.boxes.items()} == {
        (c.subject, f"{Path(c.source).stem}.jpg", c.box) for c in composites
    }


def test_photos_that_teach_stay_as_they_are_and_are_never_cut_out(tmp_path, made):
    composites = make_clutter(tmp_path / "subjects", sorted(tmp_path.glob("place*.png")), tmp_path / "taught", magenta, taught=3)
    found = read_photo_set(tmp_path / "taught")
    assert [(len(s.teaching), len(s.photos)) for s in found.subjects] == [(3, 1), (3, 1)]
    for subject in found.subjects:
        assert {path.stem for path in subject.teaching}.isdisjoint(path.stem for path in subject.photos)
        for path in subject.teaching:
            assert path.read_bytes() == (tmp_path / "subjects/concepts" / subject.name / path.name).read_bytes()
    assert len(composites) == 2
    everything = make_clutter(tmp_path / "subjects", sorted(tmp_path.glob("place*.png")), tmp_path / "more", magenta, taught=9)
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
    chance, cut = np.random.default_rng(0), cut_out(disc(), magenta)
    assert cut is not None
    truths = [clutter.composite(cut, drawn_picture(3), chance)[1] for _ in range(40)]
    assert {light for _, light, _ in truths} == set(LIGHTS)
    assert 5 <= sum(hidden > 0 for _, _, hidden in truths) <= 25
    means = {name: np.asarray(lit(disc(), name)).mean() for name in LIGHTS}
    assert means["dim"] < means["as it is"] < means["bright"]


def test_too_few_places_are_told(tmp_path):
    (tmp_path / "s/concepts/one").mkdir(parents=True)
    for n in range(2):
        disc().save(tmp_path / f"s/concepts/one/{n}.png")
    with pytest.raises(ValueError, match="2 photos need as many backgrounds; there are 1"):
        make_clutter(tmp_path / "s", [tmp_path / "only.png"], tmp_path / "out", magenta)


def test_a_photo_in_which_nothing_stands_out_is_left_out(tmp_path, made):
    Image.new("RGB", (240, 240), (150, 155, 150)).save(tmp_path / "subjects/concepts/one/wall.png")
    places = [*sorted(tmp_path.glob("place*.png"))]
    composites = make_clutter(tmp_path / "subjects", places, tmp_path / "fewer", magenta)
    written = [len(list((tmp_path / "fewer" / part).rglob("*.*g"))) for part in ("concepts", "negatives")]
    assert [len(composites), *written] == [8, 8, 8]
    assert "wall.png" not in {c.source for c in composites}


def test_the_command_says_how_to_install_what_cuts_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        clutter.main([str(tmp_path), str(tmp_path), str(tmp_path / "out")])
    assert ended.value.code == 1 and "Run `make cut-outs` and start again." in capsys.readouterr().err

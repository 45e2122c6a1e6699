"""The embedded encoder through its public door, on pictures drawn here."""

import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from support.pictures import thing

from myvlm_engine.recognition.encoders import EmbeddedEncoder, blocks, load_encoder, raw_regions, window_means
from myvlm_engine.recognition.negatives import NoBank, load_bank
from myvlm_engine.recognition.windows import windows


@pytest.fixture(scope="module")
def encoder() -> EmbeddedEncoder:
    return load_encoder("embedded")


def picture(width: int = 640, height: int = 480, seed: int = 0) -> Image.Image:
    """Coloured shapes: different for every seed."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(generator.integers(0, 255, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = generator.integers(0, (width, height))
        size = int(generator.integers(20, 160))
        draw.ellipse((x, y, x + size, y + size), fill=tuple(generator.integers(0, 255, 3)))
    return image


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (224, 224), (33, 900), (1, 1)])
def test_regions_are_unit_rows_with_boxes_inside_the_photo_the_whole_first(encoder, size):
    vectors, boxes = encoder.see(picture(*size))
    assert vectors.dtype == np.float16 and vectors.shape == (len(boxes), encoder.width)
    assert np.linalg.norm(vectors.astype(np.float32), axis=1) == pytest.approx(1, abs=2e-3)
    assert boxes[0] == (0, 0, 1, 1)
    assert all(0 <= left < right <= 1 and 0 <= top < bottom <= 1 for left, top, right, bottom in boxes)
    assert vectors.nbytes <= 100_000


@pytest.mark.parametrize("power", [1, 3])
def test_a_windows_mean_of_a_power_is_that_of_its_cells(power):
    grid = np.random.default_rng(0).uniform(0, 6, (4, 5, 7)).astype(np.float32)
    grid[0, :2] = 0  # rounding leaves nothing where nothing was
    found = windows(5, 7, ((2, 1), (3, 2)))
    means = window_means(grid, found, power)
    cells = [grid[:, w.top : w.bottom, w.left : w.right].reshape(4, -1).astype(np.float64) for w in found]
    assert means.dtype == np.float32
    assert means == pytest.approx(np.array([(c**power).mean(1) ** (1 / power) for c in cells]), abs=1e-5)
    assert means[1, 0] == 0


def test_seeing_twice_gives_the_same_vectors(encoder):
    assert np.array_equal(encoder.see(picture()).vectors, encoder.see(picture()).vectors)


def whole(encoder, image: Image.Image) -> np.ndarray:
    return encoder.see(image).vectors[0].astype(np.float32)


def test_a_place_is_seen_as_if_it_were_the_photo(encoder):
    """A small thing, seen closer, looks more like the same thing large than it did in the whole photo; boxes are the photo's."""
    room = Image.new("RGB", (600, 600), (120, 130, 125))
    room.paste(thing("flag", 1).resize((120, 120)), (400, 60))
    place = (400 / 600, 0.1, 520 / 600, 0.3)
    large, seen = encoder.see(thing("flag", 1)), encoder.see(room)
    closer = encoder.see_closer(room, [place, (0.0, 0.6, 0.3, 0.9)])
    assert closer.vectors.shape[0] == len(closer.boxes) and closer.vectors.dtype == np.float16
    assert all(0 <= left < right <= 1 and 0 <= top < bottom <= 1 for left, top, right, bottom in closer.boxes)
    own = [i for i, (left, _, _, bottom) in enumerate(closer.boxes) if bottom < 0.5]
    assert 0 < len(own) < len(closer.boxes)
    likeness = lambda vectors: float((vectors.astype(np.float32) @ large.vectors[0].astype(np.float32)).max())
    assert likeness(closer.vectors[own]) > likeness(seen.vectors) + 0.05
    assert likeness(closer.vectors[own]) > likeness(np.delete(closer.vectors, own, axis=0)) + 0.1


def test_a_photo_from_afar_is_seen_by_regions_of_its_own(encoder):
    flag, ball = (encoder.see_from_afar(thing(kind, 1)) for kind in ("flag", "disc"))
    assert 2 <= len(flag.boxes) == len(flag.vectors) < 40 and flag.vectors.dtype == np.float16
    assert np.linalg.norm(flag.vectors.astype(np.float32), axis=1) == pytest.approx(1, abs=2e-3)
    assert all(0 <= left < right <= 1 and 0 <= top < bottom <= 1 for left, top, right, bottom in flag.boxes)
    again = encoder.see_from_afar(thing("flag", 2))
    alike = lambda one, other: float((one.vectors.astype(np.float32) @ other.vectors.astype(np.float32).T).max(1).mean())
    assert alike(again, flag) > alike(again, ball)


def test_another_photo_looks_less_alike_than_a_part_of_the_same(encoder):
    one, part = picture(seed=1), picture(seed=1).crop((40, 30, 600, 450))
    others = [whole(encoder, picture(seed=seed)) for seed in (2, 3, 4)]
    assert whole(encoder, one) @ whole(encoder, part) > 0.03 + max(whole(encoder, one) @ other for other in others)


def test_a_photo_and_its_mirror_image_are_the_same_to_it_each_region_on_its_side(encoder):
    seen, mirrored = encoder.see(picture(640, 480)), encoder.see(ImageOps.mirror(picture(640, 480)))
    place = lambda box: tuple(np.round(box, 6))
    parts = lambda sight: [(box, v.astype(np.float32)) for box, v in zip(sight.boxes, sight.vectors, strict=True) if box != (0, 0, 1, 1)]
    there = {place((1 - right, top, 1 - left, bottom)): vector for (left, top, right, bottom), vector in parts(mirrored)}
    alike = [float(vector @ there[place(box)]) for box, vector in parts(seen) if place(box) in there]
    assert len(alike) > 80 and min(alike) > 0.99
    assert seen.vectors[0].astype(np.float32) @ mirrored.vectors[0] > 0.999


def test_bfloat16_and_float32_give_nearly_the_same_vectors(encoder):
    """The fingerprint is the same on machines with and without AMX, so the vectors must be."""
    precise, fast = (EmbeddedEncoder(encoder.towers, encoder.projection) for _ in range(2))
    precise.half, fast.half = False, True
    a, b = (e.see(picture(seed=3)).vectors.astype(np.float32) for e in (precise, fast))
    assert (a * b).sum(1).min() > 0.97
    assert (a * b).sum(1).mean() > 0.99


def test_the_fingerprint_names_encoder_weights_and_projection(encoder):
    assert encoder.fingerprint.startswith("embedded-")
    each = [hashlib.sha256(tower.weights_path.read_bytes()).hexdigest()[:16] for tower in encoder.towers]
    assert len(set(each)) == 3
    weights = hashlib.sha256("".join(each).encode()).hexdigest()[:8]
    assert weights in encoder.fingerprint and encoder.projection.hash[:8] in encoder.fingerprint


def test_every_tower_has_a_say(encoder):
    """The raw features are those of three different networks side by side, and the projection reads all of them."""
    raw, _ = raw_regions(encoder.towers, picture(), half=False)
    parts = blocks(encoder.towers)
    assert [tower.size for tower in encoder.towers] == ["lite2", "lite1", "lite0"]
    assert parts[-1][0].stop == raw.shape[1] == encoder.projection.matrix.shape[0]
    whole = encoder.projection(raw)
    for channels, _ in parts:
        silenced = raw.copy()
        silenced[:, channels] = encoder.projection.mean[channels]
        assert (whole * encoder.projection(silenced)).sum(1).mean() < 0.99


def test_the_bundled_bank_belongs_to_the_bundled_encoder_and_is_small(encoder):
    from myvlm_engine.recognition.negatives import bank_path

    bank = load_bank(encoder.fingerprint)
    assert bank.photo_count > 1000 and bank.vectors.shape[1] == encoder.width
    assert bank_path(encoder.fingerprint).stat().st_size <= 12e6


def test_a_bank_of_another_encoder_is_refused_with_what_to_do():
    with pytest.raises(NoBank, match="Build one"):
        load_bank("embedded-0-nothing")


def test_an_unknown_encoder_is_refused_naming_the_known():
    with pytest.raises(ValueError, match=r"Known: clip, embedded, faces.* Check engine\.encoder in"):
        load_encoder("telescope")


def test_a_picture_of_nothing_gives_no_noun(encoder):
    assert encoder.noun_hint(Image.new("RGB", (300, 300), (127, 127, 127))) is None

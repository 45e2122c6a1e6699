"""Pictures of rooms computed from the towers: the arithmetic against the formula, and a short run of the command."""

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from support.pictures import thing  # noqa: E402

from myvlm_engine.pocket.vision import square_pixels  # noqa: E402
from myvlm_engine.recognition.afar import COLUMNS  # noqa: E402
from myvlm_engine.recognition.encoders import load_towers  # noqa: E402
from myvlm_engine.recognition.rooms import COUNT, Canvas, Moments, Watched, apart, furniture, main, moments_of  # noqa: E402


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Named so that they are of the bank's half."""
    from myvlm_engine.recognition.negatives import held_out

    folder = tmp_path_factory.mktemp("photos")
    free = (path for number in range(100) if not held_out(path := folder / f"{number}.png"))
    for number, path in zip(range(3), free, strict=False):
        thing("flag", number).save(path)
    return folder


def test_how_far_apart_moments_are_is_the_formula():
    found = [Moments(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 9.0]))]
    wanted = [Moments(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 9.0]))]
    # means: (1 - 0)^2 / 1 and 0; deviations: (2 - 1)^2 / 1 and 0; each a mean over two channels
    assert apart(found, wanted).item() == pytest.approx(0.5 + 0.5, rel=1e-3)
    assert apart(wanted, wanted).item() == pytest.approx(0)


def test_a_canvas_begins_as_noise_whose_large_shapes_are_stronger():
    canvas = Canvas(2, 64, torch.Generator().manual_seed(0))
    plain = canvas().detach()
    assert plain.shape == (2, 3, 64, 64) and 0.2 < plain.std() < 2
    rough = (plain[..., 1:] - plain[..., :-1]).std()
    assert rough < plain.std()


def test_furniture_is_in_the_classifiers_list():
    assert furniture().tolist()[0] == 532 and len(set(furniture().tolist())) == 2 * COUNT


@pytest.mark.slow
def test_a_tower_is_watched_without_being_changed(photos):
    tower = load_towers()[0]
    pixels = square_pixels(thing("disc", 1), 64)[None]
    before = tower.grids(pixels).head
    logits, moments = Watched(tower)(pixels)
    assert torch.equal(tower.grids(pixels).head, before)
    assert torch.allclose(logits, tower.net._fc(before.mean((2, 3))), atol=1e-4)
    first = tower.net._conv_stem((pixels - 0.498) / 0.502)
    assert torch.allclose(moments[0].mean, first.mean((0, 2, 3)), atol=1e-4) and len(moments) > 40
    of_all = moments_of(Watched(tower), sorted(photos.iterdir()), 64)
    together = Watched(tower)(torch.stack([square_pixels(Image.open(p).convert("RGB"), 64) for p in sorted(photos.iterdir())]))[1]
    assert torch.allclose(of_all[0].variance, together[0].variance, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_the_command_computes_a_sheet_and_the_same_again(photos, tmp_path):
    out = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in out:
        main([str(photos), "--side", "64", "--steps", "6", "--out", str(path)])
    first, second = (np.asarray(Image.open(path), dtype=float) for path in out)
    assert first.shape == (COUNT // COLUMNS * 64, COLUMNS * 64, 3) and first.std() > 10
    assert np.abs(first - second).mean() < 2

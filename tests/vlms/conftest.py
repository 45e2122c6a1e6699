"""Every family as a tiny random model, loaded through load_vlm from a folder, once for all tests."""

import pytest
from PIL import Image, ImageDraw


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path))


@pytest.fixture(scope="session")
def loaded(tmp_path_factory):
    """Name of a family -> its VLM."""
    from vlms.tiny import FAMILIES

    from myvlm_engine.vlms.base import load_vlm

    made = {}

    def get(name: str):
        if name not in made:
            if name == "smolvlm":
                pytest.importorskip("num2words", reason="SmolVLM2's processor needs num2words")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MYVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
                made[name] = load_vlm(FAMILIES[name].save(tmp_path_factory.mktemp(name)))
        return made[name]

    return get


@pytest.fixture
def photos():
    return four_pictures()


def four_pictures():
    """No two of one size."""
    return [picture("green", (80, 60)), picture("white", (48, 64)), picture("navy", (64, 64)), picture("orange", (96, 40))]


def picture(colour, size):
    image = Image.new("RGB", size, colour)
    ImageDraw.Draw(image).ellipse((6, 6, size[0] // 2, size[1] - 8), fill="brown")
    return image

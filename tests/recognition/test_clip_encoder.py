"""CLIP as an encoder, on a tiny random model of open_clip: windows, unit rows, fingerprints, nouns, a head, every wrong name."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

from PIL import Image  # noqa: E402
from support.pictures import thing  # noqa: E402

from myvlm_engine.engine import load_engine, sight_of  # noqa: E402
from myvlm_engine.messages import FitRequest  # noqa: E402
from myvlm_engine.recognition import negatives  # noqa: E402
from myvlm_engine.recognition.clip_encoder import ClipEncoder, cropped, laid_on  # noqa: E402
from myvlm_engine.recognition.encoders import load_encoder  # noqa: E402
from myvlm_engine.recognition.fitting import fit_head  # noqa: E402
from myvlm_engine.recognition.negatives import NoBank, encoder_with_bank, kept_regions, load_bank, save_bank  # noqa: E402
from myvlm_engine.recognition.nouns import nouns_of_classes  # noqa: E402


def tiny(seed: int = 0, label: str = "tiny") -> ClipEncoder:
    torch.manual_seed(seed)
    text = open_clip.model.CLIPTextCfg(context_length=16, vocab_size=49408, width=32, heads=2, layers=1)
    vision = open_clip.model.CLIPVisionCfg(layers=2, width=32, head_width=16, patch_size=8, image_size=32)
    model = open_clip.model.CLIP(16, vision, text)
    return ClipEncoder(model, open_clip.image_transform(32, is_train=False), open_clip.SimpleTokenizer(context_length=16), label)


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    return tiny()


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (64, 64), (900, 33), (1, 1)])
def test_regions_are_unit_rows_with_boxes_inside_the_photo_the_whole_first(encoder, size):
    vectors, boxes = encoder.see(Image.radial_gradient("L").convert("RGB").resize(size))
    assert vectors.dtype == np.float16 and vectors.shape == (len(boxes), encoder.width) and encoder.width == 16
    assert np.linalg.norm(vectors.astype(np.float32), axis=1) == pytest.approx(1, abs=2e-3)
    assert boxes[0] == (0, 0, 1, 1)
    assert all(0 <= left < right <= 1 and 0 <= top < bottom <= 1 for left, top, right, bottom in boxes)


def test_a_square_photo_is_looked_at_whole_and_in_windows_of_three_sizes():
    found, rows, columns = laid_on(Image.new("RGB", (300, 300)))
    assert (rows, columns) == (8, 8) and len(found) == 1 + 9 + 9 + 4
    assert {w.right - w.left for w in found} == {8, 3, 4, 6}


def test_a_window_s_vector_is_the_embedding_of_what_is_in_it(encoder):
    photo = thing("flag", 1).resize((320, 240))
    vectors, boxes = encoder.see(photo)
    alone = encoder._embedded([cropped(photo, boxes[5])])[0]
    assert np.abs(vectors[5].astype(np.float32) - alone).max() < 2e-3


def test_what_stands_at_the_ends_of_a_long_photo_is_seen(encoder):
    plain, marked = Image.new("RGB", (900, 100), "white"), Image.new("RGB", (900, 100), "white")
    marked.paste((200, 0, 0), (0, 0, 90, 100))
    one, other = (encoder.see(image).vectors[0].astype(np.float32) for image in (plain, marked))
    assert float(one @ other) < 0.999


def test_the_fingerprint_is_the_weights():
    assert tiny(0).fingerprint == tiny(0).fingerprint != tiny(1).fingerprint
    assert tiny(0).fingerprint.startswith("clip-1-tiny-")


def test_a_noun_is_said_where_one_text_stands_out(encoder, monkeypatch):
    photo = thing("disc", 2)
    seen = encoder._embedded([cropped(photo, (0, 0, 1, 1))])[0]
    nouns = ["dog", "mug"]
    monkeypatch.setitem(encoder.__dict__, "_nouns", (nouns, np.stack([-seen, seen])))
    assert encoder.noun_hint(photo) == "mug"
    monkeypatch.setitem(encoder.__dict__, "_nouns", (nouns * 2, np.stack([seen] * 4)))
    assert encoder.noun_hint(photo) is None  # four that are as likely


def test_every_everyday_noun_has_a_text():
    nouns, texts = tiny()._nouns
    assert set(nouns) == {noun for noun in nouns_of_classes() if noun} and texts.shape == (len(nouns), 16)


def test_a_bank_is_built_for_it_and_a_head_fitted(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(negatives, "FOLDER", tmp_path)
    load_bank.cache_clear()
    chance = np.random.default_rng(0)
    noise = [Image.fromarray(chance.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for _ in range(12)]
    save_bank([kept_regions(encoder, image, 12) for image in noise], encoder.fingerprint, negatives.bank_path(encoder.fingerprint), {})
    head, boxes = fit_head(encoder, FitRequest(kind="object", positives=[sight_of(encoder, thing("flag", n)) for n in range(3)]))
    assert head.encoder == encoder.fingerprint and len(boxes) == 3 and np.isfinite(head.biases).all()


def test_without_a_bank_it_is_told_how_to_build_one_before_anything_is_taught(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(negatives, "FOLDER", tmp_path)
    monkeypatch.setattr("myvlm_engine.recognition.encoders.load_encoder", lambda name, device: encoder)
    load_bank.cache_clear()
    with pytest.raises(NoBank, match=r"No negative bank for the encoder clip-1-tiny-.*negatives FOLDER --encoder NAME"):
        encoder_with_bank("clip")
    with pytest.raises(NoBank):
        load_engine(encoders=("clip",), device="cpu")


@pytest.mark.parametrize("name", ["clip:ViT-B-32", "clip:ViT-Z-99/openai", "clip:/openai"])
def test_a_clip_model_that_there_isn_t_is_told(name):
    with pytest.raises(ValueError, match=r"No CLIP model .* Name it MODEL/WEIGHTS as open_clip does, for instance ViT-B-32/laion2b"):
        load_encoder(name)


def test_weights_that_are_nowhere_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"aren't here and can't be fetched \(.*Start once with access to huggingface.co, or name a file"):
        load_encoder(f"clip:ViT-B-32/{tmp_path / 'none.safetensors'}")

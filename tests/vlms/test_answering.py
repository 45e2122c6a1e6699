"""The paths that members use, over every family: a caption and an answer with a concept that fired, names of absent ones, lower precision.
What these tiny random models say is nonsense, so what is checked is whose names are in it."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from vlms.tiny import FAMILIES, PROJECTORS, vectors  # noqa: E402

from myvlm_engine.engine import FiredConcept  # noqa: E402
from myvlm_engine.personalise.naming import answer  # noqa: E402
from myvlm_engine.vlms.base import Decoding, Target, generate  # noqa: E402

pytestmark = pytest.mark.slow
TEXTS = [Target(0, None, "Rex runs."), Target(1, "Who is it?", "Rex")]


@pytest.fixture(params=list(FAMILIES))
def vlm(request, loaded):
    return loaded(request.param)


def fired(vlm, name, noun, seed):
    return FiredConcept(name, noun, "pet", vectors(vlm, 1, seed).numpy(), None)


def test_whoever_fired_is_named_and_absent_ones_are_not(vlm, photos):
    view = vlm.views(photos[:1])[0]
    text, base, named = answer(vlm, view, None, [fired(vlm, "Rex", "dog", 1), fired(vlm, "Tom", "cat", 2)], ["Biscuit"])
    assert "Rex" in text and "Tom" in text and "Biscuit" not in text
    assert [n.name for n in named] == ["Rex", "Tom"] and base == generate(vlm, view)


def test_a_question_is_answered_without_absent_names(vlm, photos):
    text, _, named = answer(vlm, vlm.views(photos[:1])[0], "Is Rex asleep?", [fired(vlm, "Rex", "dog", 1)], ["Biscuit"])
    assert text and "Biscuit" not in text and [n.name for n in named] == ["Rex"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_in_the_precision_of_a_gpu_it_learns_and_speaks_too(family, dtype, tmp_path, photos, monkeypatch):
    """Half the bits on the CPU: the same code as on a GPU, so that no dtype is mixed up there. In float16 transformers leaves parts of a
    Q-Former and of T5 in float32."""
    from myvlm_engine.vlms import loading
    from myvlm_engine.vlms.base import load_vlm

    if family == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM2's processor needs num2words")
    name = FAMILIES[family].save(tmp_path / family)
    exact = load_vlm(name)
    monkeypatch.setattr(loading, "dtype_for", lambda device, published: dtype)
    half = load_vlm(name)
    assert half.dtype == str(dtype).removeprefix("torch.")
    assert half.model.get_output_embeddings().weight.dtype == dtype
    e = vectors(half, 2).requires_grad_(True)
    found = half.losses(half.views(photos[:2]), TEXTS, e, "Rex", attention=True)
    (found.cross_entropy.mean() + found.attention.mean()).backward()
    assert e.grad.dtype == torch.float32 and bool(e.grad.isfinite().all()) and e.grad.abs().sum() > 0
    with torch.no_grad():
        expected = exact.losses(exact.views(photos[:2]), TEXTS, e, "Rex", attention=True)
    torch.testing.assert_close(found.cross_entropy.detach(), expected.cross_entropy, rtol=0.15, atol=0.15)
    assert generate(half, half.views(photos[:1])[0], None, e.detach(), Decoding(max_tokens=4)) is not None


@pytest.mark.parametrize("family", ["idefics3", "internvl"])
def test_a_photo_is_one_tile_where_the_table_says_so(loaded, photos, family):
    vlm = loaded(family)
    assert sum(i == vlm.image_token for i in vlm._prompt(vlm.views(photos[3:])[0].state, None).ids) == 4


def test_the_table_has_a_row_for_every_family_and_no_other():
    from myvlm_engine.vlms import catalog, projector, qformer

    assert set(projector.FAMILIES) | set(qformer.FAMILIES) == set(catalog.FAMILIES)
    assert set(projector.FAMILIES) == set(PROJECTORS)
    assert all("{}" in row.question for row in (*projector.FAMILIES.values(), *qformer.FAMILIES.values()))

"""Every family of transformers on a CUDA GPU: what a CPU says in float32, real lack of memory, fewer bits. Tiny random models."""

import pytest

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("no CUDA GPU here: what only a GPU can show is not tested", allow_module_level=True)
pytest.importorskip("transformers")

from vlms.conftest import four_pictures  # noqa: E402
from vlms.tiny import FAMILIES, losses_and_gradient, vectors  # noqa: E402

from myvlm_engine.engine import FiredConcept  # noqa: E402
from myvlm_engine.errors import OutOfMemory  # noqa: E402
from myvlm_engine.personalise.naming import answer  # noqa: E402
from myvlm_engine.personalise.training import Together, learn_concept  # noqa: E402
from myvlm_engine.vlms import loading  # noqa: E402
from myvlm_engine.vlms.base import Target, load_vlm  # noqa: E402
from myvlm_engine.vlms.batches import Row  # noqa: E402

pytestmark = pytest.mark.slow
GPU = "cuda"
TARGETS = [Target(1, "Who?", "Rex"), Target(0, None, "Rex runs."), Target(1, None, "Here Rex sits on it.")]
QUICK = {"steps": 3, "check_every": 3, "early_stop": False, "augmented_per_photo": 1}


@pytest.fixture(scope="module", params=list(FAMILIES))
def folder(request, tmp_path_factory):
    if request.param == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM2's processor needs num2words")
    return FAMILIES[request.param].save(tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def on_cpu(folder):
    return load_vlm(folder)


@pytest.fixture(scope="module")
def exact(folder):
    """On the GPU in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "dtype_for", lambda device, published: torch.float32)
        return load_vlm(folder, GPU)


@pytest.fixture(autouse=True)
def not_rounded(monkeypatch):
    """Convolutions of float32 too, so that both devices can be compared."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="module")
def as_served(folder):
    return load_vlm(folder, GPU)


@pytest.fixture
def photos():
    return four_pictures()


def test_losses_maps_and_gradients_are_those_of_the_cpu(on_cpu, exact, photos):
    found = (losses_and_gradient(vlm, photos[:2], TARGETS, 2) for vlm in (on_cpu, exact))
    for cpu, gpu in zip(*found, strict=True):
        torch.testing.assert_close(gpu, cpu, atol=1e-3, rtol=1e-2)


def test_mixed_rows_lose_what_each_loses_alone(exact, photos):
    states = [view.state for view in exact.views(photos)]
    rows = [Row(s, None, "Rex runs.", vectors(exact, count), "Rex") for s, count in zip(states, (1, 0, 3, 2), strict=True)]
    with torch.no_grad():
        together = exact.row_losses(rows, attention=True)
        alone = [exact.row_losses([row], attention=True) for row in rows]
    torch.testing.assert_close(together.cross_entropy, torch.cat([a.cross_entropy for a in alone]), atol=1e-3, rtol=1e-3)


def test_base_answers_are_the_models_own_after_concepts_were_there(as_served, photos):
    view, none = as_served.views(photos[:1])[0], torch.zeros(0, as_served.width)
    before = as_served.candidates(view, None, none)
    as_served.candidates(view, None, vectors(as_served, 1))
    assert as_served.candidates(view, None, none) == before


def test_as_it_is_served_a_lesson_ends_and_the_name_is_said(as_served, photos):
    assert as_served.dtype == "bfloat16" or not torch.cuda.is_bf16_supported(including_emulation=False)
    steps = list(learn_concept(as_served, photos, "Rex", "dog", **QUICK))
    assert steps[-1].stage == "done" and all(torch.isfinite(torch.tensor([s.loss for s in steps if s.loss is not None])))
    vectors_of = {"Rex": ("dog", steps[-1].vector), "Tom": ("cat", vectors(as_served, 1).numpy())}
    fired = [FiredConcept(name, noun, "pet", e, None) for name, (noun, e) in vectors_of.items()]
    text, _, _ = answer(as_served, as_served.views(photos[:1])[0], None, fired, ["Biscuit"])
    assert "Rex" in text and "Tom" in text and "Biscuit" not in text


def test_two_that_learn_in_one_batch_become_what_each_becomes_alone(exact, photos):
    lesson = lambda together, name, some: learn_concept(exact, some, name, "dog", together=together, **QUICK)
    alone = [list(lesson(None, "Rex", photos[:2]))[-1].vector, list(lesson(None, "Tom", photos[2:]))[-1].vector]
    shared, ends = Together(), {}
    running = {"Rex": lesson(shared, "Rex", photos[:2]), "Tom": lesson(shared, "Tom", photos[2:])}
    while running:
        for name, steps in list(running.items()):
            if (told := next(steps, None)) is None:
                del running[name]
            else:
                ends[name] = told
    for name, vector in zip(("Rex", "Tom"), alone, strict=True):
        torch.testing.assert_close(torch.from_numpy(ends[name].vector), torch.from_numpy(vector), atol=5e-3, rtol=5e-2)


def test_where_the_gpus_memory_runs_out_the_batch_shrinks(as_served, photos, monkeypatch):
    """The real error of CUDA, asked for at the point where a large batch would meet it."""
    views, plain = as_served.views(photos), as_served.batch_losses
    targets = [Target(v, None, "Rex runs.") for v in range(4)]

    def hungry(rows, *more):
        if len(rows) > 1:
            torch.empty(1 << 45, dtype=torch.uint8, device=GPU)
        return plain(rows, *more)

    monkeypatch.setattr(as_served, "batch_size", 16)
    with torch.no_grad():
        whole = as_served.losses(views, targets, vectors(as_served, 1), "Rex", attention=False)
        monkeypatch.setattr(as_served, "batch_losses", hungry)
        parts = as_served.losses(views, targets, vectors(as_served, 1), "Rex", attention=False)
    assert as_served.batch_size == 1
    torch.testing.assert_close(parts.cross_entropy, whole.cross_entropy, atol=0.1, rtol=0.1)


def test_a_gpu_that_is_full_is_said_and_works_again_afterwards(as_served, photos, monkeypatch):
    views, e = as_served.views(photos[:1]), vectors(as_served, 1)
    plain = as_served.batch_losses

    def hungry(*_):
        torch.empty(1 << 45, dtype=torch.uint8, device=GPU)

    monkeypatch.setattr(as_served, "batch_size", 16)
    monkeypatch.setattr(as_served, "batch_losses", hungry)
    with pytest.raises(OutOfMemory):
        as_served.losses(views, [TARGETS[1]], e, "Rex", attention=False)
    monkeypatch.setattr(as_served, "batch_losses", plain)
    with torch.no_grad():
        assert as_served.losses(views, [TARGETS[1]], e, "Rex", attention=False).cross_entropy.isfinite().all()


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_fewer_bits_learn_and_speak_too(folder, bits, photos):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes isn't installed: 4 and 8 bits are not tested")
    vlm = load_vlm(f"{folder}@{bits}", GPU)
    steps = list(learn_concept(vlm, photos[:2], "Rex", "dog", **QUICK))
    assert steps[-1].stage == "done" and torch.from_numpy(steps[-1].vector).isfinite().all()
    fired = [FiredConcept("Rex", "dog", "pet", steps[-1].vector, None)]
    assert "Rex" in answer(vlm, vlm.views(photos[:1])[0], None, fired, [])[0]

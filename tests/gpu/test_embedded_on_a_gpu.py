"""The models that come with the program on a CUDA GPU, where `[engine] device = "auto"` puts them: they say what they say on a CPU."""

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("no CUDA GPU here: what only a GPU can show is not tested", allow_module_level=True)

from PIL import Image  # noqa: E402
from support.pictures import scene_photo, thing, toy_photo  # noqa: E402
from vlms.tiny import losses_and_gradient  # noqa: E402

from myvlm_engine.engine import FiredConcept, load_engine  # noqa: E402
from myvlm_engine.personalise.naming import answer  # noqa: E402
from myvlm_engine.personalise.training import learn_concept  # noqa: E402
from myvlm_engine.recognition.encoders import load_encoder  # noqa: E402
from myvlm_engine.vlms.base import Target, generate, load_vlm  # noqa: E402

pytestmark = pytest.mark.slow
TARGETS = [Target(1, "What is it?", "Rex"), Target(0, None, "Rex runs."), Target(1, None, "Rex sits on a sofa.")]


@pytest.fixture(scope="module")
def exactly():
    """Everything in float32, convolutions not rounded, so that both devices can be compared: a CPU may see in bfloat16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        for module in ("vlms.pocket", "recognition.encoders"):
            patch.setattr(f"myvlm_engine.{module}.half_is_fast", lambda device=None: False)
        yield


@pytest.fixture(scope="module")
def both(exactly):
    """The VLM on the CPU and on the GPU."""
    return load_vlm("pocket", "cpu"), load_vlm("pocket", "cuda")


@pytest.fixture(scope="module")
def photos():
    return [Image.open(io.BytesIO(data)).convert("RGB") for data in (toy_photo(1), toy_photo(2), scene_photo(3))]


def test_losses_maps_and_gradients_are_those_of_the_cpu(both, photos):
    found = (losses_and_gradient(vlm, photos[:2], TARGETS, 2) for vlm in both)
    for cpu, gpu in zip(*found, strict=True):
        assert (gpu - cpu).norm() <= 0.02 * cpu.norm()


def test_captions_and_answers_are_those_of_the_cpu(both, photos):
    said = [[generate(vlm, view, prompt) for view in vlm.views(photos) for prompt in (None, "What colour is it?")] for vlm in both]
    assert said[0] == said[1]


def test_it_starts_where_it_starts_on_a_cpu_and_learns_the_name(both, photos):
    cpu, gpu = both
    torch.testing.assert_close(gpu.starting_vectors("Rex", "toy rocket"), cpu.starting_vectors("Rex", "toy rocket"))
    steps = list(learn_concept(gpu, photos[:2], "Rex", "toy rocket", steps=10, check_every=5))
    fired = [FiredConcept("Rex", "toy rocket", "object", steps[-1].vector, None)]
    text, _, _ = answer(gpu, gpu.views(photos[:1])[0], None, fired, ["Biscuit"])
    assert steps[-1].stage == "done" and "Rex" in text and "Biscuit" not in text


def test_the_encoder_sees_what_it_sees_on_a_cpu(exactly):
    cpu, gpu = load_encoder("embedded", "cpu"), load_encoder("embedded", "cuda")
    assert cpu.fingerprint == gpu.fingerprint
    for image in (thing("flag", 1), thing("disc", 2)):
        for look in ("see", "see_from_afar"):
            one, other = getattr(cpu, look)(image), getattr(gpu, look)(image)
            assert one.boxes == other.boxes
            cosines = (one.vectors.astype(np.float32) * other.vectors.astype(np.float32)).sum(1)
            assert cosines.min() > 0.999
        places = [(0.1, 0.1, 0.4, 0.5)]
        assert gpu.see_closer(image, places).vectors.shape == cpu.see_closer(image, places).vectors.shape
        assert gpu.noun_hint(image) == cpu.noun_hint(image)


def test_faces_are_found_on_it():
    pytest.importorskip("facenet_pytorch", reason="facenet-pytorch isn't installed: faces on a GPU are not tested")
    from myvlm_engine.recognition.faces import FaceFinder

    assert FaceFinder("cuda").found(thing("flag", 1))[1] == []


def test_auto_is_the_gpu_for_everything():
    engine = load_engine()
    assert engine.parts.device.startswith("cuda") and engine.parts.lessons > 1

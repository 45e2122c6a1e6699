"""What load_vlm says of models that can't be loaded: each a sentence that tells what to do."""

import json
import sys
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from vlms.tiny import PROJECTORS  # noqa: E402

from myvlm_engine.vlms import loading  # noqa: E402
from myvlm_engine.vlms.base import load_vlm  # noqa: E402


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llava")
    PROJECTORS["llava"].save(folder)
    return folder


@pytest.fixture
def folder(source, tmp_path):
    """A copy that a test may spoil."""
    import shutil

    return shutil.copytree(source, tmp_path / "llava")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("llava-99", "No VLM 'llava-99'. Known: pocket, blip2-opt-2.7b"),
        ("llava-1.5-7b", "llava-1.5-7b isn't on this machine. Run `myvlm models install llava-1.5-7b`"),
        ("llava-hf/llava-1.5-7b-hf", "llava-1.5-7b isn't on this machine. Run `myvlm models install llava-1.5-7b`"),
        ("llava", "llava is a family: name a model of it as llava:FOLDER"),
        ("llava:/nowhere", "There is no folder /nowhere"),
        ("pocket@3bit", "No VLM 'pocket@3bit'"),
    ],
)
def test_a_name_that_leads_nowhere_is_said(name, says):
    with pytest.raises(ValueError, match=says):
        load_vlm(name)


def test_weights_cut_short_are_said(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"is cut short: it has .* bytes\. Copy the model's files there once more"):
        load_vlm(f"llava:{folder}")


def test_a_folder_of_another_family_is_said(folder):
    with pytest.raises(ValueError, match=f"of the type 'llava', which isn't qwen3-vl. Name it llava:{folder}"):
        load_vlm(f"qwen3-vl:{folder}")


def test_a_tokenizer_that_is_missing_is_said(folder):
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match="can't be loaded from"):
        load_vlm(f"llava:{folder}")


def test_tensors_that_are_missing_are_said_instead_of_made_up(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    name = next(n for n in tensors if "projector" in n)
    save_file({n: x for n, x in tensors.items() if n != name}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 of the model's tensors \(.*projector"):
        load_vlm(f"llava:{folder}")


def test_smaller_bits_need_bitsandbytes_and_a_gpu(folder, monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="llava@4bit needs the package bitsandbytes: `pip install bitsandbytes`"):
        load_vlm(f"llava:{folder}@4bit", "cuda")
    monkeypatch.setattr(loading, "find_spec", lambda name: object())
    with pytest.raises(ValueError, match="llava@8bit needs a CUDA GPU and this engine runs on cpu"):
        load_vlm(f"llava:{folder}@8bit", "cpu")


def test_a_model_too_large_for_the_gpu_is_said(folder, monkeypatch):
    import transformers

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(transformers.AutoModelForImageTextToText, "from_pretrained", full)
    with pytest.raises(ValueError, match=r"doesn't fit into the memory of cpu. Try llava:.*@4bit, or a smaller model"):
        load_vlm(f"llava:{folder}")


@pytest.mark.parametrize(("bfloat16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_the_dtype_is_what_the_machine_multiplies_fast(monkeypatch, bfloat16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16 and not including_emulation)
    for published in ("float16", "float32", ""):
        assert loading.dtype_for("cuda:1", published) == expected
        assert loading.dtype_for("mps", published) == torch.float16 and loading.dtype_for("cpu", published) == torch.float32


def test_what_was_published_in_bfloat16_is_never_narrowed_to_float16(monkeypatch):
    """Gemma 3 and Qwen2.5-VL leave its range."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert loading.dtype_for("cuda", "bfloat16") == loading.dtype_for("mps", "bfloat16") == torch.bfloat16
    assert loading.dtype_for("cpu", "bfloat16") == torch.float32


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"torch_dtype": "bfloat16"}, "bfloat16"),
        ({"dtype": "float16", "text_config": {"dtype": "bfloat16"}}, "float16"),
        ({"text_config": {"torch_dtype": "bfloat16"}}, "bfloat16"),
        ({}, ""),
    ],
)
def test_the_dtype_of_publication_is_read_where_releases_put_it(tmp_path, config, found):
    from myvlm_engine.vlms.folder import published_dtype

    (tmp_path / "config.json").write_text(json.dumps(config))
    assert published_dtype(tmp_path) == found


def test_processor_files_older_than_the_model_are_said_at_once(folder):
    """Releases before transformers 4.45 don't say how large a patch is."""
    file = folder / "processor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"patch_size": None}))
    with pytest.raises(ValueError, match=r"was loaded and can't look at a picture: .*processor's or tokenizer's files may be older"):
        load_vlm(f"llava:{folder}")


def test_numbers_out_of_range_are_said_at_once(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors[next(n for n in tensors if "lm_head" in n)] *= 1e38
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"leaves the range of float32 on cpu\. Choose another model from `myvlm models list`"):
        load_vlm(f"llava:{folder}")


def test_a_photo_for_which_no_memory_is_left_is_said(folder, monkeypatch):
    from myvlm_engine.vlms.projector import ProjectorVlm

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(ProjectorVlm, "batch_losses", full)
    with pytest.raises(ValueError, match=r"and a photo don't fit into the memory of cpu\. Try llava:.*@4bit"):
        load_vlm(f"llava:{folder}")


def test_four_bits_are_asked_of_transformers(monkeypatch):
    from myvlm_engine.vlms.catalog import parsed

    monkeypatch.setattr(loading, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "bitsandbytes", SimpleNamespace())
    asked = loading.quantisation(parsed("llava-1.5-7b@4bit"), "cuda", torch.bfloat16)["quantization_config"]
    assert asked.load_in_4bit and asked.bnb_4bit_compute_dtype == torch.bfloat16


def test_the_fingerprint_follows_the_weights(folder):
    first = load_vlm(f"llava:{folder}").fingerprint
    assert load_vlm(f"llava:{folder}").fingerprint == first
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors[sorted(tensors)[0]].view(-1)[0] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_vlm(f"llava:{folder}").fingerprint != first

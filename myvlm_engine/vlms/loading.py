"""Models of transformers from a folder: device, dtype and quantisation as the machine has them, then the family's class around it.

Never goes to the network. Knows no family: what differs between them is in projector.py and qformer.py.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..errors import OutOfMemory, as_engine_error
from .base import Target, Vlm
from .catalog import FAMILIES, MODELS, Wanted, family_of, folder_of
from .folder import check_folder, published_dtype, weights_hash
from .patches import flatten_patches


class CantLoad(ValueError):
    """The model can't be loaded; the message says why and what to do."""


def load_from_transformers(wanted: Wanted, device: str) -> Vlm:
    """Errors: CantLoad or Incomplete, ValueErrors with a sentence."""
    folder, family = folder_of(wanted), family_of(wanted)
    if wanted.folder is None:
        if wanted.name not in MODELS:
            raise CantLoad(f"{wanted.name} is a family: name a model of it as {wanted.name}:FOLDER, or one from `myvlm models list`.")
        if not folder.exists():
            raise CantLoad(f"{wanted.name} isn't on this machine. Run `myvlm models install {wanted.name}` and start again.")
    check_folder(folder, family, what_to_do(wanted))
    dtype = dtype_for(device, published_dtype(folder))
    model, processor = from_folder(wanted, folder, device, {"dtype": dtype, **quantisation(wanted, device, dtype)})
    vlm: Vlm = _make(family)(model, processor, family, str(wanted), f"{wanted}-{weights_hash(folder)}")
    try_once(vlm, wanted, device, dtype)
    return vlm


def what_to_do(wanted: Wanted) -> str:
    if wanted.folder is None:
        return f"Run `myvlm models install {wanted.name}` again."
    return "Copy the model's files there once more."


def _make(family: str) -> Any:
    if FAMILIES[family].seam == "qformer":
        from .qformer import make_qformer

        return make_qformer
    from .projector import make_projector

    return make_projector


def dtype_for(device: str, published: str) -> torch.dtype:
    """float32 on a CPU; on a GPU what it multiplies fast. A model published in bfloat16 stays in it on every GPU, however slow: numbers of
    Gemma 3 (huggingface/transformers#36822) and of Qwen2.5-VL (vllm-project/vllm#13817) leave the range of float16."""
    kind = device.split(":")[0]
    if kind not in ("cuda", "mps"):
        return torch.float32
    fast = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast or published == "bfloat16" else torch.float16


def quantisation(wanted: Wanted, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """What from_pretrained takes for "@4bit" and "@8bit". Errors: CantLoad."""
    if wanted.quantised is None:
        return {}
    if find_spec("bitsandbytes") is None:
        raise CantLoad(f"{wanted} needs the package bitsandbytes: `pip install bitsandbytes`, or leave out @{wanted.quantised}.")
    if not device.startswith("cuda"):
        raise CantLoad(f"{wanted} needs a CUDA GPU and this engine runs on {device}. Leave out @{wanted.quantised}.")
    from transformers import BitsAndBytesConfig

    four = {"load_in_4bit": True, "bnb_4bit_compute_dtype": dtype, "bnb_4bit_quant_type": "nf4"}
    return {"quantization_config": BitsAndBytesConfig(**(four if wanted.quantised == "4bit" else {"load_in_8bit": True}))}


def from_folder(wanted: Wanted, folder: Path, device: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """Model and processor. Errors: CantLoad."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder, device_map=device, local_files_only=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        if isinstance(as_engine_error(error), OutOfMemory):
            raise CantLoad(f"{wanted} doesn't fit into the memory of {device}. {_smaller(wanted)}") from error
        raise CantLoad(f"{wanted} can't be loaded from {folder}: {_first_line(error)}") from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise CantLoad(f"{folder} lacks {len(missing)} of the model's tensors ({missing[0]} …). {what_to_do(wanted)}")
    if device.startswith("cuda"):  # elsewhere every bit stays what the model's own class gives
        flatten_patches(model)
    return model, processor


def try_once(vlm: Vlm, wanted: Wanted, device: str, dtype: torch.dtype) -> None:
    """One picture looked at and one sentence read, a concept among its tokens, so that what machine and files can't do together is said
    here and not in the first answer. Errors: CantLoad."""
    picture, e = Image.radial_gradient("L").convert("RGB"), torch.ones(1, vlm.width)
    try:
        with torch.no_grad():
            lost = vlm.losses(vlm.views([picture]), [Target(0, None, "A photo.")], e, "", attention=True)
    except Exception as error:  # whatever files of another release, or of another model, lead to
        if isinstance(as_engine_error(error), OutOfMemory):
            raise CantLoad(f"{wanted} and a photo don't fit into the memory of {device}. {_smaller(wanted)}") from error
        hint = "Its processor's or tokenizer's files may be older than its weights: get them again from where the weights are from."
        raise CantLoad(f"{wanted} was loaded and can't look at a picture: {_first_line(error)}. {hint}") from error
    if not bool(lost.cross_entropy.isfinite().all()):
        told = str(dtype).removeprefix("torch.")
        raise CantLoad(f"{wanted} leaves the range of {told} on {device}. Choose another model from `myvlm models list`.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _smaller(wanted: Wanted) -> str:
    if wanted.quantised == "4bit":
        return "Choose a smaller model from `myvlm models list`."
    return f"Try {wanted.name}{f':{wanted.folder}' if wanted.folder else ''}@4bit, or a smaller model from `myvlm models list`."

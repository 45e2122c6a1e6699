"""Models of transformers from a folder: device, dtype and quantisation as the machine has them, then the family's class around it.

Never goes to the network. Knows no family: what differs between them is in projector.py and qformer.py.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from .base import Vlm
from .catalog import FAMILIES, MODELS, Wanted, family_of, folder_of
from .folder import check_folder, weights_hash


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
    options = quantisation(wanted, device)
    model, processor = from_folder(wanted, folder, device, options)
    return _make(family)(model, processor, family, str(wanted), f"{wanted}-{weights_hash(folder)}")


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


def dtype_for(device: str) -> torch.dtype:
    """float32 on a CPU; on a GPU what it multiplies fast."""
    kind = device.split(":")[0]
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16 if kind == "mps" else torch.float32


def quantisation(wanted: Wanted, device: str) -> dict[str, Any]:
    """What from_pretrained takes for "@4bit" and "@8bit". Errors: CantLoad."""
    if wanted.quantised is None:
        return {}
    if find_spec("bitsandbytes") is None:
        raise CantLoad(f"{wanted} needs the package bitsandbytes: `pip install bitsandbytes`, or leave out @{wanted.quantised}.")
    if not device.startswith("cuda"):
        raise CantLoad(f"{wanted} needs a CUDA GPU and this engine runs on {device}. Leave out @{wanted.quantised}.")
    from transformers import BitsAndBytesConfig

    four = {"load_in_4bit": True, "bnb_4bit_compute_dtype": dtype_for(device), "bnb_4bit_quant_type": "nf4"}
    return {"quantization_config": BitsAndBytesConfig(**(four if wanted.quantised == "4bit" else {"load_in_8bit": True}))}


def from_folder(wanted: Wanted, folder: Path, device: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """Model and processor. Errors: CantLoad."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype_for(device), device_map=device, local_files_only=True, output_loading_info=True, **options
        )
    except torch.OutOfMemoryError as error:
        raise CantLoad(f"{wanted} doesn't fit into the memory of {device}. {_smaller(wanted)}") from error
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CantLoad(f"{wanted} can't be loaded from {folder}: {said}") from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise CantLoad(f"{folder} lacks {len(missing)} of the model's tensors ({missing[0]} …). {what_to_do(wanted)}")
    return model, processor


def _smaller(wanted: Wanted) -> str:
    if wanted.quantised == "4bit":
        return "Choose a smaller model from `myvlm models list`."
    return f"Try {wanted.name}{f':{wanted.folder}' if wanted.folder else ''}@4bit, or a smaller model from `myvlm models list`."

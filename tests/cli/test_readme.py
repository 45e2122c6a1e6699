"""The README says what is true: its commands, its room map, its links to files."""

import re
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from bot.cli import app

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
sys.path.insert(0, str(REPOSITORY / "docs"))


def test_the_room_map_is_current():
    import room_map

    assert room_map.with_map(README) == README, "run `make room-map`"


@pytest.mark.parametrize("words", sorted(set(re.findall(r"myvlm ((?:eval |models |store )?[a-z]+)", README))))
def test_its_commands_exist(words):
    command = get_command(app)
    for word in words.split():
        command = command.commands[word]


def test_every_command_is_in_it():
    for name, command in get_command(app).commands.items():
        for words in [f"{name} {sub}" for sub in getattr(command, "commands", {})] or [name]:
            assert f"myvlm {words}" in README


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z-]+)", README))))
def test_its_make_targets_exist(target):
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


LINKS = set(re.findall(r"\]\(([^)h][^)]*)\)", README)) | set(re.findall(r"`((?:bot|tests)/[a-z_/]+\.py)`", README))


@pytest.mark.parametrize("path", sorted(LINKS))
def test_the_files_it_points_to_exist(path):
    assert (REPOSITORY / path).is_file()

"""docs/gpu.md stays true: its commands exist, with these options, for models of the table, and no family is left out."""

import re
import shlex
from pathlib import Path

import pytest

from myvlm_engine.vlms.catalog import FAMILIES, MODELS

PAGE = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"`(myvlm eval concepts [^`]+)`", PAGE)
MEASURED = [shlex.split(c) for c in COMMANDS if "--vlm" in c]


def test_every_family_has_its_command():
    named = {MODELS[c[c.index("--vlm") + 1]].family for c in MEASURED}
    assert named == set(FAMILIES)


def test_its_commands_have_options_and_methods_that_exist():
    from typer.main import get_command

    from bot.cli import app
    from myvlm_engine.methods import METHODS

    command = get_command(app).commands["eval"].commands["concepts"]
    known = {option for parameter in command.params for option in parameter.opts}
    for words in MEASURED:
        assert {w for w in words if w.startswith("--")} <= known
        assert words[words.index("--method") + 1] in METHODS
    ablations = re.search(r"--method ([\w,-]+)\n```", PAGE)
    assert set(ablations[1].split(",")) <= set(METHODS)


def test_every_model_it_names_is_in_the_table():
    for name in re.findall(r"models install (\S+)", PAGE):
        assert name in MODELS


def test_the_recipes_are_what_it_says():
    pytest.importorskip("torch")
    from myvlm_engine.vlms.projector import LLAVA_RECIPE
    from myvlm_engine.vlms.qformer import BLIP2_RECIPE

    assert (BLIP2_RECIPE.steps, BLIP2_RECIPE.steps_people, BLIP2_RECIPE.regulariser, BLIP2_RECIPE.rate) == (75, 100, 0.04, 1.0)
    assert (LLAVA_RECIPE.steps, LLAVA_RECIPE.steps_people, LLAVA_RECIPE.regulariser, LLAVA_RECIPE.rate) == (100, 100, 0.0075, 1.0)

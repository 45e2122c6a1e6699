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


def here(title):
    """How it is here, by the list of what differs."""
    return " ".join(re.search(rf"- \*\*{title}\.\*\*(.+?)(\n- |\n\n)", PAGE, re.DOTALL)[1].split()).split(" Here: ")[1]


def test_what_differs_from_the_paper_differs_as_it_says():
    pytest.importorskip("torch")
    from dataclasses import fields
    from types import SimpleNamespace

    from PIL import Image

    from myvlm_engine.personalise.augmentation import BRIGHTNESS, ROTATION_DEGREES
    from myvlm_engine.personalise.targets import DRAFTS, draft_answers
    from myvlm_engine.personalise.training import Options, options_for
    from myvlm_engine.vlms.base import Decoding
    from myvlm_engine.vlms.projector import FAMILIES as PROJECTORS
    from myvlm_engine.vlms.qformer import BLIP2_RECIPE

    vlm = SimpleNamespace(recipe=BLIP2_RECIPE, width=8, candidates=lambda *_: ["the dog is there"])
    options = options_for(vlm, "pet")
    answers = draft_answers(vlm, Image.new("RGB", (8, 8)), "Rex", "dog", options.questions_per_photo)
    said = here("Sentences of a photo")
    assert f"up to {DRAFTS} captions" in said and f"{len(answers)} answers" in said
    assert f"to {options.questions_per_photo} questions" in said
    assert answers[-1].prompt == "Who is this?" and len(answers) > DRAFTS
    assert [f.name for f in fields(Options) if "regulariser" in f.name] == ["regulariser"]  # one lambda for captions and answers
    assert f"{options.augmented_per_photo} copies" in here("Views") and f"{options.views_per_step} of these" in here("Views")
    assert options.held_per_photo == 1 and "One more copy" in here("Views")
    assert f"brightness ±{BRIGHTNESS}, rotation ±{ROTATION_DEGREES:.0f}°" in here("Variations")
    end = here("The end")
    assert options.early_stop and f"every {options.check_every} steps" in end and f"probability of {options.name_probability}" in end
    assert f"{Decoding.beams} beams, at most {Decoding.max_tokens} tokens" in here("Decoding")
    assert PROJECTORS["llava"].caption_prompt in here("Prompt of a caption")
    own = " ".join(PAGE[PAGE.index("The embedded model has settings") :].split())
    assert f"at most {Options.steps} steps, learning rate {Options.rate}, λ = {Options.regulariser} " in own
    assert Options.questions_per_photo == 0 and "no questions" in own

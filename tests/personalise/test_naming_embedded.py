"""Names on the embedded VLM, real weights: said when somebody fired, never when nobody did. Noun and name stand for an embedding."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402
from support.pictures import scene_photo, toy_photo  # noqa: E402

from myvlm_engine.personalise.naming import answer  # noqa: E402
from myvlm_engine.vlms.base import Decoding, generate  # noqa: E402
from myvlm_engine.vlms.name_rule import NameRule  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def vlm():
    from myvlm_engine.pocket.weights import PocketMissing
    from myvlm_engine.vlms.pocket import load_pocket

    try:
        return load_pocket()
    except PocketMissing as missing:
        pytest.skip(f"LOUD: the embedded VLM isn't installed: {missing}")


@pytest.fixture(scope="module")
def views(vlm):
    return vlm.views([Image.open(io.BytesIO(data)).convert("RGB") for data in (toy_photo(1), scene_photo(2))])


def known(vlm, name, noun):
    return SimpleNamespace(name=name, class_noun=noun, embedding=vlm.starting_vectors(name, noun).numpy())


def test_the_guard_lets_everything_else_through_unchanged(vlm, views):
    for view in views:
        assert vlm.candidates(view, None, torch.zeros(0, vlm.width), Decoding(forbidden=("Xyzzy",), candidates=3)) == vlm.candidates(
            view, None, torch.zeros(0, vlm.width), Decoding(candidates=3)
        )


def test_no_word_of_the_base_caption_can_be_said_once_it_is_an_absent_name(vlm, views):
    base = generate(vlm, views[1])
    words = [w.strip(".,").title() for w in base.split() if len(w) > 2]
    text, base_text, _ = answer(vlm, views[1], None, [], words)
    assert base_text == base and NameRule(tuple(words)).broken_by(text) is None and len(text.split()) > 1


@pytest.mark.parametrize("names", [["Biscuit"], ["Biscuit", "Anna"], ["Biscuit", "Anna", "Corgi Joe", "Gustav"]])
def test_up_to_four_at_once_are_all_named_and_an_absent_one_is_not(vlm, views, names):
    nouns = ["toy", "woman", "dog", "cup"]
    concepts = [known(vlm, name, noun) for name, noun in zip(names, nouns, strict=False)]
    text, _, named = answer(vlm, views[0], None, concepts, ["Rex", "Joe"])
    assert all(name in text for name in names) and all(n.how == "embedding" for n in named)
    assert NameRule(("Rex", "Joe"), tuple(names)).broken_by(text) is None


def test_yes_or_no_is_answered_so(vlm, views):
    assert answer(vlm, views[0], "Is Biscuit on the floor?", [known(vlm, "Biscuit", "toy")], [])[0] in ("Yes.", "No.")

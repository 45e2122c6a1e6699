"""Which of the embedded VLM's captions is said first: the drafters' or a beam of the language model. No weights: costs are handed in."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from myvlm_engine.pocket.dataset import labelled_pet  # noqa: E402
from myvlm_engine.pocket.vision import imagenet_names  # noqa: E402
from myvlm_engine.vlms.base import Losses  # noqa: E402
from myvlm_engine.vlms.pocket import PocketVlm  # noqa: E402

LOOKING, WOOD, TEDDY = "A cat is looking at the camera.", "A photo of a wood rabbit.", "A photo of a teddy."


def said_first(draft: str, cost: float, **beams: float) -> list[str]:
    """`beams`: text with underscores -> its cost."""
    costs = {draft: cost} | {text.replace("_", " "): beam for text, beam in beams.items()}
    losses = lambda views, targets, *_, **__: Losses(torch.tensor([costs[t.text] for t in targets]), torch.zeros(0), torch.zeros(0))
    stand = SimpleNamespace(width=4, losses=losses)
    return PocketVlm._said_first(stand, None, draft, [text for text in costs if text != draft])


@pytest.mark.parametrize(
    ("draft", "cost", "beams", "first"),
    [
        ("Two men play guitar.", 0.9, {"A man sings.": 0.6}, ["Two men play guitar."]),  # believed
        ("Two men play guitar.", 1.0, {TEDDY: 0.6}, []),  # not believed: the beams as they are
        ("A cat at home.", 0.5, {LOOKING: 0.4, "A close-up of a cat.": 0.3}, [LOOKING]),
        ("A dog at home.", 0.9, {"A dog is looking at the camera.": 0.75, "A dog runs on the grass.": 0.7}, ["A dog runs on the grass."]),
        ("A cat at home.", 0.79, {WOOD: 0.51, LOOKING: 0.59}, [LOOKING]),  # drafters know pets better than beams do
        ("A cat at home.", 0.5, {"A close-up of a cat.": 0.3, WOOD: 0.3}, ["A close-up of a cat."]),
        ("A close-up of a cat.", 0.67, {TEDDY: 0.37, "A photo of a stuffed animal.": 0.77}, ["A close-up of a cat."]),
        ("A cat is looking at the camera.", 0.6, {"A photo of a piggy bank.": 0.23}, []),
    ],
)
def test_a_draft_that_only_tells_a_pets_label_gives_way_to_what_says_more(draft, cost, beams, first):
    assert said_first(draft, cost, **beams) == first


def test_sentences_of_labelled_photos_are_told_from_captions():
    assert labelled_pet("A dog at home.") == "dog" and labelled_pet("A close-up of a cat.") == "cat"
    assert labelled_pet("A dog runs at home.") is None and labelled_pet("A photo of a mug.") is None


@pytest.mark.parametrize(
    ("draft", "seen", "told"),
    [
        ("a cat is looking at the camera", {"teddy": 0.3, "tabby cat": 0.1}, "a photo of a teddy"),
        ("two dogs are running in the woods", {"analog clock": 0.2, "Pembroke dog": 0.05}, "a photo of an analog clock"),
        ("a man and a dog are swimming", {"sandbar": 0.3, "Pembroke dog": 0.1, "tabby cat": 0.06}, "a man and a dog are swimming"),
        ("a hotdog stand at a concert", {"teddy": 0.9}, "a hotdog stand at a concert"),  # no pet is spoken of
        ("a woman in a red hat", {"teddy": 0.9}, "a woman in a red hat"),
        ("a person in a white and white and white and black helmet", {"mask": 0.1}, "a person in a white and black helmet"),
        ("a man in front of a large large large wall", {"mask": 0.1}, "a man in front of a large wall"),
        ("a person wearing a white helmet is sitting on a", {"crash helmet": 0.1}, "a photo of a crash helmet"),
        ("a black and white train and a man in white", {"mask": 0.1}, "a black and white train and a man in white"),
    ],
)
def test_a_draft_is_mended_or_gives_way_to_what_the_classifier_sees(draft, seen, told):
    names = imagenet_names()
    probabilities = torch.zeros(1000)
    for name, probability in seen.items():
        probabilities[names.index(name)] = probability
    trained = SimpleNamespace(drafter=SimpleNamespace(drafts=lambda tokens, second: [draft]), second=None)
    assert PocketVlm._draft(SimpleNamespace(trained=trained, names=names), None, probabilities) == told

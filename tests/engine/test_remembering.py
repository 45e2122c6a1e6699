"""What methods that are compared share: views and the base model's words, once each; nothing a concept has a part in."""

from __future__ import annotations

import io

import torch
from engine_fakes import FakeVlm, picture
from PIL import Image

from myvlm_engine.remembering import Memory, remembering
from myvlm_engine.vlms.base import Decoding


class Counting(FakeVlm):
    def __init__(self):
        super().__init__()
        self.seen, self.spoken = 0, []

    def views(self, images):
        self.seen += len(images)
        return super().views(images)

    def candidates(self, view, prompt, concepts, decoding=None):
        self.spoken.append((prompt, len(concepts), decoding))
        return super().candidates(view, prompt, concepts, decoding)


def opened(colour: str) -> Image.Image:
    return Image.open(io.BytesIO(picture(colour)))


NONE, ONE = torch.zeros(0, 8), torch.ones(1, 8)


def test_a_picture_is_seen_once_whoever_asks():
    vlm, memory = Counting(), Memory()
    first, second = remembering(vlm, memory), remembering(vlm, memory)
    red, blue, again = first.views([opened("red"), opened("blue"), opened("red")])
    assert vlm.seen == 2 and again is red and blue.state == "blue"
    assert second.views([opened("blue")]) == [blue] and vlm.seen == 2


def test_the_base_model_says_a_thing_once_and_concepts_are_heard_every_time():
    vlm = Counting()
    stands = remembering(vlm, Memory())
    view = stands.views([opened("red")])[0]
    said = [stands.candidates(view, None, NONE) for _ in range(3)]
    assert said[0] == said[2] == ["A red ball on the floor."] and len(vlm.spoken) == 1
    said[0].append("mine")
    assert stands.candidates(view, None, NONE) == ["A red ball on the floor."]
    stands.candidates(view, None, NONE, Decoding(beams=1))
    stands.candidates(view, "What is it?", NONE)
    assert len(vlm.spoken) == 3
    stands.candidates(view, None, ONE)
    stands.candidates(view, None, ONE)
    assert len(vlm.spoken) == 5


def test_everything_else_is_the_vlm_s_own():
    vlm = Counting()
    stands = remembering(vlm, Memory())
    assert (stands.width, stands.fingerprint, stands.norm_matching) == (8, vlm.fingerprint, True)
    assert stands.asked is vlm.asked

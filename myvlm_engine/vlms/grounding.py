"""Where a grounding VLM says that things of a kind are: each family's own question, and what it answers read as boxes. Text only.

Which of several dogs Biscuit is, is for the heads to say; where a dog ends, such a VLM knows better than windows of a grid do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..messages import Box

Size = tuple[int, int]  # (width, height) px of the photo as the model sees it
Read = Callable[[str, Size], list[Box]]


class Verbatim(str):
    """A prompt that goes to the model as it stands: no family puts its usual words around it."""


@dataclass(frozen=True)
class Grounding:
    """How one family is asked for boxes."""

    question: str  # {} stands for the class noun
    read: Read
    max_tokens: int = 200  # of the answer: about eight boxes

    def asked(self, class_noun: str) -> Verbatim:
        return Verbatim(self.question.format(class_noun))


def json_boxes(text: str, scale: Size) -> list[Box]:
    """Of `[{"bbox_2d": [left, top, right, bottom], …}, …]`, however it is wrapped or broken off; numbers are parts of `scale`."""
    found = [[float(n) for n in re.findall(NUMBER, sides)] for sides in re.findall(r'"bbox_2d"\s*:\s*\[([^\]]*)\]', text)]
    width, height = scale
    return proper([(s[0] / width, s[1] / height, s[2] / width, s[3] / height) for s in found if len(s) == 4])


def json_thousandths(text: str, size: Size) -> list[Box]:
    """The same with thousandths of the photo's sides."""
    return json_boxes(text, (1000, 1000))


def location_tokens(text: str, size: Size) -> list[Box]:
    """Of `<loc0256><loc0128><loc0768><loc0512> dog ; …`: top, left, bottom, right in parts of 1,024."""
    sides = [int(n) / 1024 for n in re.findall(r"<loc(\d{4})>", text)]
    fours = [sides[at : at + 4] for at in range(0, len(sides) - 3, 4)]
    return proper([(left, top, right, bottom) for top, left, bottom, right in fours])


def proper(boxes: Sequence[Box]) -> list[Box]:
    """Those that have an area, cut at the photo's edges."""
    inside = [(max(0.0, left), max(0.0, top), min(1.0, right), min(1.0, bottom)) for left, top, right, bottom in boxes]
    return [box for box in inside if box[0] < box[2] and box[1] < box[3]]


NUMBER = r"-?\d+(?:\.\d+)?"
EVERY = "Locate every {} in this image and output the bbox coordinates in JSON format."
QWEN2_5 = Grounding(EVERY, json_boxes)  # pixels of the photo as it was resized (github.com/QwenLM/Qwen3-VL/issues/676)
QWEN3 = Grounding(EVERY, json_thousandths)  # thousandths again (issues/1486)
PALIGEMMA = Grounding("detect {}", location_tokens)

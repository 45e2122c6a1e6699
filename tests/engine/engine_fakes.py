"""A small engine that enters by the same door as the real one: a colour-seeing encoder, a colour-naming VLM, a slow teacher.

Run as a script it is an engine process: `python engine_fakes.py --port 0`. Knows no weights; loads no torch.
"""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from PIL import Image

from myvlm_engine import messages
from myvlm_engine.engine import Engine, Parts
from myvlm_engine.messages import Head, NamedConcept, pack

VLM = "colours-0000"
ENCODER = "eyes-1111"
WIDTH = 8


def picture(colour: str = "red", size: tuple[int, int] = (64, 48), form: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, form)
    return file.getvalue()


def photo(colour: str = "red") -> str:
    return base64.b64encode(picture(colour)).decode()


class FakeEncoder:
    fingerprint, width = ENCODER, 3

    def see(self, image: Image.Image):
        mean = np.asarray(image, dtype=np.float32).reshape(-1, 3).mean(0) + 1
        return np.stack([mean / np.linalg.norm(mean)]), [(0.0, 0.0, 1.0, 1.0)]

    def noun_hint(self, image: Image.Image) -> str | None:
        return "ball"


@dataclass
class FakeVlm:
    name: str = "colours"
    fingerprint: str = VLM
    width: int = WIDTH
    embedding_norm: float = 1.0
    norm_matching: bool = True
    asked: list[str] = field(default_factory=list)

    def views(self, images):
        return [SimpleNamespace(state=main_colour(image)) for image in images]

    def candidates(self, view, prompt, concepts, decoding=None) -> list[str]:
        self.asked += [prompt] if prompt else []
        return [view.state if prompt else f"A {view.state} ball on the floor."]


def main_colour(image: Image.Image) -> str:
    pixel = image.resize((1, 1)).getpixel((0, 0))
    return max(zip(pixel, ("red", "green", "blue"), strict=True))[1]


@dataclass
class Teacher:
    """Takes `steps` steps of `step_s` each; remembers what it was given and whether it was broken off."""

    steps: int = 12
    step_s: float = 0.0
    fails_at: int | None = None
    error: Exception = field(default_factory=lambda: RuntimeError("secret words"))
    given: dict = field(default_factory=dict)
    lessons: int = 0
    broken_off_at: int | None = None

    def __call__(self, vlm, photos, **given) -> Iterator[SimpleNamespace]:
        self.given, self.lessons = {"photos": photos, **given}, self.lessons + 1
        vector = np.zeros((1, WIDTH), np.float32) if given["resume"] is None else np.asarray(given["resume"])
        for step in range(1, self.steps + 1):
            if step == self.fails_at:
                raise self.error
            time.sleep(self.step_s)
            vector = vector + 1
            stage = "done" if step == self.steps else "learning"
            try:
                yield SimpleNamespace(
                    stage=stage,
                    step=step,
                    of=self.steps,
                    loss=1 / step,
                    sample=f"{given['name']} at step {step}",
                    vector=vector,
                    standing=None,
                    noun_seen=True,
                )
            except GeneratorExit:
                self.broken_off_at = step
                raise


def fit_fake_head(encoder, request):
    positives = np.concatenate([s.array() for s in request.positives])
    head = Head(
        encoder=encoder.fingerprint, width=encoder.width, vectors=pack(positives.mean(0), "float32"), biases=[-0.5], slope=10, offset=0
    )
    return head, [s.boxes[0] for s in request.positives]


def answer_fake(vlm, view, question, concepts, absent_names, guided=True):
    base = f"a {view.state} ball" if question is None else f"yes, {view.state}"
    names = [c.name for c in concepts]
    how = ["substitution" if c.embedding is None else "embedding" for c in concepts]
    return " and ".join([*names, base]), base, [NamedConcept(name=n, how=h) for n, h in zip(names, how, strict=True)]


def fake_engine(teacher: Teacher | None = None, answer=answer_fake) -> Engine:
    return Engine(Parts(FakeVlm(), [FakeEncoder()], fit_head=fit_fake_head, learn_concept=teacher or Teacher(), answer=answer))


def teach_request(colours: tuple[str, ...] = ("red", "blue"), **more) -> messages.TeachRequest:
    photos = [messages.TaughtPhoto(photo=photo(c)) for c in colours]
    return messages.TeachRequest(**{"name": "Biscuit", "class_noun": "ball", "kind": "object", "photos": photos} | more)


if __name__ == "__main__":
    import argparse

    from myvlm_engine.serving import Options, serve

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--uds")
    parser.add_argument("--parent-pid", type=int)
    parser.add_argument("--step-s", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--load-when", help="a file that has to be there first")
    given = parser.parse_args()

    def load(options: Options) -> Engine:
        while given.load_when and not os.path.exists(given.load_when):
            time.sleep(0.05)
        return fake_engine(Teacher(given.steps, given.step_s))

    serve(Options(port=given.port, uds=given.uds, parent_pid=given.parent_pid), load=load)

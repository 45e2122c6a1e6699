"""The one training loop: e* = argmin_e  sum_i CE(caption_i, VLM(photo_i, e)) + lambda * R(e), everything but e frozen.

Follows the paper (arXiv 2403.14599, section 3) with what it does badly done better: views are encoded once, everything
before e is cached, and learning stops when the held copies are named. Knows any VLM by its Protocol, no HTTP and no store.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image

from ..vlms.base import Decoding, Target, View, Vlm, generate
from .augmentation import augmented
from .phrases import mentions
from .targets import Sentence, draft_answers, draft_captions

if TYPE_CHECKING:
    from ..vlms.base import Recipe


@dataclass(frozen=True)
class Options:
    """Settings of the loop. The defaults are what `myvlm eval concepts` was measured with; the paper's are in method.md."""

    steps: int = 60
    rate: float = 0.1  # AdamW; e is rescaled at every use, so this is an angle, not a length
    weight_decay: float = 1e-4  # the paper's
    gradient_clip: float = 0.05  # the paper's
    regulariser: float = 0.0075  # lambda for captions, the published code's
    augmented_per_photo: int = 2
    held_per_photo: int = 1  # augmented copies that e is judged on and never learns from; at least 1
    questions_per_photo: int = 0  # answers that are learned too (the paper's VQA); the embedded VLM has practised them with other names
    views_per_step: int = 4  # the paper's batch
    check_every: int = 5
    name_probability: float = 0.6  # every held copy must give the name at least this
    early_stop: bool = True


@dataclass(frozen=True, eq=False)
class Progress:
    stage: Literal["drafting", "learning", "done"]
    step: int = 0
    of: int = 0
    loss: float | None = None
    sample: str | None = None
    vector: np.ndarray | None = None  # (K, D) float32
    noun_seen: bool = True  # whether the frozen VLM speaks of the class noun in any of the photos


def learn_concept(
    vlm: Vlm,
    photos: Sequence[Image.Image],
    name: str,
    class_noun: str,
    kind: str = "object",
    captions: Sequence[Sequence[str]] = (),
    boxes: Sequence[object] = (),
    resume: np.ndarray | None = None,
    seed: int = 0,
    options: Options | None = None,
    **changes: Any,
) -> Iterator[Progress]:
    """Learns one concept embedding, one Progress a step; the caller may stop between any two. Never mutates the VLM.
    `options`: None for the family's own; `changes` to single ones of them, for comparisons."""
    options = replace(options or options_for(vlm, kind), **changes)
    yield Progress("drafting", of=options.steps)
    images, shows = augmented(photos, options.augmented_per_photo + options.held_per_photo, seed)
    views = vlm.views(images)
    drafts = []
    for index in range(len(photos)):
        drafts.append(draft_captions(vlm, views[index], name, class_noun, captions[index] if index < len(captions) else ()))
        yield Progress("drafting", of=options.steps, sample=drafts[-1].captions[0])
    answers = [draft_answers(vlm, views[i], name, class_noun, options.questions_per_photo) for i in range(len(photos))]
    said = [[*map(Sentence, d.captions), *a] for d, a in zip(drafts, answers, strict=True)]
    lesson = Lesson(views, len(views) - len(photos) * options.held_per_photo, [said[i] for i in shows], name)
    noun_seen = any(d.noun_seen for d in drafts)
    for progress in descend(vlm, lesson, start(vlm, name, class_noun, resume, seed), seed, options):
        yield replace(progress, noun_seen=noun_seen)


def options_for(vlm: Vlm, kind: str) -> Options:
    """The family's recipe where it has one."""
    recipe: Recipe | None = getattr(vlm, "recipe", None)
    if recipe is None:
        return Options()
    steps = recipe.steps_people if kind == "person" else recipe.steps
    return Options(steps=steps, rate=recipe.rate, regulariser=recipe.regulariser, questions_per_photo=3)


@dataclass(frozen=True)
class Lesson:
    """What is learned from: every view and what may be said of it."""

    views: list[View]  # the photos themselves, then their augmented copies, the held ones last
    learned: int  # how many of the views are learned from
    sentences: list[list[Sentence]]  # per view, a caption first: every view says what its photo says
    name: str

    @property
    def held(self) -> range:
        """Views that e is judged on."""
        return range(self.learned, len(self.views))


def descend(vlm: Vlm, lesson: Lesson, start: torch.Tensor, seed: int, options: Options) -> Iterator[Progress]:
    """AdamW on e from `start` (K, D); keeps the best e seen and stops early when every held copy is surely named and the VLM says so."""
    rng, e = random.Random(seed), start.clone().requires_grad_(True)
    optimiser = torch.optim.AdamW([e], lr=options.rate, weight_decay=options.weight_decay)
    best, judged, sample = start, Judged(-1.0, False), lesson.sentences[0][0].text
    for step in range(1, options.steps + 1):
        loss = update(vlm, optimiser, e, lesson, draw(lesson, rng, options), options)
        if step % options.check_every == 0 or step == options.steps:
            now = judge(vlm, lesson, e.detach(), options)
            if now.score > judged.score:
                best, judged = e.detach().clone(), now
                shown = lesson.held[step // options.check_every % len(lesson.held)]
                sample = generate(vlm, lesson.views[shown], None, best, Decoding(beams=1))
        yield Progress("learning", step, options.steps, loss, sample, best.numpy())
        if options.early_stop and judged.surely_named and mentions(sample, lesson.name):
            break
    yield Progress("done", options.steps, options.steps, None, sample, best.numpy())


def start(vlm: Vlm, name: str, class_noun: str, resume: np.ndarray | None, seed: int) -> torch.Tensor:
    """(K, D) where learning starts: what an earlier run left, what the family suggests, or chance (the paper: uniform 0..1)."""
    if resume is not None:
        return torch.from_numpy(np.array(resume, dtype=np.float32))
    vectors = vlm.starting_vectors(name, class_noun)
    if vectors is None:
        vectors = torch.rand(1, vlm.width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors.float(), dim=-1) * vlm.embedding_norm


def draw(lesson: Lesson, rng: random.Random, options: Options) -> list[Target]:
    """One step's targets: a few views, one of their sentences each."""
    chosen = rng.sample(range(lesson.learned), min(options.views_per_step, lesson.learned))
    said = [(v, rng.choice(lesson.sentences[v])) for v in chosen]
    return [Target(v, s.prompt, s.text) for v, s in said]


def update(vlm: Vlm, optimiser, e: torch.Tensor, lesson: Lesson, targets: list[Target], options: Options) -> float:
    """One descent step on e; returns the loss."""
    losses = vlm.losses(lesson.views, targets, e, lesson.name, attention=options.regulariser > 0)
    loss = losses.cross_entropy.mean() + options.regulariser * losses.attention.mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_([e], options.gradient_clip)
    optimiser.step()
    return float(loss.detach())


@dataclass(frozen=True)
class Judged:
    """How good an e is. `score` weighs the name's probability and the likelihood of the whole caption, so that naming never wins
    by forgetting the photo."""

    score: float
    surely_named: bool  # on every held copy


@torch.no_grad()
def judge(vlm: Vlm, lesson: Lesson, e: torch.Tensor, options: Options) -> Judged:
    """e on the held copies, by the first caption of each."""
    targets = [Target(v, None, lesson.sentences[v][0].text) for v in lesson.held]
    found = vlm.losses(lesson.views, targets, e, lesson.name, attention=False)
    score = float(found.name_probability.mean() + (-found.cross_entropy).exp().mean())
    return Judged(score, float(found.name_probability.min()) >= options.name_probability)

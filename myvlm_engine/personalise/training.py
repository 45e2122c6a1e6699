"""The one training loop: e* = argmin_e  sum_i CE(caption_i, VLM(photo_i, e)) + lambda * R(e), everything but e frozen.

Follows the paper (arXiv 2403.14599, section 3) with what it does badly done better: views are encoded once, everything
before e is cached, several concepts learn in one batch, and learning stops when the held copies are named. A run that is broken off goes on
elsewhere from what it told last. Knows any VLM by its Protocol, no HTTP and no store.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image

from ..concept_embedding import Standing
from ..vlms.base import Asked, Decoding, Losses, Target, View, Vlm, generate, losses_together
from ..vlms.batches import with_smaller_batches
from .augmentation import augmented
from .phrases import mentions
from .targets import Sentence, draft_answers, draft_captions

if TYPE_CHECKING:
    from ..vlms.base import Recipe


@dataclass(frozen=True)
class Options:
    """Settings of the loop. The defaults are what `myvlm eval concepts` was measured with; the paper's are in docs/gpu.md."""

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
    vector: np.ndarray | None = None  # (K, D) float32, the best so far
    standing: Standing | None = None  # with "learning": what it takes to go on from here
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
    standing: Standing | None = None,
    seed: int = 0,
    options: Options | None = None,
    together: Together | None = None,
    **changes: Any,
) -> Iterator[Progress]:
    """Learns one concept embedding, one Progress a step; the caller may stop between any two. Never mutates the VLM.
    `resume`: the vectors of a run of these photos that was broken off, `standing`: where it stood. With both of them and the same seed
    it becomes what it would have become without the break; with vectors alone it begins anew from them.
    `options`: None for the family's own; `changes` to single ones of them, for comparisons. `together`: with whom it shares its batches."""
    options = replace(options or options_for(vlm, kind), **changes)
    at = min(standing.step, options.steps) if standing else 0
    yield Progress("drafting", at, options.steps)
    images, shows = augmented(photos, options.augmented_per_photo + options.held_per_photo, seed)
    views = vlm.views(images)
    drafts = []
    for index in range(len(photos)):
        drafts.append(draft_captions(vlm, views[index], name, class_noun, captions[index] if index < len(captions) else ()))
        yield Progress("drafting", at, options.steps, sample=drafts[-1].captions[0])
    answers = [draft_answers(vlm, views[i], name, class_noun, options.questions_per_photo) for i in range(len(photos))]
    said = [[*map(Sentence, d.captions), *a] for d, a in zip(drafts, answers, strict=True)]
    lesson = Lesson(views, len(views) - len(photos) * options.held_per_photo, [said[i] for i in shows], name)
    noun_seen = any(d.noun_seen for d in drafts)
    learner = Learner(lesson, start(vlm, name, class_noun, resume, seed), seed, options, standing)
    for progress in (together or Together()).learn(vlm, learner):
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


def start(vlm: Vlm, name: str, class_noun: str, resume: np.ndarray | None, seed: int) -> torch.Tensor:
    """(K, D) where learning starts: what an earlier run left, what the family suggests, or chance. Only its direction counts at use; its
    length says how far one step turns it. So chance has the paper's (uniform 0..1), to which the paper's learning rate belongs."""
    if resume is not None:
        return torch.from_numpy(np.array(resume, dtype=np.float32))
    vectors = vlm.starting_vectors(name, class_noun)
    if vectors is None:
        return torch.rand(1, vlm.width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors.float(), dim=-1) * vlm.embedding_norm


@dataclass(frozen=True)
class Judged:
    """How good an e is. `score` weighs the name's probability and the likelihood of the whole caption, so that naming never wins
    by forgetting the photo."""

    score: float
    surely_named: bool  # on every held copy


class Learner:
    """One concept on its way: AdamW on e from `begin` (K, D); keeps the best e seen and is done as soon as every held copy is surely named
    and the VLM says so. With `standing` it goes on from there, and `begin` is the best of before."""

    def __init__(self, lesson: Lesson, begin: torch.Tensor, seed: int, options: Options, standing: Standing | None = None):
        self.lesson, self.options, self.rng = lesson, options, random.Random(seed)
        self.e = begin.clone().requires_grad_(True)
        self.optimiser = torch.optim.AdamW([self.e], lr=options.rate, weight_decay=options.weight_decay)
        self.best, self.judged, self.sample = begin, Judged(-1.0, False), lesson.sentences[0][0].text
        self.step = 0
        self.untold: deque[Progress] = deque()
        if standing is not None:
            self._go_on_from(standing)

    def _go_on_from(self, standing: Standing) -> None:
        self.step = min(standing.step, self.options.steps)
        self.judged, self.sample = Judged(standing.score, standing.surely_named), standing.sample
        self.e.data.copy_(torch.tensor(standing.current))
        self.optimiser.state[self.e] = {
            "step": torch.tensor(float(standing.updates)),
            "exp_avg": torch.tensor(standing.mean),
            "exp_avg_sq": torch.tensor(standing.square),
        }
        for _ in range(self.step):
            self.drawn()  # the same once more, so that what comes next is what would have come

    @property
    def standing(self) -> Standing:
        """A copy: nothing of it changes with the next step."""
        kept = self.optimiser.state.get(self.e) or {}
        moment = lambda name: np.array(kept.get(name, torch.zeros_like(self.e)))
        return Standing(
            self.step,
            current=np.array(self.e.detach()),
            mean=moment("exp_avg"),
            square=moment("exp_avg_sq"),
            updates=int(kept.get("step", 0)),
            score=self.judged.score,
            surely_named=self.judged.surely_named,
            sample=self.sample,
        )

    @property
    def done(self) -> bool:
        named = self.options.early_stop and self.judged.surely_named and mentions(self.sample, self.lesson.name)
        return named or self.step >= self.options.steps

    @property
    def due(self) -> bool:
        """To be judged after this step."""
        return self.step % self.options.check_every == 0 or self.step == self.options.steps

    def drawn(self) -> Asked:
        """One step's targets: a few views, one of their sentences each."""
        lesson = self.lesson
        chosen = self.rng.sample(range(lesson.learned), min(self.options.views_per_step, lesson.learned))
        said = [(v, self.rng.choice(lesson.sentences[v])) for v in chosen]
        return Asked(lesson.views, [Target(v, s.prompt, s.text) for v, s in said], self.e, lesson.name)

    def held(self) -> Asked:
        """The held copies, by the first caption of each."""
        lesson = self.lesson
        return Asked(lesson.views, [Target(v, None, lesson.sentences[v][0].text) for v in lesson.held], self.e.detach(), lesson.name)

    def loss(self, losses: Losses) -> torch.Tensor:
        return losses.cross_entropy.mean() + self.options.regulariser * losses.attention.mean()

    def descend(self) -> None:
        """One step along the gradient of e. Where float16 overflowed on the way back there is none, and one nan in e would stay."""
        if torch.nn.utils.clip_grad_norm_([self.e], self.options.gradient_clip).isfinite():
            self.optimiser.step()
        self.step += 1

    def judge(self, vlm: Vlm, losses: Losses) -> None:
        """By the losses of the held copies."""
        score = float(losses.name_probability.mean() + (-losses.cross_entropy).exp().mean())
        if not score > self.judged.score:  # nor is it better where it is nan
            return
        self.best = self.e.detach().clone()
        self.judged = Judged(score, float(losses.name_probability.min()) >= self.options.name_probability)
        shown = self.lesson.held[self.step // self.options.check_every % len(self.lesson.held)]
        self.sample = generate(vlm, self.lesson.views[shown], None, self.best, Decoding(beams=1))

    def tell(self, loss: float) -> None:
        self.untold.append(Progress("learning", self.step, self.options.steps, loss, self.sample, self.best.numpy(), self.standing))


class Together:
    """Those that learn at the same time share every batch: a step of one is a step of all. Each e sees its own photos only, so it becomes
    what it would have become alone."""

    def __init__(self) -> None:
        self.learners: list[Learner] = []

    def learn(self, vlm: Vlm, learner: Learner) -> Iterator[Progress]:
        """Everything that is to be told of one of them, the others' steps done on the way."""
        self.learners.append(learner)
        try:
            while learner.untold or not learner.done:
                if not learner.untold:
                    update(vlm, [one for one in self.learners if not one.done])
                yield learner.untold.popleft()
            yield Progress("done", learner.options.steps, learner.options.steps, None, learner.sample, learner.best.numpy())
        finally:
            self.learners.remove(learner)


def update(vlm: Vlm, learners: Sequence[Learner]) -> None:
    """One descent step of everybody, in one batch; those that are due are judged, in one batch too."""
    asked = [one.drawn() for one in learners]
    losses = with_smaller_batches(vlm, sum(len(a.targets) for a in asked), lambda: gradients(vlm, learners, asked))
    for one in learners:
        one.descend()
    due = [one for one in learners if one.due]
    with torch.no_grad():
        judged = losses_together(vlm, [one.held() for one in due], attention=False) if due else []
    for one, lost in zip(due, judged, strict=True):
        one.judge(vlm, lost)
    for one, loss in zip(learners, losses, strict=True):
        one.tell(loss)


def gradients(vlm: Vlm, learners: Sequence[Learner], asked: Sequence[Asked]) -> list[float]:
    """What each loses; the gradient of it is left in its e."""
    found = losses_together(vlm, asked, attention=any(one.options.regulariser > 0 for one in learners))
    losses = [one.loss(lost) for one, lost in zip(learners, found, strict=True)]
    for one in learners:
        one.optimiser.zero_grad(set_to_none=True)
    torch.stack(losses).sum().backward()
    return [float(loss.detach()) for loss in losses]

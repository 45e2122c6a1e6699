"""Trains the embedded VLM's drafter, projector and LoRA: `python -m myvlm_engine.pocket.train PHOTOS --work FOLDER --stage STAGE`.

Stages: the drafter (train_drafter.py); cross-entropy on captions, questions and labels; self-critical training (Rennie et al.,
2017) on CIDEr; shipping. Resumable: everything needed to go on lies in `--work`; `log.jsonl` there says what happened.
All captions of a photo are learned in one pass: they are branches of one tree that share the photo's tokens.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from .align import align_projector, word_vectors
from .dataset import CAPTION_PROMPT, DRAFTS, Example, Features, cache_features, caption_shares, captioned_rows, load_examples
from .projector import Projector, add_lora
from .prompts import Hints, prefix_texts
from .run_folder import RunFolder
from .slots import Slot, name_subjects
from .train_drafter import DrafterRun, keep_drafts, train_drafter, train_drafter_self_critical, unseen_rows
from .tree import Batch, Tree, collate, encode, grow_tree
from .vision import half_is_fast
from .weights import SHIPPED, load_plain_lm, pack, unpack
from .words import WordSpotter

HALF = torch.bfloat16 if half_is_fast() else torch.float32
SOURCE_WEIGHTS = {"flickr8k": 0.64, "coco_mix": 0.10, "daquar": 0.10, "catsdogs": 0.06, "imagenet": 0.10}


class Model:
    """The projector and the LM with its LoRA, ready to train."""

    def __init__(self, seed: int = 0):
        torch.manual_seed(seed)
        self.lm, self.tokenizer = load_plain_lm()
        norm = self.lm.get_input_embeddings().weight.norm(dim=1).mean().item()
        self.lm.requires_grad_(False).to(HALF)
        self.lm.set_attn_implementation("eager")  # measured: the fused kernel's backward is slower on these short trees
        self.projector = Projector(norm)
        self.lora = add_lora(self.lm)

    def train(self, mode: bool = True) -> None:
        self.projector.train(mode)
        self.lm.train(mode)

    def hidden(self, batch: Batch, features: torch.Tensor) -> torch.Tensor:
        """Last hidden states (B, T, 576)."""
        in_slot = batch.ids >= SLOT  # word vectors of a concept's noun and name, at the visual tokens' norm
        embeds = self.lm.get_input_embeddings()(torch.where(in_slot, batch.ids - SLOT, batch.ids).clamp(min=0))
        scaled = F.normalize(embeds.float(), dim=-1) * self.projector.embedding_norm
        embeds = torch.where(in_slot[..., None], scaled.to(embeds.dtype), embeds)
        visual = self.projector(features).to(embeds.dtype)
        embeds = embeds.masked_scatter((batch.ids == -1)[..., None], visual)
        hidden_from = ~batch.mask[:, None]  # (B, 1, T, T)
        bias = torch.zeros(hidden_from.shape, dtype=embeds.dtype).masked_fill(hidden_from, torch.finfo(embeds.dtype).min)
        return self.lm.model(inputs_embeds=embeds, attention_mask=bias, position_ids=batch.position, use_cache=False).last_hidden_state

    def token_losses(self, batch: Batch, features: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        """Cross-entropy of every target (M,)."""
        hidden = self.hidden(batch, features).flatten(0, 1)[batch.rows]
        return F.cross_entropy(self.lm.lm_head(hidden).float(), batch.labels, reduction="none", label_smoothing=smoothing)

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        return {f"projector.{k}": v for k, v in self.projector.named_parameters()} | {f"lora.{k}": v for k, v in self.lora.items()}


VISUAL_TOKENS = 26
SHAPE_MULTIPLE = 32
SLOT = 1_000_000  # added to a token id: this word stands in a concept's slot
NAMED_SHARE = {"flickr8k": 0.35, "coco_mix": 0.5, "catsdogs": 0.6, "imagenet": 0.5}


def root_of(tokenizer, hints: Hints, slots: Sequence[Slot] = ()) -> list[int]:
    """Everything before the question; -1 where visual tokens stand."""
    before, after = prefix_texts(hints)
    concepts = [SLOT + i for slot in slots for i in encode(tokenizer, slot.text)]
    return encode(tokenizer, before) + [-1] * VISUAL_TOKENS + concepts + encode(tokenizer, after)


def sample_answers(example: Example, rng: random.Random, questions: int = 1) -> dict[str, list[str]]:
    """What one photo teaches in one step: its captions, and a few of its questions."""
    answers = dict(example.answers)
    captions = answers.pop(CAPTION_PROMPT, None)
    if example.source in ("catsdogs", "imagenet") and captions:
        captions = [rng.choice(captions)]
    if example.source == "daquar":
        questions = 6
    asked = rng.sample(list(answers), min(questions, len(answers)))
    return ({CAPTION_PROMPT: captions} if captions else {}) | {q: answers[q] for q in asked}


class Loader:
    """Endless batches of photos the drafter never saw, seeded by step, so that a resumed run sees what it would have seen."""

    def __init__(self, examples: list[Example], features: Features, tokenizer, size: int, seed: int):
        self.examples, self.features, self.tokenizer, self.size, self.seed = examples, features, tokenizer, size, seed
        unseen = unseen_rows(examples)
        self.by_source = {s: [i for i in unseen if examples[i].source == s] for s in SOURCE_WEIGHTS}
        self.by_source = {s: rows for s, rows in self.by_source.items() if rows}

    def __call__(self, step: int) -> tuple[Batch, torch.Tensor]:
        rng = random.Random(self.seed * 1_000_003 + step)
        sources = list(self.by_source)
        drawn = rng.choices(sources, [SOURCE_WEIGHTS[s] for s in sources], k=self.size)
        indices = [self._pick(s, step * self.size + n) for n, s in enumerate(drawn)]
        trees = [self._tree(i, rng) for i in indices]
        views = self.features.tokens.shape[1]
        features = torch.from_numpy(np.stack([self.features.tokens[i, rng.randrange(views)] for i in indices])).float()
        return collate(trees, SHAPE_MULTIPLE), features

    def _pick(self, source: str, n: int) -> int:
        """Every photo once per epoch, in a new order each epoch."""
        rows = self.by_source[source]
        position = int(n * SOURCE_WEIGHTS[source])
        epoch, place = divmod(position, len(rows))
        order = np.random.default_rng(self.seed * 7919 + epoch).permutation(len(rows))
        return rows[order[place]]

    def _tree(self, i: int, rng: random.Random) -> Tree:
        hints = self.features.hints(i) if rng.random() > 0.1 else Hints()
        example = self.examples[i]
        slots: list[Slot] = []
        answers = sample_answers(example, rng)
        if rng.random() < NAMED_SHARE.get(example.source, 0.0):
            label = example.answers.get("What is in this photo?", [""])[0].split(" ", 1)[-1]
            slots, answers = name_subjects(answers, CAPTION_PROMPT, rng, [label] if label else [])
        return grow_tree(self.tokenizer, root_of(self.tokenizer, hints, slots), answers)


def schedule(step: int, steps: int, warmup: int = 40) -> float:
    """Linear warm-up, then cosine to zero."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


class Run:
    """A training run in a folder: checkpoints, log, resumption."""

    def __init__(self, work: Path, model: Model, name: str, rates: dict[str, float], decay: float = 0.02):
        self.folder, self.model = RunFolder(work, name), model
        groups = {prefix: [p for n, p in model.parameters().items() if n.startswith(prefix)] for prefix in rates}
        self.rates = rates
        self.optimiser = torch.optim.AdamW([{"params": groups[k], "lr": rates[k]} for k in rates], weight_decay=decay, betas=(0.9, 0.98))
        self.step = 0

    @property
    def name(self) -> str:
        return self.folder.name

    def resume(self) -> None:
        if state := self.folder.load():
            load_parameters(self.model, state["parameters"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step = state["step"]

    def save(self) -> None:
        self.folder.save({"parameters": read_parameters(self.model), "optimiser": self.optimiser.state_dict(), "step": self.step})

    def log(self, **facts) -> None:
        self.folder.log(self.step, **facts)

    def update(self, loss: torch.Tensor, scale: float) -> None:
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g["params"]], 1.0)
        for group, base in zip(self.optimiser.param_groups, self.rates.values(), strict=True):
            group["lr"] = base * scale
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1


def read_parameters(model: Model) -> dict[str, torch.Tensor]:
    buffers = {f"projector.{k}": v for k, v in model.projector.named_buffers()}
    return {k: v.detach().clone() for k, v in (model.parameters() | buffers).items()}


@torch.no_grad()
def load_parameters(model: Model, found: dict[str, torch.Tensor]) -> None:
    own = model.parameters() | {f"projector.{k}": v for k, v in model.projector.named_buffers()}
    for name, value in own.items():
        value.copy_(found[name])


def train_cross_entropy(run: Run, loader: Loader, steps: int, validate, save_every: int = 100) -> None:
    run.resume()
    losses: list[float] = []
    bar = tqdm(range(run.step, steps), initial=run.step, total=steps, desc=run.name, mininterval=15)
    run.model.train()
    for step in bar:
        batch, features = loader(step)
        loss = run.model.token_losses(batch, features, smoothing=0.05).mean()
        run.update(loss, schedule(step, steps))
        losses.append(loss.item())
        if run.step % 25 == 0:
            bar.set_postfix(loss=f"{np.mean(losses[-25:]):.3f}")
            run.log(loss=round(float(np.mean(losses[-25:])), 4))
        if run.step % save_every == 0 or run.step == steps:
            run.save()
        if run.step % (save_every * 5) == 0 or run.step == steps:
            run.log(**validate())
            run.model.train()


def main(
    photos: Path,
    work: Path,
    stage: str = "xe",
    steps: int = 600,
    batch: int = 16,
    seed: int = 0,
    scst_steps: int = 100,
    draft_epochs: int = 20,
    draft_scst_epochs: int = 2,
    warm: bool = False,
) -> None:
    """Stages in this order: draft (the drafter), xe (cross-entropy), scst (self-critical), ship (writes the package's weights).
    `warm`: cross-entropy goes on from the shipped weights instead of from nothing."""
    from .selfcritical import train_self_critical
    from .validate import caption_scores

    examples = load_examples(photos)
    features, spotter = cache_features(examples, work / "features")
    if stage == "draft":
        return draft(work, examples, features, draft_epochs, draft_scst_epochs)
    if stage == "ship":
        return ship(work, examples, features, spotter)
    model = Model(seed)
    loader = Loader(examples, features, model.tokenizer, batch, seed)
    if stage == "xe":
        if warm:
            load_parameters(model, unpack(SHIPPED)[0])
        else:
            first_lesson(model, examples, features, spotter, work)
        run = Run(work, model, "xe", {"projector": 5e-4, "lora": 4e-4})
        train_cross_entropy(run, loader, steps, lambda: caption_scores(model, examples, features, limit=100))
    else:
        load_parameters(model, torch.load(work / "xe.pt", weights_only=True)["parameters"])
        run = Run(work, model, "scst", {"projector": 1e-4, "lora": 1e-4}, decay=0.0)
        train_self_critical(run, loader, examples, features, scst_steps, lambda: caption_scores(model, examples, features, limit=100))
    return None


def draft(work: Path, examples: list[Example], features: Features, epochs: int, scst_epochs: int) -> None:
    """Two drafters from different first weights, one with self-critical training and one without, and their drafts of all photos."""
    train_drafter(DrafterRun(work, examples, features, "draft", seed=0), epochs)
    run = DrafterRun(work, examples, features, "drafter", seed=0, start=work / "draft.pt")
    train_drafter_self_critical(run, scst_epochs)
    second = DrafterRun(work, examples, features, "second", seed=1)
    train_drafter(second, epochs)
    keep_drafts(run, second.model, work / "features" / DRAFTS)


def first_lesson(model: Model, examples: list[Example], features: Features, spotter: WordSpotter, work: Path) -> None:
    """Feature statistics, then the alignment of align.py; kept in the work folder."""
    path = work / "align.pt"
    if not path.exists():
        sample = torch.from_numpy(np.stack([features.tokens[i, 0] for i in range(0, len(examples), 20)])).float()
        model.projector.mean.copy_(sample.mean((0, 1)))
        model.projector.std.copy_(sample.std((0, 1)).clamp(min=1e-3))
        rows = captioned_rows(examples)
        vectors = word_vectors(model.lm.get_input_embeddings(), model.tokenizer, spotter.vocabulary)
        align_projector(model.projector, vectors, features.tokens, rows, caption_shares(examples, rows, spotter.vocabulary))
        torch.save(model.projector.state_dict(), path)
    model.projector.load_state_dict(torch.load(path, weights_only=True))


def ship(work: Path, examples: list[Example], features: Features, spotter: WordSpotter) -> None:
    """Packs what the work folder has as the package's safetensors, a note of where it comes from in the header; what it has not been
    trained there stays as it was shipped."""
    parameters, facts = unpack(SHIPPED) if SHIPPED.exists() else ({}, {"format": "pt"})
    for stage in ("xe", "scst"):  # the last one wins
        if (work / f"{stage}.pt").exists():
            state = torch.load(work / f"{stage}.pt", weights_only=True)
            parameters |= state["parameters"] | spotter.tensors()
            facts |= {"stage": stage, "steps": str(state["step"]), "vocabulary": json.dumps(spotter.vocabulary)}
    for name in ("drafter", "second"):
        run = DrafterRun(work, examples, features, name)
        if run.folder.checkpoint.exists():
            run.resume()
            parameters |= {f"{name}.{key}": value for key, value in run.model.plain().items()}
            facts |= {f"{name}_steps": str(run.step), "drafter_vocabulary": json.dumps(run.vocabulary.words)}
    pack(parameters, SHIPPED, facts)
    print(f"{SHIPPED}: {SHIPPED.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    import typer

    typer.run(main)

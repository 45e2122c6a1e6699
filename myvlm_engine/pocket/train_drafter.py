"""Trains the drafter: cross-entropy on captions, then self-critical training on CIDEr-D; keeps its drafts of every photo.

It learns from five sixths of the captioned photos. The others are left to the language model, which must meet drafts as wrong
as they will be in use. Resumable; knows the cache of dataset.py, no language model.
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

from ..text_metrics import caption_metrics
from .dataset import CAPTION_PROMPT, CAPTIONED, Example, Features
from .drafter import PAD, UNKNOWN, Drafter, Vocabulary
from .reward import CiderReward
from .run_folder import RunFolder
from .vision import half_is_fast

DROPOUT, SMOOTHING, DECAY, RATE, BATCH, CAPTIONS = 0.3, 0.1, 0.05, 7e-4, 64, 3
SAMPLES, SELF_CRITICAL_RATE = 5, 2e-5
LEFT_TO_LM = 6  # every sixth flickr8k photo, every second of the others


def drafter_rows(examples: Sequence[Example]) -> list[int]:
    """Training photos the drafter learns from."""
    keep = lambda i, e: i % (LEFT_TO_LM if e.source == "flickr8k" else 2) != 0
    return [i for i, e in enumerate(examples) if e.split == "train" and e.source in (*CAPTIONED, "catsdogs") and keep(i, e)]


def unseen_rows(examples: Sequence[Example]) -> list[int]:
    """Training photos the drafter has never seen: the language model's."""
    seen = set(drafter_rows(examples))
    return [i for i, e in enumerate(examples) if e.split == "train" and i not in seen]


class DrafterRun:
    """A training of the drafter in a folder: state, log, resumption."""

    def __init__(self, work: Path, examples: list[Example], features: Features, name: str, seed: int = 0, start: Path | None = None):
        """`seed`: of the first weights and of the photos' order. `start`: an earlier run's state, for its weights."""
        torch.manual_seed(seed)
        self.folder, self.examples, self.features, self.name, self.seed = RunFolder(work, name), examples, features, name, seed
        self.rows = drafter_rows(examples)
        self.vocabulary = Vocabulary.of([c for i in self.rows for c in examples[i].answers[CAPTION_PROMPT]])
        self.model = Drafter(self.vocabulary, DROPOUT)
        sample = torch.from_numpy(np.stack([features.tokens[i, 0] for i in self.rows[::10]])).float()
        self.model.mean.copy_(sample.mean((0, 1)))
        self.model.std.copy_(sample.std((0, 1)).clamp(min=1e-3))
        if start:
            self.model.load_plain(torch.load(start, weights_only=True)["model"])
        self.step = 0
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=RATE, weight_decay=DECAY, betas=(0.9, 0.98))

    def resume(self) -> None:
        if state := self.folder.load():
            self.model.load_plain(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step = state["step"]

    def save(self) -> None:
        self.folder.save({"model": self.model.plain(), "optimiser": self.optimiser.state_dict(), "step": self.step})

    def log(self, **facts) -> None:
        self.folder.log(self.step, **facts)

    def photos(self, rows: Sequence[int], rng: random.Random | None = None) -> torch.Tensor:
        """(B, 26, C) features; one of a photo's views at random with `rng`, else the photo itself."""
        view = lambda: rng.randrange(self.features.tokens.shape[1]) if rng else 0
        return torch.from_numpy(np.stack([self.features.tokens[i, view()] for i in rows])).float()

    def captions(self, row: int, rng: random.Random) -> list[str]:
        """CAPTIONS of a photo's captions."""
        known = self.examples[row].answers[CAPTION_PROMPT]
        return rng.sample(known, min(CAPTIONS, len(known)))

    def chosen(self, step: int) -> list[int]:
        """Every photo once an epoch, in a new order each epoch."""
        per_epoch = len(self.rows) // BATCH
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng(self.seed * 7919 + epoch).permutation(len(self.rows))
        return [self.rows[i] for i in order[place * BATCH : (place + 1) * BATCH]]

    def update(self, loss: torch.Tensor, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1

    def token_losses(self, visual: torch.Tensor, captions: Sequence[Sequence[str]], smoothing: float = 0.0) -> torch.Tensor:
        """(N, T) cross-entropy of every word of every caption; 0 behind the end. N captions in the photos' order."""
        rows = [torch.tensor(self.vocabulary.encode(c)) for of_photo in captions for c in of_photo]
        labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
        with torch.autocast("cpu", torch.bfloat16, enabled=half_is_fast()):
            counts = torch.tensor([len(c) for c in captions])
            memory = self.model.encode(visual).last_hidden_state.repeat_interleave(counts, 0)
            logits = self.model.logits(memory, labels)
        flat, truth = logits.flatten(0, 1).float(), labels.masked_fill(labels == UNKNOWN, PAD).flatten()
        return F.cross_entropy(flat, truth, ignore_index=PAD, reduction="none", label_smoothing=smoothing).view(labels.shape)

    def validate(self, limit: int = 250) -> dict:
        rows = [i for i, e in enumerate(self.examples) if e.source == "flickr8k" and e.split == "dev"][:limit]
        said = dict(zip(map(str, rows), self.drafts(rows), strict=True))
        found = caption_metrics(said, {str(i): self.examples[i].answers[CAPTION_PROMPT] for i in rows})
        return {"cider": round(found["cider"], 4), "bleu4": round(found["bleu4"], 4), "says": list(said.values())[:5]}

    @torch.no_grad()
    def drafts(self, rows: Sequence[int], beside: Drafter | None = None, batch: int = 50) -> list[str]:
        self.model.eval()
        chunks = [rows[k : k + batch] for k in range(0, len(rows), batch)]
        return [text for chunk in chunks for text in self.model.drafts(self.photos(chunk), beside)]


def keep_drafts(run: DrafterRun, beside: Drafter, path: Path) -> None:
    """As JSON the draft of every photo the drafters never learned to caption from; empty for the others: nobody may lean on those."""
    own = set(drafter_rows(run.examples))
    rows = [i for i in range(len(run.examples)) if i not in own]
    drafts = dict(zip(rows, run.drafts(rows, beside.eval()), strict=True))
    path.write_text(json.dumps([drafts.get(i, "") for i in range(len(run.examples))]))


def train_drafter(run: DrafterRun, epochs: int) -> None:
    """Cross-entropy with one cosine over all epochs."""
    run.resume()
    per_epoch = len(run.rows) // BATCH
    steps, losses = per_epoch * epochs, []
    for step in tqdm(range(run.step, steps), initial=run.step, total=steps, desc=run.name, mininterval=15):
        run.model.train()
        rng, chosen = random.Random(step), run.chosen(step)
        captions = [run.captions(i, rng) for i in chosen]
        found = run.token_losses(run.photos(chosen, rng), captions, SMOOTHING)
        loss = found.sum() / (found > 0).sum()
        run.update(loss, RATE * min(1.0, (step + 1) / 300) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))))
        losses.append(loss.item())
        if run.step % per_epoch == 0 or run.step == steps:
            epoch = run.step // per_epoch
            run.log(epoch=epoch, loss=round(float(np.mean(losses[-per_epoch:])), 4), **(run.validate() if epoch % 2 == 0 else {}))
            run.save()


def train_drafter_self_critical(run: DrafterRun, epochs: int) -> None:
    """SAMPLES captions a photo; those above their siblings' mean CIDEr-D become likelier (see selfcritical.py)."""
    run.resume()
    reward = CiderReward({i: run.examples[i].answers[CAPTION_PROMPT] for i in run.rows}, ending=True)
    per_epoch = len(run.rows) // BATCH
    steps, rewards = per_epoch * epochs, []
    for module in run.model.modules():
        if isinstance(getattr(module, "dropout", None), float):  # mBART's layers: the sampled and the scored policy are one
            setattr(module, "dropout", 0.0)  # noqa: B010 (a number there, whatever nn.Module says)
    for step in tqdm(range(run.step, steps), initial=run.step, total=steps, desc=run.name, mininterval=15):
        run.model.eval()
        rng, chosen = random.Random(step), run.chosen(step)
        visual = run.photos(chosen, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=half_is_fast()):
            ids = run.model.generate(visual, do_sample=True, top_k=0, num_return_sequences=SAMPLES)
        texts = [run.vocabulary.decode(row) for row in ids.tolist()]
        scores = torch.tensor([reward(t, chosen[k // SAMPLES]) for k, t in enumerate(texts)]).view(-1, SAMPLES)
        advantage = (scores - (scores.sum(1, keepdim=True) - scores) / (SAMPLES - 1)).flatten()
        found = run.token_losses(visual, [texts[k : k + SAMPLES] for k in range(0, len(texts), SAMPLES)])
        loss = (found * advantage[:, None]).sum() / (found > 0).sum()
        run.update(loss, SELF_CRITICAL_RATE * (1 - 0.9 * step / steps))
        rewards.append(float(scores.mean()))
        if run.step % 20 == 0:
            run.log(reward=round(float(np.mean(rewards[-20:])), 4))
        if run.step % 32 == 0 or run.step == steps:
            run.log(**run.validate())
            run.save()

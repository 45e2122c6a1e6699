"""Self-critical training: captions are sampled, and those that score above their siblings' mean CIDEr-D become likelier.

Rennie et al. 2017 with the leave-one-out baseline of Luo 2020. Cross-entropy on the other sources goes on beside it, so that
questions and labels are not forgotten.
"""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from .dataset import CAPTION_PROMPT, Example, Features
from .generate import decode
from .prompts import END
from .reward import CiderReward
from .train import SHAPE_MULTIPLE, Loader, Model, Run, root_of
from .tree import collate, grow_tree

SAMPLED_TOP_K = 10  # label smoothing left a little probability on all 49,152 tokens; drawn from all, one in twenty was noise


def train_self_critical(
    run: Run, loader: Loader, examples: list[Example], features: Features, steps: int, validate, samples: int = 5
) -> None:
    run.resume()
    model: Model = run.model
    rows = loader.by_source["flickr8k"] + loader.by_source.get("coco_mix", [])
    reward = CiderReward({i: examples[i].answers[CAPTION_PROMPT] for i in rows})
    stop = model.tokenizer.convert_tokens_to_ids(END)
    rewards: list[float] = []
    bar = tqdm(range(run.step, steps), initial=run.step, total=steps, desc=run.name, mininterval=15)
    for step in bar:
        rng = np.random.default_rng(step + 17)
        chosen = rng.choice(rows, loader.size, replace=False).tolist()
        views = [int(rng.integers(features.tokens.shape[1])) for _ in chosen]
        visual = torch.from_numpy(np.stack([features.tokens[i, v] for i, v in zip(chosen, views, strict=True)])).float()
        loss, mean_reward = _policy_loss(model, reward, chosen, visual, features, stop, samples)
        if step % 3 == 0:  # keep questions and labels
            batch, other = loader(step)
            model.train()
            loss = loss + 0.3 * model.token_losses(batch, other).mean()
        run.update(loss, min(1.0, (step + 1) / 20) * (1 - 0.9 * step / steps))
        rewards.append(mean_reward)
        if run.step % 10 == 0:
            bar.set_postfix(reward=f"{np.mean(rewards[-10:]):.3f}")
            run.log(reward=round(float(np.mean(rewards[-10:])), 4))
        if run.step % 50 == 0 or run.step == steps:
            run.save()
        if run.step % 100 == 0 or run.step == steps:
            run.log(**validate())


def _policy_loss(model: Model, reward: CiderReward, chosen: list[int], visual, features: Features, stop: int, samples: int):
    from .validate import prompt_batch

    model.train(False)  # sample and score the same policy
    hints = [features.hints(i) for i in chosen]
    with torch.no_grad():
        embeds, lengths = prompt_batch(model, visual, hints, [CAPTION_PROMPT] * len(chosen))
        ids = decode(model.lm, embeds, lengths, stop, samples=samples, top_k=SAMPLED_TOP_K)
    texts = [t.strip() for t in model.tokenizer.batch_decode(ids, skip_special_tokens=True)]
    scores = torch.tensor([reward(t, chosen[k // samples]) for k, t in enumerate(texts)]).view(-1, samples)
    baseline = (scores.sum(1, keepdim=True) - scores) / (samples - 1)
    advantage = (scores - baseline).flatten()
    trees = [
        grow_tree(model.tokenizer, root_of(model.tokenizer, hints[b]), {CAPTION_PROMPT: texts[b * samples : (b + 1) * samples]})
        for b in range(len(chosen))
    ]
    batch = collate(trees, SHAPE_MULTIPLE)
    losses = model.token_losses(batch, visual)
    return (losses * advantage[batch.answers]).mean(), float(scores.mean())

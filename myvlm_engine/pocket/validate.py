"""Scores a training model on held photos: CIDEr and BLEU-4 of captions, exact matches of short answers."""

from __future__ import annotations

import numpy as np
import torch

from ..text_metrics import caption_metrics
from .dataset import CAPTION_PROMPT, Example, Features
from .generate import decode
from .prompts import END, Hints
from .train import Model, root_of
from .tree import collate, grow_tree


def prompt_batch(model: Model, features: torch.Tensor, hints: list[Hints], prompts: list[str]):
    """Prompt embeddings (B, T, 576), right-padded, and their lengths (B,)."""
    trees = [grow_tree(model.tokenizer, root_of(model.tokenizer, h), {p: []}) for h, p in zip(hints, prompts, strict=True)]
    batch = collate(trees)
    embeds = model.lm.get_input_embeddings()(batch.ids.clamp(min=0))
    visual = model.projector(features).to(embeds.dtype)
    return embeds.masked_scatter((batch.ids == -1)[..., None], visual), torch.tensor([len(t.ids) for t in trees])


@torch.no_grad()
def say(model: Model, features: Features, rows: list[int], prompts: list[str], batch: int = 32) -> list[str]:
    """Greedy answers for photos `rows` of the cache."""
    model.train(False)
    stop = model.tokenizer.convert_tokens_to_ids(END)
    texts: list[str] = []
    for start in range(0, len(rows), batch):
        chunk = rows[start : start + batch]
        visual = torch.from_numpy(np.stack([features.tokens[i, 0] for i in chunk])).float()
        embeds, lengths = prompt_batch(model, visual, [features.hints(i) for i in chunk], prompts[start : start + batch])
        ids = decode(model.lm, embeds, lengths, stop)
        texts += [t.strip() for t in model.tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return texts


def caption_scores(model: Model, examples: list[Example], features: Features, limit: int = 200) -> dict:
    """CIDEr on `limit` held flickr8k photos and on held COCO photos; exact matches on held daquar questions."""
    scores: dict = {}
    for source in ("flickr8k", "coco_mix"):
        rows = [i for i, e in enumerate(examples) if e.source == source and e.split == "dev"][:limit]
        if rows:
            said = say(model, features, rows, [CAPTION_PROMPT] * len(rows))
            found = caption_metrics(
                {str(i): t for i, t in zip(rows, said, strict=True)}, {str(i): examples[i].answers[CAPTION_PROMPT] for i in rows}
            )
            scores |= {f"{source}_cider": round(found["cider"], 4), f"{source}_bleu4": round(found["bleu4"], 4), f"{source}_says": said[:6]}
    asked = [(i, q, a[0]) for i, e in enumerate(examples) if e.source == "daquar" and e.split == "dev" for q, a in e.answers.items()][
        : limit * 2
    ]
    if asked:
        said = say(model, features, [i for i, _, _ in asked], [q for _, q, _ in asked])
        scores["daquar_exact"] = round(float(np.mean([s.lower() == a.lower() for s, (_, _, a) in zip(said, asked, strict=True)])), 4)
    held = [i for i, e in enumerate(examples) if e.source in ("catsdogs", "imagenet") and e.split == "dev"]
    if held:
        said = say(model, features, held, ["What is in this photo?"] * len(held))
        truth = [examples[i].answers["What is in this photo?"][0] for i in held]
        scores["label_exact"] = round(float(np.mean([s.lower() == t.lower() for s, t in zip(said, truth, strict=True)])), 4)
    return scores

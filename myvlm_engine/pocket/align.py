"""A first lesson for the projector that needs no language model: some visual token must point at the word vector of every
caption word. Two minutes that put visual tokens where the language model already reads words. Knows features and word vectors.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from .projector import Projector
from .tree import encode


def word_vectors(embedding: torch.nn.Module, tokenizer, vocabulary: Sequence[str]) -> torch.Tensor:
    """(V, 576) unit vectors: mean of the word's token embeddings, less what all words share."""
    with torch.no_grad():
        vectors = torch.stack([embedding(torch.tensor(encode(tokenizer, " " + w))).float().mean(0) for w in vocabulary])
    return F.normalize(vectors - vectors.mean(0), dim=-1)


def align_projector(
    projector: Projector,
    words: torch.Tensor,
    tokens: np.ndarray,
    rows: Sequence[int],
    shares: torch.Tensor,
    steps: int = 500,
    batch: int = 64,
    rate: float = 1e-3,
) -> float:
    """Trains `projector` in place. `words` (V, 576); `rows` photos of `tokens` (N, views, 26, C); `shares` (rows, V): how many of
    a photo's captions use each word. Returns the last loss (mean binary cross-entropy, nats)."""
    scale, bias = torch.nn.Parameter(torch.tensor(10.0)), torch.nn.Parameter(torch.logit(shares.mean(0).clamp(1e-4, 0.9)) - 1.0)
    groups: list[dict] = [{"params": list(projector.parameters())}, {"params": [scale, bias], "lr": 1e-2}]
    optimiser = torch.optim.AdamW(groups, lr=rate, weight_decay=0.02)
    rng, loss = random.Random(0), torch.zeros(())
    projector.train()
    for step in tqdm(range(steps), desc="align", mininterval=10):
        chosen = rng.sample(range(len(rows)), batch)
        views = np.stack([tokens[rows[i], rng.randrange(tokens.shape[1])] for i in chosen])
        visual = F.normalize(projector(torch.from_numpy(views).float()), dim=-1)  # (B, 26, 576)
        likeness = (visual @ words.T).amax(1)  # (B, V): the best token speaks for the word
        loss = F.binary_cross_entropy_with_logits(scale * likeness + bias, shares[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 20) * (1 - step / steps)
        optimiser.step()
    return float(loss.detach())

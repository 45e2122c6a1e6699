"""The trained part of the embedded VLM: the projector (tower features -> visual tokens) and the LoRA of its language model.

Knows shapes and formulas only; where weights lie is `weights.py`, how they are made is `train.py`.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from .vision import TOKEN_CHANNELS

LM_WIDTH = 576
LORA_RANK = 16
LORA_SCALE = 2.0  # alpha / rank
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Projector(nn.Module):
    """(B, 26, TOKEN_CHANNELS) tower features -> (B, 26, 576) visual tokens of the LM's mean embedding norm.

    A two-layer perceptron per token (as in LLaVA-1.5) and a learned position. Tried and dropped: a transformer layer over the
    tokens; at the rates the LoRA needs it saturated, and the LM learned to look past all visual tokens.
    """

    mean: torch.Tensor
    std: torch.Tensor
    embedding_norm: torch.Tensor

    def __init__(self, embedding_norm: float = 3.2, dropout: float = 0.1, tokens: int = 26, hidden: int = 1024):
        super().__init__()
        self.register_buffer("mean", torch.zeros(TOKEN_CHANNELS))
        self.register_buffer("std", torch.ones(TOKEN_CHANNELS))
        self.register_buffer("embedding_norm", torch.tensor(float(embedding_norm)))
        self.up = nn.Linear(TOKEN_CHANNELS, hidden)
        self.down = nn.Linear(hidden, LM_WIDTH)
        self.position = nn.Parameter(torch.randn(tokens, LM_WIDTH) * 0.02)
        self.norm = nn.LayerNorm(LM_WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = self.dropout(((features - self.mean) / self.std).clamp(-5, 5))
        x = self.norm(self.down(F.gelu(self.up(x))) + self.position)  # (B, 26, 576), norm sqrt(576)
        return x * (self.embedding_norm / LM_WIDTH**0.5)


class LoraLinear(nn.Module):
    """A frozen linear layer plus a low-rank update: y = Wx + scale * B(Ax) (Hu et al., 2021)."""

    def __init__(self, base: nn.Linear, rank: int = LORA_RANK, dropout: float = 0.0):
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / rank)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = F.linear(self.dropout(x), self.a.to(x.dtype)) * LORA_SCALE  # scaled while it is narrow
        return self.base(x) + F.linear(low, self.b.to(x.dtype))


def add_lora(lm: nn.Module, dropout: float = 0.0) -> dict[str, nn.Parameter]:
    """Wraps every target layer of `lm` in place; returns the trainable parameters by name ("layer path.a" / ".b")."""
    found: dict[str, nn.Parameter] = {}
    for path, module in list(lm.named_modules()):
        if isinstance(module, nn.Linear) and path.rsplit(".", 1)[-1] in LORA_TARGETS:
            wrapped = LoraLinear(module, dropout=dropout)
            parent, leaf = path.rsplit(".", 1)
            setattr(lm.get_submodule(parent), leaf, wrapped)
            found |= {f"{path}.a": wrapped.a, f"{path}.b": wrapped.b}
    return found


@torch.no_grad()
def merge_lora(lm: nn.Module, lora: dict[str, torch.Tensor]) -> None:
    """Adds the low-rank updates to the plain weights of `lm` in place: W += scale * B A. Errors: KeyError on a foreign name."""
    for name, a in lora.items():
        if name.endswith(".a"):
            layer = cast(nn.Linear, lm.get_submodule(name[:-2]))
            layer.weight += (LORA_SCALE * lora[name[:-2] + ".b"].float() @ a.float()).to(layer.weight.dtype)

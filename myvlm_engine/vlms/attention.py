"""Attention that also tells how strongly other tokens look at the concept embeddings: all the regulariser needs.

Registered with transformers under the name "concept_column". Without a recorder it is plain "sdpa"; with one, only the
concepts' columns of the attention maps are kept, never whole maps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

NAME = "concept_column"


@dataclass
class ColumnRecorder:
    """R(e) layer by layer. `columns`: indices of the concept embeddings among the keys; `queries` (B, Tq) bool: who counts."""

    columns: list[int]
    queries: torch.Tensor
    layers: list[torch.Tensor] = field(default_factory=list)  # each (B,)

    def add(self, probabilities: torch.Tensor) -> None:
        """`probabilities` (B, heads, Tq, Tk) of one layer -> mean over heads, columns and counting queries of P^2, (B,)."""
        squared = probabilities[..., self.columns].pow(2).mean((1, 3))  # (B, Tq)
        self.layers.append((squared * self.queries).sum(1) / self.queries.sum(1).clamp(min=1))

    def mean(self) -> torch.Tensor:
        """(B,) mean over layers."""
        return torch.stack(self.layers).mean(0)


def concept_column_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, column_recorder=None, **kwargs):
    """transformers' attention interface: (B, H, Tq, d) queries, (B, Hkv, Tk, d) keys -> (B, Tq, H, d) and no weights."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if column_recorder is None:
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs)
    groups = query.shape[1] // key.shape[1]
    keys, values = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ keys.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask[..., : keys.shape[2]]
    probabilities = scores.softmax(-1)
    column_recorder.add(probabilities)
    return (probabilities @ values).transpose(1, 2), None


def register() -> str:
    """Makes `attn_implementation="concept_column"` known to transformers; returns that name."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, concept_column_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME

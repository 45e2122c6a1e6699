"""Attention that also tells how strongly other tokens look at the concept embeddings: all the regulariser needs.

Registered with transformers under the name "concept_column". It is plain "sdpa"; with a recorder, the concepts' columns of the
attention maps are computed beside it, for the counting queries only: whole maps are never made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

NAME = "concept_column"


@dataclass
class ColumnRecorder:
    """R(e) layer by layer. `columns`: where the concept embeddings are among the keys, the same in every row, or (B, K) with -1 where a
    row has fewer; `queries` (B, Tq) bool: who counts."""

    columns: list[int] | torch.Tensor
    queries: torch.Tensor
    layers: list[torch.Tensor] = field(default_factory=list)  # each (B,)

    def add(self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float, causal: bool) -> None:
        """One layer's (B, H, Tq, d) queries and (B, H, Tk, d) keys."""
        rows = self.queries.any(0).nonzero().flatten()  # answers stand at the end: few of all queries
        columns, there = self._columns(query.shape[0], query.device)
        probabilities = column_probabilities(query, key, mask, scaling, causal, rows, columns)  # (B, H, R, K)
        squared = (probabilities.pow(2) * there[:, None, None]).sum(3).mean(1) / there.sum(1).clamp(min=1)[:, None]  # (B, R)
        counts = self.queries[:, rows]
        self.layers.append((squared * counts).sum(1) / counts.sum(1).clamp(min=1))

    def _columns(self, rows: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, K) indices and (B, K) bool: which of them are any."""
        columns = torch.as_tensor(self.columns, device=device).expand(rows, -1)
        return columns.clamp(min=0), columns >= 0

    def mean(self) -> torch.Tensor:
        """(B,) mean over layers."""
        return torch.stack(self.layers).mean(0)


def column_probabilities(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    causal: bool,
    rows: torch.Tensor,
    columns: torch.Tensor,
) -> torch.Tensor:
    """softmax(query @ key^T)[rows, columns] in float32: (B, H, Tq, d), (B, H, Tk, d), (R,), (B, K) -> (B, H, R, K)."""
    scores = (query[:, :, rows] @ key.transpose(2, 3)).float() * scaling  # (B, H, R, Tk)
    if mask is None and causal and query.shape[2] > 1:
        before = key.shape[2] - query.shape[2]
        mask = torch.arange(key.shape[2], device=key.device) <= torch.arange(query.shape[2], device=key.device)[:, None] + before
        mask = mask[None, None]
    if mask is not None:
        mask = mask.expand(-1, -1, query.shape[2], -1)[:, :, rows, : key.shape[2]]
        # the least number, not -inf: a padding query that sees nothing would be nan, and its gradient too
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
    wanted = columns[:, None, None].expand(-1, scores.shape[1], scores.shape[2], -1)
    return (scores.gather(3, wanted) - scores.logsumexp(3, keepdim=True)).exp()


def concept_column_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, column_recorder=None, **kwargs):
    """transformers' attention interface: (B, H, Tq, d) queries, (B, Hkv, Tk, d) keys -> (B, Tq, H, d) and no weights."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if column_recorder is not None:
        keys = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        column_recorder.add(query, keys, attention_mask, scale, getattr(module, "is_causal", True))
    return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs)


def register() -> str:
    """Makes `attn_implementation="concept_column"` known to transformers; returns that name."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, concept_column_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME

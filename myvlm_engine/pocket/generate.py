"""Greedy and sampled decoding for training and validation: many photos at once, one loop, a KV cache.

Answering members goes through transformers' own generate (beam search, constraints); this one exists because
self-critical training must sample thousands of captions per minute.
"""

from __future__ import annotations

import torch


def pick(logits: torch.Tensor, top_k: int) -> torch.Tensor:
    """(B,) the next tokens: the likeliest for top_k = 1, else drawn among the top_k likeliest."""
    best = logits.topk(top_k, dim=-1)
    return best.indices.gather(1, torch.multinomial(best.values.softmax(-1), 1))[:, 0]


@torch.no_grad()
def decode(lm, embeds: torch.Tensor, lengths: torch.Tensor, stop: int, steps: int = 24, samples: int = 1, top_k: int = 1):
    """`embeds` (B, T, D) right-padded prompts of `lengths` (B,). Returns token ids (B * samples, <= steps), `stop` where ended.

    Prompts are moved to the left end of padding, so that all sequences continue at the same index.
    """
    count, width, _ = embeds.shape
    shifted, mask = torch.zeros_like(embeds), torch.zeros(count, width, dtype=torch.long)
    for b, n in enumerate(lengths.tolist()):
        shifted[b, width - n :], mask[b, width - n :] = embeds[b, :n], 1
    out = lm(inputs_embeds=shifted, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0), use_cache=True, logits_to_keep=1)
    cache = out.cache
    logits = out.logits[:, -1].float()
    if samples > 1:
        cache.batch_repeat_interleave(samples)
        logits, mask = logits.repeat_interleave(samples, 0), mask.repeat_interleave(samples, 0)
    position = mask.sum(1, keepdim=True)
    ended = torch.zeros(len(logits), dtype=torch.bool)
    rows = []
    for step in range(steps):
        token = pick(logits, top_k)
        token = torch.where(ended, stop, token)
        rows.append(token)
        ended |= token == stop
        if ended.all() or step == steps - 1:
            break
        mask = torch.cat([mask, torch.ones(len(mask), 1, dtype=torch.long)], 1)
        out = lm(input_ids=token[:, None], attention_mask=mask, position_ids=position + step, cache=cache, use_cache=True)
        logits = out.logits[:, -1].float()
    return torch.stack(rows, 1)

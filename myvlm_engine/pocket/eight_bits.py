"""A language model whose matrices are read in 8 bits when it writes: a word at a time, a CPU waits for weights, not for sums.

Learning keeps the float32 matrices; both share everything else.
"""

from __future__ import annotations

import copy
import platform
import sys
from typing import Any, TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=Any)

LARGEST = 127


class EightBitLinear(nn.Module):
    """x W^T with W in 8 bits and a scale a row; x is rounded to bfloat16. No bias, no gradient."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST
        self.rows: torch.Tensor
        self.scales: torch.Tensor
        self.register_buffer("rows", (weight / scales[:, None]).round().to(torch.int8))  # (out, in)
        self.register_buffer("scales", scales.to(torch.bfloat16))  # (out,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in) -> (…, out), in the dtype of x."""
        flat = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
        # PyTorch's own product for this, which its torchao calls too; one has to hold both, since no public name leads to it
        return torch._weight_int8pack_mm(flat, self.rows, self.scales).view(*x.shape[:-1], -1).to(x.dtype)


def in_eight_bits(model: Model) -> Model:
    """A model of transformers with its linear layers in 8 bits (a byte a weight more memory); all else is the same objects."""
    linear = {id(m): EightBitLinear(m) for m in model.modules() if isinstance(m, nn.Linear)}
    kept = {id(p): p for p in model.parameters()} | {id(value): value for value in (model.config, model.generation_config)}
    return copy.deepcopy(model, linear | kept)


def eight_bits_are_fast(device: torch.device) -> bool:
    """Whether the product is vectorised on this machine: AVX2 or better (not on Windows), or 64-bit ARM; elsewhere float32 is faster."""
    x86 = sys.platform != "win32" and torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    arm = platform.machine() in {"aarch64", "arm64"}
    return device.type == "cpu" and (x86 or arm) and hasattr(torch, "_weight_int8pack_mm")

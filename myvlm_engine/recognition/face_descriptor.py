"""dlib's face descriptor in torch: a ResNet of 29 convolutions, aligned face in, 128 numbers out; on the GPU too, ten times faster.

Reads dlib's own weight file (`face_recognition_models`, CC0) without dlib. Knows nothing of photos, boxes or people.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

PACKAGE = "face_recognition_models"  # its __init__ imports pkg_resources, which is gone from setuptools: only its files are used
WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
CHIP_PX = 150
WIDTH = 128
MEAN_RGB = (122.782, 117.001, 104.298)  # dlib's input_rgb_image_sized
STEM = (32, 7)  # filters, side; stride 2
# (filters, stride) of the residual blocks from the input on; each is two 3 x 3 convolutions
BLOCKS = (*[(32, 1)] * 3, (64, 2), *[(64, 1)] * 3, (128, 2), *[(128, 1)] * 2, (256, 2), *[(256, 1)] * 2, (256, 2))
LAYER = re.compile(rb"\x05con_4|\x07affine_|\x04fc_2")  # as dlib's serialisation tags them: a length, then the name
HOW_TO_INSTALL = "Run `myvlm models install faces` (or `make setup`) and start again, or switch engine.people off."


class FacesMissing(RuntimeError):
    """What recognises people isn't installed, or is cut short."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution with the affine layer behind it folded in."""

    filters: torch.Tensor  # (out, in, side, side)
    biases: torch.Tensor  # (out,)
    stride: int
    padding: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.filters, self.biases, stride=self.stride, padding=self.padding)


class FaceDescriptor:
    """Descriptors of one person are about 0.5 apart, of two people 0.7 to 0.9 (dlib's threshold: 0.6)."""

    def __init__(self, path: Path, device: str = "cpu"):
        """Errors: FacesMissing for a file that isn't dlib's or is cut short."""
        self.path, self.device = path, device
        tensors = read_tensors(path)
        try:
            self.stem = _convolution(tensors, 3, *STEM, stride=2, device=device)
            self.blocks = list(_blocks(tensors, device))
            self.last = next(tensors).reshape(-1, WIDTH).to(device)  # (256, 128), no bias
        except (StopIteration, RuntimeError, ValueError) as error:
            raise FacesMissing(f"{path.name} of {PACKAGE} is cut short. Install it again: `myvlm models install faces`.") from error
        self.mean = torch.tensor(MEAN_RGB, device=device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, chips: np.ndarray) -> np.ndarray:
        """(B, 150, 150, 3) uint8 RGB, aligned -> (B, 128) float32, not normalised."""
        x = torch.from_numpy(np.ascontiguousarray(chips)).to(self.device).permute(0, 3, 1, 2)
        x = F.max_pool2d(F.relu(self.stem((x.float() - self.mean) / 256)), 3, 2)  # (B, 32, 35, 35)
        for first, second in self.blocks:
            x = F.relu(added(second(F.relu(first(x))), x if first.stride == 1 else F.avg_pool2d(x, 2, 2)))
        return (x.mean((2, 3)) @ self.last).cpu().numpy()


def added(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Their sum, the smaller filled up with zeros in channels, rows and columns, as dlib's add_prev does."""
    _, channels, rows, columns = (max(sizes) for sizes in zip(one.shape, other.shape, strict=True))
    filled = lambda x: F.pad(x, (0, columns - x.shape[3], 0, rows - x.shape[2], 0, channels - x.shape[1]))
    return filled(one) + filled(other)


def _blocks(tensors: Iterator[torch.Tensor], device: str) -> Iterator[tuple[Convolution, Convolution]]:
    channels = STEM[0]
    for filters, stride in BLOCKS:
        first = _convolution(tensors, channels, filters, 3, stride, device)
        yield first, _convolution(tensors, filters, filters, 3, 1, device)
        channels = filters


def _convolution(tensors: Iterator[torch.Tensor], channels: int, filters: int, side: int, stride: int, device: str) -> Convolution:
    """The next two layers of the file: con (filters, biases) and affine (gamma, beta)."""
    weights, biases = next(tensors).split([filters * channels * side * side, filters])
    gamma, beta = next(tensors).split(filters)
    folded = weights.view(filters, channels, side, side) * gamma.view(-1, 1, 1, 1)
    return Convolution(folded.to(device), (biases * gamma + beta).to(device), stride, side // 2 if stride == 1 else 0)


def read_tensors(path: Path) -> Iterator[torch.Tensor]:
    """Every layer's parameters from input to output, flat. dlib writes a tensor as version, four sizes (each a length and so many
    bytes) and little-endian float32."""
    data = path.read_bytes()
    at = 0
    while layer := LAYER.search(data, at):
        at = layer.end()
        if layer.group() == b"\x04fc_2":
            _, at = _integer(data, _integer(data, at)[1])  # outputs and the kind of bias come first
        _, at = _integer(data, at)
        sizes = []
        for _ in range(4):
            size, at = _integer(data, at)
            sizes.append(size)
        count = int(np.prod(sizes))
        yield torch.from_numpy(np.frombuffer(data, "<f4", count, at).copy())
        at += 4 * count


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """dlib's packed integer, and where the next thing begins."""
    if at >= len(data):
        raise ValueError("cut short")
    length = data[at] & 0x7F
    return int.from_bytes(data[at + 1 : at + 1 + length], "little"), at + 1 + length


def weight_file(name: str = WEIGHTS) -> Path:
    """A file inside the wheel of face_recognition_models. Errors: FacesMissing."""
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.submodule_search_locations[0]) / "models" / name if spec and spec.submodule_search_locations else None
    if path is None or not path.is_file():
        raise FacesMissing(f"What recognises people ({PACKAGE}) isn't installed. {HOW_TO_INSTALL}")
    return path

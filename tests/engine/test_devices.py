"""Where models run, by what a machine has."""

import pytest

torch = pytest.importorskip("torch")

from myvlm_engine.devices import best_device, embedded_device  # noqa: E402


@pytest.mark.parametrize("cuda, mps, expected", [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_the_best_there_is(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert best_device() == expected


@pytest.mark.parametrize("device, expected", [("mps", "cpu"), ("mps:0", "cpu"), ("cpu", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda:1")])
def test_embedded_models_stay_where_they_were_tried(device, expected):
    assert embedded_device(device) == expected


@pytest.mark.slow
def test_on_an_apple_gpu_the_embedded_encoder_sees_on_the_cpu():
    from myvlm_engine.recognition.encoders import load_encoder

    assert all(tower.device.type == "cpu" for tower in load_encoder("embedded", "mps").towers)

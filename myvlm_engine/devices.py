"""Where models run: what this machine has, and what of it the embedded models were tried on."""

from __future__ import annotations


def best_device() -> str:
    """What the machine has: "cuda", "mps" or "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def embedded_device(device: str) -> str:
    """Where the models that come with the program run. On Apple's GPUs they were never tried, and face detection resizes in a way that is
    missing there; its CPUs are fast enough for models this small."""
    return "cpu" if device.split(":")[0] == "mps" else device

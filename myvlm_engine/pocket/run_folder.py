"""What a training leaves in its work folder, so that it goes on after a stop: a checkpoint, replaced whole, and lines in the log."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch


class RunFolder:
    """The files of the training `name` in the folder `work`."""

    def __init__(self, work: Path, name: str):
        self.work, self.name, self.started = work, name, time.monotonic()

    @property
    def checkpoint(self) -> Path:
        return self.work / f"{self.name}.pt"

    def load(self) -> dict[str, Any] | None:
        """The newest state; None at the very start."""
        return torch.load(self.checkpoint, weights_only=True) if self.checkpoint.exists() else None

    def save(self, state: dict[str, Any]) -> None:
        """A stop in the middle leaves the former state whole."""
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def log(self, step: int, **facts) -> None:
        """One JSON line in `log.jsonl`, with the seconds since this process began."""
        seconds = round(time.monotonic() - self.started)
        with (self.work / "log.jsonl").open("a") as out:
            out.write(json.dumps({"run": self.name, "step": step, "seconds": seconds, **facts}) + "\n")

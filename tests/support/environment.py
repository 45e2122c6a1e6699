"""Where a command is typed: an empty folder, with none of the settings of whoever runs the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def without_settings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("MYVLM_", "DISCORD_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(folder)

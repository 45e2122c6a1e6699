"""The same output wherever the tests run: nothing of whoever runs them forces a colour or a width on it."""

from __future__ import annotations

import os

import pytest

FORCING = ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS", "TTY_COMPATIBLE", "TERMINAL_WIDTH")  # of Typer, at its import, and of Rich


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """After pytest has looked whether its own report is to be coloured."""
    for name in FORCING:
        os.environ.pop(name, None)

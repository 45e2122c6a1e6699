"""Faces as region vectors: descriptors that are compared by distance, lifted so that a product with a unit row decides the same.

A descriptor a becomes (a, |a|²/2, 1), scaled to length 1. The row (2v, -2, w² - |v|²) then gives (w² - |a - v|²) times a positive
number: its sign says whether a is within w of v. numpy only.
"""

from __future__ import annotations

import numpy as np

EXTRA = 2  # numbers more than a descriptor has


def lifted(descriptors: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d + 2), unit rows."""
    rows = np.hstack([descriptors, (descriptors**2).sum(1, keepdims=True) / 2, np.ones((len(descriptors), 1))])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def descriptors(rows: np.ndarray) -> np.ndarray:
    """(n, d + 2) of `lifted` -> (n, d)."""
    return rows[:, :-EXTRA] / rows[:, -1:]


def within(descriptors: np.ndarray, distance: float) -> np.ndarray:
    """(k, d) -> (k, d + 2): rows whose product with a lifted descriptor is positive within that distance, negative beyond."""
    last = distance**2 - (descriptors**2).sum(1, keepdims=True)
    return np.hstack([2 * descriptors, np.full((len(descriptors), 1), -2.0), last])


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, d), (m, d) -> (n, m)."""
    return np.linalg.norm(one[:, None] - other[None], axis=2)

"""Which windows of an encoder's feature grid are looked at: the whole photo, then squares of several sizes, in cells.

Knows nothing of pixels, features or concepts.
"""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the photo, 0..1


@dataclass(frozen=True)
class Window:
    """A rectangle of cells: rows top..bottom, columns left..right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def box(self, rows: int, columns: int) -> Box:
        """As shares of a photo of `rows` x `columns` cells."""
        return self.left / columns, self.top / rows, self.right / columns, self.bottom / rows


def windows(rows: int, columns: int, plan: tuple[tuple[int, int], ...]) -> list[Window]:
    """The whole grid first, then every square of the plan's (side, stride), clipped to the grid and spread to its edges."""
    found = [Window(0, rows, 0, columns)]
    for side, stride in plan:
        height, width = min(side, rows), min(side, columns)
        if (height, width) == (rows, columns):
            continue
        found += [Window(y, y + height, x, x + width) for y in _starts(rows, height, stride) for x in _starts(columns, width, stride)]
    return found


def _starts(length: int, side: int, stride: int) -> list[int]:
    """Evenly spread starts, about `stride` apart; the first and the last window touch the edges."""
    steps = max(1, round((length - side) / stride)) if length > side else 0
    return sorted({round(i * (length - side) / steps) for i in range(steps + 1)}) if steps else [0]

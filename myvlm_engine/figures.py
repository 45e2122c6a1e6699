"""Figures of an evaluation as people and programs read them: tables on the terminal, JSON in a file, a progress bar. Computes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

T = TypeVar("T")
Figures = Mapping[str, float]


def show(title: str, figures: Figures, console: Console | None = None) -> None:
    """Name and value a row: seconds and counts as they are, shares with three digits."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    (console or Console()).print(table)


def counted(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """The items, with a bar on stderr that says how far and how long still; a line a tenth where stderr is a file."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from _told(items, title, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield from bar.track(items, total=total, description=title)


def _told(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    for number, item in enumerate(items, 1):
        yield item
        if number * 10 // total > (number - 1) * 10 // total:
            print(f"{title} {number}/{total}", file=sys.stderr, flush=True)


def note(title: str, figures: Figures) -> None:
    """A line on stderr, for what is done of a long measurement."""
    print(f"{title}: {', '.join(f'{name} {value:.3f}' for name, value in figures.items())}", file=sys.stderr, flush=True)


def write_json(figures: Mapping[str, Any], path: Path | None) -> None:
    """Rounded to four digits; folders are made. Nothing where there is no path."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(figures), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return value

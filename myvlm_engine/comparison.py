"""Methods and numbers of shots side by side: means over seeds with 95 % confidence intervals (Student's t). Pure counting and a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

COMPARED = ("name_f1", "name_recall", "name_recall_recognised", "name_precision", "text_similarity")
OF_SEVERAL = "name_f1_of_"  # and the number of subjects in one photo: compared where there are composites
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # two-sided quantiles of t, 1 to 10 degrees of freedom


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and half the width of its 95 % confidence interval; no width with one seed."""

    mean: float
    half_width: float | None

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if self.half_width is None else f"{self.mean:.3f} ± {self.half_width:.3f}"


@dataclass(frozen=True)
class Row:
    """One method with one number of shots."""

    method: str
    shots: int | None  # None: 4 where a subject has five photos or more, else 3
    per_seed: Mapping[int, Mapping[str, float]]  # seed -> COMPARED, and OF_SEVERAL of each size

    @property
    def figures(self) -> dict[str, Interval]:
        """Of what every seed has."""
        first, *others = self.per_seed.values()
        return {name: interval([f[name] for f in self.per_seed.values()]) for name in first if all(name in other for other in others)}


def row(method: str, shots: int | None, per_seed: Mapping[int, Mapping[str, float]]) -> Row:
    """From the captions' figures of every seed, and those of composites. Errors: KeyError where one of COMPARED is missing."""
    kept = lambda figures: [*COMPARED, *sorted(name for name in figures if name.startswith(OF_SEVERAL))]
    return Row(method, shots, {seed: {name: figures[name] for name in kept(figures)} for seed, figures in per_seed.items()})


def interval(values: Sequence[float]) -> Interval:
    if len(values) < 2:
        return Interval(fmean(values), None)
    freedom = len(values) - 1
    quantile = T_95[freedom - 1] if freedom <= len(T_95) else 1.96 + 2.5 / freedom  # within 0.02 of the true one
    return Interval(fmean(values), quantile * stdev(values) / len(values) ** 0.5)


def show_comparison(rows: Sequence[Row], console: Console | None = None) -> None:
    """Fits into a terminal of 80 columns: headings stand word under word."""
    title = "comparison (mean over seeds ± 95 % confidence interval)"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    several = any(one.shots for one in rows)
    columns = list(dict.fromkeys(name for one in rows for name in one.figures))
    table.add_column("method", no_wrap=True)
    for column in (*(["shots"] if several else []), *columns):
        table.add_column(column.replace("_", " "), overflow="fold")
    for one in rows:
        shots = [str(one.shots or "4 or 3")] if several else []
        table.add_row(one.method, *shots, *(str(one.figures.get(name, "")) for name in columns))
    (console or Console()).print(table)


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    figures = lambda one: {name: {"mean": i.mean, "ci95": i.half_width} for name, i in one.figures.items()}
    return [{"method": one.method, "shots": one.shots, **figures(one), "per_seed": one.per_seed} for one in rows]


def united(files: Sequence[Path]) -> list[Row]:
    """The rows of several runs, those of one method and number of shots with the seeds of all. Errors: ValueError with a sentence."""
    found: dict[tuple[str, int | None], dict[int, Mapping[str, float]]] = {}
    for file in files:
        for one in _rows_in(file):
            seeds = found.setdefault((one.method, one.shots), {})
            if twice := sorted(seeds.keys() & one.per_seed.keys()):
                raise ValueError(f"{file} has seed {twice[0]} of {one.method}, which another of the files has too. Leave one of them out.")
            seeds |= one.per_seed
    return [row(method, shots, dict(sorted(seeds.items()))) for (method, shots), seeds in found.items()]


def _rows_in(file: Path) -> list[Row]:
    try:
        rows = json.loads(file.read_text())["comparison"]
        return [row(one["method"], one["shots"], {int(seed): f for seed, f in one["per_seed"].items()}) for one in rows]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        wanted = "Give files that `myvlm eval concepts … --json FILE` wrote, by this version."
        raise ValueError(f"{file} holds no comparison ({type(error).__name__}). {wanted}") from error

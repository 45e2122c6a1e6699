"""What the transformers families share behind the Vlm Protocol: targets as rows, and batches that shrink where memory runs out.

Knows no family: a subclass says what a batch of rows loses and what follows a prompt.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

from ..errors import OutOfMemory, as_engine_error
from .base import Asked, Losses, Target, View

T = TypeVar("T")
LARGEST = 16  # rows in one forward pass to begin with


@dataclass(frozen=True)
class Row:
    """One training sentence with the concepts that fired in its view."""

    state: Any  # the view's
    prompt: str | None
    text: str
    concepts: torch.Tensor  # (K, width); K may differ between the rows of one batch
    identifier: str = ""


class BatchedVlm:
    """The losses of any number of rows, in batches that fit."""

    batch_size = LARGEST

    def losses(self, views: Sequence[View], targets: Sequence[Target], concepts: torch.Tensor, identifier: str, attention: bool) -> Losses:
        return self.losses_together([Asked(views, targets, concepts, identifier)], attention)[0]

    def losses_together(self, asked: Sequence[Asked], attention: bool) -> list[Losses]:
        """Of several concepts in one batch. Errors: OutOfMemory."""
        rows = [Row(a.views[t.view].state, t.prompt, t.text, a.concepts, a.identifier) for a in asked for t in a.targets]
        return parted(self.row_losses(rows, attention), [len(a.targets) for a in asked])

    def row_losses(self, rows: Sequence[Row], attention: bool) -> Losses:
        """As `losses`, each row with concepts of its own. Errors: OutOfMemory when not even one row fits."""
        while True:
            try:
                parts = self._in_batches(rows, attention)
                return Losses(*(torch.cat(column) for column in zip(*parts, strict=True)))
            except RuntimeError as error:
                failure = memory_ran_out(error)
            self.shrink(len(rows), failure)

    def shrink(self, rows: int, failure: Exception) -> None:
        """Smaller batches from now on, after `rows` of them didn't fit. Errors: OutOfMemory."""
        self.batch_size = smaller(min(self.batch_size, rows), failure)

    def _in_batches(self, rows: Sequence[Row], attention: bool) -> list[tuple[torch.Tensor, ...]]:
        """Several batches that need gradients are computed once more when those are taken: only one is ever in memory. So that is where
        memory runs out then, not here: see `with_smaller_batches`."""
        batches = [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        run: Callable[..., tuple[torch.Tensor, ...]] = self.batch_losses
        if len(batches) == 1 or not torch.is_grad_enabled():
            return [run(batch, attention) for batch in batches]
        return [checkpoint(run, batch, attention, use_reentrant=False, preserve_rng_state=False) for batch in batches]

    def batch_losses(self, rows: Sequence[Row], attention: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The three columns of Losses for rows that fit into one forward pass."""
        raise NotImplementedError


def parted(losses: Losses, counts: Sequence[int]) -> list[Losses]:
    """The losses of sum(counts) targets as those of each group."""
    columns = (losses.cross_entropy.split(counts), losses.attention.split(counts), losses.name_probability.split(counts))
    return [Losses(*parts) for parts in zip(*columns, strict=True)]


def memory_ran_out(error: RuntimeError) -> Exception:
    """The error without its frames, which hold the tensors that filled the memory; any other error is raised again. Known by its words:
    CUDA has a class for it, Apple's GPUs and CPUs have none."""
    if not isinstance(as_engine_error(error), OutOfMemory):
        raise error
    return error.with_traceback(None)


def smaller(size: int, failure: Exception) -> int:
    """Half of `size`, with the cache emptied. Errors: OutOfMemory when there is nothing smaller."""
    if size <= 1:
        raise as_engine_error(failure) from failure
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
    return size // 2


def with_smaller_batches(vlm: object, rows: int, run: Callable[[], T]) -> T:
    """`run()`, which takes losses of `rows` rows and their gradients, again and again in smaller batches where memory runs out: the way
    back needs more of it than the way there. Errors: OutOfMemory."""
    while True:
        try:
            return run()
        except RuntimeError as error:
            failure = memory_ran_out(error)
        if not isinstance(vlm, BatchedVlm):
            raise failure
        vlm.shrink(rows, failure)


def with_fewer_beams(write: Callable[[int], T], beams: int) -> T:
    """`write(beams)`, with half the beams again and again where memory runs out. Errors: OutOfMemory."""
    while True:
        try:
            return write(beams)
        except RuntimeError as error:
            failure = memory_ran_out(error)
        beams = smaller(beams, failure)


__all__ = ["LARGEST", "BatchedVlm", "OutOfMemory", "Row", "memory_ran_out", "parted", "smaller", "with_fewer_beams", "with_smaller_batches"]

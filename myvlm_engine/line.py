"""The one thread all model work is done on, and the bounded line before it. Knows nothing of models or HTTP.

First come, first served: a teach re-joins after every step, so that what came meanwhile goes between its steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .errors import Busy, CallerGone

T = TypeVar("T")


class Line:
    """At most `limit` requests wait or are served; one more is refused with Busy."""

    def __init__(self, limit: int):
        self.limit = limit
        self.waiting = 0  # let in and not finished; only the event loop's thread writes it
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="models")

    async def serve(self, job: Callable[[], T], gone: Callable[[], Awaitable[bool]] | None = None) -> T:
        """The job's result. `gone` is asked when its turn comes. Errors: Busy, CallerGone, and the job's own."""
        if self.waiting >= self.limit:
            raise Busy(waiting=self.waiting)
        self.waiting += 1
        try:
            return await self.step(_unless_gone(job, gone) if gone else job)
        finally:
            self.waiting -= 1

    async def step(self, job: Callable[[], T]) -> T:
        """Work of a request that has been let in already: waits its turn, is never refused."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)

    def leave(self, job: Callable[[], object]) -> None:
        """Work nobody waits for (closing a broken-off teach)."""
        self._worker.submit(job)

    def close(self) -> None:
        """Lets the running job end; drops the others."""
        self._worker.shutdown(wait=False, cancel_futures=True)


def _unless_gone(job: Callable[[], T], gone: Callable[[], Awaitable[bool]]) -> Callable[[], T]:
    loop = asyncio.get_running_loop()

    def asked() -> T:
        async def ask() -> bool:
            return await gone()

        if asyncio.run_coroutine_threadsafe(ask(), loop).result(timeout=5):
            raise CallerGone()
        return job()

    return asked


class TeachSlots:
    """As many teaches as learn in one batch. One more waits a little (another may just be breaking off), then is refused."""

    def __init__(self, patience_s: float):
        self.patience_s = patience_s
        self.seats, self.used = 1, 0  # seats: set once the models are loaded
        self._given_back = asyncio.Condition()

    @property
    def full(self) -> bool:
        return self.used >= self.seats

    async def take(self) -> None:
        """Errors: Busy."""
        try:
            async with asyncio.timeout(self.patience_s), self._given_back:
                await self._given_back.wait_for(lambda: not self.full)
                self.used += 1
        except TimeoutError as error:
            raise Busy(waiting=self.used) from error

    async def give_back(self) -> None:
        async with self._given_back:
            self.used -= 1
            self._given_back.notify()

"""How the program ends when it is told to: in good order, and whatever hangs."""

import asyncio
import contextlib

import pytest

from bot.running import ended_in_good_order


async def test_what_was_opened_is_closed_even_where_one_closing_step_hangs():
    closed = []

    async def program():
        try:
            try:
                await asyncio.Event().wait()
            finally:
                closed.append("page")
                await asyncio.Event().wait()  # never comes back
        finally:
            closed.append("engine")

    running = asyncio.create_task(ended_in_good_order(program(), step_s=0.05))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)
    assert closed == ["page", "engine"]


async def test_its_own_failure_is_raised_as_it_is():
    async def program():
        raise ValueError("no token")

    with pytest.raises(ValueError, match="no token"):
        await ended_in_good_order(program())


async def test_a_program_that_ends_by_itself_ends():
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(ended_in_good_order(asyncio.sleep(0)), 5)

"""Engine and bot as real processes over a real SQLite file, and either of them killed with SIGKILL at the worst moments.

Here the engine is the stand-in of support/stub_engine.py, so that every moment can be hit; test_real_engine.py has the real one.
"""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import psutil
import pytest
from support.processes import until
from support.staging import Stage, on_stage

pytestmark = pytest.mark.slow
SLOWLY = {"STUB_SEE_S": "0.4", "STUB_STEP_S": "0.15"}  # 1.6 s of seeing, 3 s of learning
IN_THE_MIDDLE = re.compile(r"\b(?:[89]|1\d)/20")  # any such step: only the newest is shown
MOMENTS = {"accepted": "Kept: Zippy", "seeing": "Looking at photo", "learning": "Learning to say Zippy"}


async def test_taught_with_four_photos_it_is_named_on_another_and_not_where_it_is_not(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        await stage.teach("Zippy")
        await stage.wire.reads(f"{stage.wire.member.mention} **Zippy** is ready")
        assert "Zippy is on the floor." in await stage.describe_toy()
        assert "Zippy" not in await stage.describe_scene()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("victim", ["bot", "engine"])
async def test_whichever_is_killed_it_goes_on_at_the_next_start(tmp_path: Path, victim: str, moment: str) -> None:
    async with on_stage(tmp_path, SLOWLY) as stage:
        await stage.teach("Zippy")
        await stage.wire.reads(MOMENTS[moment])
        await getattr(stage, victim).kill()
        await getattr(stage, f"restart_{victim}")()
        await learned(stage)


async def test_learning_goes_on_from_the_last_step_and_not_from_the_first(tmp_path: Path) -> None:
    async with on_stage(tmp_path, {**SLOWLY, "STUB_STEP_S": "0.5"}) as stage:
        await stage.teach("Zippy")
        await until(lambda: IN_THE_MIDDLE.search("\n".join(stage.wire.texts())), 60, "the eighth step")
        await stage.bot.kill()
        await stage.restart_bot()
        await learned(stage)
        teaches = [entry for entry in await asked(stage) if entry["verb"] == "teach"]
        assert len(teaches) == 2
        assert teaches[0]["from_step"] == 0
        assert teaches[1]["from_step"] >= 5


async def test_both_killed_nothing_is_lost(tmp_path: Path) -> None:
    async with on_stage(tmp_path, SLOWLY) as stage:
        await stage.teach("Zippy")
        await stage.wire.reads(MOMENTS["learning"])
        await stage.engine.kill()
        await stage.bot.kill()
        await stage.restart_bot()
        await stage.restart_engine()
        await learned(stage)


async def test_taught_while_the_engine_is_away_it_is_kept_and_learned_when_the_engine_is_back(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        await stage.engine.kill()
        await stage.teach("Zippy")
        await stage.wire.reads("goes on when it is back")
        await stage.restart_engine()
        await learned(stage)


async def test_what_was_learned_is_there_after_a_restart_without_learning_again(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        await stage.teach("Zippy")
        await stage.wire.reads("Zippy is ready")
        await stage.bot.end()
        await stage.restart_bot()
        assert "Zippy is on the floor." in await stage.describe_toy()
        assert [entry["verb"] for entry in await asked(stage)].count("teach") == 1


async def test_the_bots_process_stays_under_200_mb_and_never_loads_torch(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        await stage.teach("Zippy", range(10))
        await stage.wire.reads("Zippy is ready")
        await stage.describe_toy()
        assert stage.bot.running is not None
        process = psutil.Process(stage.bot.running.pid)
        assert process.memory_info().rss < 200 * 1024**2
        assert not [mapped.path for mapped in process.memory_maps() if "torch" in mapped.path]


async def learned(stage: Stage) -> None:
    """The last word comes exactly once, and the name is used."""
    last_word = f"{stage.wire.member.mention} **Zippy** is ready"
    await stage.wire.reads(last_word, within_s=60)
    assert "Zippy is on the floor." in await stage.describe_toy()
    assert sum(last_word in text for text in stage.wire.texts()) == 1


async def asked(stage: Stage) -> list[dict[str, object]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{stage.engine_url}/stub/log")).json()


async def test_the_engine_of_myvlm_run_ends_when_the_bot_is_killed(tmp_path: Path) -> None:
    """Its parent is gone without a word: the engine must notice by itself."""
    from support.processes import MYVLM, process
    from support.wire import open_wire

    async with open_wire() as wire, process([*MYVLM, "run"], wire.environ, tmp_path, "run") as run:
        await wire.connected()
        assert run.running is not None
        children = psutil.Process(run.running.pid).children()
        assert any("myvlm_engine.serving" in child.cmdline() for child in children)
        await run.kill()
        await until(lambda: not any(child.is_running() for child in children), 20, "the engine's end")

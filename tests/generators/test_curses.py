"""Jobs and models that break, hang or kill their worker: the pool names it, ends it, and goes on with the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from generators.events import Events
from generators.messages import Event, Failed, Progress, Result, Unloaded
from generators.models import Model
from generators.pool import Pool, PoolSettings
from tests.generators import cursed
from tests.generators.test_loop import drawing

MODELS = [cursed.MODEL, *(Model(name=f"to {curse}", kind="image", source=curse) for curse in cursed.SPELLS)]


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    cursed.use(monkeypatch)
    settings = PoolSettings(
        devices=("cpu",), heartbeat_seconds=0.05, silent_seconds=2.0, stall_seconds=0.5, load_seconds=1.0,
        restart_seconds=0.01,
    )  # fmt: skip
    pool = Pool(settings, {model.name: model for model in MODELS})
    await pool.start()
    yield pool
    await pool.stop(grace_seconds=0)


def submitted(pool: Pool, prompt: str, steps: int = 5, **changes: Any) -> Events:
    name = f"{prompt} {time.monotonic()}"
    return pool.submit(name, drawing("m", prompt=prompt, steps=steps), {}, **changes)


async def ending(events: Events) -> Event:
    async with asyncio.timeout(30):
        return [event async for event in events][-1]


async def failure(events: Events) -> Failed:
    failed = await ending(events)
    assert isinstance(failed, Failed), failed
    return failed


async def test_a_job_that_breaks_the_engine_fails_alone_and_the_worker_lives(pool: Pool) -> None:
    others = [submitted(pool, "p") for _ in range(3)]
    broken = await failure(submitted(pool, "break"))
    assert (broken.code, "ZeroDivisionError" in broken.message) == ("internal", True)
    for events in others:
        assert isinstance(await ending(events), Result)
    assert pool.devices()[0].restarts == 0


@pytest.mark.parametrize(
    ("curse", "said"), [("die", "lost"), ("hang", "stalled in a step of m"), ("freeze", "silent")]
)
async def test_a_worker_that_is_lost_is_named_and_followed(pool: Pool, curse: str, said: str) -> None:
    lost = await failure(submitted(pool, curse))
    assert (lost.code, said in lost.message) == ("worker_lost", True)
    assert isinstance(await ending(submitted(pool, "p")), Result)
    assert pool.devices()[0].restarts == 1


async def test_a_load_that_hangs_has_its_own_limit_and_names_the_model(pool: Pool) -> None:
    began = time.monotonic()
    answer = await pool.load("to hang")
    assert isinstance(answer, Unloaded)
    assert "stalled in loading to hang" in answer.message
    assert time.monotonic() - began > 1.0  # a step may take only half of that
    assert isinstance(await ending(submitted(pool, "p")), Result)


async def test_a_worker_that_does_not_leave_when_told_is_killed(pool: Pool) -> None:
    events = submitted(pool, "p", steps=100_000)
    async for event in events:
        if isinstance(event, Progress):
            break
    [process] = [each for each in psutil.Process().children() if "cursed" in " ".join(each.cmdline())]
    process.suspend()
    async with asyncio.timeout(5):
        await pool.stop(grace_seconds=0)
    assert not process.is_running()

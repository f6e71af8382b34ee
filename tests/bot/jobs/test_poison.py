"""Jobs that kill or hang the worker, again and again, among good ones: from the database to a real process and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from bot.jobs.dispatcher import Dispatcher
from bot.jobs.progress import Reporter
from generators.models import Model
from generators.pool import Pool, PoolSettings
from storage import jobs, ledger
from tests.bot.jobs.world import World, apple, now, world
from tests.generators import cursed

GOOD = "p"


@asynccontextmanager
async def cursed_world(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[World, Pool]]:
    cursed.use(monkeypatch)
    pool = Pool(
        PoolSettings(
            devices=("cpu",), batch_max=8, restart_seconds=0.01, heartbeat_seconds=0.1, stall_seconds=0.5
        ),
        {"tiny": Model(name="tiny", kind="image", source="scripted")},
    )
    async with world(url, folder) as w:
        reporter = Reporter(w.database, hear=None, shared=False)
        limits = msgspec.structs.replace(w.config.timeouts, image=1)
        config = msgspec.structs.replace(w.config, timeouts=limits)
        w.dispatcher = Dispatcher(w.database, w.blobs, pool, reporter, config, owner="me", clock=now)
        try:
            yield w, pool
        finally:
            await pool.stop(grace_seconds=0)


async def asked(w: World, person: str, prompt: str) -> int:
    account = await w.person(person)
    return (await w.submit(account, person, apple(prompt=prompt, steps=10))).job.id


async def served(w: World, pool: Pool, prompts: list[str]) -> list[jobs.Job]:
    """All asked at once, each by another person, until each has ended."""
    mine = [await asked(w, f"person {number}", prompt) for number, prompt in enumerate(prompts)]
    await pool.start()
    await pool.ready()

    async def over() -> bool:
        return all([(await w.job(job)).state in jobs.TERMINAL for job in mine])

    await w.live(over)
    return [await w.job(job) for job in mine]


@pytest.mark.parametrize(
    "prompts",
    [["die", *[GOOD] * 5], ["die", "die", *[GOOD] * 5], [*[GOOD] * 5, "die", "hang"], [*[GOOD] * 5, "hang"]],
    ids=lambda prompts: " ".join(prompts),
)
async def test_only_those_that_kill_or_hang_workers_fail_and_they_pay_nothing(
    prompts: list[str], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cursed_world(database_url, tmp_path, monkeypatch) as (w, pool):
        for prompt, job in zip(prompts, await served(w, pool, prompts), strict=True):
            lots = await w.database.read(ledger.lots, job.account, now())
            left = sum(lot.remaining for lot in lots)
            ended = ("completed", None, 1, 19) if prompt == GOOD else ("discarded", "worker_lost", 0, 20)
            assert (job.state, job.error, job.paid, left) == ended
            assert job.failures <= (1 if prompt == GOOD else w.config.retry.attempts)
        await w.check()

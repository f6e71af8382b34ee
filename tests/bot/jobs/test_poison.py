"""A job that kills or hangs the worker, again and again, among good ones: from the database to a real process and
back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.jobs.dispatcher import Dispatcher
from bot.jobs.progress import Reporter
from generators.models import Model
from generators.pool import Pool, PoolSettings
from storage import jobs
from tests.bot.jobs.world import apple, now, world
from tests.generators import cursed


@pytest.mark.parametrize("poison", ["die", "hang"])
async def test_only_the_one_that_kills_or_hangs_workers_fails(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poison: str
) -> None:
    cursed.use(monkeypatch)
    pool = Pool(
        PoolSettings(
            devices=("cpu",), batch_max=8, restart_seconds=0.01, heartbeat_seconds=0.1, stall_seconds=0.5
        ),
        {"tiny": Model(name="tiny", kind="image", source="scripted")},
    )
    async with world(database_url, tmp_path) as w:
        reporter = Reporter(w.database, hear=None, shared=False)
        limits = msgspec.structs.replace(w.config.timeouts, image=1)
        config = msgspec.structs.replace(w.config, timeouts=limits)
        w.dispatcher = Dispatcher(w.database, w.blobs, pool, reporter, config, owner="me", clock=now)
        good = [await asked(w, f"good {number}", "p") for number in range(5)]
        bad = await asked(w, "bad", poison)
        await pool.start()
        await pool.ready()

        async def over() -> bool:
            return all([(await w.job(job)).state in jobs.TERMINAL for job in (*good, bad)])

        try:
            await w.live(over)
        finally:
            await pool.stop(grace_seconds=0)
        assert [(await w.job(job)).state for job in good] == ["completed"] * 5
        assert [(await w.job(job)).failures for job in good] == [1] * 5  # they shared its first forward
        assert ((await w.job(bad)).state, (await w.job(bad)).error) == ("discarded", "worker_lost")
        assert pool.devices()[0].restarts == w.config.retry.attempts
        await w.check()


async def asked(w: Any, person: str, prompt: str) -> int:
    account = await w.person(person)
    return (await w.submit(account, person, apple(prompt=prompt, steps=10))).job.id

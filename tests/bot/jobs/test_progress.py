"""What a running job shows, when two attempts of it overlap in one process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from bot.jobs.progress import SHARE_SECONDS, Live, Reporter
from storage import records
from tests.bot.jobs.world import FusedDatabase, world


async def test_an_attempt_that_was_replaced_neither_shows_nor_hides_anything(
    database_url: str, tmp_path: Path
) -> None:
    """A lease ran out while the database was away; the same process claimed the job again."""
    heard: list[Live] = []
    async with world(database_url, tmp_path) as w:
        first = (await w.submit(await w.person())).job
        second = msgspec.structs.replace(first, attempt=first.attempt + 1)
        reporter = Reporter(
            w.database, hear=lambda _, live: heard.append(msgspec.structs.replace(live)), shared=False
        )
        reporter.started(first)
        reporter.started(second)
        reporter.step(first, 3, 4, b"")
        reporter.token(first, "old")
        reporter.ended(first)
        reporter.step(second, 1, 4, b"")
        reporter.token(second, "new")
    assert (heard[-1].attempt, heard[-1].step, heard[-1].text) == (second.attempt, 1, "new")
    assert all(live.step < 3 and live.text != "old" for live in heard)


async def test_a_job_that_ends_while_anothers_progress_is_shared_stops_nobody(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path, ATELIER_PLANS_FREE_RUNNING="2") as w:
        ann = await w.person()
        first, second = [(await w.submit(ann, key)).job for key in ("1", "2")]
        ending = {first.id: second, second.id: first}

        class Ends(FusedDatabase):
            async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
                reporter.ended(ending[args[0]])
                return await super().run(function, *args, **kwargs)

        reporter = Reporter(Ends(w.real, w.fuse), hear=None, shared=True)
        reporter.started(first)
        reporter.started(second)
        sharing = asyncio.create_task(reporter.run())
        await asyncio.wait({sharing}, timeout=SHARE_SECONDS + 0.5)
        assert not sharing.done()
        sharing.cancel()
        shared = await w.real.read(records.progress, [first.id, second.id])
        assert len(shared) == 1

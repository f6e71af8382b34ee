"""Dying at every boundary of the pipeline, one after the other: no job is lost, nothing is charged twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.chat import Card
from bot.jobs import ending
from storage import jobs, ledger
from tests import postgres
from tests.bot.jobs.world import Fuse, Killed, World, fails, hangs, now, picture, world

BOUNDARIES_MAX = 120


async def one_life(w: World, request: Callable[[World], Any]) -> None:
    """Submits and runs until it is delivered, or dies on the way."""
    try:
        asked = await request(w)
        w.board.watch(asked.job)
        await w.live(lambda: w.delivered(asked.job.id))
    except Killed:
        pass


async def simple(w: World) -> Any:
    return await w.submit(await w.person())


async def failing_first(w: World) -> Any:
    def script(job: str, request: Any) -> Any:
        return fails("internal")(job, request) if job.endswith(".1") else picture(job, request)

    w.engine.script = script
    return await w.submit(await w.person())


async def cancelled(w: World) -> Any:
    w.engine.script = hangs
    asked = await w.submit(await w.person())

    async def press() -> None:
        while (await w.job(asked.job.id)).state == "available":
            await asyncio.sleep(0.01)
        if (await w.job(asked.job.id)).state == "running":
            await w.real.run(ending.cancel, asked.job.account, asked.job.id, now())

    w.pressing = asyncio.ensure_future(press())  # type: ignore[attr-defined]
    return asked


@contextmanager
def fresh(url: str, tmp_path: Path, number: int, template: Path) -> Iterator[str]:
    """Another empty database beside the fixture's."""
    if url.startswith("sqlite"):
        path = tmp_path / f"{number}.db"
        path.write_bytes(template.read_bytes())
        yield f"sqlite:///{path}"
        return
    server, name = postgres.named(url, "postgres"), f"{url.rpartition('/')[2]}_{number}"
    with postgres.database(server, name, template="template_atelier") as made:
        yield made


@pytest.mark.parametrize("request_of", [simple, failing_first, cancelled])
def test_dying_anywhere_loses_nothing(
    database_url: str, tmp_path: Path, sqlite_template: Path, request_of: Callable[[World], Any]
) -> None:
    for number in itertools.count(1):
        with fresh(database_url, tmp_path, number, sqlite_template) as url:
            died = asyncio.run(_die_and_recover(url, tmp_path / str(number), number, request_of))
        if not died:
            assert number > 8  # the fuse was longer than the whole life: every boundary has been tried
            return
        assert number < BOUNDARIES_MAX


async def _die_and_recover(url: str, folder: Path, limit: int, request_of: Callable[[World], Any]) -> bool:
    delivered: list[Card] = []
    fuse = Fuse(limit)
    async with world(url, folder, fuse=fuse, delivered=delivered) as first:
        await one_life(first, request_of)
        await first.check()
    async with world(url, folder, delivered=delivered) as second:
        await second.restart()
        asked = await second.submit(await second.person())  # the event is redelivered
        await second.live(lambda: second.delivered(asked.job.id))
        job = await second.job(asked.job.id)
        assert job.state in ("completed", "cancelled")
        assert delivered
        assert delivered[-1].state == ("done" if job.state == "completed" else "cancelled")
        left = sum(lot.remaining for lot in await second.real.read(ledger.lots, job.account, now()))
        assert left == 20 - job.paid
        assert await second.real.read(jobs.counts) == {job.state: 1}
        await second.check()
    return fuse.dead

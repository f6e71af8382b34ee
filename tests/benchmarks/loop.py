"""What one chat event costs us in CPU time, and how late the event loop is while a real model generates.

`cost` takes `imagine` events one after the other from Invocation to committed job and reply, through the real
service over SQLite, and counts the CPU time of the whole process (loop and database threads): nothing else runs.
`lag` starts the whole instance with the embedded picture model in its worker process, sends 20 requests a
second and measures how late a timer of 5 ms wakes up.

    python -m tests.benchmarks.loop [--events 500] [--seconds 15]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from pathlib import Path

import structlog

from bot import bootstrap, settings
from bot.chat import Address, Invocation, Person
from bot.config import Config
from bot.service import Service
from storage import jobs
from tests.benchmarks.report import Figures, last_line, percentile, table

PEOPLE = 100
REQUESTS_PER_SECOND = 20
TICK_SECONDS = 0.005
COST_MAX_MS, LAG_P99_MAX_MS = 5.0, 20.0
SETTINGS = {
    "ATELIER_WEB_ENABLED": "false",
    "ATELIER_POOL_THREADS": "1",
    "ATELIER_BUDGET_FREE_TOTAL": "0",
    "ATELIER_PLANS_FREE_CREDITS_DAY": "10000",
    "ATELIER_PLANS_FREE_PER_MINUTE": "10000",
    "ATELIER_PLANS_FREE_WAITING": "10000",
}


async def cost(config: Config, events: int) -> Figures:
    async with bootstrap.storage_of(config) as (database, blobs):
        service = Service(bootstrap.Instance(config, ("chat",), database, blobs)._context)
        for number in range(PEOPLE):  # accounts, allowances and caches of a running bot
            await service.run(event(number))
        spent: list[float] = []
        for number in range(PEOPLE, PEOPLE + events):
            before = time.process_time()
            reply = await service.run(event(number))
            spent.append((time.process_time() - before) * 1e3)
            assert reply.cards, reply.text
    return {"event_cpu_mean_ms": sum(spent) / len(spent), "event_cpu_p99_ms": percentile(spent, 99)}


async def lag(config: Config, seconds: float) -> Figures:
    async with bootstrap.storage_of(config, alone=True) as (database, blobs):
        instance, stop = bootstrap.Instance(config, bootstrap.ROLES, database, blobs), asyncio.Event()
        service = Service(instance._context)
        running = asyncio.create_task(instance.run(stop))
        await service.run(event(0))
        async with asyncio.timeout(120):
            while not (await database.read(jobs.counts)).get("completed"):
                await asyncio.sleep(0.1)
        late: list[float] = []
        ticker = asyncio.create_task(_tick(late))
        async with asyncio.TaskGroup() as group:
            for number in range(1, round(seconds * REQUESTS_PER_SECOND) + 1):
                group.create_task(_ask(service, number))
                await asyncio.sleep(1 / REQUESTS_PER_SECOND)
        ticker.cancel()
        made = (await database.read(jobs.counts)).get("completed", 0)
        stop.set()
        await running
    return {
        "loop_lag_p50_ms": percentile(late, 50),
        "loop_lag_p99_ms": percentile(late, 99),
        "loop_lag_max_ms": max(late),
        "requests_per_second": REQUESTS_PER_SECOND,
        "pictures_made_meanwhile": made - 1,
    }


async def _tick(late: list[float]) -> None:
    while True:
        due = time.perf_counter() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        late.append((time.perf_counter() - due) * 1e3)


async def _ask(service: Service, number: int) -> None:
    reply = await service.run(event(number))
    assert not reply.refused, reply.text


def event(number: int) -> Invocation:
    return Invocation(
        event=f"event-{number}",
        command="imagine",
        text="a red apple",
        person=Person(platform="test", id=f"{number % PEOPLE}"),
        address=Address(platform="test"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=15.0)
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, work in (("cost", cost), ("lag", lag)):
            config = settings.load(None, {**SETTINGS, "ATELIER_HOME": str(Path(folder, name))})
            figures |= asyncio.run(work(config, args.events if name == "cost" else args.seconds))  # type: ignore[arg-type]
    table("One chat event, and the loop beside a generating model", ("", "figure"), [*figures.items()])  # type: ignore[arg-type]
    figures["ok"] = (
        float(figures["event_cpu_mean_ms"]) < COST_MAX_MS
        and float(figures["loop_lag_p99_ms"]) < LAG_P99_MAX_MS
    )
    last_line(figures)


if __name__ == "__main__":
    main()

"""Who gets how much, how long small work waits behind big, and how true the forecast is. A simulated clock, real rows.

Devices are simulated (one job each, with the time that it takes); submitting, claiming, ending, learning and
forecasting are the code that serves people, on SQLite and on PostgreSQL. Beside it, in the same run, the orders
that others use: the oldest job first, strict priority of plans, and whoever was served least recently.

    backlog   three plans of weights 1, 4, 8; one free account floods; the share of device time of each account,
              over its weight, as Jain's index (1: exactly fair)
    videos    one device; one person's ten videos of 180 s, a second later forty pictures of 6 s of four others
    forecast  two devices with as much to do as they can; times vary; each job's first forecast beside what
              happened, in seconds, with what jobs take learned and without

    python -m tests.benchmarks.fairness [--seeds 3] [--only sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import itertools
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.config import ModelEntry
from bot.jobs import forecast, pricing
from bot.jobs.forecast import Accuracy, Promise
from bot.jobs.learning import Timings
from generators.requests import TextToImage
from storage import accounts, flows, jobs, records, schema
from storage.accounts import Identity
from storage.database import Database, connect
from storage.jobs import NewJob
from storage.records import Capacity
from tests.benchmarks.claim import OLDEST, ROUND_ROBIN, server
from tests.benchmarks.report import Figures, last_line, table

START = datetime(2026, 11, 24, tzinfo=UTC)
WEIGHTS = {"free": 1, "basic": 4, "pro": 8}
ACCOUNTS = {"free": 8, "basic": 4, "pro": 2}
PRIORITY = (
    "SELECT id FROM jobs WHERE state = 'available'"
    " ORDER BY CASE tier WHEN 'pro' THEN 0 WHEN 'basic' THEN 1 ELSE 2 END, id LIMIT 1"
)
ORDERS = {"fair": "", "oldest": OLDEST, "priority": PRIORITY, "round_robin": ROUND_ROBIN}
TAKE = "UPDATE jobs SET state = 'running', started_at = :now WHERE id = ({}) RETURNING id"
END = "UPDATE jobs SET state = 'completed' WHERE id = :job"
MODEL = ModelEntry(name="m", kind="image", source="s", width=1024, height=1024, steps=30, seconds=6.0)
GUESS = 2.0
"""How far off the operator's first guess of the model's seconds is."""
BACKLOG_JOBS, FORECAST_JOBS, LOAD = 500, 300, 0.95
GOALS = {"jain": 0.98, "videos_wait_seconds": 305.0}


@dataclass(order=True)
class Work:
    """A job of the simulation: what it will take is known here only."""

    at: float
    number: int
    account: int = field(compare=False)
    tier: str = field(compare=False)
    seconds: float = field(compare=False)
    predicted: float = field(compare=False, default=0.0)
    request: TextToImage | None = field(compare=False, default=None)
    started: float = field(compare=False, default=0.0)
    ended: float = field(compare=False, default=0.0)


class Simulation:
    """So many devices, a line, and a clock that jumps from event to event."""

    def __init__(self, database: Database, order: str, devices: int, *, learns: bool = True) -> None:
        self._database, self._query, self._devices = database, ORDERS[order], devices
        self._learns = learns
        self.now, self.jobs = 0.0, dict[int, Work]()
        self._ends: list[tuple[float, int]] = []
        self.accuracy, self._promises, self._timings = Accuracy(), dict[int, Promise](), Timings()

    async def run(self, arrivals: Iterable[Work], *, until: Callable[[], bool] = lambda: False) -> None:
        coming = sorted(arrivals)
        heapq.heapify(coming)
        while (coming or self._ends) and not until():
            if coming and (not self._ends or coming[0].at <= self._ends[0][0]):
                self.now = coming[0].at
                while coming and coming[0].at == self.now:
                    await self._submit(heapq.heappop(coming))
            else:
                self.now, job = heapq.heappop(self._ends)
                await self._end(job)
            await self._claim()

    @property
    def moment(self) -> datetime:
        return START + timedelta(seconds=self.now)

    async def _submit(self, work: Work) -> None:
        job = await self._database.run(self._queue, work)
        self.jobs[job] = work
        if work.request is not None:
            place = (await self._database.run(self._forecast))[job]
            self._promises[job] = self.accuracy.promise(place, self.moment)

    def _queue(self, session: Session, work: Work) -> int:
        cost = round((work.predicted or work.seconds) * 1e6)
        if work.request is not None:
            unit = records.timing(session, MODEL.name, pricing.shape(work.request))
            cost = pricing.cost_us(work.request, MODEL, unit)
        new = NewJob(key=f"k{work.number}", account=work.account, tier=work.tier, kind="image", model="m", words="",
                     request=b"", address=b"", cost_us=cost, price=1)  # fmt: skip
        return jobs.add(session, new, self.moment, cap=100)

    def _forecast(self, session: Session) -> dict[int, forecast.Place]:
        tiers, lines = flows.snapshot(session)
        pending = [
            replace(job, started_at=job.started_at and START + timedelta(seconds=self.jobs[job.id].started))
            for job in jobs.pending(session)
        ]
        capacity = Capacity(devices=self._devices, slots=self._devices, rate_us=self._devices * 1_000_000)
        return forecast.places(tiers, lines, pending, self.moment, capacity)

    async def _claim(self) -> None:
        if room := self._devices - len(self._ends):
            for job in await self._database.run(self._take, room):
                work = self.jobs[job]
                work.started, work.ended = self.now, self.now + work.seconds
                heapq.heappush(self._ends, (work.ended, job))

    def _take(self, session: Session, room: int) -> list[int]:
        if not self._query:
            return [job.id for job in jobs.claim(session, "bench", lease_seconds=60, limit=room)]
        sqlite = session.get_bind().dialect.name == "sqlite"
        now = str(self.moment)[:26] if sqlite else self.moment
        found = [session.execute(text(TAKE.format(self._query)), {"now": now}).scalar() for _ in range(room)]
        return [job for job in found if job is not None]

    async def _end(self, job: int) -> None:
        work = self.jobs[job]
        used = round(work.seconds * 1e6)
        predicted = await self._database.run(self._finish, job, used)
        if work.request is not None:
            news = self._timings.learn(work.request, predicted_us=predicted, took_us=used)
            if self._learns:
                await self._database.run(records.learn, MODEL.name, news)
            start = START + timedelta(seconds=work.started)
            self.accuracy.note(self._promises[job], start, self.moment)

    def _finish(self, session: Session, job: int, used_us: int) -> int:
        if self._query:
            session.execute(text(END), {"job": job})
            return 0
        found = jobs.lock(session, job)
        assert found is not None
        jobs.complete(session, found, self.moment, used_us=used_us, paid=1)
        return found.cost_us


@asynccontextmanager
async def prepared(url: str, folder: Path) -> Any:
    database = connect(url)
    try:
        await schema.upgrade(database, url, backups=folder)
        yield database
    finally:
        await database.close()


def fresh(session: Session, people: int) -> list[int]:
    for name in ("flows", "jobs", "timings", "tiers"):
        session.execute(text(f"DELETE FROM {name}"))
    flows.define_tiers(session, {name: weight * 10 for name, weight in WEIGHTS.items()})
    return [
        accounts.resolve(session, Identity(platform="b", external_id=f"{n}"), START) for n in range(people)
    ]


async def backlog(database: Database, order: str, seed: int) -> float:
    """Jain's index of what each account got over its share."""
    chance = random.Random(seed)
    people = iter(await database.run(fresh, sum(ACCOUNTS.values())))
    owners = [(next(people), tier) for tier, count in ACCOUNTS.items() for _ in range(count)]
    flooder = owners[0][0]
    waiting: list[Work] = []
    for account, tier in owners:
        for _ in range(BACKLOG_JOBS // 2 if account == flooder or tier == "pro" else BACKLOG_JOBS // 8):
            predicted = chance.choice([4.0, 10.0, 20.0, 30.0])
            waiting.append(
                Work(
                    0,
                    chance.randrange(10**9),
                    account,
                    tier,
                    predicted * chance.lognormvariate(0, 0.3),
                    predicted,
                )
            )
    simulation = Simulation(database, order, devices=4)
    done = lambda: sum(bool(work.ended) for work in simulation.jobs.values()) >= BACKLOG_JOBS  # noqa: E731
    await simulation.run(waiting, until=done)
    got = Counter[int]()
    for work in simulation.jobs.values():
        got[work.account] += (
            round(1e6 * max(0.0, min(work.ended, simulation.now) - work.started)) if work.ended else 0
        )
    return jain([got[account] / WEIGHTS[tier] * ACCOUNTS[tier] for account, tier in owners])


def jain(values: list[float]) -> float:
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values) or 1)


async def videos(database: Database, order: str, seed: int) -> float:
    """The mean wait of the pictures, in seconds."""
    owner, *others = await database.run(fresh, 5)
    numbers, chance = itertools.count(), random.Random(seed)
    asked = [Work(0.0, next(numbers), owner, "free", 180.0) for _ in range(10)]
    pictures = others * 10
    chance.shuffle(pictures)
    asked += [Work(1.0, next(numbers), account, "free", 6.0) for account in pictures]
    simulation = Simulation(database, order, devices=1)
    await simulation.run(asked)
    return fmean(work.started - work.at for work in simulation.jobs.values() if work.at)


async def promises(database: Database, seed: int, *, learns: bool) -> dict[str, float]:
    """The error of each job's first forecast, in seconds. The first two find cold devices: five times as long."""
    chance = random.Random(seed)
    people = await database.run(fresh, 12)
    shapes = [(512, 10), (512, 30), (1024, 20), (1024, 30)]
    second = {
        shape: chance.uniform(0.7, 1.5) * MODEL.seconds / GUESS / pricing.own_units(MODEL) for shape in shapes
    }
    requests = {
        (size, steps): TextToImage(
            model="m", prompt="", width=size, height=size, steps=steps, guidance=5, seed=1
        )
        for size, steps in shapes
    }
    mean = fmean(pricing.units(request) * second[shape] for shape, request in requests.items())
    arrivals: list[Work] = []
    at = 0.0
    for number in range(FORECAST_JOBS):
        shape, request = chance.choice(list(requests.items()))
        seconds = (
            pricing.units(request) * second[shape] * chance.lognormvariate(0, 0.1) * (5 if number < 2 else 1)
        )
        account = chance.choice(people)
        arrivals.append(Work(at, number, account, list(WEIGHTS)[account % 3], seconds, request=request))
        at += chance.expovariate(LOAD * 2 / mean)
    simulation = Simulation(database, "fair", devices=2, learns=learns)
    await simulation.run(arrivals)
    judged = simulation.accuracy
    return {
        "job": fmean(work.seconds for work in simulation.jobs.values()),
        "wait": fmean(work.started - work.at for work in simulation.jobs.values()),
        **{f"{what}_error": judged.mean_absolute(what) for what in ("start", "finish")},
        **{f"{what}_bias": judged.bias(what) for what in ("start", "finish")},
    }


async def one_seed(url: str, seed: int, folder: Path) -> Figures:
    async with prepared(url, folder) as database:
        found: Figures = {
            f"jain_{order}": await backlog(database, order, seed) for order in ("fair", "oldest", "priority")
        }
        for order in ("fair", "oldest", "round_robin"):
            found[f"videos_wait_{order}_seconds"] = await videos(database, order, seed)
        for name, learns in (("forecast", True), ("untaught", False)):
            errors = await promises(database, seed, learns=learns)
            found |= {f"{name}_{what}_seconds": value for what, value in errors.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    args = parser.parse_args()
    figures: Figures = {"seeds": args.seeds}
    for kind in (args.only,) if args.only else ("sqlite", "postgresql"):
        names = [f"seed_{seed}" for seed in range(args.seeds)]
        with tempfile.TemporaryDirectory() as folder, server(kind, Path(folder), names) as place:
            seeds = [
                asyncio.run(one_seed(place(name), seed, Path(folder))) for seed, name in enumerate(names)
            ]
        rows = [[name, *(float(each[name]) for each in seeds)] for name in seeds[0]]
        table(kind, ["", *names], rows)
        figures |= {f"{kind}_{name}": fmean(float(each[name]) for each in seeds) for name in seeds[0]}
        figures[f"{kind}_jain_fair_least"] = min(float(each["jain_fair"]) for each in seeds)
        figures[f"{kind}_videos_wait_fair_most_seconds"] = max(
            float(each["videos_wait_fair_seconds"]) for each in seeds
        )
    worst = [float(value) for name, value in figures.items() if name.endswith("_jain_fair_least")]
    longest = [
        float(value) for name, value in figures.items() if name.endswith("_videos_wait_fair_most_seconds")
    ]
    figures["ok"] = min(worst) >= GOALS["jain"] and max(longest) <= GOALS["videos_wait_seconds"]
    last_line(figures)


if __name__ == "__main__":
    main()

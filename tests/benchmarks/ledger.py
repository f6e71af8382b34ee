"""Jobs through the ledger: admitted, held, queued, claimed, finished. Production beside `naive`, in one run.

32 people at a time each submit a job, wait until the one dispatcher has claimed it, and finish it; both versions
run this same loop over databases of their own, in turns (production, naive, production ...), so that a noisy
machine hits both. SQLite commits with synchronous=FULL and PostgreSQL with fsync on. Afterwards both must pass
the ledger's drift check. `flat` times submits of an account with 1,000 and with 1,000,000 entries behind it.

    python -m tests.benchmarks.ledger [--jobs 640] [--rounds 3] [--only sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Protocol

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from bot import settings
from bot.chat import Address
from bot.config import Config
from bot.jobs import ending, submit
from bot.jobs.submit import Ask
from generators.requests import TextToImage
from storage import accounts, flows, jobs, ledger, schema
from storage.accounts import Identity, InForce
from storage.artifacts import NewArtifact
from storage.database import Database, connect
from storage.jobs import Job
from storage.ledger import Grant, LotKind
from storage.tables import EntryRow
from tests import postgres
from tests.benchmarks import naive
from tests.benchmarks.report import Figures, last_line, percentile, table

CONCURRENT = 32
ACCOUNTS = 64
FLAT_ENTRIES = (1_000, 1_000_000)
FLAT_SUBMITS = 300
ROUND_SECONDS_MAX = 300
PLENTY = 10**9
DATABASES = ("production", "naive", "flat")
RATIO_MIN, P99_MAX_MS = 2.5, 200.0
SETTINGS = {f"ATELIER_PLANS_PRO_{key}": "100" for key in ("RUNNING", "WAITING", "PER_MINUTE")}


class Version(Protocol):
    """One way to take a job through its life."""

    async def submit(self, ask: Ask, now: datetime) -> int: ...
    async def claim(self) -> list[int]: ...
    async def complete(self, job: int, now: datetime) -> bool: ...
    async def close(self) -> None: ...


class Production:
    def __init__(self, database: Database, config: Config) -> None:
        self._database, self._config = database, config
        self._claimed: dict[int, Job] = {}

    async def submit(self, ask: Ask, now: datetime) -> int:
        return (await self._database.run(submit.submit, self._config, ask, now)).job.id

    async def claim(self) -> list[int]:
        found = await self._database.run(jobs.claim, "bench", lease_seconds=30, limit=CONCURRENT)
        self._claimed |= {job.id: job for job in found}
        return [job.id for job in found]

    async def complete(self, job: int, now: datetime) -> bool:
        claimed = self._claimed.pop(job)
        return await self._database.run(
            ending.complete, self._config, claimed, picture(job), now, used_us=600_000
        )

    async def close(self) -> None:
        await self._database.close()


class Naive:
    def __init__(self, url: str, config: Config) -> None:
        self._sessions, self._config = naive.sessions(url), config

    async def submit(self, ask: Ask, now: datetime) -> int:
        return await self._sessions.run(naive.submit, self._config, ask, now)

    async def claim(self) -> list[int]:
        return await self._sessions.run(naive.claim, "bench", CONCURRENT)

    async def complete(self, job: int, now: datetime) -> bool:
        return await self._sessions.run(naive.complete, self._config, job, picture(job), now, 600_000)

    async def close(self) -> None:
        await self._sessions.close()


@dataclass
class Round:
    seconds: float = 0.0
    submit_ms: list[float] = field(default_factory=list)
    finish_ms: list[float] = field(default_factory=list)


class Clock:
    """Moves on by a second a job of each person, so that nobody is too fast.

    Those who ask at once may be served in another order, so it must not run much ahead of a minute's pace.
    """

    def __init__(self) -> None:
        self._start, self._ticks = datetime.now(UTC), itertools.count()

    def __call__(self, people: int) -> datetime:
        return self._start + timedelta(seconds=next(self._ticks) / people)


class Loop:
    """The same traffic for any version: so many people at once, one dispatcher."""

    def __init__(self, version: Version, people: list[int], clock: Clock) -> None:
        self._version, self._people, self._clock = version, people, clock
        self._claims: dict[int, asyncio.Event] = {}
        self._wake = asyncio.Event()

    async def run(self, count: int) -> Round:
        measured, numbers = Round(), iter(range(count))
        started = time.perf_counter()
        async with asyncio.timeout(ROUND_SECONDS_MAX), asyncio.TaskGroup() as group:
            dispatcher = group.create_task(self._dispatch())
            people = [group.create_task(self._person(numbers, measured)) for _ in range(CONCURRENT)]
            await asyncio.wait(people)
            measured.seconds = time.perf_counter() - started
            dispatcher.cancel()
        return measured

    async def _person(self, numbers: Iterator[int], measured: Round) -> None:
        for number in numbers:
            account = self._people[number % len(self._people)]
            now = self._clock(len(self._people))
            began = time.perf_counter()
            job = await self._version.submit(ask(account, f"{now.timestamp()}"), now)
            measured.submit_ms.append((time.perf_counter() - began) * 1e3)
            self._wake.set()
            await self._claims.setdefault(job, asyncio.Event()).wait()
            began = time.perf_counter()
            assert await self._version.complete(job, now)
            measured.finish_ms.append((time.perf_counter() - began) * 1e3)
            self._wake.set()

    async def _dispatch(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            for job in await self._version.claim():
                self._claims.setdefault(job, asyncio.Event()).set()


def ask(account: int, key: str) -> Ask:
    request = TextToImage(
        model="tiny", prompt="a red apple", width=128, height=128, steps=20, guidance=4.0, seed=1
    )
    return Ask(
        key=key, account=account, words="a red apple", request=request, address=Address(platform="test")
    )


def picture(job: int) -> list[NewArtifact]:
    return [NewArtifact(ordinal=0, blob=f"jobs/{job}/1/0.png", media_type="image/png", size_bytes=20_000,
                        width=128, height=128, seed=1)]  # fmt: skip


@contextmanager
def server(kind: str, folder: Path) -> Iterator[Callable[[str], str]]:
    """(name) -> URL of one of DATABASES, all on one durable server."""
    with postgres.server(durable=True) if kind == "postgresql" else nullcontext("") as running:

        def fresh(name: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{folder / name}.db"
            return running.rsplit("/", 1)[0] + "/" + name

        if kind == "postgresql":
            postgres.execute(running, *(f"CREATE DATABASE {name}" for name in DATABASES))
        yield fresh


@asynccontextmanager
async def prepared(url: str, config: Config, folder: Path) -> AsyncIterator[tuple[Database, list[int]]]:
    """A migrated database whose people have credits to spend."""
    database = connect(url)
    try:
        await schema.upgrade(database, url, backups=folder)
        await database.run(flows.define_tiers, submit.tier_weights(config))
        yield database, [await database.run(_person, f"{number}") for number in range(ACCOUNTS)]
    finally:
        await database.close()


def _person(session: Session, name: str) -> int:
    now = datetime.now(UTC)
    account = accounts.resolve(session, Identity(platform="test", external_id=name), now)
    accounts.set_plan(session, account, InForce(plan="pro"))
    kinds: tuple[LotKind, ...] = ("monthly", "gift", "pack") * 2  # none that the day's free budget bounds
    grants = [Grant(key=f"{number}:{account}", kind=kind, amount=PLENTY) for number, kind in enumerate(kinds)]
    ledger.grant(session, account, grants, now)
    return account


async def compare(
    fresh: Callable[[str], str], config: Config, folder: Path, count: int, rounds: int
) -> Figures:
    """Both versions in turns, over several accounts and over a hot one."""
    figures: Figures = {}
    ours, theirs = fresh("production"), fresh("naive")
    async with (
        prepared(ours, config, folder) as (database, people),
        prepared(theirs, config, folder) as (other, _),
    ):
        await other.schema(lambda connection: connection.execute(text(naive.INDEX)))
        versions: dict[str, Version] = {
            "production": Production(database, config),
            "naive": Naive(theirs, config),
        }
        clock = Clock()
        for load, payers in (("spread", people), ("hot", people[:1])):
            done: dict[str, list[Round]] = {name: [] for name in versions}
            for number in range(rounds + 1):
                for name, version in versions.items():
                    measured = await Loop(version, payers, clock).run(count if number else CONCURRENT * 2)
                    if number:  # the first only warms caches
                        done[name].append(measured)
            figures |= _summed(load, done, count)
        await versions["naive"].close()
        for each in (database, other):
            assert await each.read(ledger.check) == [], "the books do not add up"
    return figures


def _summed(load: str, done: dict[str, list[Round]], count: int) -> Figures:
    figures: Figures = {}
    for name, rounds in done.items():
        figures[f"{load}_{name}_jobs_per_second"] = median(count / each.seconds for each in rounds)
        for stage in ("submit", "finish"):
            samples = [ms for each in rounds for ms in getattr(each, f"{stage}_ms")]
            figures[f"{load}_{name}_{stage}_p50_ms"] = percentile(samples, 50)
            figures[f"{load}_{name}_{stage}_p99_ms"] = percentile(samples, 99)
    pairs = zip(done["production"], done["naive"], strict=True)
    figures[f"{load}_ratio"] = median(theirs.seconds / ours.seconds for ours, theirs in pairs)
    return figures


async def flat(fresh: Callable[[str], str], config: Config, folder: Path) -> Figures:
    """Medians of submits with a short and a long history behind the account, taken in turns."""
    times: dict[int, list[float]] = {size: [] for size in FLAT_ENTRIES}
    async with prepared(fresh("flat"), config, folder) as (database, people):
        owners = dict(zip(FLAT_ENTRIES, people, strict=False))
        for size, account in owners.items():
            await database.run(_history, account, size)
        version, clock = Production(database, config), Clock()
        for _ in range(FLAT_SUBMITS):
            for size, account in owners.items():
                now = clock(1)
                began = time.perf_counter()
                job = await version.submit(ask(account, f"{now.timestamp()}"), now)
                times[size].append((time.perf_counter() - began) * 1e3)
                assert await version.claim() == [job]
                await version.complete(job, now)
        assert await database.read(ledger.check) == []
    few, many = (median(times[size]) for size in FLAT_ENTRIES)
    return {"submit_1k_entries_p50_ms": few, "submit_1m_entries_p50_ms": many, "flat_ratio": many / few}


def _history(session: Session, account: int, size: int) -> None:
    """Years of jobs that were held and captured, with the lot that paid for them accounted for."""
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    entry = {"account_id": account, "amount": 1, "at": long_ago, "reason": ""}
    moves = (("h", "available", "held"), ("c", "held", "revenue"))
    for start in range(0, size // 2, 10_000):
        session.execute(
            insert(EntryRow),
            [
                entry | {"key": f"{kind}{account}-{number}", "source": source, "target": target}
                for number in range(start, min(start + 10_000, size // 2))
                for kind, source, target in moves
            ],
        )
    ledger.post(session, account, f"paid:{account}", "promotion", "available", max(size // 2, 1), long_ago)


def run(kind: str, config: Config, folder: Path, args: argparse.Namespace) -> Figures:
    folder = folder / kind
    folder.mkdir()
    with server(kind, folder) as fresh:
        figures = asyncio.run(compare(fresh, config, folder, args.jobs, args.rounds))
        if not args.quick:
            figures |= asyncio.run(flat(fresh, config, folder))
    for load in ("spread", "hot"):
        rows = [
            [name, *(figures[f"{load}_{name}_{unit}"] for unit in UNITS)] for name in ("production", "naive")
        ]
        table(f"{kind}, {load}: ratio {figures[f'{load}_ratio']:.2f}", ["", *UNITS], rows)  # type: ignore[arg-type]
    return figures


UNITS = ("jobs_per_second", "submit_p50_ms", "submit_p99_ms", "finish_p50_ms", "finish_p99_ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=640, help="a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--quick", action="store_true", help="leave the long histories out")
    args = parser.parse_args()
    config = settings.load(None, SETTINGS)
    all_figures: Figures = {"concurrent": CONCURRENT, "jobs_a_round": args.jobs, "rounds": args.rounds}
    with tempfile.TemporaryDirectory() as folder:
        for kind in (args.only,) if args.only else ("sqlite", "postgresql"):
            found = run(kind, config, Path(folder), args)
            all_figures |= {f"{kind}_{name}": value for name, value in found.items()}
    ratios = [value for name, value in all_figures.items() if name.endswith(("spread_ratio", "hot_ratio"))]
    slow = [value for name, value in all_figures.items() if "production" in name and name.endswith("p99_ms")]
    all_figures["ok"] = min(map(float, ratios)) >= RATIO_MIN and max(map(float, slow)) < P99_MAX_MS
    last_line(all_figures)


if __name__ == "__main__":
    main()

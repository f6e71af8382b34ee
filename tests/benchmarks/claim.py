"""What one claim takes with a long line, while another session holds an old snapshot, beside two usual queries.

For each seed four databases are filled: 10,000 and 100,000 jobs wait, spread over many accounts or nearly all of
one. On PostgreSQL a session opens a snapshot in each and keeps it, so that nothing dead can be vacuumed; then so
many jobs are claimed, finished and queued again as a pool of fifty jobs a second does in a minute. When the
snapshot is a minute old, claims are timed: whole transactions, committed with fsync. `naive` takes the oldest
job (FOR UPDATE SKIP LOCKED, with an index made for it), `round_robin` one of who was served least recently.

    python -m tests.benchmarks.claim [--churn 3000] [--age 60] [--seeds 3] [--only sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.orm import Session

from storage import flows, jobs, schema
from storage.database import Database, connect
from storage.jobs import NewJob
from tests import postgres
from tests.benchmarks.report import Figures, last_line, percentile, table

LINES = {"10k": 10_000, "100k": 100_000}
SHAPES = ("spread", "one account")
JOBS_EACH = 10  # of an account, where they are spread
TIERS = {"free": 10, "basic": 40, "pro": 80, "relaxed": 1}
CLAIMS, BASELINES, TOGETHER = 300, 30, 8
GOALS_MS = {"10k": 2.0, "100k": 3.0}
"""The goal on PostgreSQL, medians."""

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
ACCOUNTS = NUMBERS + (
    "INSERT INTO accounts (id, plan, settings, created_at) SELECT i, 'free', '{}', :now FROM n"
)
JOBS = NUMBERS + (
    "INSERT INTO jobs (key, account_id, tier, kind, model, words, request, address, private, state, attempt,"
    " failures, run_at, cancel_requested, cost_us, used_us, price, paid, budget, created_at)"
    " SELECT 'k' || i, {account}, {tier}, 'image', 'sdxl', :words, :request, :request, false, 'available', 0,"
    " 0, :now, false, 1000000 + (i * 7919 + :seed) % 5000000, 0, 1, 0, '', :now FROM n"
)
FLOWS = (
    "INSERT INTO flows (account_id, tier, start_us, debt_us, waiting, running, cap, eligible)"
    " SELECT account_id, tier, 0, 0, count(*), 0, 1000, true FROM jobs GROUP BY account_id, tier"
)
ACCOUNT = {
    "spread": "1 + (i * 31 + :seed) % :accounts",
    "one account": "CASE WHEN i % 100 = 0 THEN 1 + i / 100 ELSE 1 END",
}
TIER = "CASE ({account}) % 10 WHEN 0 THEN 'pro' WHEN 1 THEN 'basic' ELSE 'free' END"
"""An account of each plan; every tenth pays."""

OLDEST = "SELECT id FROM jobs WHERE state = 'available' ORDER BY created_at, id LIMIT 1"
ROUND_ROBIN = (
    "SELECT id FROM jobs JOIN (SELECT account_id, max(started_at) AS served FROM jobs GROUP BY account_id) AS s"
    " ON s.account_id = jobs.account_id WHERE state = 'available' ORDER BY served NULLS FIRST, id LIMIT 1"
)
TAKE = (
    "UPDATE jobs SET state = 'running', attempt = attempt + 1, owner = 'bench', started_at = :now"
    " WHERE id = ({}) RETURNING id"
)


@dataclass
class Line:
    """One database with its long line, and the session that keeps an old snapshot of it."""

    size: str
    shape: str
    database: Database
    accounts: int
    snapshot_at: float = 0.0


async def fill(database: Database, shape: str, count: int, seed: int) -> int:
    accounts = max(count // JOBS_EACH if shape == "spread" else count // 100 + 1, 1)
    account = ACCOUNT[shape]
    values = {
        "now": datetime.now(UTC), "seed": seed, "words": "a lighthouse at dusk, long exposure, " * 3,
        "request": b"x" * 300,
    }  # fmt: skip

    def work(session: Session) -> None:
        sqlite = session.get_bind().dialect.name == "sqlite"
        values["now"] = str(values["now"])[:26] if sqlite else values["now"]
        flows.define_tiers(session, TIERS)
        session.execute(text(ACCOUNTS), {"count": accounts, "now": values["now"]})
        statement = JOBS.format(account=account, tier=TIER.format(account=account))
        used = {
            name: value
            for name, value in (values | {"count": count, "accounts": accounts}).items()
            if f":{name}" in statement
        }
        session.execute(text(statement), used)
        session.execute(text(FLOWS))
        session.execute(text("ANALYZE"))

    await database.run(work)
    return accounts


async def churn(line: Line, count: int, random: random.Random) -> None:
    """Claims, finishes and queues again: the line stays as long as it was."""
    for number in range(count):
        [job] = await line.database.run(jobs.claim, "bench", lease_seconds=60, limit=1)
        await line.database.run(_finish, job.id, round(job.cost_us * random.uniform(0.7, 1.4)))
        account = 1 if line.shape == "one account" else random.randrange(line.accounts) + 1
        await line.database.run(_queue, account, f"c{line.shape}{number}-{time.time_ns()}")


def _finish(session: Session, job: int, used_us: int) -> None:
    found = jobs.lock(session, job)
    assert found is not None
    jobs.complete(session, found, datetime.now(UTC), used_us=used_us, paid=1)


def _queue(session: Session, account: int, key: str) -> None:
    tier = {0: "pro", 1: "basic"}.get(account % 10, "free")
    new = NewJob(key=key, account=account, tier=tier, kind="image", model="sdxl", words="w" * 100,
                 request=b"x" * 300, address=b"x" * 300, cost_us=3_000_000, price=1)  # fmt: skip
    jobs.add(session, new, datetime.now(UTC), cap=1000)


async def timed(count: int, work: Callable[[], Any]) -> list[float]:
    samples: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await work()
        samples.append((time.perf_counter() - began) * 1e3)
    return samples


async def processes(database: Database) -> list[Path]:
    """Where Linux says how long each process of the server that serves this database has been on a CPU."""

    def pids(session: Session) -> list[int]:
        if session.get_bind().dialect.name == "sqlite":
            return []
        return list(
            session.scalars(text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()"))
        )

    found = [Path(f"/proc/{pid}/schedstat") for pid in await database.run(pids)]
    return [path for path in found if path.exists()]


def cpu_ms(servers: list[Path]) -> float:
    """Of this process and of those."""
    return time.process_time() * 1e3 + sum(int(path.read_text().split()[0]) for path in servers) / 1e6


async def measure(line: Line, claims: int) -> dict[str, list[float]]:
    run = line.database.run
    postgresql = await run(lambda session: session.get_bind().dialect.name == "postgresql")
    lock = " FOR UPDATE OF jobs SKIP LOCKED" if postgresql else ""

    def take(query: str) -> Callable[[], Any]:
        statement = text(TAKE.format(query + lock))
        now = datetime.now(UTC) if postgresql else str(datetime.now(UTC))[:26]
        return lambda: run(lambda session: session.execute(statement, {"now": now}).scalar_one())

    servers = await processes(line.database)
    before = cpu_ms(servers)
    found = {
        "claim": await timed(claims, lambda: run(jobs.claim, "bench", lease_seconds=60, limit=1)),
        "cpu": [(cpu_ms(servers) - before) / claims],
        "together": await timed(
            claims // TOGETHER, lambda: run(jobs.claim, "bench", lease_seconds=60, limit=TOGETHER)
        ),
    }
    await run(
        lambda session: session.execute(
            text("CREATE INDEX naive ON jobs (created_at, id) WHERE state = 'available'")
        ).close()
    )
    found["naive"] = await timed(BASELINES, take(OLDEST))
    found["round_robin"] = await timed(BASELINES // 3, take(ROUND_ROBIN))
    return found


async def one_seed(
    fresh: Callable[[str], str], seed: int, folder: Path, args: argparse.Namespace
) -> dict[tuple[str, str], dict[str, list[float]]]:
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    async with AsyncExitStack() as stack:
        lines: list[Line] = []
        for size, count in LINES.items():
            for shape in SHAPES:
                url = fresh(name_of(seed, size, shape))
                database = connect(url)
                stack.push_async_callback(database.close)
                await schema.upgrade(database, url, backups=folder)
                line = Line(size, shape, database, await fill(database, shape, count, seed))
                if url.startswith("postgresql"):
                    session: Any = await asyncpg.connect(url)
                    stack.push_async_callback(session.close)
                    await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                    await session.fetch("SELECT count(*) FROM jobs")
                    line.snapshot_at = time.monotonic()
                lines.append(line)
        for line in lines:
            await churn(line, args.churn, random.Random(seed))
        for line in lines:
            if line.snapshot_at:
                await asyncio.sleep(max(0.0, args.age - (time.monotonic() - line.snapshot_at)))
            found[line.size, line.shape] = await measure(line, args.claims)
    return found


@contextmanager
def server(kind: str, folder: Path, names: list[str]) -> Iterator[Callable[[str], str]]:
    """(name) -> URL of the new database of that name, all on one durable server."""
    with postgres.server(durable=True) if kind == "postgresql" else nullcontext("") as running:

        def fresh(name: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{folder / name}.db"
            return running.rsplit("/", 1)[0] + "/" + name

        if kind == "postgresql":
            postgres.execute(running, *(f"CREATE DATABASE {name}" for name in names))
        yield fresh


def name_of(seed: int, size: str, shape: str) -> str:
    return f"s{seed}_{size}_{shape.split()[0]}"


def run(kind: str, args: argparse.Namespace) -> Figures:
    names = [name_of(*each) for each in itertools.product(range(args.seeds), LINES, SHAPES)]
    with tempfile.TemporaryDirectory() as folder, server(kind, Path(folder), names) as place:
        seeds = [asyncio.run(one_seed(place, seed, Path(folder), args)) for seed in range(args.seeds)]
    figures: Figures = {}
    rows: list[list[str | float]] = []
    for size, shape in seeds[0]:
        medians = {
            name: median(median(each[size, shape][name]) for each in seeds)
            for name in ("claim", "cpu", "together", "naive", "round_robin")
        }
        medians["together"] /= TOGETHER
        p99 = percentile([ms for each in seeds for ms in each[size, shape]["claim"]], 99)
        rows.append([f"{size}, {shape}", *medians.values(), p99])
        prefix = f"{kind}_{size}_{shape.split()[0]}"
        figures |= {f"{prefix}_{name}_ms": value for name, value in medians.items()}
        figures[f"{prefix}_claim_p99_ms"] = p99
    columns = ["waiting", "claim", "its CPU", f"{TOGETHER} together", "naive", "round robin", "claim p99"]
    table(f"{kind}: ms a job, median", columns, rows)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--churn", type=int, default=3000)
    parser.add_argument("--age", type=float, default=60.0, help="of the snapshot, in seconds")
    parser.add_argument("--claims", type=int, default=CLAIMS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    args = parser.parse_args()
    figures: Figures = {"churn": args.churn, "snapshot_seconds": args.age, "seeds": args.seeds}
    for kind in (args.only,) if args.only else ("sqlite", "postgresql"):
        figures |= run(kind, args)
    for size, goal in GOALS_MS.items():
        claims = [
            float(ms)
            for name, ms in figures.items()
            if f"postgresql_{size}" in name and name.endswith("claim_ms")
        ]
        figures[f"ok_{size}"] = all(ms <= goal for ms in claims)
    last_line(figures)


if __name__ == "__main__":
    main()

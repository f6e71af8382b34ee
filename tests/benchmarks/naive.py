"""The life of a job as an ORM tutorial writes it: what `ledger` measures production against.

One transaction a stage, as in production, and inside it one object at a time: `session.get` with a row lock,
attributes changed, flushed; lots loaded as objects; each hold, entry, artifact and delivery added as an object
and flushed to learn of a conflict where it happens. It is correct (row locks, unique keys, the same checks) and
as durable (the same fsyncs). It is fair, even generous: it writes the same rows into the same schema, so
the same drift check holds; its engine, driver and connections are set as production's are; a balance is the
sum of the live lots, not of the whole history; on SQLite one thread writes, so nobody polls for the lock; and it
announces nothing to other processes, which production does. What production has and this has not: statements
compiled once, fewer of them, several transactions in one SQLite commit, flows locked last.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy import func, make_url, or_, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from bot.config import Config
from bot.jobs import pricing
from bot.jobs.submit import Ask
from generators import requests
from storage.artifacts import NewArtifact
from storage.database import sqlite_engine
from storage.ledger import RANKS
from storage.tables import (
    AccountRow,
    ArtifactRow,
    DeliveryRow,
    EntryRow,
    FlowRow,
    HoldRow,
    JobRow,
    LotRow,
    ProgressRow,
    TierRow,
    TimingRow,
)

T = TypeVar("T")
LEASE = timedelta(seconds=30)
INDEX = "CREATE INDEX ix_jobs_recent ON jobs (account_id, created_at)"  # for its count of the last minute
LOCK = {"key_share": True}  # FOR NO KEY UPDATE: a foreign key that is checked does not wait for it


class Sessions(ABC):
    """A transaction for a function of a session."""

    @abstractmethod
    async def run(self, function: Callable[..., T], *args: Any) -> T: ...

    @abstractmethod
    async def close(self) -> None: ...


class SqliteSessions(Sessions):
    def __init__(self, url: str) -> None:
        self._engine, self._writer = sqlite_engine(url), ThreadPoolExecutor(1)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._writer, partial(self._once, function, args)
        )

    def _once(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            return function(session, *args)

    async def close(self) -> None:
        self._writer.shutdown()
        self._engine.dispose()


class PostgresSessions(Sessions):
    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"), pool_size=10, max_overflow=0
        )

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            return await session.run_sync(function, *args)

    async def close(self) -> None:
        await self._engine.dispose()


def sessions(url: str) -> Sessions:
    return SqliteSessions(url) if url.startswith("sqlite") else PostgresSessions(url)


def submit(session: Session, config: Config, ask: Ask, now: datetime) -> int:
    account = session.get(AccountRow, ask.account, with_for_update=LOCK)
    assert account is not None
    known = session.scalars(select(JobRow).where(JobRow.key == ask.key)).one_or_none()
    if known is not None:
        return known.id
    model, plan = config.models[ask.request.model], config.plans[account.plan]
    assert account.banned_reason is None
    assert _jobs(session, account, JobRow.created_at > now - timedelta(minutes=1)) < plan.per_minute
    assert _jobs(session, account, JobRow.state == "available") < plan.waiting
    timing = session.get(TimingRow, (model.name, ""))
    price = pricing.price(ask.request, model)
    lots = _live_lots(session, account, now)
    assert sum(lot.remaining for lot in lots) >= price
    job = JobRow(
        key=ask.key, account_id=account.id, tier=account.plan, kind=model.kind, model=model.name,
        words=ask.words, request=requests.encode(ask.request), address=msgspec.json.encode(ask.address),
        cost_us=pricing.cost_us(ask.request, model, timing.unit_us if timing else None), price=price,
        run_at=now, created_at=now,
    )  # fmt: skip
    session.add(job)
    session.flush()
    _enqueue(session, account, plan.running)
    _hold(session, account, job, lots, now)
    return job.id


def claim(session: Session, owner: str, limit: int) -> list[int]:
    session.scalars(select(TierRow).order_by(TierRow.name).with_for_update(key_share=True)).all()
    claimed: list[int] = []
    while len(claimed) < limit and (job := _claim_one(session, owner)):
        claimed.append(job.id)
    return claimed


def complete(
    session: Session, config: Config, job_id: int, made: list[NewArtifact], now: datetime, used_us: int
) -> bool:
    job = session.get(JobRow, job_id, with_for_update=LOCK)
    assert job is not None
    if job.state != "running":
        return False
    until = now + timedelta(seconds=config.retention.paid)
    for each in made:
        fields = msgspec.structs.asdict(each)
        session.add(ArtifactRow(job_id=job.id, created_at=now, expires_at=until, **fields))
        session.flush()
    _capture(session, job, now)
    job.state, job.owner, job.lease_until, job.finished_at = "completed", None, None, now
    job.used_us, job.paid = job.used_us + used_us, job.price
    session.flush()
    flow = _flow(session, job.account_id, job.tier)
    assert flow is not None
    flow.running -= 1
    flow.debt_us += used_us - job.cost_us
    flow.eligible = flow.waiting > 0 and flow.running < flow.cap
    session.flush()
    if progress := session.get(ProgressRow, job.id):
        session.delete(progress)
    session.add(
        DeliveryRow(job_id=job.id, account_id=job.account_id, platform="test", due_at=now, created_at=now)
    )
    session.flush()
    return True


def _jobs(session: Session, account: AccountRow, condition: Any) -> int:
    found = session.scalar(select(func.count(JobRow.id)).where(JobRow.account_id == account.id, condition))
    return found or 0


def _live_lots(session: Session, account: AccountRow, now: datetime) -> list[LotRow]:
    alive = or_(LotRow.expires_at.is_(None), LotRow.expires_at > now)
    lots = session.scalars(
        select(LotRow)
        .where(LotRow.account_id == account.id, LotRow.remaining > 0, alive)
        .with_for_update(key_share=True)
    )
    return sorted(lots, key=lambda lot: (RANKS[lot.kind], str(lot.expires_at or "z"), lot.id))


def _flow(session: Session, account: int, tier: str) -> FlowRow | None:
    return session.get(FlowRow, (account, tier), with_for_update=LOCK)


def _enqueue(session: Session, account: AccountRow, cap: int) -> None:
    flow = _flow(session, account.id, account.plan)
    if flow is None:
        flow = FlowRow(account_id=account.id, tier=account.plan, waiting=0, running=0, start_us=0, debt_us=0)
        session.add(flow)
    flow.waiting += 1
    flow.cap = cap
    flow.eligible = flow.running < cap
    session.flush()


def _hold(session: Session, account: AccountRow, job: JobRow, lots: list[LotRow], now: datetime) -> None:
    missing = job.price
    for lot in lots:
        part = min(missing, lot.remaining)
        if not part:
            continue
        lot.remaining -= part
        missing -= part
        session.flush()
        session.add(HoldRow(job_id=job.id, lot_id=lot.id, amount=part))
        session.flush()
    session.add(
        EntryRow(key=f"hold:{job.id}", account_id=account.id, source="available", target="held",
                 amount=job.price, job_id=job.id, at=now)
    )  # fmt: skip
    session.flush()


def _claim_one(session: Session, owner: str) -> JobRow | None:
    picked = session.execute(
        select(FlowRow, TierRow).join(TierRow, TierRow.name == FlowRow.tier).where(FlowRow.eligible)
        .order_by(TierRow.weight == 0, TierRow.start_us, func.coalesce(FlowRow.start_us, 0), FlowRow.account_id)
        .limit(1)
    ).one_or_none()  # fmt: skip
    if picked is None:
        return None
    flow, tier = picked
    job = session.scalars(
        select(JobRow)
        .where(JobRow.account_id == flow.account_id, JobRow.tier == flow.tier, JobRow.state == "available")
        .order_by(JobRow.id).limit(1).with_for_update(key_share=True)
    ).one()  # fmt: skip
    now = datetime.now(UTC)
    job.state, job.owner, job.attempt = "running", owner, job.attempt + 1
    job.lease_until, job.started_at = now + LEASE, job.started_at or now
    session.flush()
    start = max(flow.start_us, tier.now_us)
    session.refresh(flow, with_for_update=LOCK)
    flow.start_us, flow.debt_us = start + max(job.cost_us + flow.debt_us, 0), 0
    flow.waiting -= 1
    flow.running += 1
    flow.eligible = flow.waiting > 0 and flow.running < flow.cap
    session.flush()
    at = max(tier.start_us, session.scalar(select(func.max(TierRow.at_us))) or 0)
    tier.now_us, tier.at_us, tier.start_us = start, at, at + job.cost_us // max(tier.weight, 1)
    session.flush()
    return job


def _capture(session: Session, job: JobRow, now: datetime) -> None:
    for hold in session.scalars(select(HoldRow).where(HoldRow.job_id == job.id, HoldRow.open)):
        hold.captured, hold.open = hold.amount, False
        session.flush()
    session.add(
        EntryRow(key=f"capture:{job.id}", account_id=job.account_id, source="held", target="revenue",
                 amount=job.price, job_id=job.id, at=now)
    )  # fmt: skip
    session.flush()

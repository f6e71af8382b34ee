"""Jobs on their way: inserted once, claimed under a lease, ended once by the attempt that still holds it.

available ──claim──> running ──finish──> completed
    ^  ^                │ ├──fail──> retryable ──due──> available
    │  └───give_back────┘ └──fail──> discarded
    └────lease ran out──┘   any live state ──cancel──> cancelled
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from storage import flows, turns
from storage.database import Overtaken
from storage.fair import NEXT_MAX, Affinity, Turn
from storage.prepared import Prepared
from storage.signals import notify
from storage.tables import JobRow
from storage.types import from_now

State = Literal["available", "running", "retryable", "completed", "discarded", "cancelled"]
LIVE: tuple[State, ...] = flows.LIVE
TERMINAL: tuple[State, ...] = ("completed", "discarded", "cancelled")
WORDLESS: dict[str, Any] = {"words": "", "request": b"", "unread": ""}
"""What is left of a prompt that was erased."""


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    account: int
    payer: int | None = None  # whose wallet pays, if not the account itself
    tier: str
    kind: str
    model: str
    words: str
    request: bytes
    address: bytes
    private: bool = False
    origin: int | None = None
    cost_us: int
    price: int
    budget: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the rest of the program sees it. `request` and `address` are opaque to storage."""

    id: int
    account: int
    payer: int | None
    tier: str
    kind: str
    model: str
    words: str
    request: bytes
    address: bytes
    private: bool
    origin: int | None
    state: State
    attempt: int
    failures: int
    cancel_requested: bool
    cost_us: int
    used_us: int
    price: int
    paid: int
    budget: str
    error: str | None
    unread: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deleted_at: datetime | None
    passed_us: int = 0  # of one just claimed: work that went ahead of it for the sake of loaded models

    @property
    def paid_by(self) -> int:
        """The account whose lots it holds."""
        return self.account if self.payer is None else self.payer


_COLUMNS = (
    JobRow.id, JobRow.account_id, JobRow.payer_id, JobRow.tier, JobRow.kind, JobRow.model, JobRow.words,
    JobRow.request, JobRow.address, JobRow.private, JobRow.origin, JobRow.state, JobRow.attempt, JobRow.failures,
    JobRow.cancel_requested, JobRow.cost_us, JobRow.used_us, JobRow.price, JobRow.paid, JobRow.budget, JobRow.error,
    JobRow.unread, JobRow.created_at, JobRow.started_at, JobRow.finished_at, JobRow.deleted_at,
)  # fmt: skip
_FIELDS = Job.__struct_fields__[: len(_COLUMNS)]


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A job in line (`started_at` is None) or at work, as the forecast needs it."""

    id: int
    account: int
    tier: str
    cost_us: int
    started_at: datetime | None


def add(session: Session, job: NewJob, now: datetime, *, cap: int) -> int:
    """Inserts the job and queues it in its flow; returns its id. A known key is an IntegrityError."""
    added = insert_job(session, job, now)
    enqueue(session, added, cap=cap)
    return added.id


def insert_job(session: Session, job: NewJob, now: datetime) -> Job:
    """Inserts the job; `enqueue` it before the transaction ends. A known key is an IntegrityError."""
    row = _ADD.along(
        session, key=job.key, account_id=job.account, payer_id=job.payer, tier=job.tier, kind=job.kind, model=job.model,
        words=job.words, request=job.request, address=job.address, private=job.private, origin=job.origin,
        cost_us=job.cost_us, used_us=0, price=job.price, budget=job.budget, run_at=now, created_at=now,
        state="available", attempt=0, failures=0, cancel_requested=False, paid=0,
    ).one()  # fmt: skip
    return _job(row)


def enqueue(session: Session, job: Job, *, cap: int) -> None:
    """Queues an inserted job in its flow. Everybody waits for a flow: lock it last."""
    flows.enqueue(session, job.account, job.tier, cap=cap)
    notify(session, "jobs")


def get(session: Session, job: int) -> Job | None:
    return _one(session, JobRow.id == job)


def lock(session: Session, job: int) -> Job | None:
    """Like `get`, holding the job's lock until the transaction ends."""
    row = _LOCK(session, of_job=job).one_or_none()
    return _job(row) if row else None


def of_account(
    session: Session, account: int, *, before: int | None = None, limit: int = 20, live: bool = False
) -> list[Job]:
    """The account's jobs that are not deleted, newest first."""
    statement = select(*_COLUMNS).where(JobRow.account_id == account, JobRow.deleted_at.is_(None))
    if before is not None:
        statement = statement.where(JobRow.id < before)
    if live:
        statement = statement.where(JobRow.state.in_(LIVE))
    return [_job(row) for row in session.execute(statement.order_by(JobRow.id.desc()).limit(limit))]


def many(session: Session, ids: list[int]) -> list[Job]:
    return [_job(row) for row in session.execute(select(*_COLUMNS).where(JobRow.id.in_(ids)))]


def recent(session: Session, *, limit: int, offset: int = 0, live: bool = False) -> list[Job]:
    """All accounts' jobs, newest first: for operators."""
    statement = select(*_COLUMNS).order_by(JobRow.id.desc()).limit(limit).offset(offset)
    return [
        _job(row) for row in session.execute(statement.where(JobRow.state.in_(LIVE)) if live else statement)
    ]


def completed_since(session: Session, start: datetime, *, limit: int = 1_000_000) -> list[Job]:
    """Completed jobs whose words are still there, oldest first."""
    statement = select(*_COLUMNS).where(
        JobRow.state == "completed", JobRow.created_at >= start, JobRow.deleted_at.is_(None)
    )
    return [_job(row) for row in session.execute(statement.order_by(JobRow.id).limit(limit))]


def alive(session: Session) -> None:
    """Whether the database answers at all."""
    session.execute(select(literal(1)))


def counts(session: Session) -> dict[str, int]:
    """Jobs by state."""
    rows = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state))
    return {state: int(count) for state, count in rows}


# --- the dispatcher's side ----------------------------------------------------------------------------------


def claim(
    session: Session, owner: str, *, lease_seconds: int, limit: int, affinity: Affinity | None = None
) -> list[Job]:
    """Up to `limit` jobs in fair order, each under a lease and a new attempt number. A transaction of its own.

    Not waited for on the disk: a claim that a crash of the server undoes is made again.
    """
    window = (
        1 << (limit - 1 + (NEXT_MAX - 1 if affinity else 0)).bit_length()
    )  # few statements serve all limits
    tiers, heads = turns.open_claim(session, window=window, one=limit == 1)
    claimed = list[Job]()
    while next_ones := turns.pick(tiers, heads, limit=limit - len(claimed), affinity=affinity):
        tiers = flows.advance(session, tiers, next_ones)
        claimed += _take(session, next_ones, owner, lease_seconds)
        if len(claimed) == limit or not any(turn.head.more for turn in next_ones):
            break
        heads = turns.heads(session, tiers, window=window, one=len(claimed) + 1 == limit)
    return claimed


def renew(session: Session, owner: str, *, lease_seconds: int) -> dict[tuple[int, int], bool]:
    """Prolongs the leases of all that the owner still runs: (job, attempt) -> whether it is to be cancelled.

    A lease that ran out but that nobody has rescued is simply good again.
    """
    rows = session.execute(
        update(JobRow)
        .where(JobRow.state == "running", JobRow.owner == owner)
        .values(lease_until=from_now(lease_seconds))
        .returning(JobRow.id, JobRow.attempt, JobRow.cancel_requested)
    )
    return {(job, attempt): cancelled for job, attempt, cancelled in rows}


def complete(session: Session, job: Job, now: datetime, *, used_us: int, paid: int, unread: str = "") -> None:
    """The attempt's job is done. The caller holds its lock and has checked `is_current`."""
    _end(session, job, "completed", now, used_us=used_us, paid=paid, unread=unread)


def discard(session: Session, job: Job, now: datetime, *, error: str, used_us: int = 0) -> None:
    _end(session, job, "discarded", now, used_us=used_us, paid=0, error=error)


def cancel(session: Session, job: Job, now: datetime, *, used_us: int = 0, paid: int = 0) -> None:
    _end(session, job, "cancelled", now, used_us=used_us, paid=paid)


def request_cancel(session: Session, job: Job) -> None:
    """Asks whoever runs the job to stop it."""
    session.execute(update(JobRow).where(JobRow.id == job.id).values(cancel_requested=True))
    notify(session, "cancels", job.id)


def retry(
    session: Session, job: Job, now: datetime, *, delay_seconds: float, used_us: int, error: str
) -> None:
    """The attempt failed by our fault: again after a delay."""
    session.execute(
        update(JobRow)
        .where(JobRow.id == job.id)
        .values(
            state="retryable", owner=None, lease_until=None, failures=JobRow.failures + 1, error=error,
            run_at=now + timedelta(seconds=delay_seconds), used_us=JobRow.used_us + used_us,
        )
    )  # fmt: skip
    flows.move(session, job.account, job.tier, running=-1, debt_us=used_us - job.cost_us)


def give_back(session: Session, job: Job) -> None:
    """The attempt ends without a result or a fault: a restart. The job is the next of its flow again."""
    session.execute(
        update(JobRow).where(JobRow.id == job.id).values(state="available", owner=None, lease_until=None)
    )
    flows.move(session, job.account, job.tier, running=-1, waiting=1, debt_us=-job.cost_us)
    notify(session, "jobs")


def delete(session: Session, job: int, now: datetime) -> None:
    """Nobody sees it again, and its words are gone once it is over."""
    session.execute(update(JobRow).where(JobRow.id == job).values(deleted_at=now))
    session.execute(update(JobRow).where(JobRow.id == job, JobRow.state.in_(TERMINAL)).values(**WORDLESS))


def lock_paid_by(session: Session, account: int) -> list[int]:
    """Locks all live jobs that are the account's or that it pays for; returns those that it pays for."""
    concerned = or_(JobRow.account_id == account, JobRow.payer_id == account)
    rows = session.execute(
        select(JobRow.id, func.coalesce(JobRow.payer_id, JobRow.account_id))
        .where(concerned, JobRow.state.in_(LIVE))
        .order_by(JobRow.id)
        .with_for_update(key_share=True)
    )
    return [job for job, payer in rows if payer == account]


def move(session: Session, source: int, target: int) -> None:
    """All jobs of an account become another's, and so does what it pays for."""
    session.execute(update(JobRow).where(JobRow.account_id == source).values(account_id=target))
    session.execute(update(JobRow).where(JobRow.payer_id == source).values(payer_id=target))


def set_address(session: Session, job: int, address: bytes) -> None:
    """Where its answers go from now on: the message that shows it has been sent."""
    session.execute(update(JobRow).where(JobRow.id == job).values(address=address))


def is_current(job: Job | None, attempt: int) -> bool:
    """Whether this attempt may still end the job."""
    return job is not None and job.state == "running" and job.attempt == attempt


# --- the rescuer's side -------------------------------------------------------------------------------------


def due(session: Session, now: datetime, *, limit: int = 100) -> int:
    """Jobs whose retry is due wait again; returns how many."""
    rows = session.execute(
        select(JobRow.id, JobRow.account_id, JobRow.tier)
        .where(JobRow.state == "retryable", JobRow.run_at <= now)
        .order_by(JobRow.id).limit(limit).with_for_update(skip_locked=True)
    ).all()  # fmt: skip
    for job, account, tier in rows:
        session.execute(update(JobRow).where(JobRow.id == job).values(state="available"))
        flows.move(session, account, tier, waiting=1)
    if rows:
        notify(session, "jobs")
    return len(rows)


def lost(session: Session, *, limit: int = 100) -> list[Job]:
    """Running jobs whose lease ran out by the database's clock, locked."""
    return _locked(session, and_(JobRow.state == "running", JobRow.lease_until <= from_now(0)), limit)


def overdue(session: Session, now: datetime, *, tiers: dict[str, int], limit: int = 100) -> list[Job]:
    """Jobs that have waited longer than their tier allows (seconds), locked."""
    if not tiers:
        return []
    since = {tier: now - timedelta(seconds=wait) for tier, wait in tiers.items()}
    late = or_(*(and_(JobRow.tier == tier, JobRow.created_at <= time) for tier, time in since.items()))
    old = JobRow.created_at <= max(since.values())  # what waits for less long is not even looked at
    return _locked(session, and_(JobRow.state.in_(("available", "retryable")), old, late), limit)


def all_lost(session: Session) -> int:
    """Makes every lease run out: at the start of a process that alone owns the database."""
    changed = session.execute(
        update(JobRow).where(JobRow.state == "running").values(lease_until=from_now(-1))
    )
    return int(changed.rowcount)  # type: ignore[attr-defined]


def pending(session: Session, *, limit: int = 2000) -> list[Pending]:
    """Jobs that run, and the first of those that wait, oldest first: what the forecast plays forward."""
    columns = (JobRow.id, JobRow.account_id, JobRow.tier, JobRow.cost_us)
    found = select(*columns, JobRow.started_at).where(JobRow.state == "running")
    runs = session.execute(found.order_by(JobRow.id).limit(limit)).all()
    waits = session.execute(
        select(*columns, literal(None))
        .where(JobRow.state == "available")
        .order_by(JobRow.created_at, JobRow.id)
        .limit(limit)
    )
    return [
        Pending(id=job, account=account, tier=tier, cost_us=cost, started_at=started)
        for job, account, tier, cost, started in (*runs, *waits)
    ]


def _locked(session: Session, condition: ColumnElement[bool], limit: int) -> list[Job]:
    statement = select(*_COLUMNS).where(condition).order_by(JobRow.id).limit(limit)
    return [_job(row) for row in session.execute(statement.with_for_update(skip_locked=True))]


def _take(session: Session, turns: list[Turn], owner: str, lease_seconds: int) -> list[Job]:
    """The jobs of these turns in their order, running from now on."""
    of_jobs = {f"of_job_{place}": turn.head.job for place, turn in enumerate(turns)}
    rows = _taking(len(turns)).along(session, owner=owner, seconds=lease_seconds, **of_jobs)
    taken = {job.id: job for job in map(_job, rows)}
    if any((turn.head.account, turn.head.tier) != _flow_of(taken.get(turn.head.job or 0)) for turn in turns):
        raise Overtaken("a job was cancelled or moved while it was claimed")
    return [
        msgspec.structs.replace(taken[turn.head.job], passed_us=turn.head.passed_us)
        for turn in turns
        if turn.head.job is not None
    ]


def _flow_of(job: Job | None) -> tuple[int, str] | None:
    return (job.account, job.tier) if job else None


def _end(
    session: Session,
    job: Job,
    state: State,
    now: datetime,
    *,
    used_us: int,
    paid: int,
    error: str | None = None,
    unread: str = "",
) -> None:
    _END.write(
        session, of_job=job.id, state=state, finished_at=now, error=error, unread=unread, paid=paid, more_us=used_us,
        owner=None, lease_until=None,
    )  # fmt: skip
    if job.deleted_at is not None:  # while it waited or ran
        delete(session, job.id, job.deleted_at)
    if job.state == "running":
        flows.move(session, job.account, job.tier, running=-1, debt_us=used_us - job.cost_us)
    elif job.state == "available":
        flows.move(session, job.account, job.tier, waiting=-1)


def _one(session: Session, condition: ColumnElement[bool]) -> Job | None:
    row = session.execute(select(*_COLUMNS).where(condition)).one_or_none()
    return _job(row) if row else None


def _job(row: Any) -> Job:
    return Job(**dict(zip(_FIELDS, row, strict=True)))


# --- statements -------------------------------------------------------------------------------------------

_ADD = Prepared(
    insert(JobRow).returning(*_COLUMNS),
    sets=("key", "account_id", "payer_id", "tier", "kind", "model", "words", "request", "address", "private",
          "origin", "cost_us", "used_us", "price", "budget", "run_at", "created_at", "state", "attempt", "failures",
          "cancel_requested", "paid"),
)  # fmt: skip
_LOCK = Prepared(select(*_COLUMNS).where(JobRow.id == bindparam("of_job")).with_for_update(key_share=True))


@lru_cache
def _taking(count: int) -> Prepared:
    """So many jobs. A list in one parameter would be written into the statement again at each call."""
    of_jobs = [bindparam(f"of_job_{place}", type_=JobRow.id.type) for place in range(count)]
    return Prepared(
        update(JobRow)
        .where(JobRow.id.in_(of_jobs), JobRow.state == "available")
        .values(
            state="running", attempt=JobRow.attempt + 1, lease_until=from_now(bindparam("seconds")),
            started_at=func.coalesce(JobRow.started_at, from_now(0)),
        )
        .returning(*_COLUMNS),
        sets=("owner",),
    )  # fmt: skip


_END = Prepared(
    update(JobRow)
    .where(JobRow.id == bindparam("of_job"))
    .values(used_us=JobRow.used_us + bindparam("more_us", type_=JobRow.used_us.type)),
    sets=("state", "owner", "lease_until", "finished_at", "error", "unread", "paid"),
)

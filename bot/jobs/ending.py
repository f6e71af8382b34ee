"""The ends of a job, each one transaction: done, failed, cancelled, given back. The attempt that ends must be current.

Every end settles the hold, settles the budget, and puts the final card into the outbox. A second end of the
same attempt, or an end of an attempt that was replaced, changes nothing and answers False.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from bot.chat import Address
from bot.config import Config
from bot.jobs import pricing, wallets
from bot.jobs.refusals import Refusal
from bot.jobs.submit import RELAXED
from storage import artifacts, deliveries, jobs, ledger, records
from storage.artifacts import NewArtifact
from storage.database import Session
from storage.jobs import Job

CRASHES_MAX = 50
"""Leases that a job may lose (a process died) before it is given up: restarts are rarely the job's fault."""


def address_of(job: Job) -> Address:
    return msgspec.json.decode(job.address, type=Address)


def complete(
    session: Session, config: Config, claimed: Job, made: list[NewArtifact], now: datetime,
    *, used_us: int, unread: str = "",
) -> bool:  # fmt: skip
    """The result counts: artifacts recorded, price captured, delivery queued."""
    job = jobs.lock(session, claimed.id)
    if job is None or not jobs.is_current(job, claimed.attempt):
        return False
    paid = _settle(session, job, job.price, now)
    kept = config.retention.free if job.tier in ("free", RELAXED) else config.retention.paid
    artifacts.add(session, job.id, made, now, expires_at=now + timedelta(seconds=kept))
    if job.deleted_at is not None:  # while it ran
        artifacts.delete(session, job.id, now)
    _close(session, job, now, used_us)
    jobs.complete(session, job, now, used_us=used_us, paid=paid, unread=unread)
    return True


def fail(
    session: Session, config: Config, claimed: Job, now: datetime, *, code: str, again: bool, used_us: int = 0
) -> bool:
    """The attempt failed. `again`: it may work another time, so it is tried up to `[retry] attempts` times."""
    job = jobs.lock(session, claimed.id)
    if job is None or not jobs.is_current(job, claimed.attempt):
        return False
    if job.cancel_requested:
        _cancel(session, job, now, share=0.0, used_us=used_us)
    elif again and job.failures + 1 < config.retry.attempts:
        delay = config.retry.base * 2**job.failures
        jobs.retry(session, job, now, delay_seconds=delay, used_us=used_us, error=code)
    else:
        _discard(session, job, now, code=code, used_us=used_us)
    return True


def rescue(session: Session, job: Job, now: datetime) -> None:
    """Its lease ran out, so its process is gone: it runs again, unless it was cancelled or keeps getting lost."""
    if job.cancel_requested:
        _cancel(session, job, now, share=0.0, used_us=0)
    elif job.attempt >= CRASHES_MAX:
        _discard(session, job, now, code="worker_lost", used_us=0)
    else:
        jobs.give_back(session, job)


def give_back(session: Session, claimed: Job) -> bool:
    """The process stops before the job is done."""
    job = jobs.lock(session, claimed.id)
    if job is None or not jobs.is_current(job, claimed.attempt):
        return False
    jobs.give_back(session, job)
    return True


def lost(session: Session, claimed: Job, now: datetime) -> bool:
    """What it ran on went away, by no fault of the job's: as if its process had gone."""
    job = jobs.lock(session, claimed.id)
    if job is None or not jobs.is_current(job, claimed.attempt):
        return False
    rescue(session, job, now)
    return True


def expire(session: Session, job: Job, now: datetime) -> None:
    """It waited longer than its tier allows."""
    _discard(session, job, now, code="queue_timeout", used_us=0)


def cancelled(session: Session, claimed: Job, now: datetime, *, share: float, used_us: int) -> bool:
    """The worker stopped it: the share that was done is charged."""
    job = jobs.lock(session, claimed.id)
    if job is None or not jobs.is_current(job, claimed.attempt):
        return False
    _cancel(session, job, now, share=share, used_us=used_us)
    return True


def cancel(session: Session, account: int, job_id: int, now: datetime) -> Job:
    """A person's wish. Waiting: at once and free. Running: whoever runs it is asked. Raises Refusal."""
    job = jobs.lock(session, job_id)
    if job is None or job.account != account:
        raise Refusal("refused-not-yours")
    match job.state:
        case "available" | "retryable":
            _cancel(session, job, now, share=0.0, used_us=0)
        case "running":
            jobs.request_cancel(session, job)
        case _:
            raise Refusal("refused-already-over")
    return jobs.get(session, job_id) or job


def _cancel(session: Session, job: Job, now: datetime, *, share: float, used_us: int) -> None:
    paid = _settle(session, job, pricing.share(job.price, share), now)
    _close(session, job, now, used_us)
    jobs.cancel(session, job, now, used_us=used_us, paid=paid)


def _discard(session: Session, job: Job, now: datetime, *, code: str, used_us: int) -> None:
    _settle(session, job, 0, now, our_fault=True)
    _close(session, job, now, used_us)
    jobs.discard(session, job, now, error=code, used_us=used_us)


def _settle(session: Session, job: Job, used: int, now: datetime, *, our_fault: bool = False) -> int:
    """Charges whoever pays, gives the rest back, to a member's day in the group too; returns what was charged."""
    paid = ledger.settle(session, job.paid_by, job.id, used, now, our_fault=our_fault)
    wallets.settled(session, job, paid)
    return paid


def _close(session: Session, job: Job, now: datetime, used_us: int) -> None:
    """All of an end but the job's own row and its flow: everybody waits for a flow, so it is locked last."""
    if job.state == "running":
        records.clear_progress(session, job.id)
    deliveries.enqueue(session, job.id, job.account, address_of(job).platform, now)
    if job.budget:
        records.correct(session, job.budget, used_us - job.cost_us)

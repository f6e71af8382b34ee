"""Small facts that many parts need: the audit log, things that may happen once, budgets, timings, progress."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from storage.prepared import Prepared
from storage.signals import notify
from storage.tables import AuditRow, BudgetRow, CapacityRow, NonceRow, ProgressRow, TimingRow
from storage.types import from_now, insert_for


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    actor: str
    action: str
    account: int | None
    reason: str
    details: dict[str, Any]


def audit(
    session: Session,
    now: datetime,
    *,
    actor: str,
    action: str,
    account: int | None,
    reason: str,
    **details: Any,
) -> None:
    session.execute(
        insert(AuditRow).values(
            at=now, actor=actor, action=action, account_id=account, reason=reason, details=details
        )
    )


def audits(session: Session, *, limit: int = 50, offset: int = 0) -> list[Audit]:
    rows = session.execute(
        select(AuditRow.at, AuditRow.actor, AuditRow.action, AuditRow.account_id, AuditRow.reason, AuditRow.details)
        .order_by(AuditRow.id.desc()).limit(limit).offset(offset)
    )  # fmt: skip
    return [Audit(at=a, actor=b, action=c, account=d, reason=e, details=f) for a, b, c, d, e, f in rows]


def first_time(session: Session, key: str, *, expires_at: datetime) -> bool:
    """Whether `key` happens for the first time."""
    statement = insert_for(session)(NonceRow).values(key=key, expires_at=expires_at)
    return session.scalar(statement.on_conflict_do_nothing().returning(NonceRow.key)) is not None


def happened(session: Session, key: str) -> bool:
    return session.get(NonceRow, key) is not None


def forget(session: Session, key: str) -> None:
    """It may happen again: nothing came of it."""
    session.execute(delete(NonceRow).where(NonceRow.key == key))


def forget_nonces(session: Session, now: datetime) -> None:
    session.execute(delete(NonceRow).where(NonceRow.expires_at <= now))


def spend(session: Session, scope: str, amount_us: int, *, limit_us: int) -> bool:
    """Adds to a budget unless that would pass its limit; a negative amount always gives back."""
    if _SPEND(session, of_scope=scope, more_us=amount_us, limit_us=limit_us).rowcount:
        return True
    opened = session.execute(
        insert_for(session)(BudgetRow).values(scope=scope, used_us=0).on_conflict_do_nothing()
    )
    if not opened.rowcount:  # type: ignore[attr-defined]
        return False
    return bool(_SPEND(session, of_scope=scope, more_us=amount_us, limit_us=limit_us).rowcount)


def correct(session: Session, scope: str, amount_us: int) -> None:
    """What a job took beyond (or below) what its budget was charged."""
    _CORRECT.write(session, of_scope=scope, more_us=amount_us)


def spent(session: Session, scope: str) -> int:
    return session.scalar(select(BudgetRow.used_us).where(BudgetRow.scope == scope)) or 0


def timings(session: Session) -> dict[str, int]:
    """Microseconds a unit of each model's work takes, over all shapes of requests."""
    rows = session.execute(select(TimingRow.model, TimingRow.unit_us).where(TimingRow.shape == ""))
    return {model: unit for model, unit in rows}


def timing(session: Session, model: str, shape: str) -> int | None:
    """Microseconds a unit of the model's work takes in requests of this shape, else in any; None: not known."""
    return _TIMING(session, of_model=model, of_shape=shape).scalar()


def learn(session: Session, model: str, units: Mapping[str, int]) -> None:
    """Keeps what a unit takes now, by shape (the caller has averaged it)."""
    for shape, unit_us in units.items():
        statement = insert_for(session)(TimingRow).values(
            model=model, shape=shape, unit_us=unit_us, samples=1
        )
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["model", "shape"],
                set_={"unit_us": unit_us, "samples": TimingRow.samples + 1},
            )
        )


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What devices get done together."""

    devices: int
    slots: int  # jobs at a time
    rate_us: int  # device time delivered each second


def set_capacity(session: Session, owner: str, capacity: Capacity, *, lease_seconds: int) -> None:
    """What this dispatcher's devices get done, true until it says so again or its lease is over."""
    session.execute(delete(CapacityRow).where(CapacityRow.until <= from_now(0)))
    values = msgspec.structs.asdict(capacity) | {"until": from_now(lease_seconds)}
    session.execute(
        insert_for(session)(CapacityRow).values(owner=owner, **values)
        .on_conflict_do_update(index_elements=["owner"], set_=values)
    )  # fmt: skip


def capacity(session: Session) -> Capacity:
    """All dispatchers' together."""
    row = session.execute(
        select(func.sum(CapacityRow.devices), func.sum(CapacityRow.slots), func.sum(CapacityRow.rate_us))
        .where(CapacityRow.until > from_now(0))
    ).one()  # fmt: skip
    return Capacity(devices=int(row[0] or 0), slots=int(row[1] or 0), rate_us=int(row[2] or 0))


def set_progress(session: Session, job: int, attempt: int, data: bytes) -> None:
    """The newest progress of a running job; tells other processes its id."""
    statement = insert_for(session)(ProgressRow).values(job_id=job, attempt=attempt, data=data)
    session.execute(
        statement.on_conflict_do_update(index_elements=["job_id"], set_={"attempt": attempt, "data": data})
    )
    notify(session, "progress", job)


def progress(session: Session, jobs: list[int]) -> dict[int, bytes]:
    rows = session.execute(select(ProgressRow.job_id, ProgressRow.data).where(ProgressRow.job_id.in_(jobs)))
    return {job: data for job, data in rows}


def clear_progress(session: Session, job: int) -> None:
    _CLEAR_PROGRESS.write(session, of_job=job)


# --- statements -------------------------------------------------------------------------------------------

_used_us = BudgetRow.used_us + bindparam("more_us", type_=BudgetRow.used_us.type)
_budget = update(BudgetRow).where(BudgetRow.scope == bindparam("of_scope")).values(used_us=_used_us)
_SPEND = Prepared(_budget.where(_used_us <= bindparam("limit_us", type_=BudgetRow.used_us.type)), sets=())
_CORRECT = Prepared(_budget, sets=())
_TIMING = Prepared(
    select(TimingRow.unit_us)
    .where(TimingRow.model == bindparam("of_model"))
    .where((TimingRow.shape == bindparam("of_shape")) | (TimingRow.shape == ""))
    .order_by(TimingRow.shape.desc())
    .limit(1)
)
_CLEAR_PROGRESS = Prepared(delete(ProgressRow).where(ProgressRow.job_id == bindparam("of_job")))

"""The outbox: final cards that must reach a person, in the same transaction as the end of their job."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from storage import outbox
from storage.prepared import Prepared
from storage.signals import notify
from storage.tables import DeliveryRow
from storage.types import from_now

_ENQUEUE = Prepared(
    insert(DeliveryRow).inline(),
    sets=("job_id", "account_id", "platform", "state", "attempts", "message", "due_at", "created_at"),
)


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    job: int
    account: int
    platform: str
    attempts: int
    created_at: datetime


def enqueue(session: Session, job: int, account: int, platform: str, now: datetime) -> None:
    """One delivery a job."""
    _ENQUEUE.write(
        session, job_id=job, account_id=account, platform=platform, state="pending", attempts=0, message="",
        due_at=now, created_at=now,
    )  # fmt: skip
    notify(session, "deliveries", job)


def claim(session: Session, platform: str, *, lease_seconds: int, limit: int) -> list[Delivery]:
    """Deliveries that are due."""
    pending = (DeliveryRow.state == "pending", DeliveryRow.platform == platform)
    rows = outbox.claim(session, DeliveryRow, *pending, lease_seconds=lease_seconds, limit=limit)
    return [
        Delivery(
            id=row.id, job=row.job_id, account=row.account_id, platform=row.platform, attempts=row.attempts,
            created_at=row.created_at,
        )
        for row in rows
    ]  # fmt: skip


def sent(session: Session, delivery: int, message: str, now: datetime) -> None:
    _end(session, delivery, state="sent", message=message[:200], sent_at=now)


def later(session: Session, delivery: int, seconds: float) -> None:
    session.execute(update(DeliveryRow).where(DeliveryRow.id == delivery).values(due_at=from_now(seconds)))


def undeliverable(session: Session, delivery: int, now: datetime) -> None:
    """It waits in the person's `/jobs`."""
    _end(session, delivery, state="undeliverable", sent_at=now)


def release_all(session: Session, platform: str) -> None:
    """Whoever was sending is gone: at the start of a process that alone owns the database."""
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.platform == platform, DeliveryRow.state == "pending")
        .values(due_at=from_now(0))
    )


def undelivered(session: Session, account: int) -> list[int]:
    """Jobs whose results could not be brought to the person."""
    return list(
        session.scalars(
            select(DeliveryRow.job_id)
            .where(DeliveryRow.account_id == account, DeliveryRow.state == "undeliverable")
            .order_by(DeliveryRow.job_id.desc())
            .limit(20)
        )
    )


def lag(session: Session) -> tuple[int, datetime | None]:
    """How many wait, and since when the oldest does."""
    count, oldest = session.execute(
        select(func.count(), func.min(DeliveryRow.created_at)).where(DeliveryRow.state == "pending")
    ).one()
    return int(count), oldest


def _end(session: Session, delivery: int, **values: object) -> None:
    session.execute(
        update(DeliveryRow).where(DeliveryRow.id == delivery, DeliveryRow.state == "pending").values(**values)
    )

"""The outbox of words that no command asked for, in the transaction that gives cause for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage.accounts import Identity
from storage.payment_tables import NoticeRow
from storage.signals import notify
from storage.types import from_now, insert_for


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """`message` is an id of the replies, `values` its variables; `person` is whom the platform knows."""

    id: int
    account: int
    platform: str
    person: str
    locale: str
    message: str
    values: dict[str, Any]
    attempts: int
    created_at: datetime


def send(
    session: Session,
    now: datetime,
    *,
    key: str,
    account: int,
    to: Identity,
    message: str,
    **values: str | int,
) -> bool:
    """Once a key; whether it is new."""
    statement = insert_for(session)(NoticeRow).values(
        key=key, account_id=account, platform=to.platform, person=to.external_id, locale=to.locale,
        message=message, values=values, closed=False, attempts=0, due_at=now, created_at=now,
    )  # fmt: skip
    made = session.scalar(statement.on_conflict_do_nothing().returning(NoticeRow.id))
    if made is not None:
        notify(session, "notices", made)
    return made is not None


def claim(session: Session, platform: str, *, lease_seconds: int, limit: int = 20) -> list[Notice]:
    """Notices that are due, oldest first; nobody else sees them for `lease_seconds`."""
    due = (
        select(NoticeRow.id)
        .where(~NoticeRow.closed, NoticeRow.platform == platform, NoticeRow.due_at <= from_now(0))
        .order_by(NoticeRow.due_at, NoticeRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(
        update(NoticeRow)
        .where(NoticeRow.id.in_(due))
        .values(attempts=NoticeRow.attempts + 1, due_at=from_now(lease_seconds))
        .returning(NoticeRow.id, NoticeRow.account_id, NoticeRow.platform, NoticeRow.person, NoticeRow.locale,
                   NoticeRow.message, NoticeRow.values, NoticeRow.attempts, NoticeRow.created_at)
    )  # fmt: skip
    found = [
        Notice(id=a, account=b, platform=c, person=d, locale=e, message=f, values=g, attempts=h, created_at=i)
        for a, b, c, d, e, f, g, h, i in rows
    ]
    return sorted(found, key=lambda each: each.id)


def close(session: Session, notice: int) -> None:
    """Sent, or past sending."""
    session.execute(update(NoticeRow).where(NoticeRow.id == notice).values(closed=True))


def later(session: Session, notice: int, seconds: float) -> None:
    session.execute(update(NoticeRow).where(NoticeRow.id == notice).values(due_at=from_now(seconds)))

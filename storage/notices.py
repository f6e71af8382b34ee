"""The outbox of words that no command asked for, in the transaction that gives cause for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import update
from sqlalchemy.orm import Session

from storage import outbox
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
    """Notices that are due."""
    waiting = (~NoticeRow.closed, NoticeRow.platform == platform)
    rows = outbox.claim(session, NoticeRow, *waiting, lease_seconds=lease_seconds, limit=limit)
    return [
        Notice(
            id=row.id, account=row.account_id, platform=row.platform, person=row.person, locale=row.locale,
            message=row.message, values=row.values, attempts=row.attempts, created_at=row.created_at,
        )
        for row in rows
    ]  # fmt: skip


def close(session: Session, notice: int) -> None:
    """Sent, or past sending."""
    session.execute(update(NoticeRow).where(NoticeRow.id == notice).values(closed=True))


def later(session: Session, notice: int, seconds: float) -> None:
    session.execute(update(NoticeRow).where(NoticeRow.id == notice).values(due_at=from_now(seconds)))

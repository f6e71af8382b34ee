"""The outbox of what we ask of payment providers, and the inbox of what they told us.

Both live beside the money that they speak of, in the same transactions: an errand that was decided is run until
the provider has done it, news that arrived is kept until it has taken effect.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage import outbox
from storage.payment_tables import ErrandRow, NewsRow
from storage.types import from_now, insert_for

Kind = Literal["refund", "consume", "cancel", "resume", "reconcile", "replay"]
"""`cancel`, `resume`: a subscription's renewal."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    key: str
    provider: str
    kind: str
    target: str
    amount: int
    person: str
    attempts: int
    created_at: datetime


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of news as it came."""

    id: int
    provider: str
    external_id: str
    kind: str
    body: bytes
    applied: bool
    error: str
    received_at: datetime


def send(
    session: Session, now: datetime,
    *, key: str, provider: str, kind: Kind, target: str, amount: int = 0, person: str = "",
) -> bool:  # fmt: skip
    """Puts an errand into the outbox, once a key; whether it is new."""
    statement = insert_for(session)(ErrandRow).values(
        key=key, provider=provider, kind=kind, target=target, amount=amount, person=person, state="pending",
        attempts=0, due_at=now, error="", created_at=now,
    )  # fmt: skip
    return session.scalar(statement.on_conflict_do_nothing().returning(ErrandRow.id)) is not None


def claim(session: Session, provider: str, *, lease_seconds: int, limit: int = 20) -> list[Errand]:
    """Errands that are due."""
    pending = (ErrandRow.state == "pending", ErrandRow.provider == provider)
    rows = outbox.claim(session, ErrandRow, *pending, lease_seconds=lease_seconds, limit=limit)
    return [_errand(row) for row in rows]


def done(session: Session, errand: int) -> None:
    _end(session, errand, "done", "")


def hopeless(session: Session, errand: int, error: str) -> None:
    """Admins see it; it is not tried again by itself."""
    _end(session, errand, "hopeless", error)


def later(session: Session, errand: int, seconds: float, error: str) -> None:
    session.execute(
        update(ErrandRow)
        .where(ErrandRow.id == errand, ErrandRow.state == "pending")
        .values(due_at=from_now(seconds), error=error[:200])
    )


def stuck(session: Session, *, limit: int = 50) -> list[tuple[Errand, str]]:
    """Hopeless errands and those that failed at least once, with what went wrong."""
    rows = session.scalars(
        select(ErrandRow).where(ErrandRow.state != "done", ErrandRow.error != "").order_by(ErrandRow.id).limit(limit)
    )  # fmt: skip
    return [(_errand(row), row.error) for row in rows]


def receive(
    session: Session, now: datetime, *, provider: str, external_id: str, kind: str, body: bytes
) -> Letter:
    """Keeps news, once an id. `applied` tells whether it has taken effect before."""
    session.execute(
        insert_for(session)(NewsRow)
        .values(
            provider=provider, external_id=external_id, kind=kind[:200], body=body, applied=False, error="",
            received_at=now,
        )
        .on_conflict_do_nothing(index_elements=["provider", "external_id"])
    )  # fmt: skip
    row = session.scalars(
        select(NewsRow)
        .where(NewsRow.provider == provider, NewsRow.external_id == external_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    return _letter(row)


def applied(session: Session, letter: int) -> None:
    session.execute(update(NewsRow).where(NewsRow.id == letter).values(applied=True, error=""))


def failed(session: Session, letter: int, error: str) -> None:
    session.execute(update(NewsRow).where(NewsRow.id == letter, ~NewsRow.applied).values(error=error[:200]))


def unapplied(session: Session, *, after: int = 0, limit: int = 50) -> list[Letter]:
    """News without effect so far, oldest first, from the one `after` which somebody has looked already."""
    waiting = select(NewsRow).where(~NewsRow.applied, NewsRow.id > after)
    rows = session.scalars(waiting.order_by(NewsRow.id).limit(limit))
    return [_letter(row) for row in rows]


def letter(session: Session, number: int) -> Letter | None:
    row = session.get(NewsRow, number)
    return _letter(row) if row else None


def _end(session: Session, errand: int, state: str, error: str) -> None:
    session.execute(
        update(ErrandRow)
        .where(ErrandRow.id == errand, ErrandRow.state == "pending")
        .values(state=state, error=error[:200])
    )


def _errand(row: ErrandRow) -> Errand:
    return Errand(
        id=row.id, key=row.key, provider=row.provider, kind=row.kind, target=row.target, amount=row.amount,
        person=row.person, attempts=row.attempts, created_at=row.created_at,
    )  # fmt: skip


def _letter(row: NewsRow) -> Letter:
    return Letter(
        id=row.id, provider=row.provider, external_id=row.external_id, kind=row.kind, body=row.body,
        applied=row.applied, error=row.error, received_at=row.received_at,
    )  # fmt: skip

"""What the outboxes share: who takes a row that is due has it alone for a while, and then it is due again."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from storage.payment_tables import ErrandRow, NoticeRow
from storage.tables import DeliveryRow
from storage.types import from_now

T = TypeVar("T", DeliveryRow, ErrandRow, NoticeRow)


def claim(
    session: Session, table: type[T], *open_ones: ColumnElement[bool], lease_seconds: int, limit: int
) -> list[T]:
    """Those of the open rows that are due, oldest first; nobody else sees them for `lease_seconds`."""
    due = (
        select(table.id)
        .where(*open_ones, table.due_at <= from_now(0))
        .order_by(table.due_at, table.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.scalars(
        update(table)
        .where(table.id.in_(due))
        .values(attempts=table.attempts + 1, due_at=from_now(lease_seconds))
        .returning(table)
        .execution_options(populate_existing=True)
    )
    return sorted(rows, key=lambda row: row.id)

"""What a check-up asks of a database beyond its rows: its clock, its newest times, its room for connections."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from storage.tables import EntryRow, JobRow
from storage.types import from_now


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """Connections of a PostgreSQL server."""

    allowed: int  # to ordinary users
    used: int


def clock(session: Session) -> datetime:
    """The database's own time."""
    moment = session.scalar(select(from_now(0)))
    assert moment is not None
    return moment


def newest(session: Session) -> datetime | None:
    """The latest moment at which anything was asked or booked."""
    found = [session.scalar(select(func.max(column))) for column in (JobRow.created_at, EntryRow.at)]
    return max((moment for moment in found if moment is not None), default=None)


def room(session: Session) -> Room | None:
    """None on SQLite, which has no connections to run out of."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    allowed = session.scalar(
        text(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        )
    )
    used = session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))
    return Room(allowed=int(allowed or 0), used=int(used or 0))

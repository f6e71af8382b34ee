"""Paces: how many of something in how long, by the generic cell rate algorithm (ITU-T I.371).

A row remembers when its next one would be due at an even pace. Who has been idle may be early by a burst.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.prepared import Prepared
from storage.tables import RateRow
from storage.types import larger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def allow(session: Session, key: str, now: datetime, *, per: int, period_seconds: float, burst: int) -> float:
    """0 and counts one, if it may be now: `per` in each period, up to `burst` of them at once.

    Otherwise the seconds until it may, and nothing is counted.
    """
    now_us, step_us = _us(now), max(1, round(period_seconds * 1e6 / per))
    early_us = (burst - 1) * step_us
    upsert = _ALLOW[session.get_bind().dialect.name]
    counted = upsert(session, key=key, now_us=now_us, step_us=step_us, latest_us=now_us + early_us,
                     wrong_us=now_us + early_us + 2 * step_us).one_or_none()  # fmt: skip
    if counted is not None:
        return 0.0
    due_us = session.scalar(select(RateRow.due_us).where(RateRow.key == key)) or now_us
    return max(due_us - early_us - now_us, 1) / 1e6


def forget(session: Session, now: datetime) -> None:
    """Rows that say nothing any more."""
    session.execute(delete(RateRow).where(RateRow.due_us <= _us(now)))


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _upsert(insert: Any) -> Prepared:
    """Counts one unless it is too early. What is due later than can be was counted by a clock that went back."""
    now, step, latest, wrong = (
        bindparam(name, type_=RateRow.due_us.type) for name in ("now_us", "step_us", "latest_us", "wrong_us")
    )
    is_wrong = RateRow.due_us > wrong
    due = case((is_wrong, now), else_=larger(RateRow.due_us, now))
    return Prepared(
        insert(RateRow)
        .values(key=bindparam("key", type_=RateRow.key.type), due_us=now + step)
        .on_conflict_do_update(
            index_elements=["key"], set_={"due_us": due + step}, where=or_(RateRow.due_us <= latest, is_wrong)
        )
        .returning(RateRow.due_us)
    )


_ALLOW = {"sqlite": _upsert(sqlite.insert), "postgresql": _upsert(postgresql.insert)}

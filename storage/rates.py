"""Paces: how many of something in how long, by the generic cell rate algorithm (ITU-T I.371).

A row remembers when its next one would be due at an even pace. Who has been idle may be early by a burst.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import bindparam, case, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.prepared import Prepared
from storage.tables import RateRow
from storage.types import larger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """`per` in each period, up to `burst` of them at once."""

    per: int
    period_seconds: float
    burst: int

    @property
    def step_us(self) -> int:
        return max(1, round(self.period_seconds * 1e6 / self.per))

    @property
    def early_us(self) -> int:
        return (self.burst - 1) * self.step_us


def allow(session: Session, key: str, now: datetime, pace: Pace) -> float:
    """0 and counts one, if it may be now. Otherwise the seconds until it may, and nothing is counted."""
    if _ALLOW[session.get_bind().dialect.name](session, **_parameters(key, now, pace)).one_or_none():
        return 0.0
    due_us = session.scalar(select(RateRow.due_us).where(RateRow.key == key))
    return wait_seconds(due_us, now, pace) or 1e-6


def wait_seconds(due_us: int | None, now: datetime, pace: Pace) -> float:
    """Until one more may be, for who has read when the next is due, under a lock of his own; 0: now."""
    latest_us = _us(now) + pace.early_us
    if due_us is None or due_us > _wrong_us(latest_us, pace):
        return 0.0
    return max(due_us - latest_us, 0) / 1e6


def count(session: Session, key: str, now: datetime, pace: Pace) -> None:
    """Counts one that may be now, as `wait_seconds` told under that lock."""
    _ALLOW[session.get_bind().dialect.name].write(session, **_parameters(key, now, pace))


def forget(session: Session, now: datetime) -> None:
    """Rows that say nothing any more."""
    session.execute(delete(RateRow).where(RateRow.due_us <= _us(now)))


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _wrong_us(latest_us: int, pace: Pace) -> int:
    """What is due later than this was counted by a clock that went back."""
    return latest_us + 2 * pace.step_us


def _parameters(key: str, now: datetime, pace: Pace) -> dict[str, Any]:
    latest_us = _us(now) + pace.early_us
    return {"key": key, "now_us": _us(now), "step_us": pace.step_us, "latest_us": latest_us,
            "wrong_us": _wrong_us(latest_us, pace)}  # fmt: skip


def _upsert(insert: Any) -> Prepared:
    """Counts one unless it is too early."""
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

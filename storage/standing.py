"""How an account stands when it asks for something: its jobs, its pace, its credits. One statement, under its lock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, bindparam, func, literal, select
from sqlalchemy.orm import Session

from storage.ledger.grants import BURN_ORDER, LIVE, Lot
from storage.ledger.grants import COLUMNS as LOT
from storage.prepared import Prepared
from storage.tables import FlowRow, JobRow, LotRow, RateRow


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    known: int | None  # the job that this key made before
    waiting: int
    running: int
    due_us: int | None  # of its pace: see `storage.rates`
    lots: list[Lot]  # what it may spend, in burn order


def of_account(session: Session, account: int, now: datetime, *, key: str, pace: str) -> Standing:
    """`key` names what is asked for, `pace` how fast. The caller has locked the account, as everybody does who
    changes any of this."""
    rows = _STANDING(session, of_account=account, now=now, of_key=key, of_pace=pace).all()
    known, waiting, running, due_us = rows[0][:4]
    lots = [Lot(*row[4:]) for row in rows if row[4] is not None]
    return Standing(known=known, waiting=int(waiting), running=int(running), due_us=due_us, lots=lots)


def _jobs(count: Any) -> ColumnElement[int]:
    of_account = FlowRow.account_id == bindparam("of_account")
    return select(func.coalesce(func.sum(count), 0)).where(of_account).scalar_subquery()


_STANDING = Prepared(
    select(
        select(JobRow.id).where(JobRow.key == bindparam("of_key")).scalar_subquery(),
        _jobs(FlowRow.waiting),
        _jobs(FlowRow.running),
        select(RateRow.due_us).where(RateRow.key == bindparam("of_pace")).scalar_subquery(),
        *LOT,
    )
    .select_from(select(literal(1)).subquery().outerjoin(LotRow, LIVE))
    .order_by(*BURN_ORDER)
)

"""Holds: what a job has set aside out of its payer's lots, from its start to its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, func, insert, literal, select, update
from sqlalchemy.orm import Session, aliased

from storage.ledger.books import post
from storage.ledger.grants import Lot, draw, owed, repay, split
from storage.prepared import Prepared
from storage.tables import HoldRow, LotRow


def hold(session: Session, account: int, job: int, amount: int, now: datetime, *, live: list[Lot]) -> None:
    """Sets `amount` aside for a job out of `live` (what `lots` gave in this transaction).

    Raises Insufficient. An amount of 0 holds nothing.
    """
    if amount == 0:
        return
    parts = split(live, amount)
    draw(session, parts)
    _HOLD.many(
        session,
        [{"job_id": job, "lot_id": lot, "amount": part, "captured": 0, "open": True} for lot, part in parts],
    )
    post(session, account, f"hold:{job}", "available", "held", amount, now, job=job)


def settle(
    session: Session, account: int, job: int, used: int, now: datetime, *, our_fault: bool = False
) -> int:
    """Ends the job's hold: captures at most `used`, returns the rest to its lots. Returns what was captured.

    A lot that lapsed meanwhile takes its part back too; when the fault was ours it is good for another day.
    What comes back repays a debt first. `account` is whose lots are held: the job's payer.
    A hold ends once: the second time nothing happens and 0 is returned.
    """
    whole = sum(part for (part,) in _CAPTURE_ALL(session, of_job=job, used=used))
    if whole:
        post(session, account, f"capture:{job}", "held", "revenue", whole, now, job=job)
        return whole
    held = [(lot, part) for lot, part in _HELD(session, of_job=job)]
    captured = min(max(used, 0), sum(part for _, part in held))
    if captured:
        post(session, account, f"capture:{job}", "held", "revenue", captured, now, job=job)
    back = _end_parts(session, job, held, captured)
    if back:
        _release(session, account, job, back, now, our_fault=our_fault)
    return captured


def _end_parts(
    session: Session, job: int, held: list[tuple[int, int]], captured: int
) -> list[tuple[int, int]]:
    """Closes the job's holds, the first lots captured first; returns the (lot, part)s that come back."""
    back: list[tuple[int, int]] = []
    for lot, part in held:
        used = min(captured, part)
        captured -= used
        _END_PART.write(session, of_job=job, of_lot=lot, captured=used, open=False)
        if part > used:
            back.append((lot, part - used))
    return back


def _release(
    session: Session, account: int, job: int, back: list[tuple[int, int]], now: datetime, *, our_fault: bool
) -> None:
    owed(session, account)  # locks the account before its lots, as everybody does
    tomorrow = literal(now + timedelta(days=1), LotRow.expires_at.type)
    longer = {"expires_at": case((LotRow.expires_at <= now, tomorrow), else_=LotRow.expires_at)}
    for lot, part in back:
        values: dict[str, Any] = {"remaining": LotRow.remaining + part} | (longer if our_fault else {})
        session.execute(update(LotRow).where(LotRow.id == lot).values(**values))
    total = sum(part for _, part in back)
    post(session, account, f"release:{job}", "held", "available", total, now, job=job)
    repay(session, account, back, now, why=f"release:{job}")


# --- statements -------------------------------------------------------------------------------------------

_HOLD = Prepared(insert(HoldRow).inline(), sets=("job_id", "lot_id", "amount", "captured", "open"))
_HELD = Prepared(
    select(HoldRow.lot_id, HoldRow.amount)
    .where(HoldRow.job_id == bindparam("of_job"), HoldRow.open)
    .order_by(HoldRow.lot_id)
)
_other = aliased(HoldRow)
_total = (
    select(func.sum(_other.amount)).where(_other.job_id == bindparam("of_job"), _other.open).scalar_subquery()
)
_CAPTURE_ALL = Prepared(  # the usual end: all that was held, in one statement
    update(HoldRow)
    .where(HoldRow.job_id == bindparam("of_job"), HoldRow.open)
    .where(_total <= bindparam("used", type_=HoldRow.amount.type))
    .values(captured=HoldRow.amount, open=False)
    .returning(HoldRow.amount),
    sets=(),
)
_END_PART = Prepared(
    update(HoldRow).where(HoldRow.job_id == bindparam("of_job"), HoldRow.lot_id == bindparam("of_lot")),
    sets=("captured", "open"),
)

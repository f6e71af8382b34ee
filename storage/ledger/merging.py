"""Two accounts become one: nothing is lost and nothing is counted twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.ledger.books import Book, post
from storage.ledger.grants import lots, owe, owed, repay, was_granted
from storage.tables import HoldRow, LotRow

LIVE, EMPTY = LotRow.remaining > 0, LotRow.remaining == 0
"""Each has an index of its own by account."""


def absorb(session: Session, source: int, target: int, now: datetime, *, held_by: Sequence[int]) -> None:
    """All that is the source's becomes the target's: lots, holds (of the jobs `held_by`), debt.

    Both accounts and these jobs are locked. An allowance is one a day or month of an account, so the source's
    counts as the target's; of two for one day the source's lapses.
    """
    _join_allowances(session, source, target, now)
    of_source = update(LotRow).where(LotRow.account_id == source).values(account_id=target)
    session.execute(of_source.where(EMPTY))
    available = sum(session.scalars(of_source.where(LIVE).returning(LotRow.remaining)).all())
    held = session.scalar(select(func.sum(HoldRow.amount)).where(HoldRow.job_id.in_(held_by), HoldRow.open))
    debt = owed(session, source)
    balances: dict[Book, int] = {"available": available, "held": int(held or 0), "debt": -debt}
    for book, amount in balances.items():
        _move(session, source, target, book, amount, now)
    owe(session, source, -debt)
    owe(session, target, debt)
    spare = [(lot.id, lot.remaining) for lot in lots(session, target, now) if lot.kind != "daily"]
    repay(session, target, spare, now, why=f"merge:{source}")


def _move(session: Session, source: int, target: int, book: Book, amount: int, now: datetime) -> None:
    """A book's balance from one account to another; minus for a debt."""
    if amount == 0:
        return
    giver, taker = (source, target) if amount > 0 else (target, source)
    post(session, giver, f"merge:{source}:{book}:out", book, "merge", abs(amount), now)
    post(session, taker, f"merge:{source}:{book}:in", "merge", book, abs(amount), now)


def _join_allowances(session: Session, source: int, target: int, now: datetime) -> None:
    """Their keys are KIND:ACCOUNT:PERIOD (`bot.jobs.allowances`)."""
    allowances = select(LotRow.id, LotRow.kind, LotRow.key).where(
        LotRow.account_id == source, LotRow.kind.in_(("daily", "monthly")), LotRow.expires_at > now
    )
    rows = [row for part in (LIVE, EMPTY) for row in session.execute(allowances.where(part))]
    for lot, kind, key in rows:
        mine, theirs = f"{kind}:{source}:", f"{kind}:{target}:"
        if not key.startswith(mine):
            continue
        joined = theirs + key.removeprefix(mine)
        if not was_granted(session, joined):
            session.execute(update(LotRow).where(LotRow.id == lot).values(key=joined))
        elif kind == "daily":
            session.execute(update(LotRow).where(LotRow.id == lot).values(expires_at=now))

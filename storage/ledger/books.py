"""The books: every movement of credits is one row from one book to another, so all books sum to zero.

    available, held, debt     the account's: what it may spend, what jobs have set aside, what it owes (minus)
    house, promotion          where credits come from: sold or part of a paid plan, or given away
    revenue, breakage         where they go: used, lapsed
    merge                     between two accounts that became one; always sums to zero

Nothing here decides. `check` compares the books with what they speak of.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Select, case, func, insert, or_, select
from sqlalchemy.orm import Session

from storage.prepared import Prepared
from storage.tables import AccountRow, EntryRow, HoldRow, JobRow, LotRow

Book = Literal["available", "held", "debt", "house", "promotion", "revenue", "breakage", "merge"]
TERMINAL = ("completed", "discarded", "cancelled")


class Drift(msgspec.Struct, frozen=True):
    """Two figures that must agree and do not."""

    what: str
    subject: int
    expected: int
    found: int


def post(
    session: Session, account: int, key: str, source: Book, target: Book, amount: int, now: datetime,
    *, job: int | None = None, lot: int | None = None, reason: str = "",
) -> None:  # fmt: skip
    """Appends one movement. A key that was used before is an IntegrityError: nothing moves twice."""
    _POST.write(
        session, key=key, account_id=account, source=source, target=target, amount=amount, at=now, job_id=job,
        lot_id=lot, reason=reason[:200],
    )  # fmt: skip


def is_posted(session: Session, key: str) -> bool:
    return session.scalar(select(EntryRow.id).where(EntryRow.key == key)) is not None


def balance_of_books(session: Session) -> dict[str, int]:
    """The sum of every book, all accounts together; the whole sums to zero."""
    books: dict[str, int] = {}
    for source, target, amount in session.execute(
        select(EntryRow.source, EntryRow.target, func.sum(EntryRow.amount)).group_by(
            EntryRow.source, EntryRow.target
        )
    ):
        books[source] = books.get(source, 0) - int(amount)
        books[target] = books.get(target, 0) + int(amount)
    return books


def check(session: Session) -> list[Drift]:
    """All that does not add up; empty when the books are right."""
    return [
        *_book_drift(session, "available", _by_account(session)),
        *_book_drift(session, "held", _held_by_account(session)),
        *_book_drift(session, "debt", _owed_by_account(session)),
        *_merge_drift(session),
        *_lot_drift(session),
        *_hold_drift(session),
    ]


def _balances(book: Book) -> Select[Any]:
    sign = case((EntryRow.target == book, EntryRow.amount), else_=-EntryRow.amount)
    return select(func.coalesce(func.sum(sign), 0)).where(_touches(book))


def _touches(book: Book) -> ColumnElement[bool]:
    return or_(EntryRow.source == book, EntryRow.target == book)


def _book_drift(session: Session, book: Book, truth: dict[int, int]) -> Iterable[Drift]:
    """Each account's book against what it speaks of: lots, open holds, the debt in its row."""
    statement = _balances(book).add_columns(EntryRow.account_id).group_by(EntryRow.account_id)
    found = {account: int(total) for total, account in session.execute(statement)}
    for account in truth.keys() | found.keys():
        expected, booked = truth.get(account, 0), found.get(account, 0)
        if expected != booked:
            yield Drift(book, account, expected, booked)


def _by_account(session: Session) -> dict[int, int]:
    rows = session.execute(select(LotRow.account_id, func.sum(LotRow.remaining)).group_by(LotRow.account_id))
    return {account: int(total) for account, total in rows}


def _held_by_account(session: Session) -> dict[int, int]:
    """By who pays for the job: a hold out of another's lot is a drift of both."""
    payer = func.coalesce(JobRow.payer_id, JobRow.account_id)
    rows = session.execute(
        select(payer, func.sum(HoldRow.amount))
        .join(JobRow, JobRow.id == HoldRow.job_id)
        .where(HoldRow.open)
        .group_by(payer)
    )
    return {account: int(total) for account, total in rows}


def _owed_by_account(session: Session) -> dict[int, int]:
    rows = session.execute(select(AccountRow.id, AccountRow.debt).where(AccountRow.debt > 0))
    return {account: -debt for account, debt in rows}


def _merge_drift(session: Session) -> Iterable[Drift]:
    if total := int(session.scalar(_balances("merge")) or 0):
        yield Drift("merge", 0, 0, total)


def _lot_drift(session: Session) -> Iterable[Drift]:
    """granted = remaining + held + captured + lapsed + taken, for every lot."""
    left = LotRow.remaining + LotRow.lapsed + LotRow.taken
    spent = case((HoldRow.open, HoldRow.amount), else_=HoldRow.captured)
    rows = session.execute(
        select(LotRow.id, LotRow.granted, left, func.coalesce(func.sum(spent), 0))
        .outerjoin(HoldRow, HoldRow.lot_id == LotRow.id)
        .group_by(LotRow.id, LotRow.granted, left)
    )
    for lot, granted, kept, out in rows:
        if granted != kept + int(out):
            yield Drift("lot", lot, granted, kept + int(out))


def _hold_drift(session: Session) -> Iterable[Drift]:
    """A hold is open exactly as long as its job is not terminal, and its lot is the payer's."""
    terminal = JobRow.state.in_(TERMINAL)
    stray = or_(HoldRow.open & terminal, ~HoldRow.open & ~terminal)
    foreign = LotRow.account_id != func.coalesce(JobRow.payer_id, JobRow.account_id)
    rows = session.execute(
        select(HoldRow.job_id, HoldRow.amount)
        .join(JobRow, JobRow.id == HoldRow.job_id)
        .join(LotRow, LotRow.id == HoldRow.lot_id)
        .where(or_(stray, foreign))
    )
    for job, amount in rows:
        yield Drift("hold", job, 0, amount)


_POST = Prepared(
    insert(EntryRow).inline(),
    sets=("key", "account_id", "source", "target", "amount", "at", "job_id", "lot_id", "reason"),
)

"""Credits: lots that are granted, held for a job, captured or returned, and lapse.

Every movement is one `EntryRow` from one book to another with a unique key, so doing a thing twice does it
once. What an account may spend is the sum of its live lots; entries are never summed on a person's path, so
cost does not grow with history. Callers lock the account first (`accounts.lock`).

    LedgerError
    └── Insufficient    the account cannot afford it; nothing was held
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, case, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session, aliased

from storage.prepared import Prepared
from storage.tables import EntryRow, HoldRow, LotRow
from storage.types import insert_for

LotKind = Literal["daily", "reward", "monthly", "gift", "pack"]
BURN_ORDER: tuple[LotKind, ...] = ("daily", "reward", "monthly", "gift", "pack")
"""What is spent first: what lapses soonest and cost least. Within a kind, the earliest expiry first."""


class LedgerError(Exception):
    """Base of what the ledger refuses."""


class Insufficient(LedgerError):
    def __init__(self, *, needed: int, available: int) -> None:
        super().__init__(f"{needed} credits needed, {available} available")
        self.needed, self.available = needed, available


class Lot(msgspec.Struct, frozen=True):
    id: int
    kind: str
    granted: int
    remaining: int
    expires_at: datetime | None
    key: str


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Credits to give once. The key names the event that they come from."""

    key: str
    kind: LotKind
    amount: int
    expires_at: datetime | None = None
    reason: str = ""


def lots(session: Session, account: int, now: datetime) -> list[Lot]:
    """What the account may spend now, in burn order."""
    rows = _LOTS(session, of_account=account, now=now)
    return [Lot(*row) for row in rows]


def grant(session: Session, account: int, grants: Iterable[Grant], now: datetime) -> int:
    """Gives each grant once and returns what was given now; a key given before is passed over."""
    given = 0
    for each in grants:
        if each.amount <= 0 or not (lot := _new_lot(session, account, each, now)):
            continue
        post(session, account, f"grant:{each.key}", "promotion", "available", each.amount, now,
             lot=lot, reason=each.reason or each.kind)  # fmt: skip
        given += each.amount
    return given


def was_granted(session: Session, key: str) -> bool:
    return session.scalar(select(LotRow.id).where(LotRow.key == key)) is not None


def hold(session: Session, account: int, job: int, amount: int, now: datetime, *, live: list[Lot]) -> None:
    """Sets `amount` aside for a job out of `live` (what `lots` gave in this transaction).

    Raises Insufficient. An amount of 0 holds nothing.
    """
    if amount == 0:
        return
    parts = split(live, amount)
    for lot, part in parts:
        _DRAW(session, of_lot=lot, less=part)
        _HOLD(session, job_id=job, lot_id=lot, amount=part, captured=0, open=True)
    post(session, account, f"hold:{job}", "available", "held", amount, now, job=job)


def split(live: list[Lot], amount: int) -> list[tuple[int, int]]:
    """(lot, part) for `amount`, out of the lots in their order. Raises Insufficient."""
    parts: list[tuple[int, int]] = []
    missing = amount
    for lot in live:
        if missing and lot.remaining:
            parts.append((lot.id, min(missing, lot.remaining)))
            missing -= parts[-1][1]
    if missing:
        raise Insufficient(needed=amount, available=amount - missing)
    return parts


def settle(
    session: Session, account: int, job: int, used: int, now: datetime, *, our_fault: bool = False
) -> int:
    """Ends the job's hold: captures at most `used`, returns the rest to its lots. Returns what was captured.

    A lot that lapsed meanwhile takes its part back too; when the fault was ours it is good for another day.
    A hold ends once: the second time nothing happens and 0 is returned.
    """
    whole = sum(part for (part,) in _CAPTURE_ALL(session, of_job=job, used=used))
    if whole:
        post(session, account, f"capture:{job}", "held", "revenue", whole, now, job=job)
        return whole
    held = _HELD(session, of_job=job).all()
    total = sum(part for _, part in held)
    captured = min(max(used, 0), total)
    left = captured
    for lot, part in held:
        taken = min(left, part)
        left -= taken
        _END_PART(session, of_job=job, of_lot=lot, captured=taken, open=False)
        if part > taken:
            _give_back(session, lot, part - taken, now, our_fault=our_fault)
    if captured:
        post(session, account, f"capture:{job}", "held", "revenue", captured, now, job=job)
    if total > captured:
        post(session, account, f"release:{job}", "held", "available", total - captured, now, job=job)
    return captured


def take(session: Session, account: int, amount: int, now: datetime, *, key: str, reason: str) -> int:
    """Takes up to `amount` of what is available back to the house; returns what was taken."""
    if session.scalar(select(EntryRow.id).where(EntryRow.key == f"take:{key}")):
        return 0
    live = lots(session, account, now)
    taken = min(amount, sum(lot.remaining for lot in live))
    if taken <= 0:
        return 0
    for lot, part in split(live, taken):
        session.execute(
            update(LotRow)
            .where(LotRow.id == lot)
            .values(remaining=LotRow.remaining - part, lapsed=LotRow.lapsed + part)
        )
    post(session, account, f"take:{key}", "available", "promotion", taken, now, reason=reason)
    return taken


def expire(session: Session, now: datetime, *, limit: int = 500) -> int:
    """Lets lots that are past their time lapse into breakage; returns how many did."""
    rows = session.execute(
        select(LotRow.id, LotRow.account_id, LotRow.remaining, LotRow.lapsed)
        .where(LotRow.remaining > 0, LotRow.expires_at <= now)
        .order_by(LotRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for lot, account, remaining, lapsed in rows:
        session.execute(
            update(LotRow).where(LotRow.id == lot).values(remaining=0, lapsed=LotRow.lapsed + remaining)
        )
        post(session, account, f"lapse:{lot}:{lapsed}", "available", "breakage", remaining, now, lot=lot)
    return len(rows)


def post(
    session: Session, account: int, key: str, source: str, target: str, amount: int, now: datetime,
    *, job: int | None = None, lot: int | None = None, reason: str = "",
) -> None:  # fmt: skip
    """Appends one movement. A key that was used before is an IntegrityError: nothing moves twice."""
    _POST(
        session, key=key, account_id=account, source=source, target=target, amount=amount, at=now, job_id=job,
        lot_id=lot, reason=reason[:200],
    )  # fmt: skip


class Drift(msgspec.Struct, frozen=True):
    """Two figures that must agree and do not."""

    what: str
    subject: int
    expected: int
    found: int


def check(session: Session) -> list[Drift]:
    """All that does not add up; empty when the books are right."""
    return [*_book_drift(session), *_lot_drift(session), *_hold_drift(session)]


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


def _new_lot(session: Session, account: int, each: Grant, now: datetime) -> int | None:
    return session.scalar(
        insert_for(session)(LotRow)
        .values(
            account_id=account, key=each.key, kind=each.kind, granted=each.amount, remaining=each.amount,
            lapsed=0, expires_at=each.expires_at, created_at=now,
        )
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(LotRow.id)
    )  # fmt: skip


def _give_back(session: Session, lot: int, part: int, now: datetime, *, our_fault: bool) -> None:
    values: dict[str, Any] = {"remaining": LotRow.remaining + part}
    if our_fault:
        tomorrow = literal(now + timedelta(days=1), LotRow.expires_at.type)
        values["expires_at"] = case((LotRow.expires_at <= now, tomorrow), else_=LotRow.expires_at)
    session.execute(update(LotRow).where(LotRow.id == lot).values(**values))


def _book_drift(session: Session) -> Iterable[Drift]:
    """Each account's books against its lots and open holds."""
    for book, truth in (("available", _by_account(session)), ("held", _held_by_account(session))):
        found: dict[int, int] = {}
        sign = case((EntryRow.target == book, EntryRow.amount), else_=-EntryRow.amount)
        for account, total in session.execute(
            select(EntryRow.account_id, func.sum(sign))
            .where(or_(EntryRow.source == book, EntryRow.target == book))
            .group_by(EntryRow.account_id)
        ):
            found[account] = int(total)
        for account in truth.keys() | found.keys():
            expected, booked = truth.get(account, 0), found.get(account, 0)
            if expected != booked:
                yield Drift(book, account, expected, booked)


def _by_account(session: Session) -> dict[int, int]:
    rows = session.execute(select(LotRow.account_id, func.sum(LotRow.remaining)).group_by(LotRow.account_id))
    return {account: int(total) for account, total in rows}


def _held_by_account(session: Session) -> dict[int, int]:
    rows = session.execute(
        select(LotRow.account_id, func.sum(HoldRow.amount))
        .join(LotRow, LotRow.id == HoldRow.lot_id)
        .where(HoldRow.open)
        .group_by(LotRow.account_id)
    )
    return {account: int(total) for account, total in rows}


def _lot_drift(session: Session) -> Iterable[Drift]:
    """granted = remaining + held + captured + lapsed, for every lot."""
    spent = case((HoldRow.open, HoldRow.amount), else_=HoldRow.captured)
    rows = session.execute(
        select(LotRow.id, LotRow.granted, LotRow.remaining + LotRow.lapsed, func.coalesce(func.sum(spent), 0))
        .outerjoin(HoldRow, HoldRow.lot_id == LotRow.id)
        .group_by(LotRow.id, LotRow.granted, LotRow.remaining, LotRow.lapsed)
    )
    for lot, granted, left, out in rows:
        if granted != left + int(out):
            yield Drift("lot", lot, granted, left + int(out))


def _hold_drift(session: Session) -> Iterable[Drift]:
    """A hold is open exactly as long as its job is not terminal."""
    from storage.tables import JobRow

    terminal = JobRow.state.in_(("completed", "discarded", "cancelled"))
    rows = session.execute(
        select(HoldRow.job_id, HoldRow.amount)
        .join(JobRow, JobRow.id == HoldRow.job_id)
        .where(or_(HoldRow.open & terminal, ~HoldRow.open & ~terminal))
    )
    for job, amount in rows:
        yield Drift("hold", job, 0, amount)


# --- statements -------------------------------------------------------------------------------------------

_rank = case({kind: place for place, kind in enumerate(BURN_ORDER)}, value=LotRow.kind, else_=len(BURN_ORDER))
_live = or_(LotRow.expires_at.is_(None), LotRow.expires_at > bindparam("now", type_=LotRow.expires_at.type))
_LOTS = Prepared(
    select(LotRow.id, LotRow.kind, LotRow.granted, LotRow.remaining, LotRow.expires_at, LotRow.key)
    .where(LotRow.account_id == bindparam("of_account"), LotRow.remaining > 0, _live)
    .order_by(_rank, LotRow.expires_at.is_(None), LotRow.expires_at, LotRow.id)
)
_DRAW = Prepared(
    update(LotRow).where(LotRow.id == bindparam("of_lot"))
    .values(remaining=LotRow.remaining - bindparam("less", type_=LotRow.remaining.type)),
    sets=(),
)  # fmt: skip
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
_POST = Prepared(
    insert(EntryRow).inline(),
    sets=("key", "account_id", "source", "target", "amount", "at", "job_id", "lot_id", "reason"),
)

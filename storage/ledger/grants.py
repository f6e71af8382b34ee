"""Lots: credits of one origin with one expiry, granted once, spent in their order, and lapsing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import and_, bindparam, case, or_, select, update
from sqlalchemy.orm import Session

from storage.ledger.books import Book, is_posted, post
from storage.prepared import Prepared
from storage.tables import AccountRow, LotRow
from storage.types import insert_for

LotKind = Literal["daily", "reward", "promo", "referral", "monthly", "gift", "pack"]
RANKS: dict[str, int] = {
    "daily": 0, "reward": 1, "promo": 1, "referral": 1, "monthly": 2, "gift": 3, "pack": 4,
}  # fmt: skip
"""What is spent first: what lapses soonest and cost least. Within a rank, the earliest expiry first."""
SOLD: frozenset[str] = frozenset({"monthly", "pack"})
"""What somebody paid for; everything else was given away."""


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
    """Credits to give once. The key (at most 150 characters) names the event that they come from."""

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
    """Gives each grant once and returns what was given now; a key given before is passed over.

    A debt takes its part of it at once.
    """
    given = 0
    for each in grants:
        if each.amount <= 0 or not (lot := _new_lot(session, account, each, now)):
            continue
        post(session, account, f"grant:{each.key}", source_of(each.kind), "available", each.amount, now,
             lot=lot, reason=each.reason or each.kind)  # fmt: skip
        repay(session, account, [(lot, each.amount)], now, why=f"grant:{each.key}")
        given += each.amount
    return given


def granted(session: Session, key: str) -> int:
    """What the lot with this key was granted; 0 if there is none."""
    return session.scalar(select(LotRow.granted).where(LotRow.key == key)) or 0


def was_granted(session: Session, key: str) -> bool:
    return session.scalar(select(LotRow.id).where(LotRow.key == key)) is not None


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


def take(session: Session, account: int, amount: int, now: datetime, *, key: str, reason: str) -> int:
    """Takes up to `amount` of what is available back to where it came from; returns what was taken."""
    if any(is_posted(session, f"take:{key}:{book}") for book in ("house", "promotion")):
        return 0
    live = lots(session, account, now)
    taken = min(amount, sum(lot.remaining for lot in live))
    if taken <= 0:
        return 0
    origins: dict[int, Book] = {lot.id: source_of(lot.kind) for lot in live}
    totals: Counter[Book] = Counter()
    for lot, part in split(live, taken):
        take_out(session, lot, part)
        totals[origins[lot]] += part
    for book, total in totals.items():
        post(session, account, f"take:{key}:{book}", "available", book, total, now, reason=reason)
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


# --- what the rest of the ledger is made of ------------------------------------------------------------------


def draw(session: Session, parts: list[tuple[int, int]]) -> None:
    """(lot, part)s out of lots into holds."""
    _DRAW.many(session, [{"of_lot": lot, "less": part} for lot, part in parts])


def take_out(session: Session, lot: int, part: int) -> None:
    """Out of a lot for good: back to the house, or for a debt."""
    _TAKE.write(session, of_lot=lot, less=part)


def repay(session: Session, account: int, parts: list[tuple[int, int]], now: datetime, *, why: str) -> None:
    """Pays what the account owes out of these (lot, part)s, as far as they reach."""
    total = left = min(owed(session, account), sum(part for _, part in parts))
    if not total:
        return
    for lot, part in parts:
        if paid := min(left, part):
            take_out(session, lot, paid)
            left -= paid
    post(session, account, f"repay:{why}", "available", "debt", total, now)
    owe(session, account, -total)


def owed(session: Session, account: int) -> int:
    """The account's debt, the account locked: a debt and what repays it must see each other."""
    return int(_DEBT(session, of_account=account).scalar() or 0)


def owe(session: Session, account: int, more: int) -> None:
    """Adds to a debt; minus repays."""
    _OWE.write(session, of_account=account, more=more)


def source_of(kind: str) -> Book:
    """The book that credits of this kind come from."""
    return "house" if kind in SOLD else "promotion"


def _new_lot(session: Session, account: int, each: Grant, now: datetime) -> int | None:
    return session.scalar(
        insert_for(session)(LotRow)
        .values(
            account_id=account, key=each.key, kind=each.kind, granted=each.amount, remaining=each.amount,
            lapsed=0, taken=0, expires_at=each.expires_at, created_at=now,
        )
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(LotRow.id)
    )  # fmt: skip


# --- statements -------------------------------------------------------------------------------------------

COLUMNS = (LotRow.id, LotRow.kind, LotRow.granted, LotRow.remaining, LotRow.expires_at, LotRow.key)
_rank = case(RANKS, value=LotRow.kind, else_=len(RANKS))
_later = bindparam("now", type_=LotRow.expires_at.type)
LIVE = and_(
    LotRow.account_id == bindparam("of_account", type_=LotRow.account_id.type), LotRow.remaining > 0,
    or_(LotRow.expires_at.is_(None), LotRow.expires_at > _later),
)  # fmt: skip
BURN_ORDER = (_rank, LotRow.expires_at.is_(None), LotRow.expires_at, LotRow.id)
_LOTS = Prepared(select(*COLUMNS).where(LIVE).order_by(*BURN_ORDER))
_lot = update(LotRow).where(LotRow.id == bindparam("of_lot"))
_less = bindparam("less", type_=LotRow.remaining.type)
_DRAW = Prepared(_lot.values(remaining=LotRow.remaining - _less), sets=())
_TAKE = Prepared(_lot.values(remaining=LotRow.remaining - _less, taken=LotRow.taken + _less), sets=())
_DEBT = Prepared(
    select(AccountRow.debt).where(AccountRow.id == bindparam("of_account")).with_for_update(key_share=True)
)
_OWE = Prepared(
    update(AccountRow).where(AccountRow.id == bindparam("of_account"))
    .values(debt=AccountRow.debt + bindparam("more", type_=AccountRow.debt.type)),
    sets=(),
)  # fmt: skip

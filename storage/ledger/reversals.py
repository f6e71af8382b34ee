"""Refunds and disputes: a grant is taken back, what was spent of it is owed, and a dispute that is won undoes it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import cast

import msgspec
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from storage.ledger.books import is_posted, post
from storage.ledger.grants import (
    COLUMNS,
    Grant,
    Lot,
    LotKind,
    grant,
    lots,
    owe,
    owed,
    source_of,
    split,
    take_out,
)
from storage.tables import LotRow, ReversalRow


class Reversed(msgspec.Struct, frozen=True):
    """What a reversal found: credits that were still there, and credits that are owed now."""

    taken: int
    owed: int


def reverse(
    session: Session, account: int, keys: Sequence[str], now: datetime, *, key: str, amount: int | None = None,
    reason: str,
) -> Reversed:  # fmt: skip
    """Takes back what the lots with these keys granted, or only `amount` of it.

    First what remains in them, then what else is available except daily lots; the rest is owed. Several
    reversals together never take more than was granted, and nothing is owed for what lapsed: it was never
    used. The same `key` (at most 150 characters) again changes nothing and answers as it did.
    """
    parts = _reversed_by(session, key)
    if not parts:
        left = sys.maxsize if amount is None else max(amount, 0)
        for lot, reversible in _reversible(session, account, keys):
            if part := min(left, reversible):
                parts.append(_reverse(session, account, lot, part, now, key=key, reason=reason))
                left -= part
    return Reversed(sum(taken for taken, _ in parts), sum(missing for _, missing in parts))


def restore(session: Session, account: int, of: str, now: datetime, *, reason: str) -> int:
    """Undoes the reversal with the key `of`, once: the dispute was won. Returns what was given back.

    It comes as new lots of the old kinds, good for as long as the old ones still were, and pays a debt first.
    """
    rows = session.execute(
        select(LotRow.id, LotRow.kind, LotRow.expires_at, ReversalRow)
        .join(LotRow, LotRow.id == ReversalRow.lot_id)
        .where(ReversalRow.key == of, ReversalRow.restored_at.is_(None))
    ).all()
    grants: list[Grant] = []
    for lot, kind, expires_at, row in rows:
        until = expires_at + (now - row.at) if expires_at is not None else None
        amount = row.taken + row.owed
        grants.append(
            Grant(
                key=f"restore:{of}:{lot}",
                kind=cast("LotKind", kind),
                amount=amount,
                expires_at=until,
                reason=reason,
            )
        )
        row.restored_at = now
    session.flush()
    return grant(session, account, grants, now)


def forgive(
    session: Session, account: int, now: datetime, *, key: str, amount: int | None = None, reason: str
) -> int:
    """Writes a debt off, or only `amount` of it; returns how much. The same key again changes nothing."""
    if is_posted(session, f"forgive:{key}"):
        return 0
    debt = owed(session, account)
    part = debt if amount is None else min(max(amount, 0), debt)
    if part:
        post(session, account, f"forgive:{key}", "promotion", "debt", part, now, reason=reason)
        owe(session, account, -part)
    return part


def _reversed_by(session: Session, key: str) -> list[tuple[int, int]]:
    """(taken, owed) of what this reversal did before."""
    rows = session.execute(select(ReversalRow.taken, ReversalRow.owed).where(ReversalRow.key == key))
    return [(int(taken), int(missing)) for taken, missing in rows]


def _reversible(session: Session, account: int, keys: Sequence[str]) -> list[tuple[int, int]]:
    """The lots with these keys, the fullest first, and how much of each grant can still be taken back."""
    already = (
        select(func.coalesce(func.sum(ReversalRow.taken + ReversalRow.owed), 0))
        .where(ReversalRow.lot_id == LotRow.id, ReversalRow.restored_at.is_(None))
        .scalar_subquery()
    )
    rows = session.execute(
        select(LotRow.id, LotRow.granted - LotRow.lapsed - already)
        .where(LotRow.account_id == account, LotRow.key.in_(keys))
        .order_by(LotRow.remaining.desc(), LotRow.id)
    )
    return [(lot, max(int(left), 0)) for lot, left in rows]


def _reverse(
    session: Session, account: int, lot: int, amount: int, now: datetime, *, key: str, reason: str
) -> tuple[int, int]:
    """(taken, owed) for one lot."""
    own = Lot(*session.execute(select(*COLUMNS).where(LotRow.id == lot)).one())
    others = [each for each in lots(session, account, now) if each.kind != "daily" and each.id != lot]
    taken = min(amount, sum(each.remaining for each in (own, *others)))
    missing, book = amount - taken, source_of(own.kind)
    if taken:
        for each, part in split([own, *others], taken):
            take_out(session, each, part)
        post(session, account, f"reverse:{key}:{lot}", "available", book, taken, now, lot=lot, reason=reason)
    if missing:
        owe(session, account, missing)
        post(session, account, f"owe:{key}:{lot}", "debt", book, missing, now, lot=lot, reason=reason)
    session.execute(insert(ReversalRow).values(key=key, lot_id=lot, taken=taken, owed=missing, at=now))
    return taken, missing

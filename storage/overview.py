"""Pages of rows for operators: accounts and ledger entries, newest first."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from storage.tables import AccountRow, EntryRow, IdentityRow, JobRow, LotRow


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    identities: str
    plan: str
    banned_reason: str | None
    credits: int
    created_at: datetime


class TierView(msgspec.Struct, frozen=True, kw_only=True):
    """`cost_us`: predicted device time of what waits."""

    tier: str
    running: int
    waiting: int
    cost_us: int


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    account: int
    source: str
    target: str
    amount: int
    key: str
    reason: str


def account_count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(AccountRow)) or 0


def tiers(session: Session) -> list[TierView]:
    """What runs and waits in each tier that has any; what is to be retried waits."""
    runs = JobRow.state == "running"
    rows = session.execute(
        select(
            JobRow.tier,
            func.sum(case((runs, 1), else_=0)),
            func.sum(case((runs, 0), else_=1)),
            func.sum(case((runs, 0), else_=JobRow.cost_us)),
        )
        .where(JobRow.state.in_(("available", "running", "retryable")))
        .group_by(JobRow.tier)
        .order_by(JobRow.tier)
    )
    return [
        TierView(tier=tier, running=int(running), waiting=int(waiting), cost_us=int(cost))
        for tier, running, waiting, cost in rows
    ]


def accounts(session: Session, *, limit: int, offset: int) -> list[AccountView]:
    rows = session.execute(
        select(AccountRow.id, AccountRow.plan, AccountRow.banned_reason, AccountRow.created_at)
        .order_by(AccountRow.id.desc()).limit(limit).offset(offset)
    ).all()  # fmt: skip
    ids = [row.id for row in rows]
    known, credits = _identities(session, ids), _credits(session, ids)
    return [
        AccountView(
            id=row.id, identities=", ".join(known.get(row.id, [])), plan=row.plan,
            banned_reason=row.banned_reason, credits=credits.get(row.id, 0), created_at=row.created_at,
        )
        for row in rows
    ]  # fmt: skip


def entries(session: Session, *, limit: int, offset: int) -> list[EntryView]:
    rows = session.execute(
        select(EntryRow.at, EntryRow.account_id, EntryRow.source, EntryRow.target, EntryRow.amount,
               EntryRow.key, EntryRow.reason)
        .order_by(EntryRow.id.desc()).limit(limit).offset(offset)
    )  # fmt: skip
    return [
        EntryView(at=a, account=b, source=c, target=d, amount=e, key=f, reason=g)
        for a, b, c, d, e, f, g in rows
    ]


def _identities(session: Session, ids: list[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for account, platform, external in session.execute(
        select(IdentityRow.account_id, IdentityRow.platform, IdentityRow.external_id).where(
            IdentityRow.account_id.in_(ids)
        )
    ):
        found.setdefault(account, []).append(f"{platform}:{external}")
    return found


def _credits(session: Session, ids: list[int]) -> dict[int, int]:
    rows = session.execute(
        select(LotRow.account_id, func.sum(LotRow.remaining))
        .where(LotRow.account_id.in_(ids), LotRow.remaining > 0)
        .group_by(LotRow.account_id)
    )
    return {account: int(total) for account, total in rows}

"""Rights to plans, one row a source: a subscription, a gift, a promo code, an admin's word.

News of a source may arrive late or out of order: each row remembers when its newest news was made, and older
news is passed over. Which plan is in force is decided elsewhere (`bot.jobs.entitlement`), from all rows.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import func, literal, select, update
from sqlalchemy.orm import Session

from storage.payment_tables import EntitlementRow
from storage.types import insert_for


class Entitlement(msgspec.Struct, frozen=True, kw_only=True):
    """`since` and `until`: the period last paid for, open-ended if None. `ended_at`: ended before its time.

    `revoked`: its money went back.
    """

    id: int
    source: str
    external_id: str
    account: int
    plan: str
    since: datetime
    until: datetime | None
    renews: bool
    ended_at: datetime | None
    revoked: bool
    heard_at: datetime
    test: bool


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What is now known of a source; `at` is when its provider says so."""

    source: str
    external_id: str
    plan: str
    since: datetime
    until: datetime | None
    renews: bool = False
    ended: bool = False
    at: datetime
    test: bool = False


def hear(session: Session, account: int, news: News) -> Entitlement:
    """Makes the row or brings it up to date; returns what is known now.

    News older than the newest changes nothing, but that a period which was paid for is not cut short.
    """
    ended_at = news.at if news.ended else None
    known = EntitlementRow.ended_at
    first_end = func.coalesce(known, literal(news.at, known.type)) if news.ended else None
    session.execute(
        insert_for(session)(EntitlementRow)
        .values(
            source=news.source, external_id=news.external_id, account_id=account, plan=news.plan,
            since=news.since, until=news.until, renews=news.renews, ended_at=ended_at, heard_at=news.at,
            test=news.test,
        )
        .on_conflict_do_nothing(index_elements=["source", "external_id"])
    )  # fmt: skip
    row = update(EntitlementRow).where(
        EntitlementRow.source == news.source, EntitlementRow.external_id == news.external_id
    )
    session.execute(
        row.where(EntitlementRow.heard_at <= news.at).values(
            plan=news.plan, since=news.since, until=news.until, renews=news.renews, ended_at=first_end,
            heard_at=news.at,
        )
    )  # fmt: skip
    if news.until is not None:
        paid_for = row.where(EntitlementRow.until < news.until)
        session.execute(paid_for.values(since=news.since, until=news.until))
    found = find(session, news.source, news.external_id)
    assert found is not None
    return found


def find(session: Session, source: str, external_id: str) -> Entitlement | None:
    row = session.scalar(
        select(EntitlementRow)
        .where(EntitlementRow.source == source, EntitlementRow.external_id == external_id)
        .execution_options(populate_existing=True)
    )
    return _entitlement(row) if row else None


def revoke(session: Session, entitlement: int, *, revoked: bool) -> None:
    session.execute(update(EntitlementRow).where(EntitlementRow.id == entitlement).values(revoked=revoked))


def of_account(session: Session, account: int) -> list[Entitlement]:
    """All of an account's rights, past ones too, oldest first."""
    rows = session.scalars(
        select(EntitlementRow)
        .where(EntitlementRow.account_id == account)
        .order_by(EntitlementRow.id)
        .execution_options(populate_existing=True)
    )
    return [_entitlement(row) for row in rows]


def of_source(session: Session, source: str) -> list[Entitlement]:
    """All that are not over for good: what a scan of the provider is compared with."""
    rows = session.scalars(
        select(EntitlementRow).where(EntitlementRow.source == source, EntitlementRow.ended_at.is_(None))
    )
    return [_entitlement(row) for row in rows]


def _entitlement(row: EntitlementRow) -> Entitlement:
    return Entitlement(
        id=row.id, source=row.source, external_id=row.external_id, account=row.account_id, plan=row.plan,
        since=row.since, until=row.until, renews=row.renews, ended_at=row.ended_at, revoked=row.revoked,
        heard_at=row.heard_at, test=row.test,
    )  # fmt: skip

"""Promo codes: so many uses in all; once a person is the caller's to hold, by the key of what is given."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from storage.payment_tables import PromoRow
from storage.types import insert_for


class Promo(msgspec.Struct, frozen=True, kw_only=True):
    """Gives `credits`, or `plan`, for `days`."""

    code: str
    credits: int = 0
    plan: str = ""
    days: int = 30
    uses: int = 0
    uses_max: int = 1
    expires_at: datetime | None = None


def add(session: Session, promo: Promo, created_by: str) -> bool:
    """False when there is one of this code."""
    statement = insert_for(session)(PromoRow).values(
        code=promo.code, credits=promo.credits, plan=promo.plan, days=promo.days, uses=0,
        uses_max=promo.uses_max, expires_at=promo.expires_at, created_by=created_by,
    )  # fmt: skip
    return session.scalar(statement.on_conflict_do_nothing().returning(PromoRow.code)) is not None


def find(session: Session, code: str) -> Promo | None:
    row = session.get(PromoRow, code, populate_existing=True)
    return _promo(row) if row else None


def use(session: Session, code: str, now: datetime) -> bool:
    """Counts one use; False when the code has none left or is past its time."""
    used = session.execute(
        update(PromoRow)
        .where(
            PromoRow.code == code,
            PromoRow.uses < PromoRow.uses_max,
            or_(PromoRow.expires_at.is_(None), PromoRow.expires_at > now),
        )
        .values(uses=PromoRow.uses + 1)
    )
    return bool(used.rowcount)  # type: ignore[attr-defined]


def end(session: Session, code: str) -> bool:
    """No more uses from now on; whether there was such a code."""
    ended = session.execute(update(PromoRow).where(PromoRow.code == code).values(uses_max=PromoRow.uses))
    return bool(ended.rowcount)  # type: ignore[attr-defined]


def all_codes(session: Session, *, limit: int = 50) -> list[Promo]:
    return [_promo(row) for row in session.scalars(select(PromoRow).order_by(PromoRow.code).limit(limit))]


def _promo(row: PromoRow) -> Promo:
    return Promo(
        code=row.code, credits=row.credits, plan=row.plan, days=row.days, uses=row.uses,
        uses_max=row.uses_max, expires_at=row.expires_at,
    )  # fmt: skip

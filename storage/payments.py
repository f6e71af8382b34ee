"""Orders and payments: what was offered at which price, and the money that came for it.

A payment's row is made at the first news of it, whatever that is: a refund may arrive before its payment.
Callers lock the account first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import String, cast, func, insert, select, update
from sqlalchemy.orm import Session

from storage.payment_tables import OrderRow, PaymentRow
from storage.tables import LotRow
from storage.types import insert_for


class Order(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    token: str
    buyer: int
    account: int
    provider: str
    product: str
    amount: int
    currency: str
    state: str
    created_at: datetime
    expires_at: datetime


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    token: str
    buyer: int
    account: int
    provider: str
    product: str
    amount: int
    currency: str
    expires_at: datetime


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """`flag` says why an admin has to look at it; empty once it is settled. `payer`: as the provider names them."""

    id: int
    provider: str
    external_id: str
    account: int | None
    order: int | None
    product: str
    subscription: str
    payer: str
    lot: str
    amount: int
    currency: str
    refunded: int
    bounced: int
    taken_back: int
    corrections: int
    disputed: str
    test: bool
    flag: str
    arrived: bool
    paid_at: datetime


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one day, provider, product and currency: what came, and what of it went back."""

    day: str
    provider: str
    product: str
    currency: str
    payments: int
    amount: int
    refunded: int


def add_order(session: Session, new: NewOrder, now: datetime) -> int:
    found = session.scalar(
        insert(OrderRow)
        .values(
            token=new.token, buyer_id=new.buyer, account_id=new.account, provider=new.provider,
            product=new.product, amount=new.amount, currency=new.currency, state="open", created_at=now,
            expires_at=new.expires_at,
        )
        .returning(OrderRow.id)
    )  # fmt: skip
    assert found is not None
    return found


def order(session: Session, token: str) -> Order | None:
    row = session.scalar(select(OrderRow).where(OrderRow.token == token))
    return _order(row) if row else None


def buyer(session: Session, payment: int) -> int | None:
    """The account that ordered what was paid."""
    return session.scalar(
        select(OrderRow.buyer_id)
        .join(PaymentRow, PaymentRow.order_id == OrderRow.id)
        .where(PaymentRow.id == payment)
    )


def pay_order(session: Session, order: int) -> None:
    session.execute(update(OrderRow).where(OrderRow.id == order).values(state="paid"))


def hear(session: Session, provider: str, external_id: str, now: datetime) -> Payment:
    """The payment's row, made now if this is the first news of it. Locks it until the transaction ends."""
    session.execute(
        insert_for(session)(PaymentRow)
        .values(
            provider=provider,
            external_id=external_id,
            amount=0,
            refunded=0,
            bounced=0,
            taken_back=0,
            paid_at=now,
        )
        .on_conflict_do_nothing(index_elements=["provider", "external_id"])
    )
    row = session.scalars(
        select(PaymentRow)
        .where(PaymentRow.provider == provider, PaymentRow.external_id == external_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    return _payment(row)


def get(session: Session, payment: int) -> Payment | None:
    row = session.get(PaymentRow, payment, populate_existing=True)
    return _payment(row) if row else None


def find(session: Session, provider: str, external_id: str) -> Payment | None:
    row = session.scalar(
        select(PaymentRow).where(PaymentRow.provider == provider, PaymentRow.external_id == external_id)
    )
    return _payment(row) if row else None


def change(session: Session, payment: int, **values: Any) -> None:
    """Sets columns of `PaymentRow`."""
    session.execute(update(PaymentRow).where(PaymentRow.id == payment).values(**values))


def of_account(session: Session, account: int, *, limit: int = 20) -> list[Payment]:
    """Newest first."""
    rows = session.scalars(
        select(PaymentRow)
        .where(PaymentRow.account_id == account, PaymentRow.arrived)
        .order_by(PaymentRow.id.desc())
        .limit(limit)
    )
    return [_payment(row) for row in rows]


def of_subscription(session: Session, provider: str, subscription: str) -> list[Payment]:
    """Oldest first."""
    rows = session.scalars(
        select(PaymentRow)
        .where(PaymentRow.provider == provider, PaymentRow.subscription == subscription, PaymentRow.arrived)
        .order_by(PaymentRow.paid_at, PaymentRow.id)
    )
    return [_payment(row) for row in rows]


def paid_by(session: Session, buyer: int, provider: str) -> list[str]:
    """The subscriptions that somebody pays for, newest first: their own, a group's, gifts."""
    rows = session.scalars(
        select(PaymentRow.subscription)
        .join(OrderRow, OrderRow.id == PaymentRow.order_id)
        .where(OrderRow.buyer_id == buyer, PaymentRow.provider == provider, PaymentRow.subscription != "")
        .group_by(PaymentRow.subscription)
        .order_by(func.max(PaymentRow.id).desc())
    )
    return list(rows)


def of_order(session: Session, order: int) -> list[Payment]:
    """The payments that name it: one, unless it is a subscription or somebody paid twice."""
    rows = session.scalars(select(PaymentRow).where(PaymentRow.order_id == order, PaymentRow.arrived))
    return [_payment(row) for row in rows]


def flagged(session: Session, *, limit: int = 50) -> list[Payment]:
    """Those that an admin has to look at, oldest first."""
    rows = session.scalars(
        select(PaymentRow).where(PaymentRow.flag != "").order_by(PaymentRow.id).limit(limit)
    )
    return [_payment(row) for row in rows]


def since(session: Session, provider: str, start: datetime) -> list[Payment]:
    """All of a provider's from `start` on: what reconciliation compares."""
    rows = session.scalars(
        select(PaymentRow)
        .where(PaymentRow.provider == provider, PaymentRow.paid_at >= start)
        .order_by(PaymentRow.id)
    )
    return [_payment(row) for row in rows]


def revenue(session: Session, start: datetime) -> list[Sum]:
    """Real money from `start` on, newest day first; test payments and flagged ones are no revenue."""
    day = func.substr(cast(PaymentRow.paid_at, String), 1, 10)
    rows = session.execute(
        select(day, PaymentRow.provider, PaymentRow.product, PaymentRow.currency, func.count(),
               func.sum(PaymentRow.amount), func.sum(PaymentRow.refunded))
        .where(PaymentRow.paid_at >= start, ~PaymentRow.test, PaymentRow.arrived, PaymentRow.flag == "")
        .group_by(day, PaymentRow.provider, PaymentRow.product, PaymentRow.currency)
        .order_by(day.desc(), PaymentRow.provider, PaymentRow.product)
    )  # fmt: skip
    return [
        Sum(day=a, provider=b, product=c, currency=d, payments=int(e), amount=int(f), refunded=int(g))
        for a, b, c, d, e, f, g in rows
    ]


def packs_since(session: Session, start: datetime) -> dict[int, int]:
    """Credits of packs that each account bought from `start` on."""
    rows = session.execute(
        select(LotRow.account_id, func.sum(LotRow.granted))
        .where(LotRow.kind == "pack", LotRow.created_at >= start)
        .group_by(LotRow.account_id)
    )
    return {account: int(total) for account, total in rows}


def known(session: Session, provider: str, external_ids: Sequence[str]) -> dict[str, Payment]:
    rows = session.scalars(
        select(PaymentRow).where(
            PaymentRow.provider == provider, PaymentRow.external_id.in_(list(external_ids))
        )
    )
    return {row.external_id: _payment(row) for row in rows}


def _order(row: OrderRow) -> Order:
    return Order(
        id=row.id, token=row.token, buyer=row.buyer_id, account=row.account_id, provider=row.provider,
        product=row.product, amount=row.amount, currency=row.currency, state=row.state,
        created_at=row.created_at, expires_at=row.expires_at,
    )  # fmt: skip


def _payment(row: PaymentRow) -> Payment:
    return Payment(
        id=row.id, provider=row.provider, external_id=row.external_id, account=row.account_id,
        order=row.order_id, product=row.product, subscription=row.subscription, payer=row.payer,
        lot=row.lot, amount=row.amount, currency=row.currency, refunded=row.refunded, bounced=row.bounced,
        taken_back=row.taken_back, corrections=row.corrections, disputed=row.disputed, test=row.test, flag=row.flag,
        arrived=row.arrived, paid_at=row.paid_at,
    )  # fmt: skip

"""The rows of sales: what was offered, what was paid, what that entitles to, and what providers told us.

Amounts of money are integers in a currency's minor unit (cents; whole Stars for XTR). Card numbers, addresses
and names never come here: providers keep them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import AccountId, Amount, Id, Key, Row, Time, Word
from storage.types import BigInt


class OrderRow(Row):
    """One thing offered to one person at one price; it lapses unless it is paid."""

    __tablename__ = "orders"
    __table_args__ = (CheckConstraint("state IN ('open', 'paid')", name="state"),)

    id: Mapped[Id]
    token: Mapped[Word] = mapped_column(unique=True)  # what travels through the provider and back
    buyer_id: Mapped[AccountId] = mapped_column(index=True)
    account_id: Mapped[AccountId] = mapped_column(index=True)  # who gets it: the buyer, a friend, a group
    provider: Mapped[Word]
    product: Mapped[Key]
    amount: Mapped[Amount]
    currency: Mapped[Word]
    state: Mapped[Word] = mapped_column(default="open")
    created_at: Mapped[Time]
    expires_at: Mapped[Time]


class PaymentRow(Row):
    """Money that moved, once for each (provider, external id). What could not be matched has a `flag`."""

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("provider", "external_id"),
        Index("ix_payments_account", "account_id", "id"),
        Index(
            "ix_payments_flagged", "id", sqlite_where=text("flag <> ''"), postgresql_where=text("flag <> ''")
        ),
        Index("ix_payments_paid_at", "paid_at"),
    )

    id: Mapped[Id]
    provider: Mapped[Word]
    external_id: Mapped[Key]
    account_id: Mapped[int | None] = mapped_column(BigInt, ForeignKey("accounts.id"))
    order_id: Mapped[int | None] = mapped_column(BigInt, ForeignKey("orders.id"))
    product: Mapped[Key] = mapped_column(default="")
    subscription: Mapped[Key] = mapped_column(default="")
    payer: Mapped[Key] = mapped_column(default="", server_default="")  # as the provider names who paid
    lot: Mapped[Key] = mapped_column(default="")  # the key of the credits that it gave
    amount: Mapped[Amount]
    currency: Mapped[Word] = mapped_column(default="")
    refunded: Mapped[Amount]  # so far, in the payment's currency
    bounced: Mapped[Amount] = mapped_column(server_default="0")  # was sent back too, and did not arrive
    taken_back: Mapped[Amount]  # credits, for refunds
    corrections: Mapped[int] = mapped_column(default=0)  # how often credits were taken back
    disputed: Mapped[Word] = mapped_column(default="")  # "", "open", "won", "lost"
    test: Mapped[bool] = mapped_column(default=False)  # no revenue
    flag: Mapped[Word] = mapped_column(default="")  # why an admin has to look; "": settled
    arrived: Mapped[bool] = mapped_column(
        default=False
    )  # False: only its refund or dispute has been heard of
    paid_at: Mapped[Time]


class EntitlementRow(Row):
    """One source's right to a plan. Rows are never deleted; the plan in force is derived from all of them."""

    __tablename__ = "entitlements"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        Index("ix_entitlements_account", "account_id"),
    )

    id: Mapped[Id]
    source: Mapped[Word]  # a provider, "admin", "gift" or "promo"
    external_id: Mapped[Key]
    account_id: Mapped[AccountId]
    plan: Mapped[Word]
    since: Mapped[Time]  # start of the period that was last paid for
    until: Mapped[Time | None]  # its end; None: until it is ended
    renews: Mapped[bool] = mapped_column(default=False)
    ended_at: Mapped[Time | None]  # its provider ended it before its time
    revoked: Mapped[bool] = mapped_column(default=False)  # its money went back
    heard_at: Mapped[Time]  # of the newest news: older news is passed over
    test: Mapped[bool] = mapped_column(default=False)


class NewsRow(Row):
    """What a provider told us, verified, once for each of its event ids. Kept so that it can be applied again."""

    __tablename__ = "news"
    __table_args__ = (
        UniqueConstraint("provider", "external_id"),
        Index("ix_news_open", "id", sqlite_where=text("NOT applied"), postgresql_where=text("NOT applied")),
    )

    id: Mapped[Id]
    provider: Mapped[Word]
    external_id: Mapped[Key]
    kind: Mapped[Key]
    body: Mapped[bytes] = mapped_column(LargeBinary)  # opaque here
    applied: Mapped[bool] = mapped_column(default=False)
    error: Mapped[Key] = mapped_column(default="")
    received_at: Mapped[Time]


class ErrandRow(Row):
    """The outbox of what we ask of providers: refund, consume, cancel. Tried until it is done or hopeless."""

    __tablename__ = "errands"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'done', 'hopeless')", name="state"),
        Index(
            "ix_errands_due",
            "provider",
            "due_at",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
    )

    id: Mapped[Id]
    key: Mapped[Key] = mapped_column(unique=True)
    provider: Mapped[Word]
    kind: Mapped[Word]
    target: Mapped[Key]  # the payment's or subscription's id at the provider
    amount: Mapped[Amount]  # to refund, in minor units; 0: all
    person: Mapped[Key] = mapped_column(default="")  # the provider's id of the payer, where it asks for one
    state: Mapped[Word] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[Time]  # also the end of the runner's lease
    error: Mapped[Key] = mapped_column(default="")
    created_at: Mapped[Time]


class PromoRow(Row):
    """A code that gives credits or days of a plan, so many times in all and once a person."""

    __tablename__ = "promos"
    __table_args__ = (CheckConstraint("uses <= uses_max", name="uses"),)

    code: Mapped[Word] = mapped_column(primary_key=True)
    credits: Mapped[Amount]
    plan: Mapped[Word] = mapped_column(default="")
    days: Mapped[int] = mapped_column(default=30)  # how long the credits or the plan last
    uses: Mapped[int] = mapped_column(default=0)
    uses_max: Mapped[int]
    expires_at: Mapped[Time | None]
    created_by: Mapped[Key]


class NoticeRow(Row):
    """The outbox of words that no command asked for: thanks for a payment, a gift that came, a plan's end."""

    __tablename__ = "notices"
    __table_args__ = (
        Index(
            "ix_notices_due",
            "platform",
            "due_at",
            sqlite_where=text("NOT closed"),
            postgresql_where=text("NOT closed"),
        ),
    )

    id: Mapped[Id]
    key: Mapped[Key] = mapped_column(unique=True)
    account_id: Mapped[AccountId] = mapped_column(index=True)
    platform: Mapped[Word]
    person: Mapped[Key]
    locale: Mapped[Word]
    message: Mapped[Word]  # of the replies
    values: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    closed: Mapped[bool] = mapped_column(default=False)  # sent, or past sending
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[Time]
    created_at: Mapped[Time]

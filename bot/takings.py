"""What operators read of money in all doors, the page too: what came in, and what waits for their decision."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from bot.chat import Table
from bot.payments import products
from bot.payments.events import Money
from storage import errands, payments
from storage.database import Session
from storage.payments import Payment


def flagged(session: Session) -> Table:
    """Payments, news without effect, errands that fail."""
    rows = [
        *((f"payment #{each.id}", each.provider, each.product or "?", money(each), each.flag, day(each.paid_at))
          for each in payments.flagged(session)),
        *((f"news #{each.id}", each.provider, each.kind, "", each.error, day(each.received_at))
          for each in errands.unapplied(session)),
        *((f"errand #{each.id}", each.provider, each.kind, str(each.amount or ""), error, day(each.created_at))
          for each, error in errands.stuck(session)),
    ]  # fmt: skip
    columns = ("what", "provider", "product or kind", "amount", "why", "since")
    return Table(title="needs your eyes", columns=columns, rows=tuple(rows))


def revenue(session: Session, since: datetime) -> Table:
    """By day, provider and product, refunds taken off."""
    sums = payments.revenue(session, since)
    total: dict[str, int] = defaultdict(int)
    for each in sums:
        total[each.currency] += each.amount - each.refunded
    rows = [
        (each.day, each.provider, each.product, str(each.payments),
         products.shown(Money(each.amount - each.refunded, each.currency)))
        for each in sums
    ]  # fmt: skip
    rows += [
        ("in all", "", "", "", products.shown(Money(amount, currency))) for currency, amount in total.items()
    ]
    return Table(title="revenue", columns=("day", "provider", "product", "payments", "net"), rows=tuple(rows))


def money(payment: Payment) -> str:
    return products.shown(Money(payment.amount, payment.currency))


def day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "-"

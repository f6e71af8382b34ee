"""The last word before a charge: whether an order may be paid just now. For providers that ask.

Only what a person can mend is objected to; whatever is charged all the same is honoured by the till.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from bot.config import Config
from bot.payments import products
from bot.payments.events import Money
from storage import accounts, entitlements, payments
from storage.accounts import Identity
from storage.database import Session
from storage.payments import Order

RENEWAL = timedelta(days=1)
"""How long before its period's end a subscription may be paid again."""


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to be charged, to whom; `token` should be an order's."""

    provider: str
    token: str
    money: Money
    payer: Identity


def objection(session: Session, config: Config, bill: Bill, now: datetime) -> str:
    """The id of the message that says why not, and what to do; empty if it may be paid."""
    order = payments.order(session, bill.token)
    if order is None or order.provider != bill.provider:
        return "checkout-unknown"
    if order.product not in products.catalogue(config):
        return "checkout-gone"
    if bill.money != Money(order.amount, order.currency):
        return "checkout-price"
    return _of_people(session, order, bill.payer) or _of_time(session, order, now)


def _of_people(session: Session, order: Order, payer: Identity) -> str:
    buyer, receiver = accounts.get(session, order.buyer), accounts.get(session, order.account)
    if buyer is None or receiver is None:
        return "checkout-unknown"
    if accounts.find(session, payer) != buyer.id:
        return "checkout-others"
    if buyer.banned_reason is not None or receiver.banned_reason is not None:
        return "checkout-banned"
    return ""


def _of_time(session: Session, order: Order, now: datetime) -> str:
    if order.state == "open":
        return "checkout-expired" if order.expires_at <= now else ""
    right = entitlements.find(session, order.provider, order.token)
    is_due = right is not None and right.until is not None and right.until - now <= RENEWAL
    return "" if is_due else "checkout-paid"

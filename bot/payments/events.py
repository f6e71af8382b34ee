"""What payment providers tell us, in one vocabulary. Every event may come twice, late and out of order.

`at` is the provider's time of what happened. Amounts are integers in the currency's minor unit (XTR: whole Stars).
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from storage.accounts import Identity


class Money(msgspec.Struct, frozen=True):
    """`currency` in small letters."""

    amount: int
    currency: str


class Period(msgspec.Struct, frozen=True):
    """What one payment of a subscription pays for."""

    since: datetime
    until: datetime


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """`payment` and `subscription` are the provider's ids, unique and lasting."""

    provider: str
    at: datetime


class Paid(Event, frozen=True, kw_only=True):
    """Money came. It is for our `order`, or else for `product` and whoever `payer` is."""

    payment: str
    money: Money
    order: str = ""
    product: str = ""
    payer: Identity | None = None
    subscription: str = ""
    period: Period | None = None  # of a subscription; None: the money is for no month of it
    instead_of: str = ""  # the product that this one replaces from now on within a period that was paid for
    renews: bool = False
    test: bool = False
    listed: bool = False  # the provider names no amounts: `money` is our price, which proves nothing
    consume: bool = False  # the provider wants to hear that it was given (Discord's consumables)


class Refunded(Event, frozen=True, kw_only=True):
    """Of a payment, `total` was sent back so far (None: all of it), and `failed` of that could not be delivered.

    Both only ever grow, so that the newest news is the greatest.
    """

    payment: str
    total: int | None = None
    failed: int = 0


class Disputed(Event, frozen=True, kw_only=True):
    """The payer's bank takes the money back, for now or for good, or gives it back to us."""

    payment: str
    state: Literal["open", "won", "lost"]


class Subscribed(Event, frozen=True, kw_only=True):
    """How a subscription stands now: another plan, cancelled at the period's end, ended, renewed for nothing."""

    subscription: str
    product: str = ""  # empty: as before
    order: str = ""
    payer: Identity | None = None
    period: Period | None = None  # None: as before
    open_ended: bool = False  # the provider says when it ends only once it does
    renews: bool = False
    ended: bool = False
    test: bool = False


class Failed(Event, frozen=True, kw_only=True):
    """Money that was on its way did not come: of an order, or of the renewal of a subscription. Nothing changes but
    that somebody should know. `attempt` is the provider's id of it."""

    attempt: str
    order: str = ""
    subscription: str = ""


AnyEvent = Paid | Refunded | Disputed | Subscribed | Failed

"""Stripe's objects, as far as we read them. Times are Unix seconds, amounts minor units.

Shapes are those of the API version that the SDK pins; https://docs.stripe.com/api describes each.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")
OVER = frozenset({"canceled", "unpaid"})
"""The states of a subscription that gives no right any more."""
ORDER = "atelier_order"
"""The key of our metadata: an order's token. What lacks it is another business of the same Stripe account."""
ERRAND = "atelier_errand"
"""The key of a refund's metadata: the errand that asked for it."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a webhook: which object to look at, and when something happened to it."""

    type: str
    object: str
    created: int


class Named(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class Data(msgspec.Struct, frozen=True):
    object: Named


class Event(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: str
    created: int
    data: Data


class Listed(msgspec.Struct, Generic[T], frozen=True):
    data: list[T] = []


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created: int
    amount: int
    currency: str
    livemode: bool
    paid: bool = False
    payment_intent: str | None = None
    metadata: dict[str, str] = {}


class PaymentIntent(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    latest_charge: Charge | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Of Checkout. `payment_intent` is expanded, with its charge."""

    id: str
    mode: str
    payment_status: str = "unpaid"
    url: str | None = None
    client_reference_id: str | None = None
    payment_intent: PaymentIntent | None = None


class Span(msgspec.Struct, frozen=True):
    start: int
    end: int


class PriceDetails(msgspec.Struct, frozen=True):
    product: str = ""


class Pricing(msgspec.Struct, frozen=True):
    price_details: PriceDetails | None = None


class ItemDetails(msgspec.Struct, frozen=True):
    proration: bool = False


class LineParent(msgspec.Struct, frozen=True):
    """A line of a subscription's item; what was put onto the invoice by hand has `invoice_item_details` alone."""

    subscription_item_details: ItemDetails | None = None
    invoice_item_details: ItemDetails | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    amount: int
    period: Span
    pricing: Pricing | None = None
    parent: LineParent | None = None

    @property
    def product(self) -> str:
        details = self.pricing.price_details if self.pricing else None
        return details.product if details else ""

    @property
    def proration(self) -> bool:
        parent = self.parent or LineParent()
        return any(
            each.proration for each in (parent.subscription_item_details, parent.invoice_item_details) if each
        )

    @property
    def of_subscription(self) -> bool:
        return self.parent is not None and self.parent.subscription_item_details is not None


class PaidWith(msgspec.Struct, frozen=True):
    payment_intent: str | None = None
    charge: str | None = None


class InvoicePayment(msgspec.Struct, frozen=True):
    status: str
    payment: PaidWith


class Price(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    product: str


class Item(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    price: Price
    current_period_start: int
    current_period_end: int


class LatestInvoice(msgspec.Struct, frozen=True):
    status: str | None = None
    billing_reason: str | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """`latest_invoice` is expanded, unless the subscription itself is one that an invoice was expanded by."""

    id: str
    status: str
    livemode: bool
    customer: str
    cancel_at_period_end: bool = False
    cancel_at: int | None = None
    ended_at: int | None = None
    items: Listed[Item] = Listed()
    latest_invoice: LatestInvoice | str | None = None
    metadata: dict[str, str] = {}

    @property
    def renews(self) -> bool:
        return self.status not in OVER and not self.cancel_at_period_end and self.cancel_at is None


class SubscriptionDetails(msgspec.Struct, frozen=True):
    subscription: Subscription  # expanded
    metadata: dict[str, str] | None = None


class InvoiceParent(msgspec.Struct, frozen=True):
    subscription_details: SubscriptionDetails | None = None


class StatusTransitions(msgspec.Struct, frozen=True):
    paid_at: int | None = None


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """`payments` is expanded. `amount_paid` leaves out what a customer's credit balance covered."""

    id: str
    created: int
    currency: str
    livemode: bool
    status: str | None = None
    billing_reason: str | None = None
    amount_paid: int = 0
    lines: Listed[Line] = Listed()
    payments: Listed[InvoicePayment] | None = None
    parent: InvoiceParent | None = None
    status_transitions: StatusTransitions = StatusTransitions()


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created: int
    status: str
    charge: str
    payment_intent: str | None = None


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created: int
    amount: int
    status: str | None = None
    charge: str | None = None
    payment_intent: str | None = None
    metadata: dict[str, str] = {}

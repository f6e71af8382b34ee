"""Objects as they are now, and what they mean: for one that a webhook named, or for all that moved since a time.

All of it may raise ProviderAway and wire.Refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bot.payments.events import AnyEvent
from bot.payments.stripe import meaning
from bot.payments.stripe.meaning import at
from bot.payments.stripe.shapes import (
    Charge,
    Dispute,
    Event,
    Invoice,
    Note,
    Refund,
    Session,
    Subscription,
)
from bot.payments.stripe.wire import Wire

if TYPE_CHECKING:
    from stripe.params import RefundListParams

Days = Callable[[str], int]
"""How long a period of a plan lasts."""
PAGE = 100
DUNNING = timedelta(days=30)
"""An invoice may be paid so long after it was made: Stripe tries a card again for weeks."""
DISPUTES = timedelta(days=180)
"""A bank may take so long to decide."""
BOUNCES = timedelta(days=30)
"""A bank may take so long to refuse a refund: https://docs.stripe.com/refunds#failed-refunds."""
INVOICE = ["payments", "parent.subscription_details.subscription"]
"""What of an invoice has to be asked for."""


async def subscription(wire: Wire, named: str) -> Subscription:
    asked = wire.client.subscriptions.retrieve_async(named, {"expand": ["latest_invoice"]})
    return await wire.call(asked, Subscription)


async def noted(wire: Wire, note: Note, days: Days) -> list[AnyEvent]:
    """What the object of a webhook means by now."""
    client, when = wire.client, at(note.created)
    match note.type.split("."):
        case ["checkout", "session", *_]:
            session = client.checkout.sessions.retrieve_async(
                note.object, {"expand": ["payment_intent.latest_charge"]}
            )
            found = await wire.call(session, Session)
            failed = note.type.endswith("failed")
            return meaning.of_failed_session(found, when) if failed else meaning.of_session(found)
        case ["invoice", what]:
            invoice = await wire.call(
                client.invoices.retrieve_async(note.object, {"expand": INVOICE}), Invoice
            )
            failed = what == "payment_failed"
            return meaning.of_failed_invoice(invoice, when) if failed else meaning.of_invoice(invoice, days)
        case ["customer", "subscription", *_]:
            return meaning.of_subscription(await subscription(wire, note.object), when)
        case ["charge", "dispute", *_]:
            dispute = client.disputes.retrieve_async(note.object)
            return meaning.of_dispute(await wire.call(dispute, Dispute), when)
        case ["charge", "refund", *_] | ["refund", *_]:
            refund = await wire.call(client.refunds.retrieve_async(note.object), Refund)
            return await refunded(wire, refund.payment_intent or refund.charge or "", when)
        case _:
            charge = await wire.call(client.charges.retrieve_async(note.object), Charge)
            return await refunded(wire, meaning.payment_of(charge), when)


async def refunded(wire: Wire, payment: str, when: datetime) -> list[AnyEvent]:
    """What has gone back of a payment by now: of all its refunds, since a charge alone hides those that failed."""
    found = [each async for each in refunds_of(wire, payment)]
    return meaning.of_refunds(payment, found, when)


def refunds_of(wire: Wire, payment: str) -> AsyncIterator[Refund]:
    params: RefundListParams = {"limit": PAGE}
    params["charge" if payment.startswith("ch_") else "payment_intent"] = payment
    return wire.every(wire.client.refunds.list_async(params), Refund)


async def moved(wire: Wire, since: datetime, now: datetime, days: Days) -> AsyncIterator[list[AnyEvent]]:
    """Money that came, then what went back, then how subscriptions stand."""
    async for events in _came(wire, since, days):
        yield events
    async for events in _went_back(wire, since, now):
        yield events
    live = wire.client.subscriptions.list_async({"limit": PAGE, "expand": ["data.latest_invoice"]})
    async for each in wire.every(live, Subscription):
        yield meaning.of_subscription(each, now)
    over = wire.client.events.list_async(
        {"created": {"gte": _seconds(since)}, "type": "customer.subscription.deleted", "limit": PAGE}
    )
    async for event in wire.every(over, Event):
        yield meaning.of_subscription(await subscription(wire, event.data.object.id), at(event.created))


async def _came(wire: Wire, since: datetime, days: Days) -> AsyncIterator[list[AnyEvent]]:
    charges = wire.client.charges.list_async({"created": {"gte": _seconds(since)}, "limit": PAGE})
    async for charge in wire.every(charges, Charge):
        yield meaning.of_charge(charge)
    invoices = wire.client.invoices.list_async({
        "created": {"gte": _seconds(since - DUNNING)}, "status": "paid", "limit": PAGE,
        "expand": [f"data.{each}" for each in INVOICE],
    })  # fmt: skip
    async for invoice in wire.every(invoices, Invoice):
        yield meaning.of_invoice(invoice, days)


async def _went_back(wire: Wire, since: datetime, now: datetime) -> AsyncIterator[list[AnyEvent]]:
    refunds = wire.client.refunds.list_async({"created": {"gte": _seconds(since - BOUNCES)}, "limit": PAGE})
    moved = [each async for each in wire.every(refunds, Refund)]
    for payment in dict.fromkeys(each.payment_intent or each.charge or "" for each in moved):
        yield await refunded(wire, payment, now)
    disputes = wire.client.disputes.list_async(
        {"created": {"gte": _seconds(since - DISPUTES)}, "limit": PAGE}
    )
    async for dispute in wire.every(disputes, Dispute):
        yield meaning.of_dispute(dispute, at(dispute.created))


def _seconds(since: datetime) -> int:
    return int(since.timestamp())

"""What Stripe's objects mean, as events. Pure: the same object gives the same events, whichever webhook named it.

A payment is named by its payment intent, which charges, refunds, disputes and invoices all know; one that cost
nothing (a credit balance covered it) by its invoice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from bot.payments.events import AnyEvent, Disputed, Failed, Money, Paid, Period, Refunded, Subscribed
from bot.payments.stripe.shapes import (
    ORDER,
    OVER,
    Charge,
    Dispute,
    Invoice,
    LatestInvoice,
    Line,
    Refund,
    Session,
    Subscription,
)

STRIPE = "stripe"
STATES: dict[str, Literal["open", "won", "lost"]] = {
    "needs_response": "open", "under_review": "open", "appeal_needs_response": "open",
    "appeal_under_review": "open", "won": "won", "lost": "lost",
}  # fmt: skip
"""Of disputes. The `warning_` ones move no money, and a prevented one is refunded."""
UNDONE = frozenset({"failed", "canceled"})
"""Of refunds: the money is ours again, sometimes weeks later. https://docs.stripe.com/refunds#failed-refunds"""
NOT_YET = frozenset({"incomplete", "incomplete_expired"})


def product_id(product: str) -> str:
    """`plan:basic` as Stripe keeps it: ids there are words."""
    return f"atelier_{product.replace(':', '_', 1)}"


def product_of(named: str) -> str:
    """What we call a product of Stripe's; another's keeps its name and is known to nobody here."""
    ours, _, rest = named.partition("_")
    return rest.replace("_", ":", 1) if ours == "atelier" else named


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def of_session(session: Session) -> list[AnyEvent]:
    """A pack's money, once it is there; a plan's comes with its invoice."""
    intent = session.payment_intent
    if (
        session.mode != "payment"
        or session.payment_status != "paid"
        or not intent
        or not intent.latest_charge
    ):
        return []
    return of_charge(intent.latest_charge, order=session.client_reference_id or "")


def of_failed_session(session: Session, when: datetime) -> list[AnyEvent]:
    """A delayed payment, such as a bank debit, that did not come."""
    order = session.client_reference_id or ""
    if session.payment_status != "unpaid" or not order:
        return []
    return [Failed(provider=STRIPE, at=when, attempt=session.id, order=order)]


def of_failed_invoice(invoice: Invoice, when: datetime) -> list[AnyEvent]:
    """A renewal that could not be charged, unless it was meanwhile. A first payment fails before the payer's eyes."""
    details = invoice.parent.subscription_details if invoice.parent else None
    if invoice.status != "open" or invoice.billing_reason != "subscription_cycle" or details is None:
        return []
    if not (details.metadata or {}).get(ORDER):
        return []
    return [Failed(provider=STRIPE, at=when, attempt=invoice.id, subscription=details.subscription.id)]


def of_charge(charge: Charge, *, order: str = "") -> list[AnyEvent]:
    """A pack's money. A plan's charge names no order: its invoice does."""
    order = order or charge.metadata.get(ORDER, "")
    if not order or not charge.paid:
        return []
    return [
        Paid(
            provider=STRIPE, at=at(charge.created), payment=payment_of(charge), order=order,
            money=Money(charge.amount, charge.currency), test=not charge.livemode,
        )
    ]  # fmt: skip


def of_refunds(payment: str, refunds: Sequence[Refund], when: datetime) -> list[AnyEvent]:
    """All refunds of one payment, as they stand."""
    total = sum(each.amount for each in refunds)
    failed = sum(each.amount for each in refunds if each.status in UNDONE)
    if not total:
        return []
    return [Refunded(provider=STRIPE, at=when, payment=payment, total=total, failed=failed)]


def of_dispute(dispute: Dispute, when: datetime) -> list[AnyEvent]:
    state = STATES.get(dispute.status)
    if state is None:
        return []
    return [Disputed(provider=STRIPE, at=when, payment=dispute.payment_intent or dispute.charge, state=state)]


def of_invoice(invoice: Invoice, days_of: Callable[[str], int]) -> list[AnyEvent]:
    """A plan's money. `days_of` says how long a period of a plan lasts."""
    details = invoice.parent.subscription_details if invoice.parent else None
    order = (details.metadata or {}).get(ORDER, "") if details else ""
    if invoice.status != "paid" or details is None or not order:
        return []
    before, line, period = _bought(invoice, days_of)
    return [
        Paid(
            provider=STRIPE, at=at(invoice.status_transitions.paid_at or invoice.created),
            payment=_payment_of(invoice), money=Money(invoice.amount_paid, invoice.currency), order=order,
            product=product_of(line.product) if line else "", subscription=details.subscription.id,
            period=period, instead_of=product_of(before), renews=details.subscription.renews, test=not invoice.livemode,
        )
    ]  # fmt: skip


def of_subscription(subscription: Subscription, when: datetime) -> list[AnyEvent]:
    """How a subscription stands. It moves into its next period before that is paid for: then its period is untold."""
    order, latest = subscription.metadata.get(ORDER, ""), subscription.latest_invoice
    latest = latest if isinstance(latest, LatestInvoice) else LatestInvoice()
    paid = latest.status == "paid"
    never_paid = not paid and latest.billing_reason == "subscription_create"
    if not order or not subscription.items.data or subscription.status in NOT_YET or never_paid:
        return []
    item = subscription.items.data[0]
    period = Period(at(item.current_period_start), at(item.current_period_end))
    return [
        Subscribed(
            provider=STRIPE, at=when, subscription=subscription.id, product=product_of(item.price.product),
            order=order, period=period if paid else None, renews=subscription.renews,
            ended=subscription.status in OVER, test=not subscription.livemode,
        )
    ]  # fmt: skip


def _bought(invoice: Invoice, days_of: Callable[[str], int]) -> tuple[str, Line | None, Period | None]:
    """The product before, the line that was paid for now, and its period; no line: the money is for no month."""
    lines = [line for line in invoice.lines.data if line.of_subscription]
    if invoice.billing_reason in ("subscription_create", "subscription_cycle"):
        line = next((line for line in lines if not line.proration), None)
        return "", line, Period(at(line.period.start), at(line.period.end)) if line else None
    back = next((line for line in lines if line.amount < 0), None)
    line = next((line for line in lines if line.amount > 0), None)
    if (
        invoice.billing_reason != "subscription_update"
        or not back
        or not line
        or back.product == line.product
    ):
        return "", None, None
    end = at(line.period.end)
    days = timedelta(days=days_of(product_of(line.product)))
    since = end - days if line.proration else at(line.period.start)
    return back.product, line, Period(since, end)


def _payment_of(invoice: Invoice) -> str:
    for each in invoice.payments.data if invoice.payments else []:
        if each.status == "paid" and (named := each.payment.payment_intent or each.payment.charge):
            return named
    return invoice.id


def payment_of(charge: Charge) -> str:
    return charge.payment_intent or charge.id

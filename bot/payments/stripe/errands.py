"""What is done at Stripe on our behalf, once however often it is asked: refunds, and whether a subscription goes on."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from bot.payments.events import AnyEvent, Refunded
from bot.payments.provider import ErrandHopeless
from bot.payments.stripe import meaning, reading
from bot.payments.stripe.meaning import STRIPE
from bot.payments.stripe.shapes import ERRAND, Refund, Subscription
from bot.payments.stripe.wire import Refused, Wire
from storage.errands import Errand

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams


async def run(wire: Wire, errand: Errand, now: datetime) -> list[AnyEvent]:
    """What is true after it. Raises ErrandHopeless and ProviderAway."""
    try:
        match errand.kind:
            case "refund":
                return await _refund(wire, errand, now)
            case "cancel" | "resume":
                return await _go_on(wire, errand, now)
            case _:
                raise ErrandHopeless(f"Stripe knows no such errand as {errand.kind}.")
    except Refused as refused:
        raise ErrandHopeless(str(refused)) from None


async def _go_on(wire: Wire, errand: Errand, now: datetime) -> list[AnyEvent]:
    """A cancelled subscription lasts to the end of what was paid for."""
    changed = wire.client.subscriptions.update_async(
        errand.target, {"cancel_at_period_end": errand.kind == "cancel", "expand": ["latest_invoice"]}
    )
    return meaning.of_subscription(await wire.call(changed, Subscription), now)


async def _refund(wire: Wire, errand: Errand, now: datetime) -> list[AnyEvent]:
    """Idempotency keys last a day: a later attempt looks first whether an earlier one arrived."""
    if errand.target.startswith("in_"):  # nothing was paid for it, so nothing can be sent back
        return [Refunded(provider=STRIPE, at=now, payment=errand.target)]
    if errand.attempts == 1 or not await _is_sent(wire, errand):
        await _send(wire, errand)
    return await reading.refunded(wire, errand.target, now)


async def _is_sent(wire: Wire, errand: Errand) -> bool:
    sent = [each.metadata.get(ERRAND) async for each in reading.refunds_of(wire, errand.target)]
    return errand.key in sent


async def _send(wire: Wire, errand: Errand) -> None:
    params: RefundCreateParams = {"metadata": {ERRAND: errand.key}}
    params["charge" if errand.target.startswith("ch_") else "payment_intent"] = errand.target
    if errand.amount:
        params["amount"] = errand.amount
    try:
        await wire.call(wire.client.refunds.create_async(params, {"idempotency_key": errand.key}), Refund)
    except Refused as refused:
        if refused.code != "charge_already_refunded":
            raise

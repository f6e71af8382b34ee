"""`receipts`: what I paid, for what, and what became of it."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.payments import products
from bot.payments.events import Money
from storage import payments
from storage.payments import Payment

NAME = "receipts"
SHOWN_MAX = 20


async def run(context: Context, asking: Asking) -> Reply:
    paid = await context.database.read(payments.of_account, asking.account, limit=SHOWN_MAX)
    if not paid:
        return Reply(text=asking.say("receipts-none"), only_for_requester=True)
    lines = [asking.say("receipts-some"), *(_line(context, asking, each) for each in paid)]
    return Reply(text="\n".join(lines), only_for_requester=True)


def _line(context: Context, asking: Asking, payment: Payment) -> str:
    product = products.known(context.config, payment.product)
    facts = {
        "number": payment.id, "day": f"{payment.paid_at:%Y-%m-%d}",
        "product": product.title if product else payment.product or "?",
        "price": products.shown(Money(payment.amount, payment.currency)),
    }  # fmt: skip
    match _state(payment):
        case "checked":
            return asking.say("receipt-checked", **facts)
        case "disputed":
            return asking.say("receipt-disputed", **facts)
        case "refunded":
            back = Money(min(payment.refunded, payment.amount), payment.currency)
            return asking.say("receipt-refunded", **facts, back=products.shown(back))
        case _:
            return asking.say("receipt-paid", **facts)


def _state(payment: Payment) -> str:
    if payment.flag:
        return "checked"
    if payment.disputed in ("open", "lost"):
        return "disputed"
    return "refunded" if payment.refunded else "paid"

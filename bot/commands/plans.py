"""`plans`: what can be bought here, side by side, and a button for each."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands import making, selling
from bot.commands.context import Asking, Context
from bot.jobs import wallets
from bot.payments.products import Product, shown
from bot.payments.shop import Way

NAME = "plans"


async def run(context: Context, asking: Asking) -> Reply:
    """Prices first: nothing is ordered before a button is pressed."""
    account = await making.account_of(context, asking)
    name, plan = wallets.plan_of(context.config, account)
    lines = [asking.say("plans-yours", plan=plan.title or name)]
    if account.plan_until is not None:
        lines = [
            asking.say("plans-yours-until", plan=plan.title or name, until=f"{account.plan_until:%Y-%m-%d}")
        ]
    offered = selling.ways(context, asking.invocation)
    if not offered:
        return Reply(text="\n".join([*lines, asking.say("plans-none")]), only_for_requester=True)
    for product in {way.product.id: way.product for way in offered}.values():
        lines.append(_line(context, asking, product, [way for way in offered if way.product == product]))
    buttons = selling.buttons(context, offered, wallet=await selling.wallet(context, asking.invocation))
    return Reply(text="\n".join(lines), buttons=buttons, only_for_requester=True)


def _line(context: Context, asking: Asking, product: Product, ways: list[Way]) -> str:
    prices = " / ".join(dict.fromkeys(shown(way.money) for way in ways))
    if product.kind == "pack":
        return asking.say(
            "plans-pack", title=product.title, price=prices, credits=product.credits, days=product.days
        )
    plan = context.config.plans[product.name]
    message = "plans-for-group" if product.for_place else "plans-plan"
    return asking.say(
        message, title=product.title, price=prices, credits=product.credits, days=product.days,
        running=plan.running, waiting=plan.waiting, member=plan.member_day,
        group=selling.called(asking, asking.invocation.group),
    )  # fmt: skip

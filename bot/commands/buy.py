"""`buy NAME`: an order for a plan or a pack at the price that is shown, and how to pay it."""

from __future__ import annotations

from difflib import get_close_matches

from bot.chat import Reply
from bot.commands import plans, selling
from bot.commands.context import Asking, Context
from bot.jobs.refusals import Refusal
from bot.payments.shop import Way

NAME = "buy"


async def run(context: Context, asking: Asking) -> Reply:
    """Without a name, `plans`. Raises Refusal."""
    wanted = asking.invocation.text.strip().lower()
    if not wanted:
        return await plans.run(context, asking)
    found = named(selling.ways(context, asking.invocation), wanted)
    if len(found) == 1:
        return await selling.sell(context, asking, found[0])
    buttons = selling.buttons(context, found, wallet=await selling.wallet(context, asking.invocation))
    text = asking.say("buy-which-way", product=found[0].product.title)
    return Reply(text=text, buttons=buttons, only_for_requester=True)


def named(ways: list[Way], wanted: str) -> list[Way]:
    """The ways to buy one product. Raises Refusal, with the nearest name."""
    if not ways:
        raise Refusal("plans-none")
    names = {way.product.name: way.product for way in ways}
    if wanted not in names:
        near = get_close_matches(wanted, list(names), n=1, cutoff=0.5)
        message = "buy-unknown-near" if near else "buy-unknown"
        raise Refusal(message, name=wanted[:40], near="".join(near), all=", ".join(names))
    return [way for way in ways if way.product == names[wanted]]

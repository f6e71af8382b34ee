"""`manage`: the subscriptions that I pay for or have, and where each is cancelled, resumed or changed."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands import selling
from bot.commands.context import Asking, Context
from bot.payments.shop import Running

NAME = "manage"


async def run(context: Context, asking: Asking) -> Reply:
    """The pages show a payer's invoices: the answer is for the one who asks alone. Raises Refusal."""
    running = await context.shop.subscriptions(asking.account, asking.invocation.address.platform)
    if not running:
        return Reply(text=asking.say("manage-none"), only_for_requester=True)
    lines = [_line(context, asking, each) for each in running]
    expires = int(context.clock().timestamp()) + selling.OFFER_SECONDS
    buttons = tuple(
        context.buttons.buy(
            0, asking.say("manage-open", plan=_title(context, each)), expires=expires, url=each.url
        )
        for each in running
        if each.url
    )
    return Reply(text="\n".join(lines), buttons=buttons, only_for_requester=True)


def _line(context: Context, asking: Asking, each: Running) -> str:
    right = each.right
    stands = "renews" if right.renews else "ends" if right.until else "runs"
    text = asking.say(
        f"manage-{stands}", plan=_title(context, each), day=f"{right.until:%Y-%m-%d}" if right.until else ""
    )
    return text if each.url else f"{text} {asking.say(f'manage-{right.source}')}"


def _title(context: Context, each: Running) -> str:
    plan = context.config.plans.get(each.right.plan)
    return (plan.title if plan else "") or each.right.plan

"""`paysupport`: whom to ask about a payment."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands.context import Asking, Context

NAME = "paysupport"


async def run(context: Context, asking: Asking) -> Reply:
    config = context.config
    support = config.payments.support or asking.say("paysupport-operator", name=config.atelier.name)
    lines = [asking.say("paysupport", support=support)]
    if config.payments.terms_url:
        lines.append(asking.say("paysupport-terms", url=config.payments.terms_url))
    return Reply(text="\n".join(lines), only_for_requester=True)

"""`terms`: the rules of what is sold."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands.context import Asking, Context

NAME = "terms"


async def run(context: Context, asking: Asking) -> Reply:
    lines = [asking.say("terms", name=context.config.atelier.name)]
    if url := context.config.payments.terms_url:
        lines.append(asking.say("paysupport-terms", url=url))
    return Reply(text="\n".join(lines), only_for_requester=True)

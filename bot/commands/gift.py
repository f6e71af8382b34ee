"""`gift @person NAME`: a plan or a pack for somebody else; they hear of it when it is paid."""

from __future__ import annotations

import re

from bot.chat import Reply
from bot.commands import buy, selling
from bot.commands.context import Asking, Context
from bot.jobs.refusals import Refusal
from storage import accounts
from storage.accounts import Identity
from storage.database import Session

NAME = "gift"
_MENTION = re.compile(r"<@!?(\d{5,25})>|([a-z]+):(\S{1,100})")


async def run(context: Context, asking: Asking) -> Reply:
    """Raises Refusal for somebody or something that is not known here."""
    words = asking.invocation.text.split()
    found = _MENTION.fullmatch(words[0]) if words else None
    if found is None:
        raise Refusal("gift-usage")
    platform = found[2] or asking.invocation.person.platform
    receiver = await context.database.read(
        _known, Identity(platform=platform, external_id=found[1] or found[3])
    )
    if receiver is None:
        raise Refusal("gift-unknown")
    offered = selling.ways(context, asking.invocation, as_gift=True)
    if len(words) == 1 and offered:
        return Reply(text=asking.say("gift-what", names=_names(offered)), only_for_requester=True)
    ways = buy.named(offered, " ".join(words[1:]).lower())
    return await selling.sell(context, asking, ways[0], receiver=receiver)


def _known(session: Session, who: Identity) -> int | None:
    """Only somebody who has been here: they should know what they are given."""
    return accounts.find(session, who)


def _names(offered: list[selling.Way]) -> str:
    return ", ".join(dict.fromkeys(way.product.name for way in offered))

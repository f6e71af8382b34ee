"""`refer`: my code for friends, and what it brings both of us."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.jobs.refusals import Refusal
from bot.payments import referrals

NAME = "refer"


async def run(context: Context, asking: Asking) -> Reply:
    """Raises Refusal where there is no such programme."""
    config = context.config.referral
    if not config.credits:
        raise Refusal("refer-none")
    code = referrals.code(context.signer, asking.account)
    text = asking.say("refer", code=code, credits=config.credits, days=config.newcomer_days)
    return Reply(text=text, only_for_requester=True)

"""`claim CODE`: the code from the operator's console makes its sender an owner, once."""

from __future__ import annotations

from datetime import timedelta

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.jobs.refusals import Refusal
from bot.operations import CLAIM, CLAIM_SECONDS
from storage import accounts, records
from storage.accounts import Identity

NAME = "claim"


async def run(context: Context, asking: Asking) -> Reply:
    """Raises Refusal for a code that is wrong, old or used."""
    code, now = asking.invocation.text.strip(), context.clock()
    if context.signer.verify(CLAIM, code, now=int(now.timestamp())) is None:
        raise Refusal("claim-refused")
    person = asking.invocation.person
    identity = Identity(platform=person.platform, external_id=person.id)
    used = f"{CLAIM}:{context.signer.digest(CLAIM, code)}"
    until = now + timedelta(seconds=2 * CLAIM_SECONDS)  # longer than the code lives by any clock
    if not await context.database.run(records.first_time, used, expires_at=until):
        raise Refusal("claim-refused")
    await context.database.run(accounts.set_role, identity, "owner")
    return Reply(text=asking.say("claim-done"), only_for_requester=True)

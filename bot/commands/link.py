"""`link`: one person, one wallet. A code from one chat, typed in another, makes one account of the two."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.jobs import entitlement
from bot.jobs.refusals import Refusal
from storage import accounts, ledger, records
from storage.accounts import Account
from storage.database import Session

NAME = "link"
PURPOSE = "link"
SECONDS = 600


async def run(context: Context, asking: Asking) -> Reply:
    """Without a code: one of mine, once, for ten minutes. Raises Refusal for a code that is wrong, old or used."""
    code, now = asking.invocation.text.strip(), context.clock()
    if not code:
        payload = f"{asking.account}-{secrets.token_hex(4)}"
        made = context.signer.sign(PURPOSE, payload, expires=int(now.timestamp()) + SECONDS)
        return Reply(text=asking.say("link-code", code=made, minutes=SECONDS // 60), only_for_requester=True)
    payload = context.signer.verify(PURPOSE, code, now=int(now.timestamp()))
    if payload is None:
        raise Refusal("link-refused")
    other = int(payload.partition("-")[0])
    used = f"{PURPOSE}:{context.signer.digest(PURPOSE, code)}"
    left = await context.database.run(_join, context, asking.account, other, used, now)
    return Reply(text=asking.say("link-done", credits=left), only_for_requester=True, left=left)


def _join(session: Session, context: Context, mine: int, other: int, used: str, now: datetime) -> int:
    """What can be spent once the two are one. A code that joined them before is answered again: its message may
    come twice."""
    until = now + timedelta(seconds=2 * SECONDS)  # longer than the code lives by any clock
    is_new = records.first_time(session, used, expires_at=until)
    both = [each for each in accounts.lock_all(session, (mine, other)).values() if each is not None]
    are_one = len({each.id for each in both}) < 2
    if is_new == are_one:
        raise Refusal("link-same" if is_new else "link-refused")
    joined = _merge(session, context, both, now) if is_new else both[0]
    return sum(lot.remaining for lot in ledger.lots(session, joined.id, now))


def _merge(session: Session, context: Context, both: list[Account], now: datetime) -> Account:
    """The younger account goes into the older one."""
    old, young = sorted(both, key=lambda each: (each.created_at, each.id))
    scope = f"links:{old.id}:{now:%Y-%m}"
    if not records.spend(session, scope, 1, limit_us=context.config.abuse.links_month):
        raise Refusal("link-too-often", limit=context.config.abuse.links_month)
    merged = accounts.merge(session, young.id, old.id, now)
    return entitlement.derive(session, context.config, merged.id, now)

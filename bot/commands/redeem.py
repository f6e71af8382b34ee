"""`redeem CODE`: a promo code, once a person, or the code of whoever invited me."""

from __future__ import annotations

from datetime import timedelta

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.jobs import entitlement
from bot.jobs.refusals import Refusal
from bot.payments import referrals
from storage import accounts, ledger, promos, rates
from storage.database import Session
from storage.entitlements import News
from storage.promos import Promo

NAME = "redeem"
TRIES_AN_HOUR = 10
CODE_CHARACTERS_MAX = 64


async def run(context: Context, asking: Asking) -> Reply:
    """Raises Refusal for a code that is unknown, used up, over, or was used by the same person before."""
    code = asking.invocation.text.strip()[:CODE_CHARACTERS_MAX]
    if not code:
        raise Refusal("redeem-usage")
    await context.database.run(_count_try, context, asking)
    inviter = referrals.read(context.signer, code)
    if inviter is not None:
        await context.database.run(referrals.accept, context.config, asking.account, inviter, context.clock())
        return Reply(text=asking.say("redeem-invited"), only_for_requester=True)
    promo = await context.database.run(_redeem, context, asking.account, code.upper())
    message = "redeem-plan" if promo.plan else "redeem-credits"
    plan = context.config.plans[promo.plan].title if promo.plan else ""
    text = asking.say(message, credits=promo.credits, plan=plan or promo.plan, days=promo.days)
    return Reply(text=text, only_for_requester=True)


def _count_try(session: Session, context: Context, asking: Asking) -> None:
    """Codes are not to be guessed."""
    pace = rates.Pace(per=TRIES_AN_HOUR, period_seconds=3600, burst=TRIES_AN_HOUR)
    wait = rates.allow(session, f"redeem:{asking.account}", context.clock(), pace)
    if wait:
        raise Refusal("redeem-too-often", minutes=max(1, round(wait / 60)))


def _redeem(session: Session, context: Context, account: int, code: str) -> Promo:
    now = context.clock()
    locked = accounts.lock(session, account)
    promo = promos.find(session, code)
    if locked is None or promo is None:
        raise Refusal("redeem-unknown")
    used = [f"promo:{code}:{each}" for each in accounts.all_ids(session, locked.id)]
    if any(ledger.was_granted(session, key) for key in used):
        raise Refusal("redeem-again")
    if not promos.use(session, code, now):
        raise Refusal("redeem-over")
    _give(session, context, locked.id, promo, used[0])
    return promo


def _give(session: Session, context: Context, account: int, promo: Promo, key: str) -> None:
    now = context.clock()
    until = now + timedelta(days=promo.days)
    if promo.plan not in context.config.plans and promo.plan:
        raise Refusal("redeem-over")
    if promo.plan:
        news = News(source="promo", external_id=key, plan=promo.plan, since=now, until=until, at=now)
        entitlement.give(session, context.config, account, news, now, key=key)
        return
    lot = ledger.Grant(key=key, kind="promo", amount=promo.credits, expires_at=until, reason=promo.code)
    ledger.grant(session, account, [lot], now)

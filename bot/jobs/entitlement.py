"""What a person may do now: the plan in force, derived in this one place from all rights to plans.

The account's row keeps the answer, so that a job costs no more reads; it is derived anew at each news of a right
and when the answer's time is over. Knows no provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bot.config import Config, Plan
from bot.jobs import allowances
from storage import accounts, entitlements, flows, ledger
from storage.accounts import Account, InForce
from storage.database import Session
from storage.entitlements import Entitlement, News

FREE = "free"
GIVEN = frozenset({"admin", "gift", "promo"})  # sources of rights that nobody paid for


def in_force(
    rights: Sequence[Entitlement], plans: Mapping[str, Plan], now: datetime, *, grace_seconds: int
) -> InForce:
    """The right to the plan of the greatest weight, else `free`. Pure."""
    live = [(each, end) for each in rights if (end := _live(each, plans, now, grace_seconds)) is not None]
    changes = [end for _, end in live if end < _NEVER]
    changes += [each.since for each in rights if each.ended_at is None and each.since > now]
    derive_at = min(changes, default=None)
    if not live:
        return InForce(plan=FREE, derive_at=derive_at)
    best, _ = max(live, key=lambda pair: (plans[pair[0].plan].weight, pair[1], pair[0].id))
    return InForce(
        plan=best.plan, since=best.since, until=_paid_until(best), derive_at=derive_at, entitlement=best.id
    )


def derive(session: Session, config: Config, account: int, now: datetime) -> Account:
    """Puts the plan in force into the account's row and returns the account. Callers lock the account."""
    rights = entitlements.of_account(session, account)
    found = in_force(rights, config.plans, now, grace_seconds=config.payments.grace)
    before = accounts.get(session, account)
    accounts.set_plan(session, account, found)
    derived = accounts.get(session, account)
    assert before is not None
    assert derived is not None
    if before.plan != derived.plan and before.plan in config.plans:  # what waits goes on as the new plan's
        cap = config.plans[derived.plan].running
        flows.change_tier(session, account, before.plan, derived.plan, cap=cap)
    return derived


def give(session: Session, config: Config, account: int, news: News, now: datetime, *, key: str) -> Account:
    """A right that nobody paid for: an admin's word, a gift, a promo code. Its first month's credits come with it,
    or their share if it is shorter, in a lot named `key`. Callers lock the account."""
    entitlements.hear(session, account, news)
    plan = config.plans[news.plan]
    month = news.since + allowances.MONTH
    end = min(month, news.until) if news.until else month
    if not news.ended:
        amount = allowances.credits_of(plan, end - news.since)
        lot = ledger.Grant(key=key, kind="monthly", amount=amount, expires_at=allowances.lapse(plan, end))
        ledger.grant(session, account, [lot], now)
    return derive(session, config, account, now)


def derive_due(session: Session, config: Config, now: datetime) -> int:
    """Accounts whose answer's time is over; returns how many."""
    due = accounts.plans_over(session, now)
    for account in due:
        accounts.lock(session, account)
        derive(session, config, account, now)
    return len(due)


def _live(each: Entitlement, plans: Mapping[str, Plan], now: datetime, grace_seconds: int) -> datetime | None:
    """When the right ends, if it holds now."""
    if each.plan not in plans or each.revoked or each.since > now:
        return None
    if each.ended_at is not None and each.ended_at <= now:
        return None
    if each.until is None:
        return _NEVER
    end = each.until + timedelta(seconds=grace_seconds if each.renews else 0)
    return end if end > now else None


def _paid_until(each: Entitlement) -> datetime | None:
    """The end of its present period. What a provider leaves open is paid for month by month."""
    return each.since + allowances.MONTH if each.until is None and each.source not in GIVEN else each.until


_NEVER = datetime.max.replace(tzinfo=allowances.UTC)

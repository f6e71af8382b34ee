"""The credits that a plan gives by itself: each day (UTC), and each month of a period longer than one. Pure.

The first month of a period is given with the news that opened it (`bot.payments.till`): what was paid for does not
wait until somebody asks.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from bot.config import Abuse, Plan
from storage.accounts import Account
from storage.ledger import Grant

MONTH, SECOND = timedelta(days=30), timedelta(seconds=1)


def due(account: Account, plan: Plan, abuse: Abuse, *, now: datetime) -> list[Grant]:
    """All grants of the present day and month; the ledger passes over those that it has given."""
    found = (_daily(account, plan, abuse, now), _monthly(account, plan, now))
    return [grant for grant in found if grant is not None]


def next_day(now: datetime) -> datetime:
    """When the daily allowance comes again: midnight UTC."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time.min, UTC)


def next_month(now: datetime) -> datetime:
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def lapse(plan: Plan, period_end: datetime) -> datetime:
    """When credits of a period that ends then lapse: what is left of them rolls over for so many days."""
    return period_end + timedelta(days=plan.rollover_days)


def credits_of(plan: Plan, length: timedelta) -> int:
    """The monthly credits of a right that lasts so long: all of them for a period of the plan (at most a month) or
    more, below that their share, rounded up."""
    period = min(timedelta(days=plan.days), MONTH)
    return -(-plan.credits_month * (min(length, period) // SECOND) // (period // SECOND))


def credits_day(plan: Plan, abuse: Abuse, *, created_at: datetime, now: datetime) -> int:
    """A new account gets a part of it, so that making accounts does not pay."""
    is_new = now - created_at < timedelta(days=abuse.new_account_days)
    return int(plan.credits_day * abuse.new_account_factor) if is_new else plan.credits_day


def _daily(account: Account, plan: Plan, abuse: Abuse, now: datetime) -> Grant | None:
    amount = credits_day(plan, abuse, created_at=account.created_at, now=now)
    if not amount:
        return None
    key = f"daily:{account.id}:{now:%Y-%m-%d}"
    return Grant(key=key, kind="daily", amount=amount, expires_at=next_day(now))


def _monthly(account: Account, plan: Plan, now: datetime) -> Grant | None:
    """A plan that nobody bought goes by calendar months; a right by months of 30 days from its period's start."""
    if not plan.credits_month:
        return None
    if account.entitlement is None or account.plan_since is None:
        key, end = f"monthly:{account.id}:{now:%Y-%m}", next_month(now)
        return Grant(key=key, kind="monthly", amount=plan.credits_month, expires_at=lapse(plan, end))
    month = (now - account.plan_since) // MONTH
    if month < 1 or month >= months(account.plan_since, account.plan_until):
        return None
    key = f"monthly:{account.entitlement}:{account.plan_since:%Y-%m-%d}:{month}"
    end = lapse(plan, account.plan_since + (month + 1) * MONTH)
    return Grant(key=key, kind="monthly", amount=plan.credits_month, expires_at=end)


def months(since: datetime, until: datetime | None) -> int:
    """How often a period gives the monthly credits: 1 for one of 28 to 31 days, 12 for a year."""
    return 10_000 if until is None else max(1, round((until - since) / MONTH))

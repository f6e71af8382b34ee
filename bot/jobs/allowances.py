"""The credits that a plan gives by itself: each day and each month (UTC). Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from bot.config import Abuse, Plan
from storage.ledger import Grant


def due(account: int, plan: Plan, abuse: Abuse, *, created_at: datetime, now: datetime) -> list[Grant]:
    """All grants of the present day and month; the ledger passes over those that it has given."""
    return [
        grant
        for grant in (_daily(account, plan, abuse, created_at, now), _monthly(account, plan, now))
        if grant
    ]


def next_day(now: datetime) -> datetime:
    """When the daily allowance comes again: midnight UTC."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time.min, UTC)


def next_month(now: datetime) -> datetime:
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def credits_day(plan: Plan, abuse: Abuse, *, created_at: datetime, now: datetime) -> int:
    """A new account gets a part of it, so that making accounts does not pay."""
    is_new = now - created_at < timedelta(days=abuse.new_account_days)
    return int(plan.credits_day * abuse.new_account_factor) if is_new else plan.credits_day


def _daily(account: int, plan: Plan, abuse: Abuse, created_at: datetime, now: datetime) -> Grant | None:
    amount = credits_day(plan, abuse, created_at=created_at, now=now)
    if not amount:
        return None
    return Grant(key=f"daily:{account}:{now:%Y-%m-%d}", kind="daily", amount=amount, expires_at=next_day(now))


def _monthly(account: int, plan: Plan, now: datetime) -> Grant | None:
    if not plan.credits_month:
        return None
    until = next_month(now) + timedelta(days=plan.rollover_days)
    key = f"monthly:{account}:{now:%Y-%m}"
    return Grant(key=key, kind="monthly", amount=plan.credits_month, expires_at=until)

"""A dry run of a new price list: what the last month's jobs would have earned, and whom it would have stopped. Pure.

Allowances and packs are those of the new list; a day's or month's jobs are taken in the order in which they came, and
one counts as stopped when nothing that its account had would have paid it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

import msgspec

from bot.config import Config
from bot.jobs import pricing
from generators.requests import Request


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """One job that was completed: on which plan, and what it cost then."""

    account: int
    plan: str
    model: str
    request: Request
    paid: int
    at: datetime


class Model(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    jobs: int
    before: int
    after: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Credits that jobs cost before and would have cost; `stopped` jobs of `people` accounts."""

    models: tuple[Model, ...]
    stopped: int
    people: int


def dry_run(jobs: Iterable[Done], new: Config, packs: dict[int, int]) -> Report:
    """`packs`: credits that each account bought in that time."""
    before: dict[str, int] = defaultdict(int)
    after: dict[str, int] = defaultdict(int)
    counts: dict[str, int] = defaultdict(int)
    purses = Purses(new, packs)
    stopped: list[Done] = []
    for job in sorted(jobs, key=lambda each: each.at):
        model = new.models.get(job.model)
        price = pricing.price(job.request, model) if model else job.paid
        counts[job.model] += 1
        before[job.model] += job.paid
        if purses.pay(job, price):
            after[job.model] += price
        else:
            stopped.append(job)
    models = tuple(
        Model(name=name, jobs=counts[name], before=before[name], after=after[name]) for name in sorted(counts)
    )
    return Report(models=models, stopped=len(stopped), people=len({job.account for job in stopped}))


class Purses:
    """What each account could spend: the day's allowance first, then the month's, then packs."""

    def __init__(self, config: Config, packs: dict[int, int]) -> None:
        self._config, self._packs = config, dict(packs)
        self._spent: dict[tuple[int, str], int] = defaultdict(int)

    def pay(self, job: Done, price: int) -> bool:
        """Takes the price, or nothing at all."""
        plan = self._config.plans.get(job.plan) or self._config.plans["free"]
        day, month = (job.account, f"{job.at:%Y-%m-%d}"), (job.account, f"{job.at:%Y-%m}")
        from_day = min(price, max(plan.credits_day - self._spent[day], 0))
        from_month = min(price - from_day, max(plan.credits_month - self._spent[month], 0))
        rest = price - from_day - from_month
        if rest > self._packs.get(job.account, 0):
            return False
        self._spent[day] += from_day
        self._spent[month] += from_month
        self._packs[job.account] = self._packs.get(job.account, 0) - rest
        return True

"""Whether a request may become a job. Pure: facts in, a refusal or nothing out; the first reason wins."""

from __future__ import annotations

from math import ceil

import msgspec

from bot.config import ModelEntry, Plan
from bot.jobs.refusals import Refusal


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    banned_reason: str | None  # None: not banned
    plan_name: str
    plan: Plan
    model: ModelEntry
    waiting: int  # of the account's jobs
    wait_seconds: float  # until the plan's pace allows another


def refuse(facts: Facts) -> Refusal | None:
    """Why not, or None. The checks that cost a person nothing to mend come last."""
    if facts.banned_reason is not None:
        reason = facts.banned_reason.strip(" -")  # older rows have a dash where no reason was given
        return Refusal("refused-banned", reason=reason or "none")
    if facts.model.plans and facts.plan_name not in facts.model.plans:
        return Refusal("refused-model-plan", model=facts.model.title or facts.model.name)
    if facts.wait_seconds:
        return Refusal("refused-rate", per_minute=facts.plan.per_minute, seconds=ceil(facts.wait_seconds))
    if facts.waiting >= facts.plan.waiting:
        return Refusal("refused-waiting", waiting=facts.waiting)
    return None


def is_free(kinds: set[str]) -> bool:
    """Whether a job paid from lots of these kinds is free use, which the day's budget bounds."""
    return kinds <= {"daily", "reward", "promo", "referral"}

"""From a request to a queued job, in one transaction: admit, price, hold, queue. Idempotent by its key.

Either all of it is durable or nothing happened. A redelivered event finds the job that it made before.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import msgspec

from bot.chat import Address, Audience
from bot.config import Config, ModelEntry, Plan
from bot.jobs import admission, allowances, limits, pricing, wallets
from bot.jobs.refusals import Refusal
from bot.jobs.wallets import Terms, plan_of
from generators import requests
from generators.requests import Request
from storage import artifacts, jobs, ledger, rates, records, standing
from storage.accounts import Account
from storage.database import Session
from storage.jobs import Job, NewJob
from storage.standing import Standing

RELAXED = "relaxed"
WEIGHT_UNIT = 10
"""Relaxed work weighs 1 beside a plan's `weight` times this: little, so that it yields, but it never starves."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a command wants done. `network` bounds free allowances where identities are free to make."""

    key: str
    account: int
    words: str
    request: Request
    address: Address
    origin: int | None = None
    network: str = ""
    hourly: int = 0  # jobs an hour that the place allows; 0: no cap
    upload: str = ""  # the blob that the person sent along, if any


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    job: Job
    price: int
    left: int | None  # the person's credits after this hold; None: the group's wallet pays
    fitted: bool = False  # less than was asked for: the account's plan or the model does not go so far
    again: bool = False  # the event had come before


def submit(session: Session, config: Config, ask: Ask, now: datetime) -> Submitted:
    """Queues the job. Raises Refusal; then nothing has changed."""
    shape = pricing.shape(ask.request)
    unit_us = records.timing(session, ask.request.model, shape)  # before the locks, which others may wait for
    account, wallet = wallets.lock(session, config, ask.account, ask.address, now)
    if account is None:
        raise Refusal("refused-account")
    pace_key = f"submit:{account.id}"
    stands = standing.of_account(session, account.id, now, key=ask.key, pace=pace_key)
    if stands.known is not None:
        return _known(session, account, stands)
    model = config.models.get(ask.request.model)
    if model is None:
        raise Refusal("refused-model-gone", model=ask.request.model)
    terms = wallets.terms(session, config, account, wallet, ask.request, model, now)
    facts = admission.Facts(
        banned_reason=account.banned_reason, plan_name=terms.name, plan=terms.plan, model=model,
        waiting=stands.waiting, wait_seconds=rates.wait_seconds(stands.due_us, now, _pace(terms.plan)),
    )  # fmt: skip
    if refusal := admission.refuse(facts):
        raise refusal
    rates.count(session, pace_key, now, _pace(terms.plan))
    fitting = msgspec.structs.replace(ask, request=limits.fitted(ask.request, model, terms.plan))
    if terms.wallet is None:
        terms = msgspec.structs.replace(terms, live=stands.lots)
    queued = _queue(session, config, fitting, account, model, terms, unit_us, now)
    return msgspec.structs.replace(queued, fitted=fitting != ask)


def _pace(plan: Plan) -> rates.Pace:
    return rates.Pace(per=plan.per_minute, period_seconds=60, burst=plan.per_minute)


def tier_weights(config: Config) -> dict[str, int]:
    """Each plan is a tier, and relaxed work is one."""
    return {name: plan.weight * WEIGHT_UNIT for name, plan in config.plans.items()} | {RELAXED: 1}


def refresh(session: Session, config: Config, account: Account, network: str, now: datetime) -> bool:
    """Gives the allowances that are due; False when the network has had its free ones today."""
    _, plan = plan_of(config, account)
    grants = allowances.due(account, plan, config.abuse, now=now)
    granted = [
        grant
        for grant in grants
        if grant.kind != "daily" or _network_allows(session, config, grant, network, now)
    ]
    ledger.grant(session, account.id, granted, now)
    return len(granted) == len(grants)


def _network_allows(
    session: Session, config: Config, grant: ledger.Grant, network: str, now: datetime
) -> bool:
    """A cleared cookie is a new account, but its network is the same: so many accounts a day get something."""
    if not network or ledger.was_granted(session, grant.key):
        return True
    until = allowances.next_day(now)
    return any(
        records.first_time(session, f"allowance:{network}:{now:%Y-%m-%d}:{place}", expires_at=until)
        for place in range(config.web.allowances_per_network)
    )


def _known(session: Session, account: Account, stands: Standing) -> Submitted:
    found = jobs.get(session, stands.known or 0)
    if found is None or found.account != account.id:
        raise Refusal("refused-event")
    left = sum(lot.remaining for lot in stands.lots)
    return Submitted(job=found, price=found.price, left=None if found.payer else left, again=True)


def _queue(
    session: Session, config: Config, ask: Ask, account: Account, model: ModelEntry,
    terms: Terms, unit_us: int | None, now: datetime,
) -> Submitted:  # fmt: skip
    _check_hourly(session, ask, now)
    price = pricing.price(ask.request, model)
    cost = pricing.cost_us(ask.request, model, unit_us)
    payer, live = account.id, terms.live
    if terms.wallet is not None:
        payer = terms.wallet
    else:
        live = _afford(session, config, ask, account, price, live, now)
    kinds = {lot.kind for lot in live if lot.id in {part for part, _ in ledger.split(live, price)}}
    tier, budget = terms.name, ""
    if admission.is_free(kinds):
        tier, budget = _budgeted(session, config, ask.address, terms.name, cost, now)
    job = jobs.insert_job(
        session,
        NewJob(
            key=ask.key, account=account.id, payer=terms.wallet, tier=tier, kind=model.kind, model=model.name,
            words=ask.words,
            request=requests.encode(ask.request), address=msgspec.json.encode(ask.address),
            private=ask.address.audience is Audience.PRIVATE, origin=ask.origin, cost_us=cost, price=price,
            budget=budget,
        ),
        now,
    )  # fmt: skip
    ledger.hold(session, payer, job.id, price, now, live=live)
    if ask.upload:
        until = now + timedelta(seconds=config.retention.free)
        artifacts.add_upload(session, account.id, ask.upload, expires_at=until)
    jobs.enqueue(session, job, cap=1 if tier == RELAXED else terms.plan.running)
    left = sum(lot.remaining for lot in live) - price
    return Submitted(job=job, price=price, left=left if terms.wallet is None else None)


def _check_hourly(session: Session, ask: Ask, now: datetime) -> None:
    """Counts one job against the place's hour. Raises Refusal when it is full."""
    scope = f"hourly:{ask.address.platform}:{ask.address.place}:{now:%Y-%m-%d %H}"
    if ask.hourly and not records.spend(session, scope, 1, limit_us=ask.hourly):
        raise Refusal("refused-hourly", hourly=ask.hourly)


def _afford(
    session: Session,
    config: Config,
    ask: Ask,
    account: Account,
    price: int,
    live: list[ledger.Lot],
    now: datetime,
) -> list[ledger.Lot]:
    """The live lots, allowances included. Raises Refusal when they do not cover the price."""
    network_ok = True
    _, plan = plan_of(config, account)
    due = allowances.due(account, plan, config.abuse, now=now)
    if {grant.key for grant in due} - {lot.key for lot in live}:  # not given yet, or all spent
        network_ok = refresh(session, config, account, ask.network, now)
        live = ledger.lots(session, account.id, now)
    available = sum(lot.remaining for lot in live)
    if available >= price:
        return live
    if not network_ok:
        raise Refusal("refused-network")
    hours = _hours(allowances.next_day(now) - now)
    raise Refusal("refused-credits", price=price, available=available, hours=hours)


def _budgeted(
    session: Session, config: Config, address: Address, tier: str, cost_us: int, now: datetime
) -> tuple[str, str]:
    """(tier, budget scope) of free use. Past the day's budget it is relaxed work, or refused."""
    day, budget = f"{now:%Y-%m-%d}", config.budget
    place = f"place:{address.platform}:{address.place}:{day}" if address.kind == "group" else ""
    if place and not _spend(session, place, cost_us, budget.free_per_place):
        raise Refusal("refused-place-budget", hours=_hours(allowances.next_day(now) - now))
    if _spend(session, f"free:{day}", cost_us, budget.free_total):
        return tier, f"free:{day}"
    if budget.on_exhausted == "relaxed" and _spend(session, f"{RELAXED}:{day}", cost_us, budget.free_total):
        return RELAXED, f"{RELAXED}:{day}"
    raise Refusal("refused-budget", hours=_hours(allowances.next_day(now) - now))


def _spend(session: Session, scope: str, cost_us: int, limit_seconds: int) -> bool:
    limit = limit_seconds * 1_000_000 if limit_seconds else sys.maxsize
    return records.spend(session, scope, cost_us, limit_us=limit)


def _hours(wait: timedelta) -> int:
    return max(1, round(wait.total_seconds() / 3600))

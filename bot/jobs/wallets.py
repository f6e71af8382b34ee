"""Who pays for a job, and on which plan: in a group its wallet, while it can and the member's day allows it.

A wallet is the account of a server or group (`accounts.place`). It has the credits and the plan that were bought
for it, and no daily allowance: groups are free to make.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from bot.chat import Address
from bot.config import Config, ModelEntry, Plan
from bot.jobs import allowances, entitlement, limits, pricing
from generators.requests import Request
from storage import accounts, ledger, records
from storage.accounts import Account
from storage.database import Session
from storage.jobs import Job
from storage.ledger import Lot


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The plan whose limits hold; `wallet` and what lives in it where the group pays."""

    name: str
    plan: Plan
    wallet: int | None = None
    live: list[Lot] = []


def plan_of(config: Config, account: Account) -> tuple[str, Plan]:
    """The account's own plan in force; limits that admins set for the account hold instead of the plan's.

    A plan that the configuration no longer has counts as `free`.
    """
    name = account.plan if account.plan in config.plans else entitlement.FREE
    return name, msgspec.structs.replace(config.plans[name], **account.limits)


def better(config: Config, account: Account, wallet: Account | None) -> tuple[str, Plan]:
    """Of the person's plan and the group's the one with more weight."""
    plans = [plan_of(config, each) for each in (account, wallet) if each is not None]
    return max(plans, key=lambda each: each[1].weight)


def lock(
    session: Session, config: Config, account: int, address: Address, now: datetime
) -> tuple[Account | None, Account | None]:
    """Locks the person's account and the wallet of the group, if there is one; their plans are the present ones."""
    wallet = _find(session, address)
    if wallet is None:
        return _present(session, config, accounts.lock(session, account), now), None
    locked = accounts.lock_all(session, (account, wallet))
    return (
        _present(session, config, locked[account], now),
        _present(session, config, locked[wallet], now),
    )


def terms(
    session: Session, config: Config, account: Account, wallet: Account | None, request: Request,
    model: ModelEntry, now: datetime,
) -> Terms:  # fmt: skip
    """The group's if its wallet pays for this request: its credits are enough, and so is the member's day."""
    if wallet is not None and wallet.banned_reason is None and wallet.id != account.id:
        name, plan = better(config, account, wallet)
        price = pricing.price(limits.fitted(request, model, plan), model)
        live = _live(session, config, wallet, now)
        if sum(lot.remaining for lot in live) >= price and _day_allows(
            session, config, account, wallet, price, now
        ):
            return Terms(name=name, plan=plan, wallet=wallet.id, live=live)
    name, plan = plan_of(config, account)
    return Terms(name=name, plan=plan)


def of_group(session: Session, address: Address) -> Account | None:
    """The wallet of the group that something was asked in."""
    found = _find(session, address)
    return accounts.get(session, found) if found is not None else None


def settled(session: Session, job: Job, captured: int) -> None:
    """Gives the member's day back what was held for the job and not used."""
    if job.payer is not None:
        records.correct(session, _day(job.payer, job.account, job.created_at), captured - job.price)


def _present(session: Session, config: Config, account: Account | None, now: datetime) -> Account | None:
    if account is None or account.derive_at is None or account.derive_at > now:
        return account
    return entitlement.derive(session, config, account.id, now)


def _find(session: Session, address: Address) -> int | None:
    if address.kind != "group":
        return None
    return accounts.find(session, accounts.place(address.platform, address.place))


def _live(session: Session, config: Config, wallet: Account, now: datetime) -> list[Lot]:
    """What the wallet may spend, the month's allowance of its plan included."""
    _, plan = plan_of(config, wallet)
    due = allowances.due(wallet, plan, config.abuse, now=now)
    monthly = [grant for grant in due if grant.kind == "monthly"]
    live = ledger.lots(session, wallet.id, now)
    if {grant.key for grant in monthly} <= {lot.key for lot in live}:
        return live
    ledger.grant(session, wallet.id, monthly, now)
    return ledger.lots(session, wallet.id, now)


def _day_allows(
    session: Session, config: Config, account: Account, wallet: Account, price: int, now: datetime
) -> bool:
    """Counts the price against what one member may take of this wallet on one day (UTC)."""
    _, plan = plan_of(config, wallet)
    if not plan.member_day:
        return True
    return records.spend(session, _day(wallet.id, account.id, now), price, limit_us=plan.member_day)


def _day(wallet: int, member: int, moment: datetime) -> str:
    return f"member:{wallet}:{member}:{moment:%Y-%m-%d}"

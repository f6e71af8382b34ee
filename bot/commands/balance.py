"""`balance`: what I have, what of it lapses when, and what my plan gives and allows."""

from __future__ import annotations

from datetime import datetime

import msgspec

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.jobs import submit, wallets
from bot.jobs.refusals import Refusal
from storage import accounts, ledger
from storage.database import Session
from storage.ledger import Lot

NAME = "balance"


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    lots: list[Lot]
    plan: str
    debt: int
    allowed: bool  # False: the network has had its free allowances today


async def run(context: Context, asking: Asking) -> Reply:
    """Gives the allowances that are due, so that what is shown can be spent."""
    network = asking.invocation.person.network
    pseudonym = context.signer.digest("network", network) if network else ""
    have = await context.database.run(_refreshed, context, asking.account, pseudonym, context.clock())
    left = sum(lot.remaining for lot in have.lots)
    lines = [asking.say("balance-total", credits=left)]
    lines += [_line(asking, lot) for lot in have.lots]
    lines.append(_plan(context, asking, have.plan))
    if have.debt:
        lines.append(asking.say("balance-debt", debt=have.debt))
    if not have.allowed:
        lines.append(asking.say("refused-network"))
    return Reply(text="\n".join(lines), only_for_requester=True, left=left)


def _refreshed(session: Session, context: Context, account_id: int, network: str, now: datetime) -> Balance:
    account = accounts.lock(session, account_id)
    if account is None:
        raise Refusal("refused-account")
    allowed = submit.refresh(session, context.config, account, network, now)
    name, _ = wallets.plan_of(context.config, account)
    lots, debt = ledger.lots(session, account.id, now), ledger.owed(session, account.id)
    return Balance(lots=lots, plan=name, debt=debt, allowed=allowed)


def _plan(context: Context, asking: Asking, name: str) -> str:
    plan = context.config.plans[name]
    return asking.say(
        "balance-plan",
        plan=plan.title or name,
        running=plan.running,
        waiting=plan.waiting,
        count=plan.count_max,
    )


def _line(asking: Asking, lot: Lot) -> str:
    origin = asking.say(f"lot-{lot.kind}")
    if lot.expires_at is None:
        return asking.say("balance-lot", origin=origin, credits=lot.remaining)
    until = f"{lot.expires_at:%Y-%m-%d %H:%M}"
    return asking.say("balance-lot-until", origin=origin, credits=lot.remaining, until=until)

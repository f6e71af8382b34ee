"""`balance`: what I have, what of it lapses when, and what my plan gives and allows."""

from __future__ import annotations

from datetime import datetime

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.jobs import submit, wallets
from bot.jobs.refusals import Refusal
from storage import accounts, ledger
from storage.database import Session
from storage.ledger import Lot

NAME = "balance"


async def run(context: Context, asking: Asking) -> Reply:
    """Gives the allowances that are due, so that what is shown can be spent."""
    network = asking.invocation.person.network
    pseudonym = context.signer.digest("network", network) if network else ""
    lots, name, allowed = await context.database.run(
        _refreshed, context, asking.account, pseudonym, context.clock()
    )
    plan = context.config.plans[name]
    lines = [asking.say("balance-total", credits=sum(lot.remaining for lot in lots))]
    lines += [_line(asking, lot) for lot in lots]
    lines.append(
        asking.say(
            "balance-plan",
            plan=plan.title or name,
            running=plan.running,
            waiting=plan.waiting,
            count=plan.count_max,
        )
    )
    if not allowed:
        lines.append(asking.say("refused-network"))
    left = sum(lot.remaining for lot in lots)
    return Reply(text="\n".join(lines), only_for_requester=True, left=left)


def _refreshed(
    session: Session, context: Context, account_id: int, network: str, now: datetime
) -> tuple[list[Lot], str, bool]:
    account = accounts.lock(session, account_id)
    if account is None:
        raise Refusal("refused-account")
    allowed = submit.refresh(session, context.config, account, network, now)
    name, _ = wallets.plan_of(context.config, account)
    return ledger.lots(session, account.id, now), name, allowed


def _line(asking: Asking, lot: Lot) -> str:
    origin = asking.say(f"lot-{lot.kind}")
    if lot.expires_at is None:
        return asking.say("balance-lot", origin=origin, credits=lot.remaining)
    until = f"{lot.expires_at:%Y-%m-%d %H:%M}"
    return asking.say("balance-lot-until", origin=origin, credits=lot.remaining, until=until)

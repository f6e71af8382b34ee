"""`privacy`: what is kept, for how long, and erasing all of mine."""

from __future__ import annotations

from datetime import datetime

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.jobs import ending
from storage import accounts, jobs
from storage.database import Session

NAME = "privacy"
ERASE = frozenset({"erase", "清除"})
SURE = frozenset({"yes", "确定"})
LIVE_MAX = 100


async def run(context: Context, asking: Asking) -> Reply:
    """Explains; `erase yes` erases prompts, results and uploads. Receipts stay, without their words."""
    words = asking.invocation.text.lower().split()
    if not words or words[0] not in ERASE:
        days = context.config.retention.free // 86400
        return Reply(text=asking.say("privacy", name=context.config.atelier.name, days=days))
    if len(words) < 2 or words[1] not in SURE:
        return Reply(text=asking.say("privacy-sure"), only_for_requester=True)
    await context.database.run(_erase, asking.account, context.clock())
    return Reply(text=asking.say("privacy-erased"), only_for_requester=True)


def _erase(session: Session, account: int, now: datetime) -> None:
    """What waits is cancelled; what runs is asked to stop and then erased like the rest."""
    accounts.lock(session, account)
    for job in jobs.of_account(session, account, limit=LIVE_MAX, live=True):
        ending.cancel(session, account, job.id, now)
    accounts.erase(session, account, now)

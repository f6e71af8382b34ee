"""`jobs`: what of mine is in line or running, results that could not be brought to me, or one job by its number."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands import making
from bot.commands.context import Asking, Context
from storage import deliveries, jobs

NAME = "jobs"
LIVE_MAX = 20
NUMBER_DIGITS_MAX = 19


async def run(context: Context, asking: Asking) -> Reply:
    """All that is on its way, or the one job that is named (`12`, `#12`). Raises Refusal."""
    named = asking.invocation.text.strip().removeprefix("#")
    if named.isascii() and named.isdigit() and len(named) < NUMBER_DIGITS_MAX:
        job = await making.visible_job(context, asking, int(named), own=True)
        return Reply(cards=(await context.board.card(job, asking.locale),))
    live = await context.database.read(jobs.of_account, asking.account, limit=LIVE_MAX, live=True)
    missed = await context.database.read(deliveries.undelivered, asking.account)
    late = [job for job in await context.database.read(jobs.many, missed) if job.deleted_at is None]
    if not live and not late:
        return Reply(text=asking.say("jobs-none"))
    cards = await context.board.draw_all([*live, *late], asking.locale)
    return Reply(text=asking.say("jobs-some", live=len(live), late=len(late)), cards=tuple(cards))

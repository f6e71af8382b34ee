"""`admin pool`: the devices and the queue; drain, resume and cancel.

admin pool                      admin pool resume DEVICE
admin pool drain DEVICE         admin pool cancel JOB
"""

from __future__ import annotations

from bot.chat import Table
from bot.commands.context import Asking, Context
from bot.jobs.refusals import Refusal
from bot.operations import Actor


async def run(context: Context, asking: Asking, words: list[str], actor: Actor) -> Table | str:
    """Raises Refusal."""
    operations = context.operations
    match words:
        case []:
            return await operations.table("pool")
        case ["drain" | "resume" as action, device]:
            await operations.drain(device, drained=action == "drain", actor=actor)
            return asking.say(f"admin-device-{action}", device=device)
        case ["cancel", job]:
            await operations.cancel(job, actor=actor)
            return asking.say("admin-job-cancelled", job=job.removeprefix("#"))
        case _:
            raise Refusal("admin-usage")

"""Buttons under results. The one who presses pays; the new result answers the old."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from bot.chat import Action, Reply
from bot.commands import imagine, making, selling
from bot.commands.context import Asking, Context
from bot.commands.making import Source
from bot.jobs import ending
from bot.jobs.refusals import Refusal
from generators import requests
from generators.requests import ImageToImage, Inpaint, Request, TextToImage, WriteText
from storage import artifacts, jobs, ledger
from storage.database import Session
from storage.jobs import Job

NAME = "press"
VARY_STRENGTH = 0.6
UPSCALE_STRENGTH = 0.3
UPSCALE_FACTOR = 2


async def run(context: Context, asking: Asking) -> Reply:
    """Does what the pressed button says. Raises Refusal."""
    press = context.buttons.read(asking.invocation.button, now=int(context.clock().timestamp()))
    if press is None:
        raise Refusal("refused-button")
    if press.action is Action.ASK:
        return await _ask(context, asking, press.subject)
    if press.action is Action.BUY:
        return await selling.press(context, asking, press.subject)
    own = press.action is Action.CANCEL or (
        press.action is Action.DELETE and not asking.invocation.may_moderate
    )
    job = await making.visible_job(context, asking, press.subject, own=own)
    return await ACTIONS[press.action](context, asking, job)


async def _ask(context: Context, asking: Asking, number: int) -> Reply:
    words = context.suggestions[number % len(context.suggestions)]
    invocation = replace(asking.invocation, text=words, origin=None)
    return await imagine.run(context, replace(asking, invocation=invocation))


async def _again(context: Context, asking: Asking, job: Job) -> Reply:
    request = msgspec.structs.replace(requests.decode(job.request), seed=context.seed())
    return await making.queue(context, asking, job.words, request, private=job.private, origin=job.id)


async def _vary(context: Context, asking: Asking, job: Job) -> Reply:
    request, source = await _picture(context, job)
    varied = _from(request, source, strength=VARY_STRENGTH, seed=context.seed())
    return await making.queue(context, asking, job.words, varied, private=job.private, origin=job.id)


async def _upscale(context: Context, asking: Asking, job: Job) -> Reply:
    """A plain image-to-image pass at twice the size. Raises Refusal when model or plan do not go so far."""
    request, source = await _picture(context, job)
    width, height = (side * UPSCALE_FACTOR for side in source.size)
    _, _, plan = await making.plan_here(context, asking)
    model = context.config.models.get(job.model)
    limit = min(plan.pixels_max, model.pixels_max if model else 0)
    if width * height > limit:
        raise Refusal("refused-upscale", width=width, height=height)
    upscaled = _from(request, source, strength=UPSCALE_STRENGTH, seed=request.seed)
    upscaled = msgspec.structs.replace(upscaled, width=width, height=height, count=1)
    return await making.queue(context, asking, job.words, upscaled, private=job.private, origin=job.id)


async def _edit(context: Context, asking: Asking, job: Job) -> Reply:
    command = "write" if job.kind == "text" else "imagine"
    has_output = bool(await making.outputs(context, job))
    return Reply(draft=job.words, draft_command=command, draft_origin=job.id if has_output else None)


async def _details(context: Context, asking: Asking, job: Job) -> Reply:
    request = requests.decode(job.request)
    lines = [
        asking.say("details-prompt", prompt=job.words),
        asking.say("details-model", model=_title(context, job)),
    ]
    lines += _settings_lines(asking, request)
    seconds = f"{job.used_us / 1e6:.1f}"
    payer = "group" if job.payer is not None else "person"
    lines.append(
        asking.say(
            "details-receipt", paid=job.paid, price=job.price, seconds=seconds, job=job.id, payer=payer
        )
    )
    return Reply(text="\n".join(lines), only_for_requester=True)


async def _original(context: Context, asking: Asking, job: Job) -> Reply:
    made = await making.outputs(context, job)
    if not made:
        raise Refusal("refused-deleted")
    return Reply(files=tuple(each.id for each in made))


async def _delete(context: Context, asking: Asking, job: Job) -> Reply:
    await context.database.run(_deleted, job.account, job.id, context.clock())
    return Reply(gone=job.id, text=asking.say("deleted"))


async def _cancel(context: Context, asking: Asking, job: Job) -> Reply:
    cancelled = await context.database.run(ending.cancel, asking.account, job.id, context.clock())
    lots = await context.database.read(ledger.lots, asking.account, context.clock())
    left = sum(lot.remaining for lot in lots)
    return Reply(cards=(await context.board.card(cancelled, asking.locale),), left=left)


ACTIONS: dict[Action, Callable[[Context, Asking, Job], Awaitable[Reply]]] = {
    Action.AGAIN: _again, Action.VARY: _vary, Action.UPSCALE: _upscale, Action.EDIT: _edit,
    Action.DETAILS: _details, Action.ORIGINAL: _original, Action.DELETE: _delete, Action.CANCEL: _cancel,
}  # fmt: skip


def _deleted(session: Session, account: int, job_id: int, now: datetime) -> None:
    """What still runs is cancelled first, so that nothing is held for what nobody wants."""
    job = jobs.lock(session, job_id)
    if job is not None and job.state not in jobs.TERMINAL:
        ending.cancel(session, account, job_id, now)
    artifacts.delete(session, job_id, now)
    jobs.delete(session, job_id, now)


async def _picture(context: Context, job: Job) -> tuple[TextToImage, Source]:
    request = requests.decode(job.request)
    pictures = [each for each in await making.outputs(context, job) if each.width]
    if not isinstance(request, TextToImage) or not pictures:
        raise Refusal("refused-button-here")
    first = pictures[0]
    return request, Source(blob=first.blob, size=(first.width, first.height))


def _from(request: TextToImage, source: Source, *, strength: float, seed: int) -> ImageToImage:
    """The same wishes, starting from a picture."""
    fields: dict[str, Any] = {name: getattr(request, name) for name in TextToImage.__struct_fields__}
    fields.update(source=source.blob, strength=strength, seed=seed)
    return ImageToImage(**fields)


def _title(context: Context, job: Job) -> str:
    model = context.config.models.get(job.model)
    return (model.title if model else "") or job.model


def _settings_lines(asking: Asking, request: Request) -> list[str]:
    if isinstance(request, WriteText):
        return [asking.say("details-text", tokens=request.max_tokens, temperature=f"{request.temperature:g}")]
    lines = [
        asking.say(
            "details-picture", width=request.width, height=request.height, steps=request.steps,
            guidance=f"{request.guidance:g}", seed=str(request.seed),
        )
    ]  # fmt: skip
    if isinstance(request, ImageToImage):
        lines.append(asking.say("details-strength", strength=f"{request.strength:g}"))
    if isinstance(request, Inpaint):
        lines.append(asking.say("details-part"))
    if request.negative:
        lines.append(asking.say("details-negative", negative=request.negative))
    return lines

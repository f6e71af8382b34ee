"""What `imagine`, `write` and the buttons share: from a prompt to a queued job and the reply that shows it."""

from __future__ import annotations

import asyncio

import msgspec

from bot.chat import Address, Attachment, AttachmentGone, Audience, Reply
from bot.commands import fitting, prompt
from bot.commands.context import Asking, Context
from bot.commands.prompt import Prompt
from bot.config import Plan, WebPage
from bot.jobs import safety, submit, wallets
from bot.jobs.refusals import Refusal
from bot.jobs.submit import Ask, Submitted
from generators import requests, source
from generators.requests import ImageToImage, Request, WriteText
from generators.source import SourceRefused
from storage import accounts, artifacts, jobs
from storage.accounts import Account
from storage.artifacts import Artifact
from storage.database import Session
from storage.jobs import Job


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A picture to start from: its blob and its size in pixels. `upload` if the person has just sent it; `cut_out`
    if a part of it is transparent, which is then all that is drawn."""

    blob: str
    size: tuple[int, int]
    upload: bool = False
    cut_out: bool = False


async def account_of(context: Context, asking: Asking) -> Account:
    found = await context.database.read(accounts.get, asking.account)
    if found is None:
        raise Refusal("refused-account")
    return found


async def plan_here(context: Context, asking: Asking) -> tuple[Account, str, Plan]:
    """The account with the plan whose limits hold: its own, or the group's if that is better and its wallet can pay."""
    account, wallet = await context.database.read(_payers, asking.account, asking.invocation.address)
    if account is None:
        raise Refusal("refused-account")
    return account, *wallets.better(context.config, account, wallet)


def _payers(session: Session, account: int, address: Address) -> tuple[Account | None, Account | None]:
    return accounts.get(session, account), wallets.of_group(session, address)


async def queue(
    context: Context, asking: Asking, words: str, request: Request, *, source: Source | None = None,
    private: bool = False, origin: int | None = None,
) -> Reply:  # fmt: skip
    """Submits the request; the reply has its card and what is left. Raises Refusal."""
    address = asking.invocation.address
    if private:
        address = msgspec.structs.replace(address, audience=Audience.PRIVATE)
    network = asking.invocation.person.network
    place = await context.places.get(address.platform, address.place) if address.kind == "group" else None
    ask = Ask(
        key=asking.key,
        account=asking.account,
        words=words,
        request=request,
        address=address,
        origin=origin,
        hourly=place.hourly if place else 0,
        network=context.signer.digest("network", network) if network else "",
        upload=source.blob if source and source.upload else "",
    )
    submitted = await _submit(context, asking, ask)
    context.board.watch(submitted.job, note=_fitted(asking, submitted))
    card = await context.board.card(submitted.job, asking.locale)
    return Reply(cards=(card,), left=submitted.left, fresh=not submitted.again)


async def _submit(context: Context, asking: Asking, ask: Ask) -> Submitted:
    """All ways to a job lead through here. Raises Refusal; then nothing is kept, not even a picture sent along."""
    try:
        _check_safe(context, ask)
        await _check_able(context, asking, ask.request)
        return await context.database.run(submit.submit, context.config, ask, context.clock())
    except Refusal:
        if ask.upload:
            await context.blobs.delete([ask.upload])
        raise


def _check_safe(context: Context, ask: Ask) -> None:
    """Raises Refusal for words that today's policy does not allow: in a conversation, all that the person said."""
    if isinstance(ask.request, WriteText):
        asked = "\n".join(each.content for each in ask.request.messages if each.role == "user")
    else:
        asked = prompt.parse(ask.words).text
    verdict = safety.check(asked, context.config.safety)
    if not verdict.allowed:
        raise Refusal(verdict.message)


async def _check_able(context: Context, asking: Asking, request: Request) -> None:
    """Raises Refusal for a picture that the model is known not to begin with; it names models that do."""
    if not isinstance(request, ImageToImage):
        return
    abilities, models, kind = context.abilities, context.config.models, type(request)
    await abilities.look(request.model)
    if not abilities.lacks(request.model, kind):
        return
    _, plan, _ = await plan_here(context, asking)
    able = [name for name in fitting.open_to(plan, models, kind="image") if abilities.has(name, kind)]
    raise Refusal(
        "refused-from-picture",
        model=fitting.title(models[request.model]),
        task="whole" if abilities.lacks(request.model, ImageToImage) else "part",
        able=", ".join(f"`--model {name}`" for name in able) or "none",
    )


def _fitted(asking: Asking, submitted: Submitted) -> str:
    """What the card adds where the job is less than what was asked for."""
    if not submitted.fitted:
        return ""
    request = requests.decode(submitted.job.request)
    if isinstance(request, WriteText):
        return asking.say("fitted-text", tokens=request.max_tokens)
    return asking.say(
        "fitted-picture", width=request.width, height=request.height, steps=request.steps, count=request.count
    )


async def source_of(context: Context, asking: Asking) -> Source | None:
    """What the person starts from: the picture they sent, else the result that they answer. Raises Refusal."""
    if asking.invocation.attachments:
        return await _upload(context, asking, asking.invocation.attachments[0])
    if asking.invocation.origin is None:
        return None
    job = await visible_job(context, asking, asking.invocation.origin)
    made = await outputs(context, job)
    pictures = [each for each in made if each.media_type.startswith("image/")]
    return Source(blob=pictures[0].blob, size=(pictures[0].width, pictures[0].height)) if pictures else None


async def visible_job(context: Context, asking: Asking, job_id: int, *, own: bool = False) -> Job:
    """The job, if this person may work with it. Raises Refusal: others' private results do not exist."""
    job = await context.database.read(jobs.get, job_id)
    if job is None or job.deleted_at is not None:
        raise Refusal("refused-deleted")
    if job.account != asking.account and (own or job.private or asking.invocation.address.kind == "private"):
        raise Refusal("refused-not-yours")
    return job


async def outputs(context: Context, job: Job) -> list[Artifact]:
    return (await context.database.read(artifacts.of_jobs, [job.id]))[job.id]


def defaulted(wanted: Prompt, defaults: Prompt) -> Prompt:
    """The prompt, with the person's own defaults for what it leaves open."""
    fields = {
        name: getattr(wanted, name) or getattr(defaults, name)
        for name in ("negative", "style", "model", "scheduler", "loras", "kind", "length", "tone", "private")
    }
    for name in ("steps", "guidance", "seed", "count", "strength", "temperature"):
        own = getattr(wanted, name)
        fields[name] = getattr(defaults, name) if own is None else own
    if wanted.size is None and wanted.aspect is None:
        fields |= {"size": defaults.size, "aspect": defaults.aspect}
    return msgspec.structs.replace(wanted, **fields)


async def _upload(context: Context, asking: Asking, attachment: Attachment) -> Source:
    """Bounds are checked on what was promised, on what came, and on the header, before any pixel is decoded."""
    limits = context.config.web
    if attachment.size_bytes > limits.upload_bytes_max:
        raise _refused("too_large_bytes", limits)
    try:
        data = await attachment.read()
        info = source.inspect(data, bytes_max=limits.upload_bytes_max, pixels_max=limits.upload_pixels_max)
        cut_out = await asyncio.to_thread(source.is_cut_out, data, bytes_max=limits.upload_bytes_max)
    except AttachmentGone:
        raise Refusal("refused-attachment-gone") from None
    except SourceRefused as refused:
        raise _refused(refused.reason, limits) from None
    blob = f"uploads/{context.signer.digest('upload', asking.key)}"
    await context.blobs.put(blob, data)
    return Source(blob=blob, size=(info.width, info.height), upload=True, cut_out=cut_out)


def _refused(reason: source.Reason, limits: WebPage) -> Refusal:
    limit_mb = limits.upload_bytes_max // (1024 * 1024)
    return Refusal(
        "refused-picture", reason=reason, limit_mb=limit_mb, pixels=limits.upload_pixels_max, side=source.SIDE_MIN
    )  # fmt: skip

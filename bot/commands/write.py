"""`write`: words become a text, streamed. Answering a text goes on from it."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands import fitting, making, prompt, writing
from bot.commands.context import Asking, Context
from bot.commands.settings import defaults_of
from bot.jobs import submit
from bot.jobs.refusals import Refusal
from generators.requests import Message

NAME = "write"


async def run(context: Context, asking: Asking) -> Reply:
    """Parses, fits and queues. Raises Refusal and PromptError."""
    invocation, config = asking.invocation, context.config
    if invocation.attachments:
        raise Refusal("refused-picture-for-text")
    if not invocation.text.strip():
        raise Refusal("refused-empty", example=asking.say("example-write"))
    parsed = prompt.parse(invocation.text)
    making.check_safe(context, parsed.text)
    account = await making.account_of(context, asking)
    wanted = making.defaulted(parsed, defaults_of(account, "text", config))
    name, plan = submit.plan_of(config, account, context.clock())
    model = fitting.choose_model(
        wanted.model, config.models, kind="text", plan=name, default=config.defaults.text
    )
    history = await _said_before(context, asking)
    request = writing.write(wanted, model, plan, seed=context.seed(), locale=asking.locale, history=history)
    return await making.queue(
        context, asking, prompt.format(parsed), request, private=wanted.private, origin=invocation.origin
    )


async def _said_before(context: Context, asking: Asking) -> tuple[Message, ...]:
    """The answered text and its prompt, when this answers one."""
    if asking.invocation.origin is None:
        return ()
    job = await making.visible_job(context, asking, asking.invocation.origin)
    card = await context.board.card(job, asking.locale)
    if not card.text:
        return ()
    asked = prompt.parse(job.words).text
    return (Message(role="user", content=asked), Message(role="assistant", content=card.text))

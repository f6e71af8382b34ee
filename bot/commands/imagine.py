"""`imagine`: words, and perhaps a picture, become pictures."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands import fitting, making, prompt
from bot.commands.context import Asking, Context
from bot.commands.settings import defaults_of
from bot.jobs import submit
from bot.jobs.refusals import Refusal

NAME = "imagine"


async def run(context: Context, asking: Asking) -> Reply:
    """Parses, fits and queues. Raises Refusal and PromptError."""
    invocation, config = asking.invocation, context.config
    if not invocation.text.strip():
        raise Refusal("refused-empty", example=context.suggestions[0])
    parsed = prompt.parse(invocation.text)
    making.check_safe(context, parsed.text)
    account = await making.account_of(context, asking)
    wanted = making.defaulted(parsed, defaults_of(account, "image", config))
    name, plan = submit.plan_of(config, account, context.clock())
    model = fitting.choose_model(
        wanted.model, config.models, kind="image", plan=name, default=config.defaults.image
    )
    source = await making.source_of(context, asking)
    request = fitting.fit(
        wanted,
        model,
        plan,
        seed=context.seed(),
        styles=config.styles,
        source=source.blob if source else "",
        source_size=source.size if source else None,
        reveal_prompt=not (wanted.private or asking.private),
    )
    return await making.queue(
        context, asking, prompt.format(parsed), request,
        source=source, private=wanted.private, origin=invocation.origin,
    )  # fmt: skip

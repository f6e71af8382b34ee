"""`imagine`: words, and perhaps a picture, become pictures."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands import fitting, making, wishes
from bot.commands.context import Asking, Context

NAME = "imagine"


async def run(context: Context, asking: Asking) -> Reply:
    """Parses, fits and queues. Raises Refusal and PromptError."""
    wish = await wishes.understand(context, asking, "image", example=context.suggestions[0])
    source = await making.source_of(context, asking)
    request = fitting.fit(
        wish.prompt,
        wish.model,
        wish.plan,
        seed=context.seed(),
        styles=context.config.styles,
        source=source.blob if source else "",
        source_size=source.size if source else None,
        cut_out=source is not None and source.cut_out,
        reveal_prompt=not (wish.prompt.private or asking.private),
    )
    return await making.queue(
        context, asking, wish.words, request,
        source=source, private=wish.prompt.private, origin=asking.invocation.origin,
    )  # fmt: skip

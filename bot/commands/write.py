"""`write`: words become a text, streamed. Answering a text goes on from it."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands import making, prompt, wishes, writing
from bot.commands.context import Asking, Context
from bot.jobs.refusals import Refusal
from generators.requests import Message

NAME = "write"


async def run(context: Context, asking: Asking) -> Reply:
    """Parses, fits and queues. Raises Refusal and PromptError."""
    if asking.invocation.attachments:
        raise Refusal("refused-picture-for-text")
    wish = await wishes.understand(context, asking, "text", example=asking.say("example-write"))
    history = await _said_before(context, asking)
    request = writing.write(
        wish.prompt, wish.model, wish.plan, seed=context.seed(), locale=asking.locale, history=history
    )
    return await making.queue(
        context, asking, wish.words, request, private=wish.prompt.private, origin=asking.invocation.origin
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

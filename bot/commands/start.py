"""`start`: one sentence of what this is and three examples to tap."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.commands.help import examples

NAME = "start"


async def run(context: Context, asking: Asking) -> Reply:
    return Reply(text=asking.say("start", name=context.config.atelier.name), buttons=examples(context))

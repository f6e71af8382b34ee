"""What `imagine` and `write` do first: words into a wish, with the person's defaults, the plan and the model."""

from __future__ import annotations

import msgspec

from bot.commands import fitting, making, prompt
from bot.commands.context import Asking, Context
from bot.commands.prompt import Prompt
from bot.commands.settings import defaults_of
from bot.config import ModelEntry, Plan
from bot.jobs.refusals import Refusal
from generators.requests import Kind


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """`words` as they are kept; `prompt` with the defaults in what was left open."""

    words: str
    prompt: Prompt
    model: ModelEntry
    plan: Plan


async def understand(context: Context, asking: Asking, kind: Kind, *, example: str) -> Wish:
    """Raises Refusal for no words, PromptError for options that are wrong."""
    text, config = asking.invocation.text, context.config
    if not text.strip():
        raise Refusal("refused-empty", example=example)
    parsed = prompt.parse(text)
    account, name, plan = await making.plan_here(context, asking)
    wanted = making.defaulted(parsed, defaults_of(account, kind, config))
    default = config.defaults.text if kind == "text" else config.defaults.image
    model = fitting.choose_model(wanted.model, config.models, kind=kind, plan=name, default=default)
    return Wish(words=prompt.format(parsed), prompt=wanted, model=model, plan=plan)

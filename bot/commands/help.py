"""`help`: what this is, how to ask, which models there are and what the starter model knows."""

from __future__ import annotations

from bot.chat import Button, Reply
from bot.commands.context import Asking, Context
from generators import embedded
from generators.requests import ImageToImage

NAME = "help"
EXAMPLES = 3
KNOWN_STRIDE = 8  # every eighth of what it knows gives an idea of the rest
EXAMPLE_SECONDS = 30 * 86400


async def run(context: Context, asking: Asking) -> Reply:
    config = context.config
    models = [
        asking.say(
            "help-model", name=name, title=model.title or name, licence=model.licence or "?",
            starts="words" if context.abilities.lacks(name, ImageToImage) else "any",
            note=_note(asking, model.note_en, model.note_zh) or "none",
        )
        for name, model in config.models.items()
    ]  # fmt: skip
    parts = [
        asking.say("help-intro", name=config.atelier.name),
        asking.say("help-commands"),
        asking.say("help-options"),
        asking.say("help-models") + "\n" + "\n".join(models),
        *([asking.say("help-styles", styles=", ".join(config.styles))] if config.styles else []),
        *_known(context, asking),
        asking.say("help-labels"),
    ]
    return Reply(text="\n\n".join(parts), buttons=examples(context))


def _known(context: Context, asking: Asking) -> list[str]:
    """What the starter model can draw, when it is the default."""
    model = context.config.models.get(context.config.defaults.image)
    if model is None or model.source != embedded.TINY_EMOJI:
        return []
    some = ", ".join(embedded.concepts()[::KNOWN_STRIDE])
    return [asking.say("help-known", count=len(embedded.concepts()), some=some)]


def examples(context: Context) -> tuple[Button, ...]:
    """Prompts to tap."""
    expires = int(context.clock().timestamp()) + EXAMPLE_SECONDS
    return tuple(
        context.buttons.ask(number, words, expires=expires)
        for number, words in enumerate(context.suggestions[:EXAMPLES])
    )


def _note(asking: Asking, english: str, chinese: str) -> str:
    return (chinese or english) if asking.locale == "zh" else english

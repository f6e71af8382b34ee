"""What the web page knows when it opens: hints of the prompt language, models, styles, suggestions."""

from __future__ import annotations

from bot.chat import Locale
from bot.config import Config
from bot.jobs.abilities import Abilities
from bot.platforms.web.boot import Boot, CommandHint, Hint, ModelHint, Suggestion
from bot.replies import say
from generators import embedded
from generators.requests import ImageToImage

COMMANDS = (
    "imagine", "write", "jobs", "balance", "plans", "buy", "manage", "receipts", "redeem", "gift", "refer", "link",
    "settings", "help", "privacy", "paysupport",
)  # fmt: skip
PICTURES = {
    "--ar": ("1:1", "4:3", "3:4", "16:9", "9:16"), "--size": (), "--steps": (), "--cfg": (), "--no": (),
    "--style": (), "--count": ("1", "2", "4"),
}  # fmt: skip
TEXTS = {
    "--kind": ("article", "post", "story", "ad", "lesson", "free"), "--length": ("short", "medium", "long"),
    "--tone": (),
}  # fmt: skip
BOTH: dict[str, tuple[str, ...]] = {"--seed": (), "--model": (), "--private": ()}
BANNER_EXAMPLES = 4


def boot(
    config: Config, suggestions: tuple[str, ...], locale: Locale, abilities: Abilities, *, sells: bool = False
) -> Boot:
    """`sells`: whether anything can be bought on the page."""
    return Boot(
        locale=locale,
        sells=sells,
        commands=tuple(CommandHint(name=name, hint=say(locale, f"hint-{name}")) for name in COMMANDS),
        options=(
            *_hints(PICTURES, locale, "imagine"),
            *_hints(TEXTS, locale, "write"),
            *_hints(BOTH, locale),
        ),
        styles=tuple(config.styles),
        models=tuple(
            ModelHint(
                name=name,
                title=model.title or name,
                kind=model.kind,
                from_picture=not abilities.lacks(name, ImageToImage),
            )
            for name, model in config.models.items()
        ),
        suggestions=(
            *(Suggestion(text=words) for words in suggestions[:5]),
            Suggestion(text=say(locale, "example-write"), command="write"),
        ),
        banner=_banner(config, suggestions, locale),
    )


def _hints(options: dict[str, tuple[str, ...]], locale: Locale, *commands: str) -> tuple[Hint, ...]:
    return tuple(
        Hint(name=name, hint=say(locale, f"hint-{name.strip('-')}"), values=values, commands=commands)
        for name, values in options.items()
    )


def _banner(config: Config, suggestions: tuple[str, ...], locale: Locale) -> str:
    """Honest words about the starter model; nothing once a real one is the default."""
    model = config.models.get(config.defaults.image)
    if model is None or model.source != embedded.TINY_EMOJI:
        return ""
    examples = ", ".join(suggestions[:BANNER_EXAMPLES])
    return say(locale, "banner-starter", count=len(embedded.concepts()), examples=examples)

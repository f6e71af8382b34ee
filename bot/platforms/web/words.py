"""The page's own labels, from `bot/replies/web.*.ftl`: which of them travel to the browser."""

from __future__ import annotations

from functools import cache

from bot.chat import Locale
from bot.replies import say

PLAIN = [
    "web-chat",
    "web-gallery",
    "web-balance",
    "web-settings",
    "web-help",
    "web-plans",
    "web-language",
    "web-close",
    "web-send",
    "web-attach",
    "web-attachment-remove",
    "web-private",
    "web-picture",
    "web-text",
    "web-prompt-picture",
    "web-prompt-text",
    "web-empty-title",
    "web-empty-picture",
    "web-empty-text",
    "web-gallery-empty",
    "web-retry",
    "web-unsent",
    "web-sending",
    "web-offline",
    "web-earlier",
    "web-more",
    "web-really-delete",
    "web-picture-ready",
    "web-text-ready",
    "web-in-line",
    "web-working",
    "web-stopped",
    "web-deleted",
    "web-dismiss",
    "web-previous",
    "web-next",
    "web-open-picture",
    "web-new-result",
    "web-not-a-picture",
    "web-editing-remove",
    "web-loading",
    "web-settings-change",
    "web-settings-example",
    "web-latest",
    "web-private-mark",
    "web-failed-load",
    "web-you",
    "web-apply",
]

# The page fills these in itself: each argument is handed to it as {name}.
FILLED = {
    "web-editing": ("job",),
    "web-options-found": ("count",),
    "web-picture-of": ("index", "count"),
    "web-too-large": ("megabytes",),
}


@cache
def page_strings(locale: Locale) -> dict[str, str]:
    """Every label that the page may show, by id without its `web-`."""
    plain = {name: say(locale, name) for name in PLAIN}
    filled = {
        name: say(locale, name, **{argument: f"{{{argument}}}" for argument in arguments})
        for name, arguments in FILLED.items()
    }
    return {name.removeprefix("web-"): text for name, text in (plain | filled).items()}

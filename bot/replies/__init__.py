"""All text that people see, in English and Simplified Chinese, as Fluent messages in the `.ftl` files beside.

A file NAME.en.ftl stands beside NAME.zh.ftl with the same messages and the same variables.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

from fluent.runtime import FluentBundle, FluentResource

from bot.chat import LOCALES, Locale

_FOLDER = Path(__file__).parent
_TAGS: dict[Locale, list[str]] = {"en": ["en-US"], "zh": ["zh-CN"]}


@cache
def bundle(locale: Locale) -> FluentBundle:
    """All messages of a language."""
    made = FluentBundle(_TAGS[locale], use_isolating=False)
    for path in sorted(_FOLDER.glob(f"*.{locale}.ftl")):
        made.add_resource(FluentResource(path.read_text(encoding="utf-8")))
    return made


def message_ids(locale: Locale) -> list[str]:
    """The ids of all messages of a language, sorted."""
    return sorted(
        line.split("=", 1)[0].strip()
        for path in _FOLDER.glob(f"*.{locale}.ftl")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line[:1].isalpha() and "=" in line
    )


def say(locale: Locale, message: str, /, **values: str | int | float) -> str:
    """The sentence `message` in the person's language. Raises KeyError for a message that does not exist."""
    return _said(locale, message, tuple(values.items()))


@lru_cache(maxsize=4096)
def _said(locale: Locale, message: str, given: tuple[tuple[str, str | int | float], ...]) -> str:
    """Kept, because most of what is said is said again: labels of buttons, lines of status."""
    found, values = bundle(locale), dict(given)
    pattern = found.get_message(message).value
    if pattern is None:
        raise KeyError(message)
    text, errors = found.format_pattern(pattern, values)
    if errors:
        raise ValueError(f"{message}: {errors[0]}")
    return str(text)


__all__ = ["LOCALES", "bundle", "message_ids", "say"]

"""Which of our languages a request asks for: the remembered choice, else what the browser prefers."""

from __future__ import annotations

from aiohttp import web

from bot.chat import LOCALES, Locale, locale_of

LANGUAGE_COOKIE = "atelier_language"


def chosen(value: str | None) -> Locale | None:
    """The locale that is spelt exactly so."""
    return next((locale for locale in LOCALES if locale == value), None)


def weight_of(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def preferred(accept_language: str) -> Locale:
    """The first language we speak in an Accept-Language header; English if there is none."""
    tags = [tag.strip().partition(";") for tag in accept_language[:500].split(",")]
    ranked = sorted(tags, key=lambda tag: -weight_of(tag[2]))
    spoken = (tag for tag, _, _ in ranked if tag.lower().split("-")[0] in LOCALES)
    return locale_of(next(spoken, "en"))


def language_of(request: web.Request) -> Locale:
    return (
        chosen(request.query.get("lang"))
        or chosen(request.cookies.get(LANGUAGE_COOKIE))
        or preferred(request.headers.get("Accept-Language", ""))
    )

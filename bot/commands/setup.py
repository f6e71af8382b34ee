"""`setup`: what the people who run a server or group decide for it.

setup --hourly 20 --spoilers on --threads off --language zh --channels here
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bot.chat import Reply
from bot.commands.context import Asking, Context
from bot.commands.options import fold
from bot.jobs.refusals import Refusal
from bot.places import PlaceSettings

NAME = "setup"
HOURLY_MAX = 100_000
CHANNELS_MAX = 50
Change = Callable[[PlaceSettings, str, Asking], PlaceSettings]


async def run(context: Context, asking: Asking) -> Reply:
    """Shows or changes the place's settings. Raises Refusal."""
    address = asking.invocation.address
    if address.kind != "group":
        raise Refusal("setup-only-groups")
    settings = await context.places.get(address.platform, address.place)
    words = asking.invocation.text.split()
    if words and not asking.invocation.may_moderate:
        raise Refusal("setup-not-allowed")
    if words:
        settings = changed(settings, words, asking)
        await context.places.set(address.platform, address.place, settings)
    return Reply(text=_shown(settings, asking), only_for_requester=True)


def changed(settings: PlaceSettings, words: list[str], asking: Asking) -> PlaceSettings:
    """The settings after all options, or a Refusal for the first that is wrong."""
    options = list(words)
    while options:
        name = fold(options.pop(0)).lstrip("-—–").lower()
        change = CHANGES.get(name)
        if change is None or not options:
            raise Refusal("setup-usage", option=name[:40] or "-")
        settings = change(settings, fold(options.pop(0)).lower(), asking)
    return settings


def _hourly(settings: PlaceSettings, value: str, _: Asking) -> PlaceSettings:
    if not (value.isascii() and value.isdigit()) or int(value) > HOURLY_MAX:
        raise Refusal("setup-hourly", limit=HOURLY_MAX)
    return msgspec.structs.replace(settings, hourly=int(value))


def _spoilers(settings: PlaceSettings, value: str, _: Asking) -> PlaceSettings:
    return msgspec.structs.replace(settings, spoilers=_switch("spoilers", value))


def _threads(settings: PlaceSettings, value: str, _: Asking) -> PlaceSettings:
    return msgspec.structs.replace(settings, threads=_switch("threads", value))


def _language(settings: PlaceSettings, value: str, _: Asking) -> PlaceSettings:
    match value:
        case "en" | "zh":
            return msgspec.structs.replace(settings, locale=value)
        case "auto":
            return msgspec.structs.replace(settings, locale=None)
        case _:
            raise Refusal("setup-language")


def _channels(settings: PlaceSettings, value: str, asking: Asking) -> PlaceSettings:
    """`all`, `here` (added to those there are), or ids with commas between."""
    if value == "all":
        return msgspec.structs.replace(settings, channels=())
    here = asking.invocation.address.route.get("channel", "")
    named = (*settings.channels, here) if value == "here" else tuple(value.replace("#", "").split(","))
    channels = tuple(dict.fromkeys(each for each in named if each))
    if (
        not channels
        or len(channels) > CHANNELS_MAX
        or not all(each.lstrip("-").isdigit() for each in channels)
    ):
        raise Refusal("setup-channels")
    return msgspec.structs.replace(settings, channels=channels)


CHANGES: dict[str, Change] = {
    "hourly": _hourly, "spoilers": _spoilers, "threads": _threads, "language": _language, "channels": _channels,
}  # fmt: skip


def _switch(option: str, value: str) -> bool:
    known = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}
    if value not in known:
        raise Refusal("setup-switch", option=option)
    return known[value]


def _shown(settings: PlaceSettings, asking: Asking) -> str:
    def switch(on: bool) -> str:
        return asking.say("setup-on" if on else "setup-off")

    return asking.say(
        "setup-show",
        channels=", ".join(settings.channels) or asking.say("setup-all"),
        threads=switch(settings.threads),
        spoilers=switch(settings.spoilers),
        hourly=settings.hourly,
        language=settings.locale or "auto",
    )

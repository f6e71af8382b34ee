"""Our commands as Discord shows them: one declaration gives names, options, autocomplete and the prompt text.

An option's value becomes the same text that a person would have typed (`--ar 16:9`), so that the commands' own
parser judges everything, also what an old client or a forger let through.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.chat import Locale
from bot.commands.options import KINDS, LENGTHS, SEED_MAX
from bot.config import Config
from bot.platforms.discord import wire
from bot.platforms.discord.wire import Option
from bot.replies import say

TEXT, INTEGER, BOOLEAN, NUMBER, FILE = 3, 4, 5, 10, 11  # Discord's option types
PROMPT_MAX = 6000  # Discord's limit for a text option
CHOICES_MAX, CHOICE_CHARS_MAX, DESCRIPTION_MAX = 25, 100, 100
ASPECTS = ("1:1", "16:9", "9:16", "3:2", "2:3", "4:3", "3:4", "21:9", "5:4", "4:5")
CHINESE = "zh-CN"
OTHER: Locale = "zh"  # the language that is shown under it
MAIN: Locale = "en"
REMIX, DETAILS = "Remix", "Details"  # in the menu of a message


@dataclass(frozen=True, kw_only=True)
class Field:
    """One option. `flag` is how the prompt language writes it; "": the words themselves."""

    name: str
    type: int = TEXT
    flag: str = ""
    required: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[tuple[str, str], ...] = ()  # value and the message that names it ("": the value)
    completes: bool = False

    def payload(self, command: str) -> dict[str, Any]:
        fields: dict[str, Any] = {"type": self.type, **_named("option", self.name, command)}
        if self.required:
            fields["required"] = True
        if self.type == TEXT and not self.choices:
            fields["max_length"] = PROMPT_MAX if not self.flag else 200
        if self.low is not None:
            fields |= {"min_value": self.low, "max_value": self.high}
        if self.choices:
            fields["choices"] = [_choice(value, message) for value, message in self.choices]
        if self.completes:
            fields["autocomplete"] = True
        return fields

    def written(self, value: str | float | bool) -> str:
        """The value in the prompt language; "" for one that says nothing."""
        if isinstance(value, bool):
            return self._switch(on=value)
        words = f"{value:g}" if isinstance(value, float) else str(value).strip()
        if not words or not self.flag:
            return words
        if self.flag != "no" and " " in words and '"' not in words:
            words = f'"{words}"'
        return f"--{self.flag} {words}"

    def _switch(self, *, on: bool) -> str:
        if self.flag in {"threads", "spoilers"}:
            return f"--{self.flag} {'on' if on else 'off'}"
        return f"--{self.flag}" if on else ""


@dataclass(frozen=True, kw_only=True)
class Command:
    name: str
    fields: tuple[Field, ...] = ()
    guilds_only: bool = False

    def payload(self) -> dict[str, Any]:
        fields = {
            "type": wire.SLASH,
            **_named("command", self.name),
            "options": [field.payload(self.name) for field in self.fields],
        }
        if self.guilds_only:
            return fields | {
                "contexts": [wire.GUILD_CONTEXT],
                "integration_types": [0],
                "default_member_permissions": wire.MANAGE_GUILD,
            }
        return fields | _EVERYWHERE

    def text(self, options: Iterable[Option]) -> str:
        """What the options say in the prompt language; what is not declared here is left out."""
        given = {each.name: each.value for each in options}
        parts: list[str] = []
        for field in sorted(self.fields, key=lambda each: each.flag == "no"):  # `no` takes all that follows
            value = given.get(field.name)
            if value is not None and field.type != FILE:
                parts.append(field.written(value))
        return " ".join(part for part in parts if part)

    def has_words(self, options: Iterable[Option]) -> bool:
        """Whether there is something to make, or only settings."""
        return any(each.name == "prompt" and str(each.value or "").strip() for each in options)


_EVERYWHERE: dict[str, Any] = {
    "contexts": [wire.GUILD_CONTEXT, wire.BOT_DM_CONTEXT, wire.PRIVATE_CONTEXT],
    "integration_types": [0, 1],
}
_PRIVATE = Field(name="private", type=BOOLEAN, flag="private")
_MODEL = Field(name="model", flag="model", completes=True)

COMMANDS: dict[str, Command] = {
    each.name: each
    for each in (
        Command(
            name="imagine",
            fields=(
                Field(name="prompt"),
                Field(name="picture", type=FILE),
                Field(name="ar", flag="ar", completes=True),
                Field(name="size", flag="size"),
                Field(name="style", flag="style", completes=True),
                _MODEL,
                Field(name="count", type=INTEGER, flag="count", low=1, high=10),
                Field(name="steps", type=INTEGER, flag="steps", low=1, high=150),
                Field(name="cfg", type=NUMBER, flag="cfg", low=0, high=30),
                Field(name="seed", type=INTEGER, flag="seed", low=0, high=SEED_MAX),
                Field(name="no", flag="no"),
                _PRIVATE,
            ),
        ),
        Command(
            name="write",
            fields=(
                Field(name="prompt"),
                Field(name="kind", flag="kind", choices=tuple((kind, "") for kind in KINDS)),
                Field(name="length", flag="length", choices=tuple((length, "") for length in LENGTHS)),
                Field(name="tone", flag="tone"),
                _MODEL,
                _PRIVATE,
            ),
        ),
        Command(name="jobs", fields=(Field(name="job", completes=True),)),
        Command(name="balance"),
        Command(name="plans"),
        Command(name="buy", fields=(Field(name="product"),)),
        Command(name="manage"),
        Command(name="receipts"),
        Command(name="redeem", fields=(Field(name="code", required=True),)),
        Command(name="gift", fields=(Field(name="person", required=True), Field(name="product"))),
        Command(name="refer"),
        Command(name="link", fields=(Field(name="code"),)),
        Command(name="paysupport"),
        Command(name="settings", fields=(Field(name="options"),)),
        Command(name="help"),
        Command(
            name="setup",
            guilds_only=True,
            fields=(
                Field(name="channels", flag="channels"),
                Field(name="threads", type=BOOLEAN, flag="threads"),
                Field(name="spoilers", type=BOOLEAN, flag="spoilers"),
                Field(name="hourly", type=INTEGER, flag="hourly", low=0, high=100_000),
                Field(
                    name="language",
                    flag="language",
                    choices=tuple((each, f"discord-language-{each}") for each in ("auto", "en", "zh")),
                ),
            ),
        ),
        Command(
            name="privacy",
            fields=(
                Field(
                    name="erase",
                    choices=(("erase", "discord-erase"), ("erase yes", "discord-erase-sure")),
                ),
            ),
        ),
        Command(name="claim", fields=(Field(name="code", required=True),)),
        Command(name="admin", fields=(Field(name="command"),)),
    )
}  # fmt: skip


def payload() -> list[dict[str, Any]]:
    """All commands, as they are registered."""
    return [*(command.payload() for command in COMMANDS.values()), _menu(REMIX), _menu(DETAILS)]


def fingerprint(application: str) -> bytes:
    """Changes when the commands have to be registered again."""
    declared = json.dumps([application, payload()], sort_keys=True)
    return hashlib.sha256(declared.encode()).hexdigest().encode()


def completions(
    config: Config, command: str, option: str, typed: str, locale: Locale
) -> list[dict[str, str]]:
    """What Discord offers while a person types: at most 25."""
    match option:
        case "ar":
            known: Mapping[str, str] = {value: value for value in ASPECTS}
        case "style":
            known = {
                name: (style.title_zh if locale == "zh" else style.title_en) or name
                for name, style in config.styles.items()
            }
        case "model":
            kind = "text" if command == "write" else "image"
            known = {name: model.title or name for name, model in config.models.items() if model.kind == kind}
        case _:
            known = {}
    return offered(known, typed)


def offered(known: Mapping[str, str], typed: str) -> list[dict[str, str]]:
    """Choices (value -> title) that have what was typed so far in them."""
    wanted = typed.strip().casefold()
    found = [
        {"name": title[:CHOICE_CHARS_MAX], "value": value[:CHOICE_CHARS_MAX]}
        for value, title in known.items()
        if wanted in value.casefold() or wanted in title.casefold()
    ]
    return found[:CHOICES_MAX]


def _named(what: str, name: str, command: str = "") -> dict[str, Any]:
    described = f"hint-{command}-{name}" if name in _OWN_WORDS.get(command, ()) else f"hint-{name}"
    return {
        "name": name,
        "name_localizations": {CHINESE: say(OTHER, f"discord-{what}-{name}")},
        "description": say(MAIN, described)[:DESCRIPTION_MAX],
        "description_localizations": {CHINESE: say(OTHER, described)[:DESCRIPTION_MAX]},
    }


_OWN_WORDS: dict[str, tuple[str, ...]] = {"write": ("prompt",)}


def _choice(value: str, message: str) -> dict[str, Any]:
    if not message:
        return {"name": value, "value": value}
    return {
        "name": say(MAIN, message),
        "name_localizations": {CHINESE: say(OTHER, message)},
        "value": value,
    }


def _menu(name: str) -> dict[str, Any]:
    localized = {CHINESE: say(OTHER, f"discord-menu-{name.lower()}")}
    return {"type": wire.ON_MESSAGE, "name": name, "name_localizations": localized, **_EVERYWHERE}

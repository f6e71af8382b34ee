"""What the page knows when it opens: the words of its own labels, the prompt language's hints, the models.

`bootstrap` supplies everything except `name`, `csrf`, `strings` and `limits`, which the platform fills in itself.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from bot.chat import Locale


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """One option of the prompt language. With `commands` empty it is offered for every command."""

    name: str  # as typed: "--ar"
    hint: str
    values: tuple[str, ...] = ()  # offered after the name; styles and models are offered without being listed
    commands: tuple[str, ...] = ()


class CommandHint(msgspec.Struct, frozen=True, kw_only=True):
    name: str  # "imagine"
    hint: str


class ModelHint(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    kind: Literal["image", "text"]
    from_picture: bool = True  # whether it is offered beside a picture


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that works well. `command` is what it is given to."""

    text: str
    command: str = "imagine"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    upload_bytes: int
    text_bytes: int


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    locale: Locale
    name: str = ""  # of this instance
    commands: tuple[CommandHint, ...] = ()
    options: tuple[Hint, ...] = ()
    styles: tuple[str, ...] = ()
    models: tuple[ModelHint, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    sells: bool = False  # whether anything can be bought here
    banner: str = ""  # the small Markdown of replies
    csrf: str = ""
    strings: dict[str, str] = {}
    limits: Limits | None = None

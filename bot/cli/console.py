"""What all commands share: which configuration, who acts, and how a table looks on a terminal and in a pipe."""

from __future__ import annotations

import getpass
import os
import sys
import unicodedata
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import rich
import typer
from rich.table import Table as RichTable
from rich.text import Text

from bot import bootstrap, settings
from bot.chat import Table
from bot.config import Config, ConfigError
from bot.operations import Actor, Operations

ConfigPath = Annotated[Path | None, typer.Option("--config", help="config.toml to read")]
EVENT_CHARS_MAX = 120


def load(path: Path | None) -> Config:
    return settings.load(path, os.environ, kept=True)


def actor(reason: str = "", event: str = "") -> Actor:
    """Who sits at this terminal. Raises ConfigError for an event that is too long to be a key."""
    if len(event) > EVENT_CHARS_MAX:
        raise ConfigError(f"--event must have at most {EVENT_CHARS_MAX} characters, not {len(event)}.")
    return Actor(name=f"cli:{_os_user()}"[:200], event=f"cli:{event or uuid4().hex}", reason=reason[:500])


@asynccontextmanager
async def desk(config: Config) -> AsyncGenerator[Operations]:
    """The operations of this instance, beside a process that may be running it."""
    async with bootstrap.storage_of(config) as (database, _):
        yield bootstrap.operations_of(config, database)


def address(config: Config) -> str:
    """Where the page is. Raises ConfigError if there is none."""
    web = config.web
    if not web.enabled:
        raise ConfigError("web.enabled is false, so there is no page: set it to true.")
    if web.public_url:
        return web.public_url
    host = "127.0.0.1" if web.host in ("0.0.0.0", "::", "") else web.host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{web.port}/"


def say(sentence: str) -> None:
    typer.echo(printable(sentence))


def draw(table: Table) -> None:
    """With lines and colours for a person, one row a line for a program."""
    if sys.stdout.isatty():
        rich.print(_drawn(table))
    else:
        typer.echo("\n".join(aligned([table.columns, *table.rows])))


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns two spaces apart, wide letters counted as two."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell + " " * (wide - _width(cell)) for cell, wide in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def printable(text: str) -> str:
    """Without what would steer the terminal: names and reasons come from strangers."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


def _drawn(table: Table) -> RichTable:
    drawn = RichTable(*table.columns, title=printable(table.title))
    for row in table.rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    return drawn


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return str(os.getuid())

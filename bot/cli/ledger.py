"""`atelier ledger`: whether the books add up."""

from __future__ import annotations

import asyncio

import typer

from bot import bootstrap
from bot.cli.console import ConfigPath, load, say
from bot.config import Config
from storage import ledger
from storage.ledger import Drift

app = typer.Typer(no_args_is_help=True, help="The ledger: credits, holds and debts.")


@app.callback()
def root() -> None:
    """The ledger: credits, holds and debts."""


@app.command()
def check(config: ConfigPath = None) -> None:
    """Compare all books with what they speak of; each difference is a line, and any makes the exit code 1."""
    drift = asyncio.run(_check(load(config)))
    for each in drift:
        say(f"{each.what} #{each.subject}: {each.expected} expected, {each.found} found")
    if drift:
        raise typer.Exit(1)
    say("The books add up.")


async def _check(config: Config) -> list[Drift]:
    async with bootstrap.storage_of(config) as (database, _):
        return await database.read(ledger.check)

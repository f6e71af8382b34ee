"""Backup, restore and the database's own commands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from bot import bootstrap, settings, upkeep
from bot.cli.console import ConfigPath, load, say
from bot.config import Config
from bot.upkeep import Made
from storage import schema
from storage.database import connect

db = typer.Typer(
    no_args_is_help=True, help="The database: bring its schema up to date, or move to another one."
)


def backup(
    file: Annotated[
        Path | None, typer.Argument(help="new .tar.gz or .tar; by default in the home folder")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Save database, pictures and the key of links and sessions in one file, also while the bot runs: keep it safe.

    Tokens of chats and payments are not in it.
    """
    loaded, now = load(config), bootstrap.now()
    target = file or upkeep.default_file(loaded, now)

    async def work() -> Made:
        async with bootstrap.storage_of(loaded) as (database, blobs):
            return await upkeep.backup(loaded, database, blobs, target, now=now)

    made = asyncio.run(work())
    say(f"{target} holds {made.rows} rows and {made.blobs} files, {target.stat().st_size} bytes in all.")
    if made.blobs_missing:
        say(f"{made.blobs_missing} files that the database names were not in the store.")
    if made.secrets:
        say(f"The values of {', '.join(made.secrets)} are not in it: keep them in another safe place.")


def restore(
    file: Annotated[Path, typer.Argument(help="what `atelier backup` wrote")],
    force: Annotated[bool, typer.Option("--force", help="replace what this instance holds")] = False,
    config: ConfigPath = None,
) -> None:
    """Put a backup's database, pictures and keys in place; the bot must not run."""
    made = asyncio.run(upkeep.restore(load(config), file, force=force, now=bootstrap.now()))
    say(f"Restored {made.rows} rows and {made.blobs} files as they were on {made.made_at}.")
    if made.aside:
        say(f"The database that was here before is kept as {made.aside}.")
    if made.secrets:
        say(f"Set {', '.join(made.secrets)} again, in the environment or secrets.env: no backup holds them.")
    if made.drift:
        say(f"The ledger does not add up in {made.drift} places, as when it was saved: see `atelier doctor`.")


@db.command()
def upgrade(config: ConfigPath = None) -> None:
    """Bring the schema up to date, with a backup before on SQLite. `run` does so by itself."""
    changed = asyncio.run(_upgrade(load(config)))
    say("The database is up to date now." if changed else "The database was up to date already.")


@db.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM_URL", help="sqlite:///file or postgresql://…")],
    target: Annotated[str, typer.Argument(metavar="TO_URL", help="an empty database of either kind")],
    config: ConfigPath = None,
) -> None:
    """Copy all rows between SQLite and PostgreSQL; the bot must not run."""
    made = asyncio.run(upkeep.copy(source, target, folder=settings.home(load(config))))
    say(f"{made.rows} rows are copied and proved complete: set ATELIER_DATABASE_URL to use them.")


async def _upgrade(config: Config) -> bool:
    url = settings.database_url(config)
    database = connect(url, pool=config.database.pool)
    try:
        return await schema.upgrade(database, url, backups=settings.home(config) / "backups")
    finally:
        await database.close()

"""`atelier doctor`: the check-up, for a person or as JSON. Exit code 1 if anything fails."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import typer

from bot import bootstrap, checkup, settings
from bot.checkup import Finding, Ward
from bot.cli.console import ConfigPath, load, say
from bot.config import Config, ConfigError
from storage import transfer
from storage.database import Database, StorageError, connect

MARKS = {"ok": "ok     ", "failed": "FAILED ", "skipped": "-      "}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON list of findings")] = False,
    config: ConfigPath = None,
) -> None:
    """Check configuration, folders, database, store, devices and models; each failure names its fix."""
    findings = _findings(config)
    if as_json:
        typer.echo(msgspec.json.encode(findings).decode())
    else:
        _show(findings)
    if any(each.state == "failed" for each in findings):
        raise typer.Exit(1)


def _findings(config: ConfigPath) -> list[Finding]:
    try:
        loaded = load(config)
    except ConfigError as error:
        fix = "Correct config.toml or the environment: nothing else can be checked before."
        return [Finding(name="configuration", state="failed", said=str(error), fix=fix)]
    first = Finding(
        name="configuration", state="ok", said=f"{len(loaded.models)} models, {len(loaded.plans)} plans"
    )
    return [first, *asyncio.run(_examine(loaded))]


async def _examine(config: Config) -> list[Finding]:
    database, trouble = await _reached(config)
    try:
        ward = Ward(config=config, database=database, now=bootstrap.now(), trouble=trouble)
        return await checkup.examine(ward)
    finally:
        if database is not None:
            await database.close()


async def _reached(config: Config) -> tuple[Database | None, str]:
    """The database, or why there is none."""
    if not checkup.expects_database(config):
        return None, ""
    database = connect(settings.database_url(config), pool=config.database.pool)
    try:
        await transfer.on(database, transfer.revision)
    except (StorageError, OSError) as error:
        await database.close()
        why = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        return None, f"The database cannot be reached: {why}."
    return database, ""


def _show(findings: list[Finding]) -> None:
    wide = max(len(each.name) for each in findings)
    for each in findings:
        say(f"{MARKS[each.state]}{each.name:<{wide}}  {each.said}")
        if each.fix:
            say(f"{'':<{wide + 9}}{each.fix}")

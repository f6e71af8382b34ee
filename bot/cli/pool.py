"""The devices and the queue: what `/admin pool` does, from a terminal, wherever the devices are."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from bot.chat import Table
from bot.cli.console import ConfigPath, actor, desk, draw, load, say
from bot.config import Config

app = typer.Typer(help="The devices and the queue: see, drain, resume, cancel.", invoke_without_command=True)
Device = Annotated[str, typer.Argument(help="as `atelier pool` shows it")]
Reason = Annotated[str, typer.Option("--reason", help="kept in the audit log")]


@app.callback()
def pool(context: typer.Context, config: ConfigPath = None) -> None:
    """The devices and the queue: see, drain, resume, cancel."""
    if context.invoked_subcommand is None:
        draw(asyncio.run(_table(load(config))))


@app.command()
def drain(device: Device, reason: Reason = "", config: ConfigPath = None) -> None:
    """Give a device no more jobs; what runs there finishes, then its worker ends."""
    asyncio.run(_drain(load(config), device, reason, drained=True))
    say(f"{device} takes no more jobs; what runs there finishes. `atelier pool` shows when it is drained.")


@app.command()
def resume(device: Device, reason: Reason = "", config: ConfigPath = None) -> None:
    """Undo a drain."""
    asyncio.run(_drain(load(config), device, reason, drained=False))
    say(f"{device} takes jobs again.")


@app.command()
def cancel(
    job: Annotated[str, typer.Argument(help="its number")], reason: Reason = "", config: ConfigPath = None
) -> None:
    """End a job, waiting or running; what was done of it is paid for."""

    async def work(loaded: Config) -> None:
        async with desk(loaded) as operations:
            await operations.cancel(job, actor=actor(reason))

    asyncio.run(work(load(config)))
    say(f"Job {job} is being cancelled.")


async def _table(config: Config) -> Table:
    async with desk(config) as operations:
        return await operations.table("pool")


async def _drain(config: Config, device: str, reason: str, *, drained: bool) -> None:
    async with desk(config) as operations:
        await operations.drain(device, drained=drained, actor=actor(reason))

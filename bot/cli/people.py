"""Accounts and the instance in figures: what `/admin` does, from a terminal, also while the bot runs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from bot.chat import Table
from bot.cli.console import ConfigPath, actor, address, desk, draw, load, say
from bot.config import Config, ConfigError
from bot.jobs.refusals import Refusal

Who = Annotated[str, typer.Argument(help="an account such as 12, or an identity such as discord:123")]
Reason = Annotated[str, typer.Option("--reason", help="kept in the audit log")]
Days = Annotated[int | None, typer.Option("--days", min=1, max=36500, help="how long; for good by default")]


def grant(
    who: Who,
    amount: Annotated[int, typer.Argument(help="credits to give; with a minus, to take")],
    reason: Reason = "",
    days: Days = None,
    event: Annotated[str, typer.Option("--event", help="the same event counts once")] = "",
    config: ConfigPath = None,
) -> None:
    """Give credits, or take them with a minus."""
    if amount == 0 or abs(amount) > 10**9:
        raise Refusal("admin-no-amount", text=str(amount))

    async def work(loaded: Config) -> int:
        async with desk(loaded) as operations:
            return await operations.grant(who, amount, days=days, actor=actor(reason, event))

    have = asyncio.run(work(load(config)))
    say(f"{who} has {have} credits to spend now.")


def plan(
    who: Who,
    plan: Annotated[str, typer.Argument(help="a plan of config.toml")],
    days: Days = None,
    reason: Reason = "",
    config: ConfigPath = None,
) -> None:
    """Put an account on a plan."""

    async def work(loaded: Config) -> None:
        async with desk(loaded) as operations:
            await operations.plan(who, plan, days=days, actor=actor(reason))

    asyncio.run(work(load(config)))
    say(f"{who} is on {plan}" + (f" for {days} days." if days else "."))


def ban(who: Who, reason: Reason = "", config: ConfigPath = None) -> None:
    """Ban an account; its person sees the reason."""
    _set_ban(load(config), who, reason, banned=True)
    say(f"{who} is banned.")


def unban(who: Who, reason: Reason = "", config: ConfigPath = None) -> None:
    """Lift a ban."""
    _set_ban(load(config), who, reason, banned=False)
    say(f"{who} may use the bot again.")


def user(who: Who, config: ConfigPath = None) -> None:
    """Show one account: plan, credits, live jobs."""

    async def work(loaded: Config) -> Table:
        async with desk(loaded) as operations:
            return await operations.user(who)

    draw(asyncio.run(work(load(config))))


def stats(config: ConfigPath = None) -> None:
    """Show the instance in figures."""

    async def work(loaded: Config) -> Table:
        async with desk(loaded) as operations:
            return await operations.stats()

    draw(asyncio.run(work(load(config))))


def jobs(
    live: Annotated[bool, typer.Option("--live", help="only those that wait or run")] = False,
    page: Annotated[int, typer.Option("--page", min=1, max=10**6)] = 1,
    config: ConfigPath = None,
) -> None:
    """List jobs, newest first, 50 a page."""

    async def work(loaded: Config) -> Table:
        async with desk(loaded) as operations:
            return await operations.table("queue" if live else "jobs", page=page - 1)

    draw(asyncio.run(work(load(config))))


def admin(config: ConfigPath = None) -> None:
    """Print a link into the admin page: it works once, within ten minutes."""
    loaded = load(config)
    base = address(loaded)
    if loaded.web.port == 0 and not loaded.web.public_url:
        raise ConfigError("web.port is 0, so the page's address is not known here: set a port.")

    async def work() -> str:
        async with desk(loaded) as operations:
            return operations.admin_link(base)

    typer.echo(asyncio.run(work()))


def _set_ban(config: Config, who: str, reason: str, *, banned: bool) -> None:
    async def work() -> None:
        async with desk(config) as operations:
            await operations.ban(who, banned=banned, actor=actor(reason))

    asyncio.run(work())

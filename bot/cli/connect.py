"""`atelier setup` and `atelier claim`: from two tokens to a bot that has an owner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from bot import onboarding, settings
from bot.bootstrap import now, signer_of
from bot.cli.console import ConfigPath, load
from bot.config import Config
from bot.onboarding import TokenTrouble
from bot.operations import claim_code

Check = Callable[[Config, str], Awaitable[list[str]]]
CHATS: dict[str, Check] = {"discord": onboarding.discord, "telegram": onboarding.telegram}


def setup(
    discord: Annotated[str | None, typer.Option(help="Discord's bot token; asked for otherwise")] = None,
    telegram: Annotated[str | None, typer.Option(help="Telegram's bot token; asked for otherwise")] = None,
    config: ConfigPath = None,
) -> None:
    """Check the tokens of Discord and Telegram, keep them, and print the links that invite the bot."""
    loaded = load(config)
    given = {"discord": discord, "telegram": telegram}
    good: dict[str, str] = {}
    for chat, check in CHATS.items():
        token = _asked(chat) if given[chat] is None else (given[chat] or "").strip()
        if token and asyncio.run(_try(chat, check, loaded, token)):
            good[f"ATELIER_{chat.upper()}_TOKEN"] = token
    if not good:
        typer.echo("No token was kept. The web page works without any.")
        raise typer.Exit(1)
    file = settings.secrets_file(loaded)
    onboarding.keep(good, file)
    typer.echo(f"Kept in {file}, which only you can read.")
    _print_claim(loaded)


def claim(config: ConfigPath = None) -> None:
    """Print a code that makes whoever sends it to the bot its owner: once, within an hour."""
    _print_claim(load(config))


def _print_claim(config: Config) -> None:
    typer.echo(
        f"To become its owner, send the bot within an hour: /claim {claim_code(signer_of(config), now())}"
    )


def _asked(chat: str) -> str:
    question = f"{chat.capitalize()} token (empty to leave out)"
    answer: str = typer.prompt(question, default="", hide_input=True, show_default=False)
    return answer.strip()


async def _try(chat: str, check: Check, config: Config, token: str) -> bool:
    try:
        found = await check(config, token)
    except TokenTrouble as trouble:
        typer.echo(f"{chat.capitalize()}: {trouble}")
        return False
    typer.echo("\n".join(found))
    return True

"""Connecting an instance to Discord and Telegram: what the tokens are good for, said before anything starts.

Used by `atelier setup` and `atelier doctor`. Asks the platforms only who a token belongs to; changes nothing
there. What is found is said in sentences; what is in the way is a TokenTrouble.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import msgspec

from bot.config import Config
from bot.payments import products
from bot.payments.discord_sku import SUBSCRIPTION, Sku
from bot.payments.products import Product
from bot.platforms.discord.client import invite_url

PRIVILEGED_FLAGS = (1 << 12) | (1 << 14) | (1 << 18)
"""Application flags that say a privileged intent is granted: presence, members, message content."""
AVAILABLE, GUILD_SUBSCRIPTION, USER_SUBSCRIPTION = 1 << 2, 1 << 7, 1 << 8  # flags of a SKU
TIMEOUT = aiohttp.ClientTimeout(total=20)


class TokenTrouble(Exception):
    """What stands in the way, with its fix, in one sentence. It never quotes a token."""


async def discord(config: Config, token: str) -> list[str]:
    """Who the token is, and the links that invite it."""
    headers = {"Authorization": f"Bot {token}"}
    status, application = await _get(f"{config.discord.api_base.rstrip('/')}/applications/@me", headers)
    if status == 401:
        raise TokenTrouble(
            "Discord does not know this token: copy it anew from the portal, Bot, Reset Token."
        )
    if status != 200:
        raise TokenTrouble(f"Discord answers {status}: try again later, or look at its status page.")
    identity = str(application.get("id", ""))
    found = [f"Discord: this is {application.get('name', '?')}."]
    if int(application.get("flags", 0)) & PRIVILEGED_FLAGS:
        found.append("Discord: privileged intents are on; Atelier needs none, so they can be switched off.")
    if not application.get("bot_public", True):
        found.append("Discord: the bot is not public, so only you can add it to servers.")
    return [*found, *(f"{what}: {link}" for what, link in invitations(identity))]


async def discord_shop(config: Config, token: str) -> str:
    """Whether each SKU of config.toml is in Discord's shop, of the right kind and for sale."""
    api, headers = config.discord.api_base.rstrip("/"), {"Authorization": f"Bot {token}"}
    _, application = await _get(f"{api}/applications/@me", headers)
    status, answer = await _ask(f"{api}/applications/{application.get('id', '')}/skus", headers)
    if status != 200 or not isinstance(answer, list):
        raise TokenTrouble(f"Discord does not show its shop ({status}): enable monetization in the portal.")
    listed = {each.id: each for each in msgspec.convert(answer, list[Sku])}
    sold = [each for each in products.catalogue(config).values() if each.discord_sku]
    for product in sold:
        if trouble := _sku_trouble(product, listed.get(product.discord_sku)):
            raise TokenTrouble(f"The SKU of {product.id} {trouble}")
    return f"{len(sold)} SKUs for sale"


def _sku_trouble(product: Product, sku: Sku | None) -> str:
    """What is wrong with it, with the fix; or nothing."""
    if sku is None:
        return "is not in this application's shop: copy its number anew from the portal, Monetization, Manage SKUs."
    scope = GUILD_SUBSCRIPTION if product.for_place else USER_SUBSCRIPTION
    if product.kind == "plan" and not (sku.type >= SUBSCRIPTION and sku.flags & scope):
        wanted = "guild" if product.for_place else "user"
        return f"must be a {wanted} subscription there: make one in the portal and take its number."
    if product.kind == "pack" and sku.type >= SUBSCRIPTION:
        return "must be a consumable (or durable, bought once): make one in the portal and take its number."
    if not sku.flags & AVAILABLE:
        return "is not published: set its price and publish it in the portal, Monetization, Manage SKUs."
    return ""


def invitations(application: str) -> list[tuple[str, str]]:
    """The links that add the bot to a server, with least permissions, and to a person's own apps."""
    person = {"client_id": application, "integration_type": 1, "scope": "applications.commands"}
    return [
        ("Add it to a server", invite_url(application)),
        ("Add it for yourself, everywhere", "https://discord.com/oauth2/authorize?" + urlencode(person)),
    ]


async def telegram(config: Config, token: str) -> list[str]:
    """Who the token is, and whether anything stands between its updates and us."""
    test = "/test" if config.telegram.test_environment else ""
    base = f"{config.telegram.api_base.rstrip('/')}/bot{token}{test}"
    status, answer = await _get(f"{base}/getMe", {})
    if status in (401, 404):
        raise TokenTrouble("Telegram does not know this token: ask BotFather for it again with /token.")
    me: dict[str, Any] = answer.get("result") or {}
    if status != 200 or not me:
        raise TokenTrouble(f"Telegram answers {status}: try again later.")
    found = [f"Telegram: this is @{me.get('username', '?')}: https://t.me/{me.get('username', '')}"]
    if me.get("can_read_all_group_messages"):
        found.append("Telegram: privacy mode is off; Atelier needs it on (BotFather, /setprivacy, Enable).")
    if not me.get("can_join_groups", True):
        found.append("Telegram: it cannot be added to groups (BotFather, /setjoingroups, Enable).")
    if config.telegram.vault_chat and not me.get("supports_inline_queries"):
        found.append("Telegram: vault_chat is set but inline mode is off (BotFather, /setinline).")
    return [*found, *await _webhook(config, base)]


async def _webhook(config: Config, base: str) -> list[str]:
    _, answer = await _get(f"{base}/getWebhookInfo", {})
    info: dict[str, Any] = answer.get("result") or {}
    wanted, actual = config.telegram.webhook_url, str(info.get("url", ""))
    if wanted and not config.secrets.telegram_webhook_secret:
        raise TokenTrouble(
            "Telegram: webhook_url needs ATELIER_TELEGRAM_WEBHOOK_SECRET, any long random word."
        )
    if info.get("last_error_message"):
        return [f"Telegram: its last call to {actual} failed: {info['last_error_message']}."]
    if not wanted and actual:
        return ["Telegram: a webhook is set elsewhere; Atelier removes it at start to poll."]
    return []


def keep(tokens: dict[str, str], path: Path) -> None:
    """Writes tokens into a file that only its owner may read; others in it stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if line.partition("=")[0] not in tokens]
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join([*kept, *(f"{name}={value}" for name, value in tokens.items())]) + "\n")
    partial.rename(path)


async def _get(url: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Status and JSON object. Raises TokenTrouble."""
    status, answer = await _ask(url, headers)
    return status, cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}


async def _ask(url: str, headers: dict[str, str]) -> tuple[int, object]:
    """Status and JSON. Raises TokenTrouble, which never quotes the URL: it may hold a token."""
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            return response.status, json.loads(await response.content.read(1_000_000))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise TokenTrouble(
            f"no usable answer ({type(error).__name__}): check the network and api_base"
        ) from None

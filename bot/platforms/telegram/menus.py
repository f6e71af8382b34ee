"""The command menu, by language and by where it opens. Set only where it is not already so."""

from __future__ import annotations

from telegram import (
    Bot,
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllChatAdministrators,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
)

from bot.chat import LOCALES, Locale
from bot.replies import say

PRIVATE = (
    "imagine", "write", "jobs", "balance", "plans", "buy", "manage", "receipts", "redeem", "gift", "refer", "link",
    "sell", "settings", "help", "privacy", "paysupport", "terms", "start",
)  # fmt: skip
"""`paysupport` and `terms` are asked of bots that sell: https://telegram.org/tos/stars"""
GROUPS = ("imagine", "write", "jobs", "balance", "plans", "buy", "help", "privacy", "paysupport", "terms")
ADMINS = (*GROUPS, "setup")
SCOPES: tuple[tuple[BotCommandScope, tuple[str, ...]], ...] = (
    (BotCommandScopeAllPrivateChats(), PRIVATE),
    (BotCommandScopeAllGroupChats(), GROUPS),
    (BotCommandScopeAllChatAdministrators(), ADMINS),
)
HINT_UNITS_MAX = 256


async def synchronise(bot: Bot) -> int:
    """Returns how many menus had changed. English is the menu of all languages that have none."""
    changed = 0
    for scope, names in SCOPES:
        for locale in LOCALES:
            language = None if locale == "en" else locale
            wanted = menu(names, locale)
            if tuple(await bot.get_my_commands(scope=scope, language_code=language)) != wanted:
                await bot.set_my_commands(wanted, scope=scope, language_code=language)
                changed += 1
    return changed


def menu(names: tuple[str, ...], locale: Locale) -> tuple[BotCommand, ...]:
    return tuple(BotCommand(name, say(locale, f"hint-{name}")[:HINT_UNITS_MAX]) for name in names)

"""The commands, one file each, listed here once; platforms offer what this registry holds."""

from bot.commands import (
    admin,
    balance,
    buy,
    claim,
    gift,
    help,
    imagine,
    jobs,
    link,
    manage,
    paysupport,
    plans,
    press,
    privacy,
    receipts,
    redeem,
    refer,
    settings,
    setup,
    start,
    terms,
    write,
)
from bot.commands.context import Asking, Context, Run

_ALL = (
    imagine, write, jobs, balance, plans, buy, manage, receipts, redeem, gift, refer, link, settings, help,
    start, privacy, paysupport, terms, setup, claim, admin, press,
)  # fmt: skip
REGISTRY: dict[str, Run] = {each.NAME: each.run for each in _ALL}

__all__ = ["REGISTRY", "Asking", "Context", "Run"]

"""The commands, one file each, listed here once; platforms offer what this registry holds."""

from bot.commands import (
    admin,
    balance,
    claim,
    help,
    imagine,
    jobs,
    press,
    privacy,
    settings,
    setup,
    start,
    write,
)
from bot.commands.context import Asking, Context, Run

_ALL = (imagine, write, jobs, balance, settings, help, start, privacy, setup, claim, admin, press)
REGISTRY: dict[str, Run] = {each.NAME: each.run for each in _ALL}

__all__ = ["REGISTRY", "Asking", "Context", "Run"]

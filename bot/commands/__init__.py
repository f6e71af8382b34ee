"""The commands, one file each, listed here once; platforms offer what this registry holds."""

from bot.commands import admin, balance, help, imagine, jobs, press, settings, write
from bot.commands.context import Asking, Context, Run

REGISTRY: dict[str, Run] = {
    each.NAME: each.run for each in (imagine, write, jobs, balance, settings, help, admin, press)
}

__all__ = ["REGISTRY", "Asking", "Context", "Run"]

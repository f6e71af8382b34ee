"""What all admin commands take from their words: enough of them, a `yes`, and who acts for which reason."""

from __future__ import annotations

from bot.commands.context import Asking
from bot.jobs.refusals import Refusal
from bot.operations import Actor

SURE = frozenset({"yes", "确定"})


def at_least(words: list[str], count: int) -> list[str]:
    if len(words) < count:
        raise Refusal("admin-usage")
    return words


def is_sure(rest: list[str]) -> bool:
    """What takes something away is done only after a `yes`."""
    return bool(rest) and rest[0].lower() in SURE


def actor(asking: Asking, reason: list[str]) -> Actor:
    person = asking.invocation.person
    return Actor(name=f"{person.platform}:{person.id}", event=asking.key, reason=" ".join(reason)[:500])

"""Pressed buttons rest while their job is on its way: which ones do, under which message. In memory only.

Whoever redraws a message's buttons holds its lock, so that a late rest never covers a waking.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

MESSAGES_MAX = 10_000


@dataclass
class Rests:
    """The buttons that rest under one message, by the job that each started."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    buttons: dict[int, str] = field(default_factory=dict[int, str])

    @property
    def asleep(self) -> frozenset[str]:
        return frozenset(self.buttons.values())


class Resting:
    def __init__(self) -> None:
        self._kept: OrderedDict[str, Rests] = OrderedDict()

    def of(self, message: str) -> Rests:
        found = self._kept.setdefault(message, Rests())
        self._kept.move_to_end(message)
        while len(self._kept) > MESSAGES_MAX:
            self._kept.popitem(last=False)
        return found

    def pressed_for(self, job: int) -> str:
        """The message whose button started this job and rests, or ""."""
        return next((message for message, rests in self._kept.items() if job in rests.buttons), "")

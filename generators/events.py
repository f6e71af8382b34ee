"""One job's events on their way to one reader, who may be slow: what waits is bounded by merging.

At most one Accepted, one Progress (the newest), one Token (all text that waits) and one terminal event wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import assert_never

import msgspec

from generators.messages import Accepted, Cancelled, Event, Failed, Progress, Result, Token

Terminal = Result | Failed | Cancelled


class Events(AsyncIterator[Event]):
    """Iterate to receive; the terminal event comes exactly once and last. Closing it early cancels the job."""

    def __init__(self, abandon: Callable[[], None]) -> None:
        self._abandon = abandon
        self._waiting: dict[type[Event], Event] = {}
        self._arrived = asyncio.Event()
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the terminal event has arrived, read or not."""
        return self._ended

    def put(self, event: Event) -> None:
        """Never blocks; ignored after the terminal event."""
        if self._ended:
            return
        self._ended = isinstance(event, Terminal)
        self._waiting[type(event)] = merged(self._waiting.get(type(event)), event)
        self._arrived.set()

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.pop(next(iter(self._waiting)))

    async def aclose(self) -> None:
        """Say that nobody listens any more."""
        if not self._ended:
            self._abandon()


def merged(earlier: Event | None, event: Event) -> Event:
    """What one event says that stands for both. An earlier preview stays until a newer one replaces it."""
    match event:
        case Token() if isinstance(earlier, Token):
            return msgspec.structs.replace(event, text=earlier.text + event.text)
        case Progress(preview=b"") if isinstance(earlier, Progress):
            return msgspec.structs.replace(event, preview=earlier.preview)
        case Accepted() | Progress() | Token() | Result() | Failed() | Cancelled():
            return event
        case _:
            assert_never(event)

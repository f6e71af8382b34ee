"""Wake-ups after a commit: who waits for jobs, deliveries or progress need not poll to be prompt.

`notify` inside a transaction takes effect with its commit. With PostgreSQL the words travel by NOTIFY to every
process; they carry only ids. A signal may be lost (a connection drops), never invented work: whoever waits
also looks by himself now and then.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import asyncpg
import structlog
from sqlalchemy.orm import Session

CHANNELS = ("jobs", "deliveries", "progress", "cancels", "accounts", "notices", "pool")
RECONNECT_SECONDS = 1.0

log = structlog.get_logger(__name__)
Listener = Callable[[str], None]


def notify(session: Session, channel: str, payload: object = "") -> None:
    """Tells listeners of `channel` once this transaction has committed. The same words twice are said once."""
    assert channel in CHANNELS, channel
    sent: dict[tuple[str, str], None] = session.info.setdefault("signals", {})
    sent[channel, str(payload)] = None


class Signals:
    """Who listens in this process. Listeners run on the event loop and must return at once."""

    def __init__(self, *, listen_to: str | None = None) -> None:
        self._listeners: dict[str, list[Listener]] = defaultdict(list)
        self._listening = asyncio.create_task(self._listen(listen_to)) if listen_to else None

    def on(self, channel: str, listener: Listener) -> None:
        self._listeners[channel].append(listener)

    def off(self, channel: str, listener: Listener) -> None:
        self._listeners[channel].remove(listener)

    def publish(self, channel: str, payload: str) -> None:
        for listener in tuple(self._listeners[channel]):
            listener(payload)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    async def _listen(self, url: str) -> None:
        while True:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._listen_once(url)
            log.warning("signals.lost")
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen_once(self, url: str) -> None:
        closed = asyncio.Event()
        connect = cast("Any", asyncpg).connect
        connection: Any = await connect(url, timeout=10)
        try:
            connection.add_termination_listener(partial(_set, closed))
            for channel in CHANNELS:
                await connection.add_listener(channel, self._heard)
            for channel in CHANNELS:
                self.publish(channel, "")  # something may have been said while nobody listened
            await closed.wait()
        finally:
            with suppress(Exception):
                await connection.close(timeout=1)

    def _heard(self, _connection: object, _pid: int, channel: str, payload: str) -> None:
        self.publish(channel, payload)


def _set(event: asyncio.Event, _connection: object) -> None:
    event.set()


class Wake:
    """An event set by signals of a channel: `await wake.wait(seconds)` returns at a signal or after that time."""

    def __init__(self, signals: Signals, *channels: str) -> None:
        self._event = asyncio.Event()
        for channel in channels:
            signals.on(channel, lambda _: self._event.set())

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Whether there was a signal."""
        # Not wait_for: until Python 3.12 it loses a cancellation that comes together with the signal.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        heard = self._event.is_set()
        self._event.clear()
        return heard

"""Tells the database which devices this process has, and does with them what operators want.

Whoever looks or commands (a chat, the page, a terminal) may be another process: the rows are all they share.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Protocol

import msgspec
import structlog

from generators.device import DeviceStatus
from storage import devices
from storage.database import Database, DatabaseUnavailable
from storage.signals import Wake

LOOK_SECONDS = 2.0  # between looks at the devices, and how long a lost signal delays a wish
SAY_SECONDS = 10.0  # between reports when nothing changes

log = structlog.get_logger(__name__)


class Devices(Protocol):
    """What of `generators.pool.Pool` is used here."""

    def devices(self) -> tuple[DeviceStatus, ...]: ...
    def drain(self, device: str) -> None: ...
    def resume(self, device: str) -> None: ...


class Roster:
    def __init__(self, database: Database, pool: Devices, *, owner: str) -> None:
        self._database, self._pool, self._owner = database, pool, owner
        self._wake = Wake(database.signals, "pool")
        self._said: tuple[DeviceStatus, ...] | None = None
        self._said_at = 0.0

    async def run(self) -> None:
        """Until cancelled; then the devices are no longer listed."""
        try:
            while True:
                woken = await self._wake.wait(LOOK_SECONDS)
                if (
                    woken
                    or self._pool.devices() != self._said
                    or time.monotonic() > self._said_at + SAY_SECONDS
                ):
                    await self._report()
        finally:
            with suppress(DatabaseUnavailable):
                await self._database.run(devices.forget, self._owner)

    async def _report(self) -> None:
        said = self._pool.devices()
        statuses = {each.device: msgspec.json.encode(each) for each in said}
        try:
            drained = await self._database.run(devices.report, self._owner, statuses)
        except DatabaseUnavailable as error:
            log.warning("roster.database_away", error=str(error))
            return
        self._said, self._said_at = said, time.monotonic()
        for each in said:
            self._obey(each, drained=each.device in drained)

    def _obey(self, device: DeviceStatus, *, drained: bool) -> None:
        if drained == (device.state in ("draining", "drained")):
            return
        log.info("device.drain" if drained else "device.resume", device=device.device)
        with suppress(KeyError):  # it has just left
            (self._pool.drain if drained else self._pool.resume)(device.device)
        self._wake.set()  # so that the next look shows it

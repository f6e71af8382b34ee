"""The devices of a Ray cluster: one worker, in an actor, on each GPU of each node, or on parts of one.

Ray itself is in a process of its own, the driver, which is started again when Ray ends it: with its cluster. Actors
have no names and belong to it, so that several owners share a cluster without knowing of each other, and what one
leaves behind when it dies Ray ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import structlog

from generators.child import Child
from generators.connection import Connection
from generators.process_transport import WORKER
from generators.ray_messages import DriverSettings, News, news
from generators.ray_transport import RayTransport
from generators.settings import Devices, WorkerSettings
from generators.transport import Transport, WorkerGone

_DRIVER = "generators.ray_driver"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning of Ray's
}
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # Ray's name for: on the loopback only
_JOIN_SECONDS_MAX = 180.0
_SILENT_SECONDS_MAX = 30.0
_LEAVE_SECONDS = 8.0
_WAIT_SECONDS_MAX = 30.0
_LOST = "Ray has given up here: the head of the cluster, or this machine's part of it, is gone."

log = structlog.get_logger()


class RayCluster:
    """`address` is a head's "host:port", "auto" for the one this machine belongs to, "" for one of our own: that
    is nobody else's, because who reaches its ports can run code."""

    def __init__(
        self,
        address: str,
        *,
        devices: Devices = "auto",
        gpu_share: float = 1.0,
        module: str = WORKER,
    ) -> None:
        self._settings = DriverSettings(address=address, devices=devices, share=gpu_share)
        self._environ = _QUIET if address else _QUIET | _ALONE
        self._module = module
        self._driver: Child | None = None

    async def devices(self) -> AsyncIterator[tuple[str, ...] | None]:
        """Never ends: when the cluster is gone all devices have left, and it is joined again once it is back."""
        wait = 1.0
        while True:
            shown: tuple[str, ...] = ()
            async for names in self._life():
                if names != shown:
                    yield (shown := names)
                wait = 1.0
            if shown:
                yield None
            await asyncio.sleep(wait)
            wait = min(wait * 2, _WAIT_SECONDS_MAX)

    def transport(self, settings: WorkerSettings) -> Transport:
        return RayTransport(self._meet, settings, self._module)

    async def close(self) -> None:
        if self._driver is not None:
            await self._driver.leave(_LEAVE_SECONDS)

    async def _life(self) -> AsyncIterator[tuple[str, ...]]:
        """One driver's, to its end: the devices, every second."""
        self._driver = driver = Child(_DRIVER, self._settings, self._environ)
        heard: News | None = None
        with suppress(WorkerGone, TimeoutError):
            await driver.start()
            while True:
                async with asyncio.timeout(_SILENT_SECONDS_MAX if heard else _JOIN_SECONDS_MAX):
                    said = news(await driver.read())
                self._report(heard, said)
                heard = said
                if said.joined:
                    yield said.devices
        if heard is None or heard.joined:
            log.warning("cluster_lost", address=self._address, why=_LOST)
        await driver.kill()

    def _report(self, before: News | None, now: News) -> None:
        if now.why:
            if before is None or before.why != now.why:
                log.warning("cluster_away", address=self._address, why=now.why)
        elif before is None or before.why:
            log.info("cluster_joined", address=self._address)

    @property
    def _address(self) -> str:
        return self._settings.address or "local"

    async def _meet(self) -> Connection:
        if self._driver is None:
            raise WorkerGone("The cluster is away.")
        return await self._driver.meet()

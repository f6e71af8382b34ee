"""Where devices are, and how a worker is reached there. Here: this machine; `ray_cluster` has many.

A device's name is what operators see and say. Several may share one card: `cuda:0#1`, `cuda:0#2`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from generators import discovery
from generators.process_transport import ProcessTransport
from generators.ray_cluster import RayCluster
from generators.settings import Devices, PoolSettings, WorkerSettings, workers_on_a_card
from generators.transport import MakeTransport, Transport


class Cluster(Protocol):
    def devices(self) -> AsyncIterator[tuple[str, ...] | None]:
        """The names of all devices now, and again whenever one has joined or left; None: the cluster is gone."""
        ...

    def transport(self, settings: WorkerSettings) -> Transport:
        """For a new life of the worker on the device that `settings` names."""
        ...

    async def close(self) -> None:
        """After the last worker has ended."""
        ...


class ThisMachine:
    """Spawned processes: the devices are those found, or named, at the start."""

    def __init__(
        self,
        devices: Devices,
        *,
        gpu_share: float = 1.0,
        make: MakeTransport = ProcessTransport,
    ) -> None:
        self._devices: Devices = devices
        self._share, self._make = gpu_share, make

    async def devices(self) -> AsyncIterator[tuple[str, ...]]:
        found = await discovery.devices() if self._devices == "auto" else self._devices
        yield tuple(name for device in found for name in shares(device, self._share))

    def transport(self, settings: WorkerSettings) -> Transport:
        return self._make(msgspec.structs.replace(settings, device=settings.device.partition("#")[0]))

    async def close(self) -> None: ...


def cluster_of(settings: PoolSettings) -> Cluster:
    """What the operator chose."""
    if settings.engine == "process":
        return ThisMachine(settings.devices, gpu_share=settings.gpu_share)
    return RayCluster(settings.ray_address, devices=settings.devices, gpu_share=settings.gpu_share)


def shares(device: str, share: float) -> tuple[str, ...]:
    """The names of the workers on one device: several when each gets a `share` (0 to 1) of a GPU."""
    count = workers_on_a_card(share)
    if count == 1 or device == "cpu":
        return (device,)
    return tuple(f"{device}#{number}" for number in range(1, count + 1))

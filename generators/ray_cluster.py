"""The devices of a Ray cluster: one worker, in an actor, on each GPU of each node, or on parts of one.

Only the generate role imports this. Actors have no names and belong to this process, so that several of them
share a cluster without knowing of each other, and what one leaves behind when it dies Ray ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import ray
import structlog

from generators.process_transport import WORKER
from generators.ray_transport import Place, RayTransport, off_loop
from generators.settings import Devices, WorkerSettings
from generators.transport import Transport

_LOOK_SECONDS = 1.0
_CONNECT_SECONDS_MAX = 30.0

log = structlog.get_logger()
_ray: Any = ray


class RayCluster:
    """`address` is a head's "host:port", "auto" for the one this machine belongs to, "" for one of our own."""

    def __init__(
        self,
        address: str,
        *,
        devices: Devices = "auto",
        gpu_share: float = 1.0,
        module: str = WORKER,
    ) -> None:
        self._address, self._share, self._module = address, gpu_share, module
        self._wanted: Devices = devices
        self._places: dict[str, Place] = {}
        self._connected = False

    async def devices(self) -> AsyncIterator[tuple[str, ...]]:
        await self._connect()
        shown: tuple[str, ...] | None = None
        while True:
            self._places = await self._look()
            if tuple(self._places) != shown:
                yield (shown := tuple(self._places))
            await asyncio.sleep(_LOOK_SECONDS)

    def transport(self, settings: WorkerSettings) -> Transport:
        return RayTransport(settings, self._places[settings.device], self._module)

    async def close(self) -> None:
        if self._connected:
            await off_loop(_ray.shutdown)

    async def _connect(self) -> None:
        """Tries until there is a cluster: its head may be started after us."""
        wait = 1.0
        while not _ray.is_initialized():
            try:
                await off_loop(_join, self._address)
                self._connected = True
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                why = str(error).strip().splitlines()[:1]
                log.warning("cluster_away", address=self._address or "local", why=" ".join(why)[:300])
                await asyncio.sleep(wait)
                wait = min(wait * 2, _CONNECT_SECONDS_MAX)
        log.info("cluster_joined", address=self._address or "local")

    async def _look(self) -> dict[str, Place]:
        try:
            found = places(await off_loop(_ray.nodes), self._wanted, self._share)
        except (
            Exception
        ) as error:  # Ray raises what it likes when the head is away: the devices may still work
            log.warning("cluster_away", why=type(error).__name__)
            return self._places
        return {place.name: place for place in found}


def _join(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning of Ray's
    local = {} if address else {"include_dashboard": False}
    _ray.init(address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **local)


def places(nodes: Sequence[Mapping[str, Any]], wanted: Devices, share: float) -> tuple[Place, ...]:
    """The devices of the live ones among `nodes` (as `ray.nodes()` has them), each GPU in parts of `share`.

    "auto": the GPUs of all nodes, or, where none has one, each node's CPUs as one device. `wanted` may name
    kinds instead: "cuda", "cpu".
    """
    alive = sorted((node for node in nodes if node["Alive"]), key=lambda node: node["NodeID"])
    gpus = [place for node in alive for place in _gpus(node, share)]
    cpus = [place for node in alive for place in _cpus(node)]
    if wanted == "auto":
        return tuple(gpus or cpus)
    kinds = {name.partition(":")[0] for name in wanted}
    return tuple((gpus if "cuda" in kinds else []) + (cpus if "cpu" in kinds else []))


def _gpus(node: Mapping[str, Any], share: float) -> list[Place]:
    """Ray shows each actor only its own card, so to torch all are the first one."""
    count = int(node["Resources"].get("GPU", 0) / share + 1e-9)
    return [
        Place(name=f"{_name(node)}/gpu:{slot}", node=node["NodeID"], device="cuda:0", gpus=share)
        for slot in range(count)
    ]


def _cpus(node: Mapping[str, Any]) -> list[Place]:
    if node["Resources"].get("CPU", 0) < 1:
        return []
    return [Place(name=f"{_name(node)}/cpu", node=node["NodeID"], device="cpu", cpus=1.0)]


def _name(node: Mapping[str, Any]) -> str:
    """Two nodes may be on one host, and a host comes back as another node."""
    return f"{node['NodeManagerHostname'][:30]}-{node['NodeID'][:6]}"

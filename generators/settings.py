"""What the operator decides about the pool; the part that a worker needs travels to it as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

Devices = Literal["auto"] | tuple[str, ...]


def workers_on_a_card(share: float) -> int:
    """How many workers fit that take a `share` (0 to 1) of it each: two of 0.4, one of 0.6."""
    return int(1 / share + 1e-9)


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Each limit guards against one kind of trouble: see the fields."""

    engine: Literal["process", "ray"] = "process"
    ray_address: str = ""  # "host:port" of a cluster's head, "auto": this machine's; "": a cluster of our own
    devices: Devices = "auto"  # names as torch has them: cpu, cuda:0, mps
    batch_max: int = 4  # pictures in one forward pass
    texts_max: int = 16  # that one model writes side by side
    text_cache_bytes: int = 0  # what they need beside the weights; 0: a tenth of memory_bytes
    gpu_share: float = 1.0  # of a GPU for each worker: 0.5 puts two on a card
    memory_bytes: int = 0  # for weights, a device; 0: 90 % of the device's, half of the machine's for cpu
    heartbeat_seconds: float = 1.0
    silent_seconds: float = 15.0  # without a heartbeat: the process hangs or is stopped
    stall_seconds: float = 120.0  # without a finished step: the engine hangs
    load_seconds: float = 1800.0  # a model may be downloaded first
    affinity_seconds: float = 10.0  # jobs of resident models may go before those of others for so long
    cache: str = ".cache/atelier"  # folder for converted weights
    preview_every: int = 4  # steps between previews; 0: none
    threads: int = 0  # of a cpu worker; 0: one a core
    restart_seconds: float = 0.5  # before the first restart, then doubled
    restart_seconds_max: float = 60.0


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's share of `PoolSettings`."""

    device: str
    batch_max: int
    memory_bytes: int
    heartbeat_seconds: float
    cache: str
    preview_every: int
    threads: int
    affinity_seconds: float
    texts_max: int = 16
    text_cache_bytes: int = 0
    gpu_share: float = 1.0  # of the device's memory, where that is measured


def worker_settings(settings: PoolSettings, device: str) -> WorkerSettings:
    return WorkerSettings(
        device=device,
        batch_max=settings.batch_max,
        memory_bytes=settings.memory_bytes,
        heartbeat_seconds=settings.heartbeat_seconds,
        cache=settings.cache,
        preview_every=settings.preview_every,
        threads=settings.threads,
        affinity_seconds=settings.affinity_seconds,
        texts_max=settings.texts_max,
        text_cache_bytes=settings.text_cache_bytes,
        gpu_share=settings.gpu_share,
    )

"""What the operator decides about the pool; the part that a worker needs travels to it as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

Devices = Literal["auto"] | tuple[str, ...]


def workers_on_a_card(share: float) -> int:
    """How many workers fit that take a `share` (0 to 1) of it each: two of 0.4, one of 0.6."""
    return int(1 / share + 1e-9)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every worker alike."""

    batch_max: int = 8  # pictures in one forward pass
    texts_max: int = 16  # that one model writes side by side
    text_cache_bytes: int = 0  # what they need beside the weights; 0: a tenth of memory_bytes
    gpu_share: float = 1.0  # of a GPU for each worker: 0.5 puts two on a card, with half of its memory each
    memory_bytes: int = 0  # for weights, a device; 0: 90 % of the device's, half of the machine's for cpu
    heartbeat_seconds: float = 2.0
    affinity_seconds: float = 10.0  # jobs of resident models may go before those of others for so long
    cache: str = ".cache/atelier"  # folder for converted weights
    preview_every: int = 4  # steps between previews; 0: none
    threads: int = 0  # of a cpu worker; 0: one a core


class WorkerSettings(Work, frozen=True, kw_only=True):
    """One worker's, as it travels to it."""

    device: str


class PoolSettings(Work, frozen=True, kw_only=True):
    """Each limit guards against one kind of trouble: see the fields. The defaults are those of `[pool]`."""

    engine: Literal["process", "ray"] = "process"
    ray_address: str = ""  # "host:port" of a cluster's head, "auto": this machine's; "": a cluster of our own
    devices: Devices = "auto"  # names as torch has them: cpu, cuda:0, mps
    silent_seconds: float = 20.0  # without a heartbeat: the process hangs or is stopped
    stall_seconds: float = 120.0  # without a finished step: the engine hangs
    load_seconds: float = 900.0  # a model may be downloaded first
    restart_seconds: float = 0.5  # before the first restart, then doubled
    restart_seconds_max: float = 60.0

    def of_worker(self, device: str) -> WorkerSettings:
        return WorkerSettings(device=device, **{name: getattr(self, name) for name in Work.__struct_fields__})

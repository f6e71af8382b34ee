"""When is a worker dead, silent or stalled? Pure, so that the limits can be tested without waiting."""

from __future__ import annotations

import msgspec

from generators.messages import Heartbeat
from generators.settings import PoolSettings


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """`silent_seconds`: since anything was heard; `beat`: the newest heartbeat; `ready`: whether it ever was."""

    silent_seconds: float = 0.0
    age_seconds: float = 0.0
    ready: bool = False
    beat: Heartbeat | None = None


def verdict(vitals: Vitals, settings: PoolSettings) -> str:
    """Why the worker should be killed, or "" if it is well."""
    if vitals.silent_seconds > settings.silent_seconds:
        return f"silent for {vitals.silent_seconds:.1f} s"
    if not vitals.ready:
        return "never became ready" if vitals.age_seconds > settings.load_seconds else ""
    return "" if vitals.beat is None else _stalled(vitals.beat, settings)


def backoff_seconds(failures: int, settings: PoolSettings) -> float:
    """How long to wait before the restart after `failures` lives in a row that ended badly."""
    return min(settings.restart_seconds * 2 ** min(max(failures - 1, 0), 20), settings.restart_seconds_max)


def _stalled(beat: Heartbeat, settings: PoolSettings) -> str:
    limit = settings.load_seconds if beat.loading else settings.stall_seconds
    doing = f"loading {beat.loading}" if beat.loading else f"a step of {beat.stepping}"
    return f"stalled in {doing} for {beat.stalled_seconds:.1f} s" if beat.stalled_seconds > limit else ""

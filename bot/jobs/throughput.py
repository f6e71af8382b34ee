"""How much device time the devices really deliver: the rate by which the forecast tells time left. Pure.

Measured only while there was no room for more: idle devices say nothing about how fast a line moves. A device
that did nothing but its jobs' steps would deliver one second a second; loading, decoding and waiting for each
other take from that. What was seen counts half as much `HALF_LIFE` seconds later.
"""

from __future__ import annotations

HALF_LIFE = 600.0
PRIOR_SECONDS = 60.0
"""So long a full device is taken to have delivered all its time before anything was seen."""
SHARE_MIN, SHARE_MAX = 0.05, 1.0


class Throughput:
    def __init__(self, at: float) -> None:
        self._at, self._full = at, False
        self._offered = self._delivered = PRIOR_SECONDS

    def note(self, at: float, *, full: bool, devices: int, done_seconds: float = 0.0) -> None:
        """At this moment (seconds of any clock) a job ended, or room was looked for; `full` holds from now on."""
        if self._full:
            passed = max(at - self._at, 0.0)
            keeps = 0.5 ** (passed / HALF_LIFE)
            self._offered = self._offered * keeps + passed * devices
            self._delivered = self._delivered * keeps + done_seconds
        self._at, self._full = at, full

    @property
    def share(self) -> float:
        """Of a device's time, what reaches jobs."""
        return min(max(self._delivered / self._offered, SHARE_MIN), SHARE_MAX)

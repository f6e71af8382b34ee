"""Queue places and time left, played forward from the rows that the dispatchers follow. Pure.

One law for cost and latency: what devices deliver, as observed, is shared equally by the jobs on them, and a job
is done when it has had its cost. Whose turn is next is `storage.fair`'s decision, caps included; so what is
promised is what will happen unless others join, leave, or costs turn out otherwise. `Accuracy` tells how it did.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import fmean

import msgspec

from storage.fair import Head, Tier, Turns, next_start
from storage.flows import Flow
from storage.jobs import Pending
from storage.records import Capacity

UNKNOWN = Capacity(devices=1, slots=1, rate_us=1_000_000)
"""Until a dispatcher says what its devices do: one device, one job at a time."""
OWED_MIN = 0.05
"""The share of its cost that a running job still owes at least: longer than predicted is not yet done."""
REMEMBERED = 1000


class Place(msgspec.Struct, frozen=True):
    """`ahead` jobs go first; so many seconds until this one starts, and until it is done."""

    ahead: int
    starts: float
    seconds: float


class _Line(msgspec.Struct):
    """One flow during the play."""

    account: int
    tier: str
    start_us: int = 0
    running: int = 0
    cap: int = 1
    jobs: deque[Pending] = msgspec.field(default_factory=deque[Pending])

    def head(self) -> Head | None:
        if not self.jobs or self.running >= self.cap:
            return None
        job = self.jobs[0]
        return Head(account=self.account, tier=self.tier, start_us=self.start_us, cost_us=job.cost_us, job=job.id)


class _Devices:
    """Jobs that share devices equally: served until one is done, its time is `now` seconds."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity, self.now = capacity, 0.0
        self._each = 0.0  # device time that each job on them has had since the beginning
        self._ends: list[tuple[float, int, _Line]] = []

    @property
    def full(self) -> bool:
        return len(self._ends) >= self.capacity.slots

    def put(self, job: int, line: _Line, owed_us: float) -> None:
        heapq.heappush(self._ends, (self._each + owed_us, job, line))

    def next_done(self) -> tuple[int, _Line] | None:
        if not self._ends:
            return None
        sharing = max(len(self._ends), self.capacity.devices)
        end, job, line = heapq.heappop(self._ends)
        self.now += (end - self._each) * sharing / self.capacity.rate_us
        self._each = end
        return job, line


def places(
    tiers: Iterable[Tier], flows: Iterable[Flow], pending: Sequence[Pending], now: datetime, capacity: Capacity
) -> dict[int, Place]:
    """Where each waiting job stands. `pending`: those that wait (oldest first) and those that run."""
    devices = _Devices(capacity if capacity.slots and capacity.rate_us else UNKNOWN)
    lines = {
        (flow.tier, flow.account): _Line(flow.account, flow.tier, flow.start_us, flow.running, flow.cap)
        for flow in flows
    }
    running = [job for job in pending if job.started_at is not None]
    for job in pending:
        line = lines.setdefault((job.tier, job.account), _Line(job.account, job.tier))
        if job.started_at is None:
            line.jobs.append(job)
        else:
            devices.put(job.id, line, _owed_us(job, now, devices.capacity, len(running)))
    return _play(Turns(tiers, filter(None, (line.head() for line in lines.values()))), lines, devices)


def _play(turns: Turns, lines: dict[tuple[str, int], _Line], devices: _Devices) -> dict[int, Place]:
    started: dict[int, tuple[int, float]] = {}
    found: dict[int, Place] = {}
    while True:
        while not devices.full and (turn := turns.take()):
            line = lines[turn.head.tier, turn.head.account]
            job = line.jobs.popleft()
            line.start_us, line.running = next_start(turn), line.running + 1
            started[job.id] = len(started), devices.now
            devices.put(job.id, line, job.cost_us)
            if head := line.head():
                turns.add(head)
        done = devices.next_done()
        if done is None:
            return found
        job_id, line = done
        line.running -= 1
        if line.running == line.cap - 1 and (head := line.head()):
            turns.add(head)
        if job_id in started:
            found[job_id] = Place(*started[job_id], devices.now)


def _owed_us(job: Pending, now: datetime, capacity: Capacity, running: int) -> float:
    """What a running job has still to get, at the rate at which it got it so far."""
    ran = (now - job.started_at).total_seconds() if job.started_at else 0.0
    had = ran * capacity.rate_us / max(running, capacity.devices)
    return max(job.cost_us - had, OWED_MIN * job.cost_us)


class Promise(msgspec.Struct, frozen=True):
    """The first forecast that a job got."""

    starts_at: datetime
    done_at: datetime


def promise(place: Place, now: datetime) -> Promise:
    return Promise(now + timedelta(seconds=place.starts), now + timedelta(seconds=place.seconds))


class Accuracy:
    """How the latest promises were kept, in seconds; late is positive."""

    def __init__(self) -> None:
        self._errors: dict[str, deque[float]] = {what: deque(maxlen=REMEMBERED) for what in ("start", "finish")}
        self.kept = 0

    def note(self, promised: Promise, started_at: datetime, finished_at: datetime) -> None:
        self._errors["start"].append((started_at - promised.starts_at).total_seconds())
        self._errors["finish"].append((finished_at - promised.done_at).total_seconds())
        self.kept += 1

    def mean_absolute(self, what: str) -> float:
        return fmean(map(abs, self._errors[what])) if self._errors[what] else 0.0

    def bias(self, what: str) -> float:
        return fmean(self._errors[what]) if self._errors[what] else 0.0

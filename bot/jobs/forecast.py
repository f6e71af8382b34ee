"""Queue places and time left, played forward from the rows that the dispatchers follow. Pure.

One law for cost and latency: what devices deliver, as observed, is shared equally by the jobs on them, and a job
is done when it has had its cost. Whose turn is next is `storage.fair`'s decision, caps included; so what is
promised is what will happen unless others join, leave, or costs turn out otherwise. `Accuracy` tells how it did.
Of a very long line only the oldest jobs are known: from the first turn of another one on nothing is promised.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import fmean

import msgspec
from msgspec.structs import replace

from storage.fair import Head, Tier, Turns, next_start
from storage.flows import Flow
from storage.jobs import Pending
from storage.records import Capacity

UNKNOWN = Capacity(devices=1, slots=1, rate_us=1_000_000)
"""Until a dispatcher says what its devices do: one device, one job at a time."""
OWED_MIN = 0.05
"""The share of its cost that a running job still owes at least: longer than predicted is not yet done."""
REMEMBERED = 500
PRIOR_SECONDS = 30.0
"""So many seconds of waiting count as told rightly before anything was seen."""
STRETCH_MAX = 4.0


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
    unknown: int = 0  # so many more jobs wait than were looked at
    jobs: deque[Pending] = msgspec.field(default_factory=deque[Pending])

    def head(self) -> Head | None:
        if not (self.jobs or self.unknown > 0) or self.running >= self.cap:
            return None
        turn = Head(account=self.account, tier=self.tier, start_us=self.start_us)
        return replace(turn, cost_us=self.jobs[0].cost_us, job=self.jobs[0].id) if self.jobs else turn


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
    tiers: Iterable[Tier],
    flows: Iterable[Flow],
    pending: Sequence[Pending],
    now: datetime,
    capacity: Capacity,
) -> dict[int, Place]:
    """Where each waiting job stands. `pending`: those that wait (oldest first) and those that run."""
    devices = _Devices(capacity if capacity.slots and capacity.rate_us else UNKNOWN)
    lines = {
        (flow.tier, flow.account): _Line(
            flow.account, flow.tier, flow.start_us, flow.running, flow.cap, flow.waiting
        )
        for flow in flows
    }
    running = [job for job in pending if job.started_at is not None]
    for job in pending:
        line = lines.setdefault((job.tier, job.account), _Line(job.account, job.tier))
        if job.started_at is None:
            line.jobs.append(job)
            line.unknown -= 1
        else:
            devices.put(job.id, line, _owed_us(job, now, devices.capacity, len(running)))
    return _play(Turns(tiers, filter(None, (line.head() for line in lines.values()))), lines, devices)


def _play(turns: Turns, lines: dict[tuple[str, int], _Line], devices: _Devices) -> dict[int, Place]:
    started: dict[int, tuple[int, float]] = {}
    found: dict[int, Place] = {}
    known = True
    while True:
        while known and not devices.full and (turn := turns.take()):
            if turn.head.job is None:
                known = False
                break
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


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """The first forecast that a job got, as it was told (`starts_at`, `done_at`) and as it was played."""

    asked_at: datetime
    played: float  # seconds until it starts if nobody else comes
    starts_at: datetime
    done_at: datetime


class Accuracy:
    """How the latest promises were kept, in seconds (late is positive), and what to learn from it.

    Who comes later may rightly go first, so waits are longer than those who are here now explain. `stretch` is
    how much longer they were lately: by it the next ones are told.
    """

    def __init__(self) -> None:
        self._waits: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)  # (played, really)
        self._errors: dict[str, deque[float]] = {
            what: deque(maxlen=REMEMBERED) for what in ("start", "finish")
        }
        self.kept, self.stretch = 0, 1.0

    def tell(self, place: Place) -> Place:
        """What is promised for a place as it was played."""
        starts = place.starts * self.stretch
        return Place(place.ahead, starts, place.seconds - place.starts + starts)

    def promise(self, place: Place, now: datetime) -> Promise:
        told = self.tell(place)
        starts_at, done_at = (now + timedelta(seconds=each) for each in (told.starts, told.seconds))
        return Promise(asked_at=now, played=place.starts, starts_at=starts_at, done_at=done_at)

    def note(self, promised: Promise, started_at: datetime, finished_at: datetime) -> None:
        self._waits.append((promised.played, (started_at - promised.asked_at).total_seconds()))
        self._errors["start"].append((started_at - promised.starts_at).total_seconds())
        self._errors["finish"].append((finished_at - promised.done_at).total_seconds())
        self.kept += 1
        played = PRIOR_SECONDS + sum(wait for wait, _ in self._waits)
        really = PRIOR_SECONDS + sum(wait for _, wait in self._waits)
        self.stretch = min(max(really / played, 1 / STRETCH_MAX), STRETCH_MAX)

    def mean_absolute(self, what: str) -> float:
        return fmean(map(abs, self._errors[what])) if self._errors[what] else 0.0

    def bias(self, what: str) -> float:
        return fmean(self._errors[what]) if self._errors[what] else 0.0

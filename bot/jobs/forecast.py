"""Queue places and time left, from the same fair order that the dispatcher will follow. Pure.

The flows' tags are played forward over the waiting jobs: each step picks as `storage.flows.pick` would and
advances the tags as `advance` does, so what is promised is what will happen unless others join.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable

import msgspec

from storage.flows import Flow, Tier


class Waiting(msgspec.Struct, frozen=True):
    job: int
    account: int
    tier: str
    cost_us: int


class Place(msgspec.Struct, frozen=True):
    """`ahead` jobs go first; `seconds` until this one is done."""

    ahead: int
    seconds: float


class _Line(msgspec.Struct):
    start: int
    jobs: deque[Waiting]


def order(tiers: Iterable[Tier], flows: Iterable[Flow], waiting: Iterable[Waiting]) -> list[Waiting]:
    """The waiting jobs in the order in which they will be claimed."""
    starts = {(flow.tier, flow.account): flow.start_us for flow in flows}
    lines: dict[str, dict[int, _Line]] = defaultdict(dict)
    for each in waiting:
        line = lines[each.tier].setdefault(
            each.account, _Line(starts.get((each.tier, each.account), 0), deque())
        )
        line.jobs.append(each)
    known = {tier.name: tier for tier in tiers}
    queues = {name: _one_tier(known[name], mine) for name, mine in lines.items() if name in known}
    return _merge(known, queues)


def places(in_order: list[Waiting], *, busy_us: int, devices: int) -> dict[int, Place]:
    """Where each job stands, given the device time still owed to running ones and how many devices share it."""
    found: dict[int, Place] = {}
    elapsed = busy_us
    for ahead, each in enumerate(in_order):
        elapsed += each.cost_us
        own = each.cost_us * (devices - 1)  # a job runs on one device: the others do not hasten it
        found[each.job] = Place(ahead, (elapsed + own) / max(devices, 1) / 1e6)
    return found


def _one_tier(tier: Tier, lines: dict[int, _Line]) -> deque[Waiting]:
    """A tier's own order: the least virtual start first."""
    heap = [(line.start, account) for account, line in lines.items()]
    heapq.heapify(heap)
    ordered: deque[Waiting] = deque()
    now = tier.now_us
    while heap:
        start, account = heapq.heappop(heap)
        job = lines[account].jobs.popleft()
        ordered.append(job)
        now = max(start, now)
        if lines[account].jobs:
            heapq.heappush(heap, (now + job.cost_us, account))
    return ordered


def _merge(known: dict[str, Tier], queues: dict[str, deque[Waiting]]) -> list[Waiting]:
    """The tiers' orders woven by weight; tiers of weight 0 come after all others."""
    merged: list[Waiting] = []
    between = known["*"].now_us if "*" in known else 0
    heap = [(known[name].weight == 0, known[name].start_us, name) for name in queues]
    heapq.heapify(heap)
    while heap:
        spare, start, name = heapq.heappop(heap)
        job = queues[name].popleft()
        merged.append(job)
        start = max(start, between)
        between = between if spare else start
        if queues[name]:
            heapq.heappush(heap, (spare, start + job.cost_us // max(known[name].weight, 1), name))
    return merged

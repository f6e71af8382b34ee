"""Whose turn it is: hierarchical start-time fair queueing over values. Pure.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): each flow has the virtual start of its next job; the
least goes first, virtual time becomes that start, and the flow's next start is its cost later. Tiers share by
weight in the same way, one level up. A flow or tier that slept is not owed its sleep: its start is at least virtual
time when it comes, or counts as that when it is served.

`flows` keeps these values as rows and claims by them; the forecast plays them forward.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set

import msgspec

NEXT_MAX = 8
"""Among so many first flows of a tier a job for a warm model is looked for."""


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    weight: int
    start_us: int
    now_us: int  # virtual time inside it
    at_us: int = 0  # virtual time between the tiers when it was served last
    from_us: int = 0  # no flow's turn is before this


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The next job of a flow that may run one. `job` is None where it is not known which."""

    account: int
    tier: str
    start_us: int
    cost_us: int = 0
    debt_us: int = 0  # measured less predicted time, which the tier has not been charged yet
    passed_us: int = 0  # work that went ahead of it out of turn
    job: int | None = None
    model: str = ""
    more: bool = False  # whether the flow may run another one beside it
    served_job: int = 0  # the one that was served before this one


class Affinity(msgspec.Struct, frozen=True, kw_only=True):
    """Models that run without loading now, and how much work may for that go ahead of anyone out of turn."""

    warm: Set[str] = frozenset()
    patience_us: int = 0


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One job's turn: virtual time is `at_us`, and the flows of `passed` let it go first."""

    head: Head
    at_us: int
    passed: tuple[Head, ...] = ()


class Turns:
    """A line of heads, from which the one whose turn it is is taken again and again."""

    def __init__(self, tiers: Iterable[Tier], heads: Iterable[Head] = ()) -> None:
        self.tiers = {tier.name: tier for tier in tiers}
        self._lines: dict[str, list[tuple[int, int, Head]]] = defaultdict(list)
        for head in heads:
            self.add(head)

    def add(self, head: Head) -> None:
        if head.tier in self.tiers:
            heapq.heappush(self._lines[head.tier], (head.start_us, head.account, head))

    def take(self, affinity: Affinity | None = None) -> Turn | None:
        """Whose turn it is, taken out of the line; virtual times move on. None when nobody waits."""
        waiting = [self.tiers[name] for name, line in self._lines.items() if line]
        if not waiting:
            return None
        line = self._lines[min(waiting, key=lambda tier: (tier.start_us, tier.name)).name]
        first = [head for _, _, head in heapq.nsmallest(NEXT_MAX, line)] if affinity else [line[0][2]]
        chosen = choose(first, affinity) if affinity else 0
        *passed, head = (heapq.heappop(line)[2] for _ in range(chosen + 1))
        for each in passed:
            self.add(msgspec.structs.replace(each, passed_us=each.passed_us + head.cost_us))
        self.tiers |= served(self.tiers, first[0].start_us, head)
        return Turn(head=head, at_us=self.tiers[head.tier].now_us, passed=tuple(passed))


def served(tiers: dict[str, Tier], start_us: int, head: Head) -> dict[str, Tier]:
    """Its tier after a job of this head, when it was the turn of `start_us` there."""
    tier = tiers[head.tier]
    at = max(tier.start_us, *(each.at_us for each in tiers.values()))
    charge = (head.cost_us + head.debt_us) // max(tier.weight, 1)
    now = max(tier.now_us, start_us)
    return {tier.name: msgspec.structs.replace(tier, start_us=at + charge, now_us=now, at_us=at)}


def choose(first: Sequence[Head], affinity: Affinity) -> int:
    """Which of a tier's next heads goes: the first, unless its model would have to be loaded while another's is
    warm, and letting that go ahead keeps everyone's wait for such favours within the patience."""
    if first[0].model in affinity.warm:
        return 0
    patience = affinity.patience_us
    for place, head in enumerate(first):
        if head.model in affinity.warm and head.cost_us <= patience:
            return place
        patience = min(patience, affinity.patience_us - head.passed_us)
    return 0


def next_start(turn: Turn) -> int:
    """The virtual start of the flow's job after this one."""
    return max(turn.head.start_us, turn.at_us) + turn.head.cost_us

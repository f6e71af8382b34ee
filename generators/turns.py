"""Whose turn it is: which calls of the waiting ones run next, together. Pure.

Calls that happen once in a picture's life (its words, its source, its decoding) go before steps, because they
let a picture begin or leave; among steps the fullest forward goes first. Whoever was passed over for `AGE_TURNS`
turns comes before all others, so neither a rare size nor the steps of all can be starved.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

AGE_TURNS = 4


class Waiting(Protocol):
    @property
    def key(self) -> Hashable:
        """Calls of equal key can share a forward."""
        ...

    @property
    def rows(self) -> int: ...

    @property
    def is_step(self) -> bool:
        """One of many in a picture's life."""
        ...

    @property
    def since(self) -> int:
        """The turn in which it was asked for."""
        ...


Call = TypeVar("Call", bound=Waiting)


def choose(calls: Sequence[Call], turn: int, cap: Callable[[Call], int]) -> Sequence[Call]:
    """The calls that run now: oldest first, as many as `cap` rows allow, but always one. Empty if none waits."""
    groups: dict[Hashable, list[Call]] = {}
    for call in sorted(calls, key=lambda call: call.since):
        groups.setdefault(call.key, []).append(call)
    batches = [_filled(group, cap(group[0])) for group in groups.values()]
    return max(batches, key=lambda batch: _urgency(batch, turn), default=())


def _filled(group: Sequence[Call], cap: int) -> Sequence[Call]:
    batch: list[Call] = []
    room = cap
    for call in group:
        room -= call.rows
        if batch and room < 0:
            break
        batch.append(call)
    return batch


def _urgency(batch: Sequence[Call], turn: int) -> tuple[int, bool, int]:
    """Waiting too long, then what happens once, then fullness."""
    waited = turn - batch[0].since
    return (waited if waited >= AGE_TURNS else 0, not batch[0].is_step, sum(call.rows for call in batch))

"""Whose turn it is, and what is kept of words: the engine's decisions."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.encodings import Encodings
from generators.turns import AGE_TURNS, choose


@dataclass(frozen=True)
class Call:
    key: Hashable
    rows: int = 2
    is_step: bool = True
    since: int = 0


class TestTurns:
    def test_the_fullest_forward_goes_first_and_within_it_the_oldest(self) -> None:
        rare = Call("rare")
        common = [Call("common", since=at) for at in (3, 1, 2)]
        assert [call.since for call in choose([rare, *common], 3, lambda call: 4)] == [1, 2]

    def test_what_happens_once_goes_before_steps_but_steps_wait_a_few_turns_at_most(self) -> None:
        once, steps = Call("decode", is_step=False, since=5), [Call("step", since=4)] * 3
        assert choose([*steps, once], 5, lambda call: 8) == [once]
        assert choose([*steps, once], 4 + AGE_TURNS, lambda call: 8) == steps

    def test_one_that_is_wider_than_any_forward_goes_alone(self) -> None:
        assert choose([Call("a", rows=9), Call("a", rows=1)], 0, lambda call: 4) == [Call("a", rows=9)]
        assert not choose([], 0, lambda call: 4)

    @given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(2, 8))
    @settings(derandomize=True, deadline=None, max_examples=60)
    def test_no_shape_starves(self, shapes: list[int], cap: int) -> None:
        """Everyone asks again as soon as served; whoever waits is served within a bounded number of turns."""
        waiting = [Call((shape, number), since=0) for number, shape in enumerate(shapes)]
        waiting = [Call(call.key[0], since=0) for call in waiting]  # type: ignore[index]
        for turn in range(1, 80):
            served = choose(waiting, turn, lambda call: cap)
            rest = [call for call in waiting if not any(call is each for each in served)]
            waiting = rest + [Call(call.key, since=turn) for call in served]
            assert max(turn - call.since for call in waiting) <= AGE_TURNS + 2 * len(shapes)


def test_encodings_are_bounded_and_keep_what_is_used() -> None:
    kilobyte = torch.zeros(256)
    encodings = Encodings(bytes_max=3 * 1024)
    for key in "abc":
        encodings.keep(key, (kilobyte, None))
    assert encodings.get("a") is not None
    encodings.keep("d", {"hidden": [kilobyte]})
    assert [encodings.get(key) is not None for key in "abcd"] == [True, False, True, True]
    encodings.keep("huge", torch.zeros(10_000))
    assert encodings.get("huge") is None

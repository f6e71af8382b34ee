"""A device that is full in spite of its budget: what others hold is let go, but never what is at work.

Who goes for whom by measured size is in `test_loop`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from generators.engine import ModelUnavailable
from generators.messages import FromWorker, Unloaded
from generators.models import Model
from generators.residency import NoRoom, Residency, Resident, cheapest
from tests.generators.conftest import Bench
from tests.generators.scripted import Clock, ScriptedRunner
from tests.generators.test_loop import drawing


@dataclass
class Full:
    """The next `loads` run out of memory."""

    loads: int = 0
    said: list[FromWorker] = field(default_factory=list)

    def residency(self) -> Residency:
        return Residency(
            memory_bytes=100,
            load=self.load,
            expect=lambda model: 10,
            sweep=lambda: None,
            send=self.said.append,
        )

    def load(self, model: Model) -> ScriptedRunner:
        if self.loads:
            self.loads -= 1
            raise MemoryError
        return ScriptedRunner(Clock(), size=10)


A, B, C = (Model(name=name, kind="image", source="x") for name in "abc")


def test_a_second_try_with_nothing_else_on_it() -> None:
    device = Full()
    residency = device.residency()
    residency.load(A)
    device.loads = 1
    residency.load(B)
    assert residency.sizes() == {"b": 10}
    assert device.said[1] == Unloaded(model="a")
    device.loads = 2
    with pytest.raises(ModelUnavailable, match="free memory"):
        residency.load(C)


def test_it_waits_for_what_is_at_work(bench: Bench) -> None:
    device = Full()
    residency = device.residency()
    runner = residency.load(A).runner
    residency.load(B)
    runner.begin(bench.job("1", drawing("a")))
    device.loads = 1
    with pytest.raises(NoRoom):
        residency.load(C)
    assert residency.sizes() == {"a": 10}
    assert [victim.model.name for victim in residency.victims(C)] == ["a"]  # though by size it fits beside
    runner.abandon()
    residency.load(C)
    assert residency.sizes() == {"c": 10}


def test_the_least_recently_used_gives_way_whenever_it_was_loaded() -> None:
    a, b, c = (
        Resident(model, ScriptedRunner(Clock()), 10, since=0.0, used=used)
        for model, used in ((A, 3.0), (B, 1.0), (C, 2.0))
    )
    assert cheapest([a, b, c], 10) == [b]
    assert cheapest([a, b, c], 20) == [b, c]


@pytest.mark.parametrize("broken", ["load", "expect"])
def test_files_that_are_damaged_in_ways_nobody_foresaw_are_the_models_fault(broken: str) -> None:
    def damaged(model: Model) -> Any:
        raise KeyError("shape")

    residency = Residency(
        memory_bytes=100, sweep=lambda: None, send=lambda message: None,
        load=damaged if broken == "load" else lambda model: ScriptedRunner(Clock()),
        expect=damaged if broken == "expect" else lambda model: 10,
    )  # fmt: skip
    with pytest.raises(ModelUnavailable, match="a cannot be loaded: KeyError"):
        residency.load(A)
    assert residency.sizes() == {}

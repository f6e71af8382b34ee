"""Which models stay in memory: by measured size, the least recently used gives way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from generators.engine import ModelUnavailable
from generators.job import Job
from generators.messages import FromWorker, Loaded, Unloaded
from generators.models import Model
from generators.residency import Residency


@dataclass
class Weights:
    size: int

    def memory_bytes(self) -> int:
        return self.size

    def run(self, jobs: Sequence[Job]) -> None: ...


@dataclass
class Device:
    """Memory for 100 bytes of models; a model's source says its size."""

    full: int = 0  # so many loads run out of memory
    expected: dict[str, int] = field(default_factory=dict)
    said: list[FromWorker] = field(default_factory=list)

    def residency(self) -> Residency:
        return Residency(
            memory_bytes=100,
            load=self.load,
            expect=lambda model: self.expected.get(model.name, 0),
            sweep=lambda: None,
            send=self.said.append,
        )

    def load(self, model: Model) -> Weights:
        if self.full:
            self.full -= 1
            raise MemoryError
        return Weights(int(model.source))


def model(name: str, size: int) -> Model:
    return Model(name=name, kind="image", source=str(size))


def test_several_stay_while_they_fit() -> None:
    device = Device()
    residency = device.residency()
    for name in "abc":
        residency.acquire(model(name, 30))
    assert residency.sizes() == {"a": 30, "b": 30, "c": 30}
    assert [type(message) for message in device.said] == [Loaded] * 3


def test_the_least_recently_used_gives_way() -> None:
    device = Device()
    residency = device.residency()
    for name, size in (("a", 40), ("b", 40), ("a", 40), ("c", 60)):
        residency.acquire(model(name, size))
    assert residency.sizes() == {"a": 40, "c": 60}
    assert [message.model for message in device.said if isinstance(message, Unloaded)] == ["b"]


def test_room_is_made_before_a_load_whose_size_is_expected() -> None:
    device = Device(expected={"b": 70})
    residency = device.residency()
    residency.acquire(model("a", 40))
    residency.acquire(model("b", 70))
    kinds = [type(message) for message in device.said]
    assert kinds == [Loaded, Unloaded, Loaded]


@pytest.mark.parametrize("expected", [0, 101])
def test_what_never_fits_is_refused_and_costs_nobody_else(expected: int) -> None:
    device = Device(expected={"big": expected})
    residency = device.residency()
    residency.acquire(model("a", 40))
    with pytest.raises(ModelUnavailable, match="GiB"):
        residency.acquire(model("big", 101))
    assert residency.sizes() == {"a": 40}


def test_a_device_that_is_full_in_spite_of_the_budget_gets_a_second_try() -> None:
    device = Device()
    residency = device.residency()
    residency.acquire(model("a", 10))
    device.full = 1
    residency.acquire(model("b", 10))
    assert residency.sizes() == {"b": 10}
    device.full = 2
    with pytest.raises(ModelUnavailable, match="free memory"):
        residency.acquire(model("c", 10))


def test_a_changed_entry_replaces_the_model() -> None:
    device = Device()
    residency = device.residency()
    residency.acquire(model("a", 10))
    residency.acquire(model("a", 20))
    assert residency.sizes() == {"a": 20}

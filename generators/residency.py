"""Which models are in a device's memory: several within a budget, the least recently used gives way.

Sizes are expected before a load (from the files' headers) to make room in time, and measured after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from generators.engine import ModelUnavailable, Runner
from generators.job import Send
from generators.messages import Loaded, Unloaded
from generators.models import Model


@dataclass
class _Resident:
    model: Model
    runner: Runner
    memory_bytes: int


class Residency:
    """`expect` guesses a model's bytes (0: unknown); `sweep` is called after something was let go."""

    def __init__(
        self,
        *,
        memory_bytes: int,
        load: Callable[[Model], Runner],
        expect: Callable[[Model], int],
        sweep: Callable[[], None],
        send: Send,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._load = load
        self._expect = expect
        self._sweep = sweep
        self._send = send
        self._residents: dict[str, _Resident] = {}  # least recently used first

    def sizes(self) -> dict[str, int]:
        """Model -> bytes. May be called from any thread."""
        return {name: resident.memory_bytes for name, resident in self._residents.copy().items()}

    def has(self, model: Model) -> bool:
        resident = self._residents.get(model.name)
        return resident is not None and resident.model == model

    def acquire(self, model: Model) -> Runner:
        """The model, loaded if need be, now the most recently used. Raises `ModelUnavailable`."""
        if not self.has(model):
            self.evict(model.name, "replaced by a new entry")
            self._admit(model)
        resident = self._residents.pop(model.name)
        self._residents[model.name] = resident
        return resident.runner

    def announce(self, model: str, seconds: float = 0.0) -> None:
        """Say that a model is resident."""
        self._send(Loaded(model=model, memory_bytes=self._residents[model].memory_bytes, seconds=seconds))

    def evict(self, name: str, message: str = "") -> bool:
        """Let a model go; whether there was anything to let go."""
        if self._residents.pop(name, None) is None:
            return False
        self._sweep()
        self._send(Unloaded(model=name, message=message))
        return True

    def evict_others(self, name: str) -> bool:
        others = [other for other in self._residents if other != name]
        for other in others:
            self.evict(other, "memory was needed")
        return bool(others)

    def _admit(self, model: Model) -> None:
        began = time.monotonic()
        expected = self._expect(model)
        self._refuse_above_budget(model, expected)
        self._make_room(expected)
        runner = self._loaded(model)
        measured = runner.memory_bytes()
        self._refuse_above_budget(model, measured)
        self._make_room(measured)
        self._residents[model.name] = _Resident(model, runner, measured)
        self.announce(model.name, time.monotonic() - began)

    def _loaded(self, model: Model) -> Runner:
        """A device that is full in spite of the budget gets a second try with nothing else on it."""
        try:
            return self._load(model)
        except MemoryError:
            pass
        self.evict_others(model.name)
        self._sweep()
        try:
            return self._load(model)
        except MemoryError as error:
            raise ModelUnavailable(f"{model.name} does not fit into the device's free memory.") from error

    def _make_room(self, wanted: int) -> None:
        while self._residents and sum(self.sizes().values()) + wanted > self._memory_bytes:
            self.evict(next(iter(self._residents)), "memory was needed")

    def _refuse_above_budget(self, model: Model, size: int) -> None:
        if size > self._memory_bytes:
            needed, given = size / 2**30, self._memory_bytes / 2**30
            raise ModelUnavailable(
                f"{model.name} needs {needed:.2f} GiB; the device has {given:.2f} GiB for models."
            )

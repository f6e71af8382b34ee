"""Which models are in a device's memory: several within a budget, the least recently used gives way.

Sizes are expected before a load (from the files' headers) to make room in time, and measured after it. A model
with running jobs is never let go: whoever needs its memory waits until they have ended (see `loop`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from generators import faults
from generators.engine import ModelUnavailable, Runner
from generators.job import Send
from generators.messages import Loaded, Unloaded
from generators.models import Model

Answer = TypeVar("Answer")


class NoRoom(Exception):
    """It turned out larger than expected: `victims` now knows, and names who has to go first."""


@dataclass(eq=False)
class Resident:
    """A loaded model. `since` it was loaded, a job last joined when it was `used`; `spent` seconds of the device
    count against its turn. With `leaving` set no more jobs may join, and it goes when those it has are over."""

    model: Model
    runner: Runner
    memory_bytes: int
    since: float
    used: float
    spent: float = 0.0
    leaving: bool = False

    @property
    def busy(self) -> bool:
        return bool(self.runner.jobs())


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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._load = load
        self._expect = expect
        self._sweep = sweep
        self._send = send
        self._clock = clock
        self._residents: dict[str, Resident] = {}
        self._needs: dict[str, int] = {}  # bytes, expected or measured, of the newest entry

    def sizes(self) -> dict[str, int]:
        """Model -> bytes. May be called from any thread."""
        return {name: resident.memory_bytes for name, resident in self._residents.copy().items()}

    def find(self, model: Model) -> Resident | None:
        """The loaded model of just this entry, if jobs may join it."""
        resident = self._residents.get(model.name)
        fits = resident is not None and resident.model == model and not resident.leaving
        return resident if fits else None

    def busy(self) -> list[Resident]:
        return [resident for resident in self._residents.values() if resident.busy]

    def announce(self, model: str, seconds: float = 0.0) -> None:
        """Say that a model is resident."""
        self._send(Loaded(model=model, memory_bytes=self._residents[model].memory_bytes, seconds=seconds))

    def victims(self, model: Model) -> Sequence[Resident]:
        """Who has to go before a model can be loaded. Raises `ModelUnavailable` if it can never be."""
        over = sum(self.sizes().values()) + self._need(model) - self._memory_bytes
        former = [resident for name, resident in self._residents.items() if name == model.name]
        others = [resident for resident in self._residents.values() if resident not in former]
        return [*former, *cheapest(others, over - sum(each.memory_bytes for each in former))]

    def load(self, model: Model) -> Resident:
        """Load it in place of its victims, none of which is busy. Raises `ModelUnavailable` and `NoRoom`."""
        began = self._clock()
        self._make_room(model)
        runner = self._loaded(model)
        self._needs[model.name] = measured = runner.memory_bytes()
        self._make_room(model)
        now = self._clock()
        self._residents[model.name] = Resident(model, runner, measured, since=now, used=now)
        self.announce(model.name, now - began)
        return self._residents[model.name]

    def dismiss(self, model: str) -> None:
        """Let a model go, as soon as its jobs are over; and what was known of it."""
        self._needs.pop(model, None)
        if resident := self._residents.get(model):
            resident.leaving = True
            self.release()

    def release(self) -> None:
        """Let those go that are leaving and have nothing to do any more."""
        self._evict(each for each in self._residents.values() if each.leaving and not each.busy)

    def relieve(self, keep: str = "") -> bool:
        """Let all idle models go but this one; whether there was any."""
        before = len(self._residents)
        self._evict(each for each in self._residents.values() if each.model.name != keep and not each.busy)
        return len(self._residents) < before

    def _make_room(self, model: Model) -> None:
        victims = self.victims(model)
        if any(victim.busy for victim in victims):
            raise NoRoom
        self._evict(victims)

    def _evict(self, residents: Iterable[Resident]) -> None:
        for name in [resident.model.name for resident in residents]:
            del self._residents[name]
            self._sweep()
            self._send(Unloaded(model=name))

    def _need(self, model: Model) -> int:
        if model.name not in self._needs:
            self._needs[model.name] = _named(model, self._expect)
        need = self._needs[model.name]
        if need > self._memory_bytes:
            needed, given = need / 2**30, self._memory_bytes / 2**30
            raise ModelUnavailable(
                f"{model.name} needs {needed:.2f} GiB; the device has {given:.2f} GiB for models."
            )
        return need

    def _loaded(self, model: Model) -> Runner:
        """A device that is full in spite of the budget gets a second try with nothing else on it."""
        try:
            return _named(model, self._load)
        except MemoryError:
            pass
        self.relieve()
        self._sweep()
        if self._residents:
            self._needs[model.name] = self._memory_bytes
            raise NoRoom
        try:
            return _named(model, self._load)
        except MemoryError as error:
            raise ModelUnavailable(f"{model.name} does not fit into the device's free memory.") from error


def _named(model: Model, ask: Callable[[Model], Answer]) -> Answer:
    """Files can be damaged in ways that nobody foresaw: whatever is wrong with them, the model is."""
    try:
        return ask(model)
    except (ModelUnavailable, MemoryError):
        raise
    except Exception as error:
        faults.print_frames(error)
        raise ModelUnavailable(f"{model.name} cannot be loaded: {faults.summary(error)}") from error


def cheapest(residents: Sequence[Resident], bytes_wanted: int) -> Sequence[Resident]:
    """Whom to let go for so many bytes: those that leave anyway, then idle ones, then the least recently used;
    nobody who turns out not to be needed."""
    going: list[Resident] = []
    for resident in sorted(residents, key=lambda each: (not each.leaving, each.busy, each.used)):
        if sum(each.memory_bytes for each in going) < bytes_wanted:
            going.append(resident)
    for resident in list(going):
        if sum(each.memory_bytes for each in going) - resident.memory_bytes >= bytes_wanted:
            going.remove(resident)
    return going

"""What an engine is: it loads one model of its kind and runs jobs on it, step by step. All engines are listed here.

A new kind of generator is one new file with a `load` function and one line in `load` below.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from generators.job import Job
from generators.models import Model
from generators.settings import WorkerSettings


class ModelUnavailable(Exception):
    """The model cannot be loaded; the text is a sentence for the operator."""


class LoraUnavailable(ModelUnavailable):
    """The model can be used, but not with this LoRA."""


class Pulse:
    """What the engine is at and when it last got something done; read by the thread that sends heartbeats."""

    def __init__(self) -> None:
        self.loading = ""
        self.stepping = ""
        self._since: float | None = None
        self._tallies: dict[str, tuple[int, int]] = {}  # model -> forwards and rows since the last heartbeat
        self._lock = threading.Lock()

    @contextmanager
    def busy(self, *, loading: str = "", stepping: str = "") -> Generator[None]:
        """While in here, time counts: the model of this name is being loaded, or does a step."""
        self.loading, self.stepping, self._since = loading, stepping, time.monotonic()
        try:
            yield
        finally:
            self.loading, self.stepping, self._since = "", "", None

    def beat(self, rows: int = 0) -> None:
        """A part of a step is done: for a forward, so many rows went through together."""
        self._since = time.monotonic()
        if rows:
            with self._lock:
                forwards, total = self._tallies.get(self.stepping, (0, 0))
                self._tallies[self.stepping] = forwards + 1, total + rows

    def rows(self) -> dict[str, float]:
        """Model -> mean rows a forward, since this was last asked."""
        with self._lock:
            tallies, self._tallies = self._tallies, {}
        return {model: total / forwards for model, (forwards, total) in tallies.items()}

    def stalled_seconds(self) -> float:
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


def _nothing_to_free() -> bool:
    return False


@dataclass
class Host:
    """What the worker lends its engines. `relieve` frees memory of other models: False if there was none."""

    settings: WorkerSettings
    pulse: Pulse = field(default_factory=Pulse)
    relieve: Callable[[], bool] = _nothing_to_free


class Runner(Protocol):
    """A resident model that runs any number of jobs side by side. Only the engine's thread calls it."""

    def memory_bytes(self) -> int:
        """Of its weights, measured."""
        ...

    def room(self, job: Job) -> bool:
        """Whether the job may join now: rows in flight against the cap. With nothing begun: yes."""
        ...

    def begin(self, job: Job) -> None:
        """Take it in: it joins at the next step. A job that cannot be begun is answered at once."""
        ...

    def step(self) -> None:
        """One forward of one group, or a decode; ends finished jobs, lets cancelled ones go. Returns at once if
        there is nothing to do. May raise anything: then `abandon` is called."""
        ...

    def jobs(self) -> Sequence[Job]:
        """Begun and not ended, oldest first."""
        ...

    def abandon(self) -> None:
        """Forget all that runs, without an answer: the worker begins each alone again."""
        ...


def load(model: Model, host: Host) -> Runner:
    """Raises `ModelUnavailable`; `MemoryError` if the device has too little free."""
    match model.kind:
        case "image":
            from generators import image

            return image.load(model, host)
        case "text":
            from generators import text

            return text.load(model, host)
        case _:
            assert_never(model.kind)

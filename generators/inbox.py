"""What came for the engine and what it has begun: filled by the reader's thread, emptied by the engine's.

A waiting job is cancelled here and at once; one that was begun is marked, and the engine sees that at its next
step.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from generators.job import Job
from generators.messages import Load, Unload

Order = Load | Unload


class Inbox:
    def __init__(self) -> None:
        self._orders: list[Order] = []
        self._waiting: list[Job] = []
        self._begun: list[Job] = []
        self._filled = threading.Condition()

    def put(self, entry: Job | Order) -> None:
        with self._filled:
            (self._waiting if isinstance(entry, Job) else self._orders).append(entry)  # type: ignore[arg-type]
            self._filled.notify()

    def put_back(self, jobs: Sequence[Job]) -> None:
        """What was begun waits again, before all others."""
        with self._filled:
            self._begun = [job for job in self._begun if job not in jobs]
            self._waiting = [*jobs, *self._waiting]

    def cancel(self, job: str) -> None:
        """Unknown ids are ignored: the job has just ended."""
        with self._filled:
            for begun in self._begun:
                begun.cancelled |= begun.id == job
            unwanted = [waiting for waiting in self._waiting if waiting.id == job]
            self._waiting = [waiting for waiting in self._waiting if waiting.id != job]
        for waiting in unwanted:  # sent outside: the channel's lock and this one are never held together
            waiting.cancelled = True
            waiting.drop_if_cancelled()

    def wait(self) -> None:
        """Until there is anything to do."""
        with self._filled:
            self._filled.wait_for(lambda: self._waiting or self._orders)

    def orders(self) -> Sequence[Order]:
        """Those that came since this was last asked."""
        with self._filled:
            orders, self._orders = self._orders, []
            return orders

    def waiting(self) -> Sequence[Job]:
        """Oldest first."""
        with self._filled:
            return tuple(self._waiting)

    def take(self, job: Job) -> bool:
        """Whether it still waited, and so is now begun: it may have been cancelled meanwhile."""
        with self._filled:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            self._begun = [*(each for each in self._begun if not each.ended), job]
            return True

    def begun(self) -> Sequence[Job]:
        """And not ended."""
        with self._filled:
            return [job for job in self._begun if not job.ended]

    def counts(self) -> tuple[int, int]:
        """How many jobs run and how many wait."""
        return len(self.begun()), len(self.waiting())

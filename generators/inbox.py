"""What waits inside the worker, in order of arrival: filled by the reader's thread, emptied by the engine's.

A waiting job is cancelled here and at once; a running one is marked, and the engine sees that at its next step.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from generators import batching
from generators.job import Job
from generators.messages import Load, Unload

Entry = Job | Load | Unload


class Inbox:
    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._running: tuple[Job, ...] = ()
        self._filled = threading.Condition()

    def put(self, entry: Entry) -> None:
        with self._filled:
            self._entries.append(entry)
            self._filled.notify()

    def cancel(self, job: str) -> None:
        """Unknown ids are ignored: the job has just ended."""
        with self._filled:
            for running in self._running:
                running.cancelled |= running.id == job
            unwanted = [entry for entry in self._jobs() if entry.id == job]
            self._remove(unwanted)
        for waiting in unwanted:  # sent outside: the channel's lock and this one are never held together
            waiting.cancelled = True
            waiting.drop_if_cancelled()

    def next(self) -> Entry:
        """The oldest entry, waiting for one. A Load or Unload is taken out; a job stays until `take`, so that it
        can still be cancelled while its model is loaded."""
        with self._filled:
            self._filled.wait_for(lambda: self._entries)
            head = self._entries[0]
            return head if isinstance(head, Job) else self._entries.pop(0)

    def take(self, model: str, batch_max: int) -> Sequence[Job]:
        """Take out the batch that runs now. Empty if all jobs of the model were cancelled meanwhile."""
        with self._filled:
            self._running = tuple(batching.choose(self._jobs(), model, batch_max))
            self._remove(self._running)
            return self._running

    def take_all(self, model: str) -> Sequence[Job]:
        """Take out every job of a model that cannot run, but for those that came after a newer entry of it."""
        with self._filled:
            newer = [at for at, entry in enumerate(self._entries) if _is_entry_of(entry, model)]
            before = self._entries[: newer[0]] if newer else self._entries
            hopeless = [job for job in before if isinstance(job, Job) and job.request.model == model]
            self._remove(hopeless)
            return hopeless

    def done(self) -> None:
        """The batch last taken has ended."""
        with self._filled:
            self._running = ()

    def counts(self) -> tuple[int, int]:
        """How many jobs run and how many wait."""
        with self._filled:
            return sum(not job.ended for job in self._running), len(self._jobs())

    def _jobs(self) -> list[Job]:
        return [entry for entry in self._entries if isinstance(entry, Job)]

    def _remove(self, jobs: Sequence[Job]) -> None:
        self._entries = [entry for entry in self._entries if entry not in jobs]


def _is_entry_of(entry: Entry, model: str) -> bool:
    return isinstance(entry, Load) and entry.model.name == model

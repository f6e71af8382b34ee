"""What running jobs show now, from whoever runs them to whoever shows them.

In one process it is handed over directly; with `shared` a row a job carries it to other processes, written at
most once a second. Only the newest counts: whoever is slow misses steps, never slows anyone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from storage import records
from storage.database import Database, DatabaseUnavailable
from storage.jobs import Job

SHARE_SECONDS = 1.0
log = structlog.get_logger(__name__)


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A running job at one moment: a value, so that whoever kept one can tell whether it changed.

    `text` is all of it so far.
    """

    attempt: int
    step: int = 0
    steps: int = 0
    preview: bytes = b""
    text: str = ""


Hear = Callable[[int, Live], None]


class Reporter:
    """The dispatcher's side."""

    def __init__(self, database: Database, *, hear: Hear | None, shared: bool) -> None:
        self._database, self._hear, self._shared = database, hear, shared
        self._live: dict[int, Live] = {}
        self._changed: set[int] = set()

    def started(self, job: Job) -> None:
        self._tell(job.id, Live(attempt=job.attempt))

    def step(self, job: Job, step: int, steps: int, preview: bytes) -> None:
        if live := self._current(job):
            preview = preview or live.preview
            self._tell(job.id, msgspec.structs.replace(live, step=step, steps=steps, preview=preview))

    def token(self, job: Job, text: str) -> None:
        if live := self._current(job):
            self._tell(job.id, msgspec.structs.replace(live, text=live.text + text))

    def ended(self, job: Job) -> None:
        if self._current(job):
            del self._live[job.id]
            self._changed.discard(job.id)

    async def run(self) -> None:
        """Shares what changed with other processes, until cancelled."""
        while self._shared:
            await asyncio.sleep(SHARE_SECONDS)
            changed, self._changed = self._changed, set()
            try:
                for job in changed:
                    if live := self._live.get(job):  # it may end while another's is written
                        await self._database.run(
                            records.set_progress, job, live.attempt, msgspec.json.encode(live)
                        )
            except DatabaseUnavailable:
                log.warning("progress.unshared")

    def _current(self, job: Job) -> Live | None:
        """This attempt's; None once a newer one has begun here while this one was still being stopped."""
        live = self._live.get(job.id)
        return live if live is not None and live.attempt == job.attempt else None

    def _tell(self, job: int, live: Live) -> None:
        self._live[job] = live
        self._changed.add(job)
        if self._hear is not None:
            self._hear(job, live)

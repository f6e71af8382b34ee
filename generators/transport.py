"""How the pool reaches a worker: the seam between `Device` and a process here or an actor elsewhere.

Knows nothing of jobs: a transport starts one worker, carries messages both ways and ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from generators.messages import FromWorker, ToWorker
from generators.settings import WorkerSettings


class WorkerGone(Exception):
    """The worker's end of the connection is closed: it exited, was killed or never started."""


class ClusterGone(WorkerGone):
    """What leads to all workers of a cluster is gone, so that none of their jobs is to blame."""


class Transport(Protocol):
    """One life of one worker. `kill` may be called at any time, and more than once."""

    async def start(self) -> None:
        """Returns once the worker has begun. Raises `WorkerGone` if it cannot be started."""
        ...

    def send(self, message: ToWorker) -> None:
        """Queue a message; never blocks. What a dead worker does not take is dropped: `receive` says so."""
        ...

    async def receive(self) -> FromWorker:
        """The next message. Raises `WorkerGone` at the end."""
        ...

    async def kill(self) -> None:
        """End the worker at once and wait until it is gone."""
        ...


MakeTransport = Callable[[WorkerSettings], Transport]

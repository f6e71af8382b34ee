"""How the pool reaches a worker. Here: a spawned process with a socket; Ray can be another `Transport`.

Knows nothing of jobs: it starts one worker, carries messages both ways and ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Protocol

import msgspec

from generators import frames
from generators.messages import FromWorker, ToWorker
from generators.settings import WorkerSettings

_READ_BYTES = 4 * 1024 * 1024


class WorkerGone(Exception):
    """The worker's end of the connection is closed: it exited, was killed or never started."""


class Transport(Protocol):
    """One life of one worker. `kill` may be called at any time, and more than once."""

    async def start(self) -> None:
        """Raises `WorkerGone` if it cannot be started."""
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


class ProcessTransport:
    """A worker process of its own session, so that a Ctrl-C in the terminal reaches only the parent."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._process = await self._spawn(theirs.fileno())
            self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_READ_BYTES)
        except OSError as error:
            ours.close()
            raise WorkerGone(f"The worker could not be started: {error}") from error
        finally:
            theirs.close()  # the child has its own copy: when it exits, we read the end

    def send(self, message: ToWorker) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frames.frame(message))

    async def receive(self) -> FromWorker:
        if self._reader is None:
            raise WorkerGone("The worker was not started.")
        try:
            size = frames.length(await self._reader.readexactly(frames.HEADER_BYTES))
            return frames.from_worker(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError, frames.FrameError) as error:
            raise WorkerGone(f"The connection to the worker ended ({type(error).__name__}).") from error

    async def kill(self) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:  # otherwise the id may be another process's by now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        if self._writer is not None:
            self._writer.close()

    async def _spawn(self, fd: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "generators.worker", "--fd", str(fd)),
            *("--settings", msgspec.json.encode(self._settings).decode()),
            pass_fds=(fd,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_fileno() else None,
            start_new_session=True,
        )


def _has_fileno() -> bool:
    """Whether stderr is a real file here: a worker's stray prints must not mix with the parent's stdout."""
    try:
        return sys.stderr.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False

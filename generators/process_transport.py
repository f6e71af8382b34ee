"""A worker as a spawned process with a socket: what one machine needs, and what a Ray actor keeps on its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from generators import frames
from generators.messages import FromWorker, ToWorker
from generators.settings import WorkerSettings
from generators.transport import WorkerGone

WORKER = "generators.worker"  # the module that a worker runs
_READ_BYTES = 4 * 1024 * 1024
_CALM = {
    "OMP_WAIT_POLICY": "PASSIVE"
}  # threads that spin for each other halt on a machine that others use too
_SOURCES = str(Path(__file__).parents[1])


class WorkerProcess:
    """A process of its own session, so that a Ctrl-C in the terminal reaches only the parent. Speaks frames."""

    def __init__(self, settings: WorkerSettings, module: str = WORKER) -> None:
        self._settings, self._module = settings, module
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Raises `WorkerGone` if it cannot be started."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await self._spawn(theirs.fileno())
            self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_READ_BYTES)
        except OSError as error:
            ours.close()
            raise WorkerGone(f"The worker could not be started: {error}") from error
        finally:
            theirs.close()  # the child has its own copy: when it exits, we read the end

    def write(self, frame: bytes) -> None:
        """Queue a whole frame; dropped when the worker is gone."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame)

    async def read(self) -> bytes:
        """The body of the next frame. Raises `WorkerGone` at the end."""
        if self._reader is None:
            raise WorkerGone("The worker was not started.")
        try:
            size = frames.length(await self._reader.readexactly(frames.HEADER_BYTES))
            return await self._reader.readexactly(size)
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
        """The worker runs the same sources as its parent, wherever that was started."""
        paths = [_SOURCES, *filter(None, [os.environ.get("PYTHONPATH")])]
        environ = _CALM | os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", self._module, "--fd", str(fd)),
            *("--settings", msgspec.json.encode(self._settings).decode()),
            pass_fds=(fd,),
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_fileno() else None,
            start_new_session=True,
        )


class ProcessTransport:
    """The pool's own child."""

    def __init__(self, settings: WorkerSettings, module: str = WORKER) -> None:
        self._worker = WorkerProcess(settings, module)

    async def start(self) -> None:
        await self._worker.start()

    def send(self, message: ToWorker) -> None:
        self._worker.write(frames.frame(message))

    async def receive(self) -> FromWorker:
        try:
            return frames.from_worker(await self._worker.read())
        except frames.FrameError as error:
            raise WorkerGone(str(error)) from error

    async def kill(self) -> None:
        await self._worker.kill()


def _has_fileno() -> bool:
    """Whether stderr is a real file here: a worker's stray prints must not mix with the parent's stdout."""
    try:
        return sys.stderr.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False

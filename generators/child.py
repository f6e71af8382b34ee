"""A process of our own that speaks frames: `python -m MODULE --fd N --settings JSON`.

It has a session of its own, so that a Ctrl-C in the terminal reaches only the parent, and a socket whose end tells
each of the two that the other is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from generators.connection import Connection
from generators.transport import WorkerGone

_CALM = {
    "OMP_WAIT_POLICY": "PASSIVE"
}  # threads that spin for each other halt on a machine that others use too
_SOURCES = str(Path(__file__).parents[1])
_NONE: Mapping[str, str] = {}


class Child:
    """One life of the process. `environ` is added to its environment."""

    def __init__(self, module: str, settings: msgspec.Struct, environ: Mapping[str, str] = _NONE) -> None:
        self._module, self._settings, self._environ = module, settings, environ
        self._end: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._connection: Connection | None = None

    async def start(self) -> None:
        """Raises `WorkerGone` if it cannot be started."""
        ours, theirs = socket.socketpair()
        self._end = ours
        try:
            self._process = await self._spawn(theirs.fileno())
            self._connection = await Connection.over(ours)
        except OSError as error:
            ours.close()
            raise WorkerGone(f"The worker could not be started: {error}") from error
        finally:
            theirs.close()  # the child has its own copy: when it exits, we read the end

    def write(self, frame: bytes) -> None:
        """Queue a whole frame; dropped when the process is gone."""
        if self._connection is not None:
            self._connection.write(frame)

    async def read(self) -> bytes:
        """The body of the next frame. Raises `WorkerGone` at the end."""
        if self._connection is None:
            raise WorkerGone("The worker was not started.")
        return await self._connection.read()

    async def meet(self) -> Connection:
        """One more connection to it: the process gets the other end with a byte. Raises `WorkerGone`."""
        if self._end is None:
            raise WorkerGone("The process was not started.")
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._end, [b"+"], [theirs.fileno()])
            return await Connection.over(ours)
        except OSError as error:
            ours.close()
            raise WorkerGone(f"{self._module} is away ({type(error).__name__}).") from error
        finally:
            theirs.close()

    async def leave(self, seconds: float) -> None:
        """Lets it end by itself for so long, then kills it."""
        if self._process is not None and self._connection is not None:
            self._connection.finish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:  # otherwise the id may be another process's by now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        if self._connection is not None:
            self._connection.close()

    async def _spawn(self, fd: int) -> asyncio.subprocess.Process:
        """The child runs the same sources as its parent, wherever that was started."""
        paths = [_SOURCES, *filter(None, [os.environ.get("PYTHONPATH")])]
        environ = _CALM | os.environ | {**self._environ, "PYTHONPATH": os.pathsep.join(paths)}
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


def _has_fileno() -> bool:
    """Whether stderr is a real file here: a child's stray prints must not mix with the parent's stdout."""
    try:
        return sys.stderr.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False

"""Frames both ways over a socket of this machine, on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from generators import frames
from generators.transport import WorkerGone

_READ_BYTES = 4 * 1024 * 1024


class Connection:
    """One reader at a time; anyone may write. `over` makes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._finished = False

    @classmethod
    async def over(cls, end: socket.socket) -> Connection:
        """Takes the socket, and closes it if that fails. Raises `OSError`."""
        try:
            return cls(*await asyncio.open_connection(sock=end, limit=_READ_BYTES))
        except OSError:
            end.close()
            raise

    def write(self, frame: bytes) -> None:
        """Queue a whole frame; dropped after `finish`, and when the other end is gone."""
        if not (self._finished or self._writer.is_closing()):
            self._writer.write(frame)

    async def written(self) -> None:
        """Waits while the other end is behind. Raises `WorkerGone`."""
        try:
            await self._writer.drain()
        except OSError as error:
            raise _ended(error) from error

    async def read(self) -> bytes:
        """The body of the next frame. Raises `WorkerGone` at the end."""
        try:
            size = frames.length(await self._reader.readexactly(frames.HEADER_BYTES))
            return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError, frames.FrameError) as error:
            raise _ended(error) from error

    def finish(self) -> None:
        """Say that nothing more is written; what the other end says can still be read."""
        self._finished = True
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()


def _ended(error: Exception) -> WorkerGone:
    return WorkerGone(f"The connection to the worker ended ({type(error).__name__}).")

"""A worker in a Ray actor, as the bot reaches it: through the driver, over a socket for this worker alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from generators import frames
from generators.connection import Connection
from generators.messages import FromWorker, ToWorker
from generators.ray_messages import Began, Begin, Gone, from_driver
from generators.settings import WorkerSettings
from generators.transport import ClusterGone, WorkerGone

_KILL_SECONDS = 6.0  # longer than the driver needs for an actor that does not answer


class RayTransport:
    """`meet` opens the socket."""

    def __init__(
        self, meet: Callable[[], Awaitable[Connection]], settings: WorkerSettings, module: str
    ) -> None:
        self._meet, self._begin = meet, Begin(settings=settings, module=module)
        self._connection: Connection | None = None
        self._begun = False
        self._turn = asyncio.Lock()  # of reading
        self._killing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Waits until the cluster has room for it: another owner's worker may be on the device."""
        self._connection = await self._meet()
        self._connection.write(frames.frame(self._begin))
        self._begun = isinstance(await self._next(), Began)

    def send(self, message: ToWorker) -> None:
        if self._connection is not None and self._begun:
            self._connection.write(frames.frame(message))

    async def receive(self) -> FromWorker:
        message = await self._next()
        if isinstance(message, Began):
            raise WorkerGone("The driver answered in the wrong order.")
        return message

    async def kill(self) -> None:
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill())
        await asyncio.shield(self._killing)

    async def _next(self) -> FromWorker | Began:
        if self._connection is None:
            raise WorkerGone("The worker was not started.")
        try:
            async with self._turn:
                message = from_driver(await self._connection.read())
        except WorkerGone as error:
            raise ClusterGone("The cluster is gone.") from error  # of a worker's death alone the driver tells
        except frames.FrameError as error:
            raise WorkerGone(str(error)) from error
        if isinstance(message, Gone):
            raise (ClusterGone if message.away else WorkerGone)(message.why)
        return message

    async def _kill(self) -> None:
        """The driver closes its end once the actor is gone; a driver that is dead has closed it already."""
        if self._connection is None:
            return
        self._connection.finish()
        with contextlib.suppress(WorkerGone, TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS), self._turn:
                while True:
                    await self._connection.read()
        self._connection.close()

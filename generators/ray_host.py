"""What runs inside a Ray actor: it keeps one worker process on its node and passes frames on, both ways.

The worker is the one that a single machine spawns, unchanged, in a process of its own: native code that crashes
takes nothing of Ray with it. Does not import Ray, so that the nodes need nothing but this package.
"""

from __future__ import annotations

import asyncio

from generators.child import Child
from generators.settings import WorkerSettings
from generators.transport import WorkerGone

_FRAMES_MAX = 256  # that wait to be fetched; then the worker has to wait


class Host:
    """Its methods are called by one `Actor`, several at a time."""

    def __init__(self, settings: WorkerSettings, module: str) -> None:
        self._worker = Child(module, settings)
        self._said: asyncio.Queue[bytes | None] = asyncio.Queue(_FRAMES_MAX)
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises `WorkerGone`."""
        await self._worker.start()
        self._reading = asyncio.create_task(self._read())

    async def send(self, frame: bytes) -> None:
        self._worker.write(frame)

    async def receive(self) -> list[bytes]:
        """Waits for something and returns all there is, in order. Raises `WorkerGone` at the end."""
        said = [await self._said.get()]
        while not self._said.empty():
            said.append(self._said.get_nowait())
        if said[-1] is None:
            self._said.put_nowait(None)  # for whoever asks again
        if said[0] is None:
            raise WorkerGone("The connection to the worker ended.")
        return [each for each in said if each is not None]

    async def kill(self) -> None:
        await self._worker.kill()

    async def _read(self) -> None:
        try:
            while True:
                await self._said.put(await self._worker.read())
        except WorkerGone:
            await self._said.put(None)

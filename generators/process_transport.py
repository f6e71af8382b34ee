"""A worker as a spawned process with a socket: what one machine needs."""

from __future__ import annotations

from generators import frames
from generators.child import Child
from generators.messages import FromWorker, ToWorker
from generators.settings import WorkerSettings
from generators.transport import WorkerGone

WORKER = "generators.worker"  # the module that a worker runs


class ProcessTransport:
    """The pool's own child."""

    def __init__(self, settings: WorkerSettings, module: str = WORKER) -> None:
        self._worker = Child(module, settings)

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

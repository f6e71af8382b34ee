"""A worker played by the test: a `Transport` whose other end is a list of what it was told and a `say`."""

from __future__ import annotations

import asyncio

from generators.messages import FromWorker, Heartbeat, Loaded, Ready, Submit, ToWorker
from generators.settings import WorkerSettings
from generators.transport import WorkerGone


class ScriptedWorker:
    """One life. `told` is what the pool sent; `say` is what the worker answers; `die` ends it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.told: list[ToWorker] = []
        self.killed = False
        self._said: asyncio.Queue[FromWorker | None] = asyncio.Queue()

    async def start(self) -> None: ...

    def send(self, message: ToWorker) -> None:
        self.told.append(message)

    async def receive(self) -> FromWorker:
        message = await self._said.get()
        if message is None:
            raise WorkerGone("the test said so")
        return message

    async def kill(self) -> None:
        self.killed = True
        self._said.put_nowait(None)

    def say(self, *messages: FromWorker) -> None:
        for message in messages:
            self._said.put_nowait(message)

    def be_ready(self) -> None:
        self.say(Ready(device=self.settings.device, name="scripted", memory_bytes=1000))

    def beat(self, stalled_seconds: float = 0.0, loading: str = "", **resident: int) -> None:
        self.say(
            Heartbeat(
                stalled_seconds=stalled_seconds, running=0, waiting=0, loading=loading, resident=resident
            )
        )

    def loaded(self, model: str) -> None:
        self.say(Loaded(model=model, memory_bytes=10, seconds=0.1))

    def die(self) -> None:
        self._said.put_nowait(None)

    @property
    def jobs(self) -> list[str]:
        return [message.job for message in self.told if isinstance(message, Submit)]


class Stage:
    """Makes the workers, and keeps them in the order in which they were started."""

    def __init__(self) -> None:
        self.workers: list[ScriptedWorker] = []

    def __call__(self, settings: WorkerSettings) -> ScriptedWorker:
        worker = ScriptedWorker(settings)
        self.workers.append(worker)
        return worker

    async def worker(self, number: int) -> ScriptedWorker:
        """The n-th that was ever started, waited for."""
        while len(self.workers) <= number:
            await asyncio.sleep(0.001)
        return self.workers[number]

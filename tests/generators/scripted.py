"""Played by the test: a worker (a `Transport` whose other end is a list of what it was told and a `say`), and
models whose steps only take time from a simulated clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from generators.job import Job
from generators.messages import FromWorker, Heartbeat, Loaded, Ready, Submit, ToWorker
from generators.requests import Artifact, TextToImage
from generators.settings import WorkerSettings
from generators.transport import WorkerGone


class ScriptedWorker:
    """One life. `told` is what the pool sent; `say` is what the worker answers; `die` ends it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.told: list[ToWorker] = []
        self.killed = False
        self.ended = asyncio.Event()  # set: it dies when it is killed
        self.ended.set()
        self._said: asyncio.Queue[FromWorker | WorkerGone] = asyncio.Queue()

    async def start(self) -> None: ...

    def send(self, message: ToWorker) -> None:
        self.told.append(message)

    async def receive(self) -> FromWorker:
        message = await self._said.get()
        if isinstance(message, WorkerGone):
            raise message
        return message

    async def kill(self) -> None:
        self.killed = True
        await self.ended.wait()
        self.die()

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

    def die(self, why: WorkerGone | None = None) -> None:
        self._said.put_nowait(why or WorkerGone("the test said so"))

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


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ScriptedRunner:
    """A model of `size` bytes: a step takes `step_seconds` and brings all its jobs one step further.

    `forwards` is who shared which step. What a prompt does beside being drawn is in `spells`.
    """

    clock: Clock
    size: int = 10
    step_seconds: float = 1.0
    rows_max: int = 4
    forwards: list[tuple[str, ...]] = field(default_factory=list)
    spells: dict[str, Callable[[], object]] = field(default_factory=dict)
    made: tuple[Artifact, ...] = ()
    _steps: dict[Job, int] = field(default_factory=dict)

    def memory_bytes(self) -> int:
        return self.size

    def room(self, job: Job) -> bool:
        return sum(rows(each) for each in (*self._steps, job)) <= self.rows_max

    def begin(self, job: Job) -> None:
        self.spells.get(f"begin {prompt(job)}", lambda: None)()
        self._steps[job] = 0
        job.progress(0, steps(job))

    def step(self) -> None:
        running = [job for job in self._steps if not job.drop_if_cancelled()]
        self._steps = {job: self._steps[job] for job in running}
        self.clock.now += self.step_seconds if running else 0.0
        self.forwards.append(tuple(job.id for job in running))
        for job in running:
            self.spells.get(prompt(job), lambda: None)()
            self._steps[job] += 1
            job.token(prompt(job))
            job.progress(self._steps[job], steps(job))
        for job in [job for job in running if self._steps[job] == steps(job)]:
            del self._steps[job]
            job.finish(self.made)

    def jobs(self) -> Sequence[Job]:
        return tuple(self._steps)

    def abandon(self) -> None:
        self._steps.clear()


def _drawn(job: Job) -> TextToImage:
    assert isinstance(job.request, TextToImage)
    return job.request


def prompt(job: Job) -> str:
    return _drawn(job).prompt


def steps(job: Job) -> int:
    return _drawn(job).steps


def rows(job: Job) -> int:
    return _drawn(job).count

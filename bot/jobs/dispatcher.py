"""From queued jobs to finished ones: claims in fair order, keeps the pool just fed, ends each attempt once.

    claim ──> inputs ──> pool ──> blobs ──> ending.complete
                          └─> ending.fail / ending.cancelled / ending.lost / ending.give_back

Runs where devices are. Knows no platform. Every claim is under a lease that `run` renews; an attempt that was
taken away (its lease ran out while the database was gone) is stopped here and its result dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol, assert_never

import msgspec
import structlog

from bot.config import Config
from bot.jobs import ending
from bot.jobs.learning import Timings
from bot.jobs.progress import Reporter
from bot.jobs.throughput import Throughput
from generators import requests
from generators.device import DeviceStatus
from generators.messages import Accepted, Cancelled, Event, Failed, Progress, Result, Token
from generators.requests import ImageToImage, Request
from storage import jobs, records
from storage.artifacts import NewArtifact
from storage.blobs import Blobs, BlobsUnavailable
from storage.database import Database, DatabaseUnavailable, Session
from storage.fair import Affinity
from storage.jobs import Job
from storage.records import Capacity
from storage.signals import Wake

IDLE_SECONDS = 1.0  # how long a lost signal may delay a job
RETRIED = frozenset({"worker_lost", "crowded", "internal"})
EXTENSIONS = {"image/png": "png", "text/plain": "txt", "text/markdown": "md"}

log = structlog.get_logger(__name__)
Terminal = Result | Failed | Cancelled


class Engine(Protocol):
    """What of `generators.pool.Pool` is used here."""

    def room(self) -> int: ...
    def warm(self) -> frozenset[str]: ...
    def devices(self) -> Sequence[DeviceStatus]: ...
    def submit(
        self,
        job: str,
        request: Request,
        inputs: Mapping[str, bytes],
        *,
        alone: bool = False,
        limit_seconds: float = 0.0,
        passed_seconds: float = 0.0,
    ) -> AsyncIterator[Event]: ...
    def cancel(self, job: str) -> None: ...


class Dispatcher:
    def __init__(
        self, database: Database, blobs: Blobs, engine: Engine, reporter: Reporter, config: Config,
        *, owner: str, clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._database, self._blobs, self._engine, self._reporter = database, blobs, engine, reporter
        self._config, self._owner, self._clock = config, owner, clock
        self._wake = Wake(database.signals, "jobs")
        self._serving: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._arriving: dict[tuple[int, int], int] = {}  # pieces of what the engine has not heard of yet
        self._pieces_max = max(plan.count_max for plan in config.plans.values())  # of a job
        self._unwanted: set[str] = set()
        self._timings = Timings()
        self._throughput = Throughput(clock().timestamp())
        self._stopping = False
        database.signals.on("cancels", self._cancel)

    @property
    def busy(self) -> int:
        return len(self._serving)

    def wake(self) -> None:
        """Something may have become possible: a device is ready."""
        self._wake.set()

    async def run(self) -> None:
        """Claims and serves until cancelled; then whatever still runs goes back to the queue."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew())
                while True:
                    await self._feed(group)
                    await self._wake.wait(IDLE_SECONDS)
        finally:
            self._database.signals.off("cancels", self._cancel)

    async def drain(self, seconds: float) -> None:
        """Claims nothing more and waits so long for what runs."""
        self._stopping = True
        if self._serving:
            await asyncio.wait(self._serving.values(), timeout=seconds)

    # --- claiming ---------------------------------------------------------------------------------------

    async def _feed(self, group: asyncio.TaskGroup) -> None:
        """Claims until the engine has enough; never more at a time than there is room for if all are large."""
        self._note()
        while (room := self._room()) > 0:
            limit = max(1, room // self._pieces_max)
            if await self._claim(group, limit) < limit:
                break
        self._note()

    async def _claim(self, group: asyncio.TaskGroup, limit: int) -> int:
        """How many there were to claim."""
        try:
            claimed = await self._database.run(
                jobs.claim, self._owner, lease_seconds=self._config.timeouts.lease, limit=limit,
                affinity=Affinity(warm=self._engine.warm(), patience_us=_us(self._config.pool.affinity)),
            )  # fmt: skip
        except DatabaseUnavailable as error:
            log.warning("dispatcher.database_away", error=str(error))
            return 0
        for job in claimed:
            log.info("job.claimed", job=job.id, attempt=job.attempt, model=job.model)
            task = group.create_task(self._serve(job), name=f"job-{job.id}.{job.attempt}")
            self._serving[job.id, job.attempt] = task
            self._arriving[job.id, job.attempt] = _pieces(job)
            task.add_done_callback(lambda _, key=(job.id, job.attempt): self._served(key))
        return len(claimed)

    def _served(self, key: tuple[int, int]) -> None:
        self._serving.pop(key, None)
        self._arriving.pop(key, None)
        self._unwanted.discard(_name(*key))
        self._wake.set()

    def _room(self) -> int:
        return 0 if self._stopping else self._engine.room() - sum(self._arriving.values())

    def _note(self, done_seconds: float = 0.0) -> None:
        self._throughput.note(
            self._clock().timestamp(),
            full=self._room() <= 0,
            devices=self._devices(),
            done_seconds=done_seconds,
        )

    def _devices(self) -> int:
        return sum(each.state == "ready" for each in self._engine.devices())

    def _capacity(self) -> Capacity:
        devices = self._devices()
        slots = len(self._serving) + max(self._room(), 0)
        return Capacity(devices=devices, slots=slots, rate_us=_us(devices * self._throughput.share))

    async def _renew(self) -> None:
        lease = self._config.timeouts.lease
        while True:
            capacity = self._capacity()
            await asyncio.sleep(lease / 3 if capacity.devices else IDLE_SECONDS)
            mine = set(self._serving)
            try:
                held = await self._database.run(_beat, self._owner, self._capacity(), lease_seconds=lease)
            except DatabaseUnavailable:
                continue  # it may be back before the lease is over
            for key in mine - held.keys():
                self._lose(key)
            for job, _ in (key for key, cancelled in held.items() if cancelled):
                self._cancel(str(job))  # its signal may have been lost

    def _lose(self, key: tuple[int, int]) -> None:
        """Another dispatcher has it, or it is ending at this very moment: stopping it is right in both cases."""
        if key in self._serving:
            log.warning("job.lease_lost", job=key[0], attempt=key[1])
            self._engine.cancel(_name(*key))

    def _cancel(self, payload: str) -> None:
        for job, attempt in self._serving:
            if str(job) == payload:
                self._unwanted.add(_name(job, attempt))
                self._engine.cancel(_name(job, attempt))

    # --- serving one attempt ----------------------------------------------------------------------------

    async def _serve(self, job: Job) -> None:
        self._reporter.started(job)
        try:
            await self._attempt(job)
        except asyncio.CancelledError:
            self._engine.cancel(_name(job.id, job.attempt))
            with suppress(DatabaseUnavailable):
                await self._database.run(ending.give_back, job)
            raise
        except Exception:
            log.exception("job.broken", job=job.id)
            await self._fail(job, "internal", again=True)
        finally:
            self._reporter.ended(job)

    async def _attempt(self, job: Job) -> None:
        request = requests.decode(job.request)
        try:
            inputs = await self._inputs(request)
        except BlobsUnavailable as error:
            log.warning("job.inputs_away", job=job.id, error=str(error))
            await self._fail(job, "storage", again=True)
            return
        if inputs is None:
            await self._fail(job, "bad_input", again=False)
            return
        try:
            terminal = await self._generate(job, request, inputs)
        except TimeoutError:
            self._engine.cancel(_name(job.id, job.attempt))
            await self._fail(job, "queue_timeout", again=False)
            return
        await self._end(job, request, terminal)

    async def _inputs(self, request: Request) -> dict[str, bytes] | None:
        """The pictures that a request starts from; None when one is gone."""
        if not isinstance(request, ImageToImage):
            return {}
        data = await self._blobs.get(request.source)
        return None if data is None else {request.source: data}

    async def _generate(self, job: Job, request: Request, inputs: dict[str, bytes]) -> Terminal:
        """How long it may run is the engine's to say, which knows when it does; how long it may wait there, ours.

        Raises `TimeoutError` when it has waited too long.
        """
        name, timeouts = _name(job.id, job.attempt), self._config.timeouts
        events = self._engine.submit(
            name, request, inputs, alone=job.failures > 0, limit_seconds=timeouts.running(job.kind),
            passed_seconds=job.passed_us / 1e6,
        )  # fmt: skip
        self._arriving.pop((job.id, job.attempt), None)
        if job.cancel_requested or name in self._unwanted:  # it was cancelled before it got here
            self._engine.cancel(name)
        async with asyncio.timeout(timeouts.queue(job.tier)) as waiting:
            async for event in events:
                match event:
                    case Accepted():
                        pass
                    case Progress():
                        waiting.reschedule(None)
                        self._reporter.step(job, event.step, event.steps, event.preview)
                    case Token():
                        self._reporter.token(job, event.text)
                    case Result() | Failed() | Cancelled():
                        return event
                    case _:
                        assert_never(event)
        return Failed(job=name, code="worker_lost", message="the worker's events ended early")

    async def _end(self, job: Job, request: Request, terminal: Terminal) -> None:
        self._note(terminal.device_seconds)
        match terminal:
            case Result():
                await self._complete(job, request, terminal)
            case Failed(code="cluster_lost"):
                log.warning("job.lost", job=job.id, why=terminal.message)
                await self._insist(lambda: self._database.run(ending.lost, job, self._clock()))
            case Failed():
                log.warning("job.failed", job=job.id, code=terminal.code, why=terminal.message)
                await self._fail(
                    job, terminal.code, again=terminal.code in RETRIED, seconds=terminal.device_seconds
                )
            case Cancelled():
                used = _us(terminal.device_seconds)
                await self._insist(
                    lambda: self._database.run(
                        ending.cancelled, job, self._clock(), share=terminal.share, used_us=used
                    )
                )
            case _:
                assert_never(terminal)

    async def _complete(self, job: Job, request: Request, result: Result) -> None:
        try:
            made = await self._store(job, result)
        except BlobsUnavailable as error:
            log.warning("job.blobs_away", job=job.id, error=str(error))
            await self._fail(job, "storage", again=True, seconds=result.device_seconds)
            return
        used = _us(result.device_seconds)
        counted = await self._insist(
            lambda: self._database.run(
                ending.complete, self._config, job, made, self._clock(), used_us=used, unread=result.unread
            )
        )
        log.info("job.completed", job=job.id, attempt=job.attempt, counted=counted, used_us=used)
        await self._learn(job, request, used)

    async def _store(self, job: Job, result: Result) -> list[NewArtifact]:
        made: list[NewArtifact] = []
        for ordinal, artifact in enumerate(result.artifacts):
            extension = EXTENSIONS.get(artifact.media_type, "bin")
            blob = f"jobs/{job.id}/{job.attempt}/{ordinal}.{extension}"
            await self._blobs.put(blob, artifact.data)
            made.append(
                NewArtifact(
                    ordinal=ordinal, blob=blob, media_type=artifact.media_type, size_bytes=len(artifact.data),
                    width=artifact.width, height=artifact.height, seed=artifact.seed,
                )
            )  # fmt: skip
        return made

    async def _fail(self, job: Job, code: str, *, again: bool, seconds: float = 0.0) -> None:
        await self._insist(
            lambda: self._database.run(
                ending.fail, self._config, job, self._clock(), code=code, again=again, used_us=_us(seconds)
            )
        )

    async def _insist(self, end: Callable[[], Awaitable[bool]]) -> bool:
        """An end is tried until the database takes it: the result is already there and must not be lost."""
        while True:
            try:
                return await end()
            except DatabaseUnavailable as error:
                log.warning("dispatcher.database_away", error=str(error))
                await asyncio.sleep(IDLE_SECONDS)

    async def _learn(self, job: Job, request: Request, used_us: int) -> None:
        """Remembers what it took, in the database only what changes predictions."""
        if news := self._timings.learn(request, predicted_us=job.cost_us, took_us=used_us):
            with suppress(DatabaseUnavailable):
                await self._database.run(records.learn, job.model, news)


def _beat(
    session: Session, owner: str, capacity: Capacity, *, lease_seconds: int
) -> dict[tuple[int, int], bool]:
    """The owner is alive: its leases, and what its devices get done."""
    records.set_capacity(session, owner, capacity, lease_seconds=lease_seconds)
    return jobs.renew(session, owner, lease_seconds=lease_seconds)


def _pieces(job: Job) -> int:
    """One of a request that cannot be read: it will fail when it is served."""
    try:
        return requests.pieces(requests.decode(job.request))
    except msgspec.DecodeError:
        return 1


def _name(job: int, attempt: int) -> str:
    return f"{job}.{attempt}"


def _us(seconds: float) -> int:
    return round(seconds * 1e6)

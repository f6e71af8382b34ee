"""The pool: jobs go in, events come out, and which device does what is nobody else's business.

Lives in the bot's process, on its event loop, and does nothing heavy there. `Device` keeps each worker alive;
here jobs are spread over devices and each job's events find their way back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from generators import discovery
from generators.device import Device, DeviceStatus
from generators.events import Events, Terminal
from generators.messages import (
    Accepted,
    Cancel,
    Cancelled,
    Event,
    Failed,
    FromWorker,
    Heartbeat,
    Loaded,
    Progress,
    Ready,
    Result,
    Submit,
    Token,
    Unload,
    Unloaded,
)
from generators.models import Model
from generators.requests import Request
from generators.settings import PoolSettings
from generators.transport import MakeTransport, ProcessTransport

__all__ = ["Events", "Pool", "PoolSettings", "choose"]

_STOP_SECONDS = 10.0


@dataclass
class _Flight:
    """A job between `submit` and its terminal event. `device` is None while none is ready to take it."""

    submit: Submit
    events: Events
    device: Device | None = None
    running: bool = False
    cancelled: bool = False
    share: float = 0.0


@dataclass
class _Loading:
    """Somebody waits to hear how the loading of a model went."""

    answer: asyncio.Future[Loaded | Unloaded] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Pool:
    """Use within one event loop: `start`, then `submit` as `room` allows, at last `stop`."""

    def __init__(
        self,
        settings: PoolSettings,
        models: Mapping[str, Model],
        transport: MakeTransport = ProcessTransport,
    ) -> None:
        self._settings = settings
        self._models = dict(models)
        self._transport = transport
        self._devices: list[Device] = []
        self._lives: list[asyncio.Task[None]] = []
        self._flights: dict[str, _Flight] = {}
        self._loadings: dict[str, _Loading] = {}
        self._changed = asyncio.Event()
        self._stopping = False

    async def start(self) -> None:
        """Start a worker for each device, without waiting until they are ready."""
        names = self._settings.devices
        chosen = await discovery.devices() if names == "auto" else names
        self._devices = [Device(name, self._settings, self._transport, self) for name in chosen]
        self._lives = [
            asyncio.create_task(device.run(), name=f"device-{device.device}") for device in self._devices
        ]

    async def ready(self) -> None:
        """Wait until a device can take jobs."""
        while not self._live():
            await self._change()

    async def stop(self, grace_seconds: float = 30.0) -> None:
        """Let running jobs finish for up to `grace_seconds`; what then is unfinished ends with worker_lost."""
        self._stopping = True
        for device in self._devices:
            device.drain()
        for job in [job for job, flight in self._flights.items() if not flight.running]:
            self._withdraw(job)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self._flights:
                    await self._change()
        await self._end()

    def room(self) -> int:
        """How many more jobs are wanted now: enough to keep each device fed, so few that order is decided late."""
        wanted = sum(max(0, self._appetite() - len(device.jobs)) for device in self._live())
        unplaced = sum(flight.device is None for flight in self._flights.values())
        return max(0, wanted - unplaced)

    def warm(self) -> frozenset[str]:
        """Models that a device with room has loaded: a job for one starts without waiting for weights."""
        roomy = (device for device in self._live() if len(device.jobs) < self._appetite())
        return frozenset(model for device in roomy for model in device.resident)

    def submit(
        self, job: str, request: Request, inputs: Mapping[str, bytes], *, alone: bool = False
    ) -> Events:
        """Run a job, `alone` in its batch if asked. It counts from now on, read or not.

        Raises `ValueError` if a job of this id is in flight.
        """
        if job in self._flights:
            raise ValueError(f"Job {job} is already in flight.")
        events = Events(abandon=lambda: self.cancel(job))
        message = Submit(job=job, request=request, inputs=dict(inputs), alone=alone)
        self._flights[job] = flight = _Flight(message, events)
        self._place(flight)
        return events

    def cancel(self, job: str) -> None:
        """Ask for the end of a job: Cancelled follows, unless it ends otherwise first. Unknown ids are ignored."""
        flight = self._flights.get(job)
        if flight is None:
            return
        flight.cancelled = True
        if flight.device is None:
            self._finish(Cancelled(job=job, share=0.0))
        else:
            flight.device.send(Cancel(job=job))

    async def load(self, model: str) -> Loaded | Unloaded:
        """Make a model resident somewhere, and say how that went (Unloaded.message says why not)."""
        await self.ready()
        entry = self._models.get(model)
        if entry is None:
            return Unloaded(model=model, message=f"There is no model named {model!r}.")
        device = self._choice(model)
        device.forget(model)
        waiting = self._loadings.setdefault(model, _Loading())
        device.load(entry)
        return await asyncio.shield(waiting.answer)

    def unload(self, model: str) -> None:
        """Free its memory on all devices."""
        for device in self._devices:
            device.forget(model)
            device.send(Unload(model=model))

    def add_model(self, model: Model) -> None:
        """Add or replace an entry; devices hear of it when they next need it."""
        self._models[model.name] = model

    def devices(self) -> tuple[DeviceStatus, ...]:
        return tuple(device.status() for device in self._devices)

    # What devices report

    def heard(self, device: Device, message: FromWorker) -> None:
        match message:
            case Ready():
                self._place_waiting()
            case Loaded() | Unloaded():
                self._answer(message)
            case Heartbeat():
                pass
            case Accepted() | Progress() | Token() | Result() | Failed() | Cancelled():
                self._pass_on(device, message)
            case _:
                assert_never(message)
        self._notify()

    def lost(self, device: Device, why: str) -> None:
        for model in list(self._loadings):
            self._answer(Unloaded(model=model, message=f"The worker was lost: {why}."))
        for job in list(device.jobs):
            self._lose(job, f"The worker of {device.device} was lost: {why}.")
        self._notify()

    # Inside

    def _live(self) -> list[Device]:
        return [device for device in self._devices if device.state == "ready"]

    def _appetite(self) -> int:
        return 2 * self._settings.batch_max

    def _choice(self, model: str) -> Device:
        live = self._live()
        loads = [len(device.jobs) for device in live]
        return live[choose([device.knows(model) for device in live], loads, full=self._appetite())]

    def _place(self, flight: _Flight) -> None:
        entry = self._models.get(flight.submit.request.model)
        job = flight.submit.job
        if entry is None:
            message = f"There is no model named {flight.submit.request.model!r}."
            self._finish(Failed(job=job, code="model_unavailable", message=message))
        elif self._stopping:
            self._lose(job, "The pool is stopping.")
        elif self._live():
            flight.device = self._choice(entry.name)
            flight.device.submit(flight.submit, entry)

    def _place_waiting(self) -> None:
        for flight in [flight for flight in self._flights.values() if flight.device is None]:
            self._place(flight)

    def _pass_on(self, device: Device, event: Event) -> None:
        flight = self._flights.get(event.job)
        if flight is None or flight.device is not device:
            return  # already answered: the pool was stopping
        if isinstance(event, Terminal):
            self._finish(event)
            return
        flight.running |= not isinstance(event, Accepted)
        if isinstance(event, Progress) and event.steps:
            flight.share = event.step / event.steps
        flight.events.put(event)

    def _finish(self, event: Terminal) -> None:
        flight = self._flights.pop(event.job)
        if flight.device is not None:
            flight.device.jobs.discard(event.job)
        flight.events.put(event)
        self._notify()

    def _lose(self, job: str, message: str) -> None:
        """A cancelled job needs no second try, so it ends as cancelled."""
        flight = self._flights[job]
        if flight.cancelled:
            self._finish(Cancelled(job=job, share=flight.share))
        else:
            self._finish(Failed(job=job, code="worker_lost", message=message))

    def _withdraw(self, job: str) -> None:
        device = self._flights[job].device
        if device is not None:
            device.send(Cancel(job=job))
        self._lose(job, "The pool is stopping; the job had not run.")

    def _answer(self, message: Loaded | Unloaded) -> None:
        if isinstance(message, Unloaded) and not message.message:
            return  # it made room for another, or for its own new entry
        loading = self._loadings.pop(message.model, None)
        if loading is not None and not loading.answer.done():
            loading.answer.set_result(message)

    async def _end(self) -> None:
        for job in list(self._flights):
            self._lose(job, "The pool stopped.")
        for life in self._lives:
            life.cancel()
        with contextlib.suppress(TimeoutError):  # a process that cannot even be killed is left behind
            async with asyncio.timeout(_STOP_SECONDS), asyncio.TaskGroup() as group:
                for device in self._devices:
                    group.create_task(device.end())
        if self._lives:
            await asyncio.wait(self._lives, timeout=_STOP_SECONDS)

    def _notify(self) -> None:
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def choose(knows: Sequence[bool], loads: Sequence[int], *, full: int) -> int:
    """Which device takes a job: one with room first, then one that has the model, then the least loaded."""
    return min(range(len(loads)), key=lambda at: (loads[at] >= full, not knows[at], loads[at], at))

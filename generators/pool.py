"""The pool: jobs go in, events come out, and which device does what is nobody else's business.

Lives in the bot's process, on its event loop, and does nothing heavy there. A `Cluster` says which devices there
are, `Device` keeps the worker on each alive; here jobs are spread over devices and their events find their way back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count
from typing import assert_never

import structlog

from generators.cluster import Cluster, cluster_of
from generators.device import Device, DeviceStatus
from generators.events import Events, Terminal
from generators.messages import (
    Accepted,
    Cancel,
    Cancelled,
    Event,
    Failed,
    FailureCode,
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
from generators.requests import Request, pieces
from generators.settings import PoolSettings
from generators.vitals import backoff_seconds

log = structlog.get_logger()

__all__ = ["Events", "Pool", "PoolSettings", "choose"]

_STOP_SECONDS = 10.0


class _Leg(Enum):
    WAITS = auto()  # in its worker, or for one
    MOVES = auto()  # it waited on a device that drains: when its worker has let it go, another device gets it
    RUNS = auto()
    CANCELLED = auto()  # by whoever asked for it; its worker has not answered yet, so it runs


_AT_WORK = (_Leg.RUNS, _Leg.CANCELLED)


@dataclass(eq=False)
class _Flight:
    """A job between `submit` and its terminal event. `device` is None while none is ready to take it."""

    submit: Submit
    events: Events
    leg: _Leg = _Leg.WAITS
    device: Device | None = None
    spared: bool = False  # it was a suspect once, though it only waited: the next worker takes it along
    share: float = 0.0


class Pool:
    """Use within one event loop: `start`, then `submit` as `room` allows, at last `stop`."""

    def __init__(
        self, settings: PoolSettings, models: Mapping[str, Model], cluster: Cluster | None = None
    ) -> None:
        self._settings = settings
        self._models = dict(models)
        self._cluster = cluster or cluster_of(settings)
        self._devices: dict[str, Device] = {}
        self._lives: dict[Device, asyncio.Task[None]] = {}
        self._flights: dict[str, _Flight] = {}
        self._loadings: dict[tuple[Device, str], asyncio.Future[Loaded | Unloaded]] = {}
        self._changed = asyncio.Event()
        self._stopping = False
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start a worker for each device that there is or will be, without waiting for any."""
        self._following = asyncio.create_task(self._follow(), name="devices")

    async def ready(self) -> None:
        """Wait until a device can take jobs."""
        while not self._live():
            await self._change()

    async def stop(self, grace_seconds: float = 30.0) -> None:
        """Let running jobs finish for up to `grace_seconds`; what then is unfinished ends with worker_lost."""
        self._stopping = True
        if self._following is not None:
            self._following.cancel()
        for device in self._devices.values():
            device.drain()
        for job in [job for job, flight in self._flights.items() if flight.leg not in _AT_WORK]:
            self._withdraw(job)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self._flights:
                    await self._change()
        await self._end()

    def room(self) -> int:
        """How many more pictures or texts are wanted now: enough to keep each device fed, so few that order is
        decided late, and that little is stuck on one device when another could begin it."""
        wanted = sum(max(0, self._appetite() - device.pieces) for device in self._able())
        unplaced = sum(
            pieces(flight.submit.request) for flight in self._flights.values() if flight.device is None
        )
        return max(0, wanted - unplaced)

    def warm(self) -> frozenset[str]:
        """Models that a device with room has loaded: a job for one starts without waiting for weights."""
        roomy = (device for device in self._able() if device.pieces < self._appetite())
        return frozenset(model for device in roomy for model in device.resident)

    def submit(
        self,
        job: str,
        request: Request,
        inputs: Mapping[str, bytes],
        *,
        alone: bool = False,
        limit_seconds: float = 0.0,
        passed_seconds: float = 0.0,
    ) -> Events:
        """Run a job, `alone` in its batch if asked, for at most `limit_seconds` (0: no limit) from its first step.
        What went ahead of it for a loaded model's sake counts against the affinity here. It counts from now on, read
        or not.

        Raises `ValueError` if a job of this id is in flight.
        """
        if job in self._flights:
            raise ValueError(f"Job {job} is already in flight.")
        events = Events(abandon=lambda: self.cancel(job))
        message = Submit(
            job=job,
            request=request,
            inputs=dict(inputs),
            alone=alone,
            limit_seconds=limit_seconds,
            passed_seconds=passed_seconds,
        )
        self._flights[job] = flight = _Flight(message, events)
        self._place(flight)
        return events

    def cancel(self, job: str) -> None:
        """Ask for the end of a job: Cancelled follows, unless it ends otherwise first. Unknown ids are ignored."""
        flight = self._flights.get(job)
        if flight is None:
            return
        flight.leg = _Leg.CANCELLED
        if flight.device is None:
            self._finish(Cancelled(job=job, share=0.0))
        else:
            flight.device.send(Cancel(job=job))

    def drain(self, device: str) -> None:
        """Give it no more jobs; those that wait there move, if another can take them; then its worker ends.

        Raises `KeyError` for a device that is not there.
        """
        drained = self._devices[device]
        drained.drain()
        for job in sorted(drained.jobs) if self._live() else ():
            flight = self._flights[job]
            if flight.leg is _Leg.WAITS:
                flight.leg = _Leg.MOVES
                drained.send(Cancel(job=job))
        self._notify()

    def resume(self, device: str) -> None:
        """Undo a `drain`. Raises `KeyError`."""
        self._devices[device].resume()
        self._place_waiting()
        self._notify()

    async def load(self, model: str) -> Loaded | Unloaded:
        """Make a model resident somewhere, and say how that went (Unloaded.message says why not)."""
        await self.ready()
        entry = self._models.get(model)
        if entry is None:
            return Unloaded(model=model, message=f"There is no model named {model!r}.")
        device = self._choice(model)
        device.forget(model)
        answer = self._loadings.setdefault((device, model), asyncio.get_running_loop().create_future())
        device.load(entry)
        return await asyncio.shield(answer)

    def unload(self, model: str) -> None:
        """Free its memory on all devices."""
        for device in self._devices.values():
            device.forget(model)
            device.send(Unload(model=model))

    def add_model(self, model: Model) -> None:
        """Add or replace an entry; devices hear of it when they next need it."""
        self._models[model.name] = model

    def devices(self) -> tuple[DeviceStatus, ...]:
        return tuple(device.status() for device in self._devices.values())

    # What devices report

    def heard(self, device: Device, message: FromWorker) -> None:
        match message:
            case Ready():
                self._place_waiting()
            case Loaded() | Unloaded():
                self._answer(device, message)
            case Heartbeat():
                pass
            case Accepted() | Progress() | Token() | Result() | Failed() | Cancelled():
                self._pass_on(device, message)
            case _:
                assert_never(message)
        self._notify()

    def lost(self, device: Device, why: str, code: FailureCode) -> None:
        for model in [model for where, model in self._loadings if where is device]:
            self._answer(device, Unloaded(model=model, message=f"The worker was lost: {why or 'drained'}."))
        flights = [self._flights[job] for job in device.jobs]
        suspects = _suspects(flights) if code == "worker_lost" else ()
        for flight in flights:
            if flight.leg in _AT_WORK or (flight.spared and flight in suspects):
                self._lose(flight.submit.job, f"The worker of {device.device} was lost: {why}.", code)
            else:
                flight.spared |= flight in suspects
                self._move(flight)
        self._notify()

    # Inside

    async def _follow(self) -> None:
        """Devices join and leave. Who cannot tell which there are is asked again; those that there were stay."""
        for failures in count(1):
            try:
                async for names in self._cluster.devices():
                    self._update(names)
            except Exception:
                wait = backoff_seconds(failures, self._settings)
                log.exception(
                    "devices_unknown", why=f"They cannot be listed; the next try is in {wait:.0f} s."
                )
                await asyncio.sleep(wait)
            else:
                return

    def _update(self, names: Sequence[str] | None) -> None:
        """A cluster that is gone took its devices along: no job did that."""
        code: FailureCode = "cluster_lost" if names is None else "worker_lost"
        there = names or ()
        for name in self._devices.keys() - set(there):
            self._leave(self._devices.pop(name), code)
        for name in (name for name in there if name not in self._devices):
            self._devices[name] = device = Device(name, self._settings, self._cluster.transport, self)
            self._lives[device] = life = asyncio.create_task(device.run(), name=f"device-{name}")
            life.add_done_callback(lambda _, device=device: self._lives.pop(device, None))
        self._notify()

    def _leave(self, device: Device, code: FailureCode) -> None:
        """Jobs that run on it are lost as if it had died."""
        log.info("device_left", device=device.device, jobs=len(device.jobs))
        device.drain()
        self._lives[device].cancel()
        self.lost(device, "it has left", code)

    def _live(self) -> list[Device]:
        return [device for device in self._devices.values() if device.state == "ready"]

    def _able(self) -> list[Device]:
        """Those that could begin something now: who loads cannot, so that what another has loaded is not given to
        it. While all load, all count."""
        return [device for device in self._live() if not device.loading] or self._live()

    def _appetite(self) -> int:
        return 2 * self._settings.batch_max

    def _choice(self, model: str) -> Device:
        live, batch = self._live(), self._settings.batch_max
        held = [device.is_held_up(model) for device in live]
        knows = [device.knows(model) for device in live]
        return live[choose(held, knows, [device.pieces for device in live], batch=batch)]

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

    def _move(self, flight: _Flight) -> None:
        if flight.device is not None:
            flight.device.jobs.pop(flight.submit.job, None)
        flight.device, flight.leg = None, _Leg.WAITS
        self._place(flight)

    def _pass_on(self, device: Device, event: Event) -> None:
        flight = self._flights.get(event.job)
        if flight is None or flight.device is not device:
            return  # already answered: the pool was stopping
        if isinstance(event, Cancelled) and flight.leg is _Leg.MOVES:
            self._move(flight)
            return
        if isinstance(event, Terminal):
            self._finish(event)
            return
        if flight.leg is _Leg.WAITS and not isinstance(event, Accepted):
            flight.leg = _Leg.RUNS
        if isinstance(event, Progress) and event.steps:
            flight.share = event.step / event.steps
        flight.events.put(event)

    def _finish(self, event: Terminal) -> None:
        flight = self._flights.pop(event.job)
        if flight.device is not None:
            flight.device.jobs.pop(event.job, None)
        flight.events.put(event)
        self._notify()

    def _lose(self, job: str, message: str, code: FailureCode = "worker_lost") -> None:
        """A cancelled job needs no second try, so it ends as cancelled."""
        flight = self._flights[job]
        if flight.leg is _Leg.CANCELLED:
            self._finish(Cancelled(job=job, share=flight.share))
        else:
            self._finish(Failed(job=job, code=code, message=message))

    def _withdraw(self, job: str) -> None:
        device = self._flights[job].device
        if device is not None:
            device.send(Cancel(job=job))
        self._lose(job, "The pool is stopping; the job had not run.")

    def _answer(self, device: Device, message: Loaded | Unloaded) -> None:
        if isinstance(message, Unloaded) and not message.message:
            return  # it made room for another, or for its own new entry
        answer = self._loadings.pop((device, message.model), None)
        if answer is not None and not answer.done():
            answer.set_result(message)

    async def _end(self) -> None:
        for job in list(self._flights):
            self._lose(job, "The pool stopped.")
        lives = list(self._lives.values())
        for life in lives:
            life.cancel()
        with contextlib.suppress(TimeoutError):  # a process that cannot even be killed is left behind
            async with asyncio.timeout(_STOP_SECONDS), asyncio.TaskGroup() as group:
                for device in self._devices.values():
                    group.create_task(device.end())
        if lives:
            await asyncio.wait(lives, timeout=_STOP_SECONDS)
        await self._cluster.close()

    def _notify(self) -> None:
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _suspects(flights: Sequence[_Flight]) -> Sequence[_Flight]:
    """Who may have killed a worker: those that ran; if none did, those that it was about to begin, perhaps loading
    their model. `flights` are oldest first, as the worker takes them."""
    running = [flight for flight in flights if flight.leg in _AT_WORK]
    if running or not flights:
        return running
    first = flights[0].submit
    if first.alone:
        return flights[:1]
    begun = [flight for flight in flights if not flight.submit.alone]
    return [flight for flight in begun if flight.submit.request.model == first.request.model]


def choose(held: Sequence[bool], knows: Sequence[bool], loads: Sequence[int], *, batch: int) -> int:
    """Which device takes a job: one that is not held up by the loading of another model, then the one with the
    fewest full batches before it, then one that has the model, then the least loaded. So a warm device gets a batch
    more than a cold one, and no more."""
    return min(range(len(loads)), key=lambda at: (held[at], loads[at] // batch, not knows[at], loads[at], at))

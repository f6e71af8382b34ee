"""One device as the pool sees it: its worker's lives, one after the other, and what is known of the present one.

Starts the worker, passes on what it says, notices when it died, hangs or stalls, kills it and starts it again.
Knows jobs only as ids that are in flight here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Literal, Protocol

import msgspec
import structlog

from generators.messages import FromWorker, Heartbeat, Load, Loaded, Ready, Stop, Submit, ToWorker, Unloaded
from generators.models import Model
from generators.requests import pieces
from generators.settings import PoolSettings, worker_settings
from generators.transport import MakeTransport, Transport, WorkerGone
from generators.vitals import Vitals, backoff_seconds, verdict

log = structlog.get_logger()

State = Literal["starting", "ready", "restarting", "draining", "drained"]
_STEADY_SECONDS = 60.0  # a worker that lived so long is not in a crash loop
_DRAINED = "drained"


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """For people: `device` is the cluster's name, `name` the hardware's; `resident` maps a model to its bytes,
    `rows` to the mean rows of its forward passes."""

    device: str
    name: str
    state: State
    resident: dict[str, int]
    rows: dict[str, float] = {}
    running: int
    waiting: int
    memory_bytes: int
    restarts: int


class Listener(Protocol):
    """The pool, as its devices see it."""

    def heard(self, device: Device, message: FromWorker) -> None: ...

    def lost(self, device: Device, why: str) -> None: ...


class Device:
    """Jobs are given with `submit` only while the state is "ready"."""

    def __init__(
        self, device: str, settings: PoolSettings, transport: MakeTransport, listener: Listener
    ) -> None:
        self.device = device
        self.jobs: dict[str, int] = {}  # in flight -> how many pieces each makes
        self.resident: dict[str, int] = {}
        self._rows: dict[str, float] = {}
        self._life: Literal["starting", "ready", "restarting"] = "starting"
        self._open = asyncio.Event()  # whether it takes jobs; clear while it drains
        self._open.set()
        self._settings = settings
        self._make_transport = transport
        self._listener = listener
        self._models: dict[str, Model] = {}  # entries that this life of the worker was told
        self._transport: Transport | None = None
        self._vitals = Vitals()
        self._ready = Ready(device=device, name="", memory_bytes=0)
        self._why = ""
        self._restarts = 0

    @property
    def state(self) -> State:
        if self._open.is_set():
            return self._life
        return "drained" if self._transport is None else "draining"

    def status(self) -> DeviceStatus:
        beat = self._vitals.beat
        return DeviceStatus(
            device=self.device,
            name=self._ready.name,
            state=self.state,
            resident=dict(self.resident),
            rows={model: rows for model, rows in self._rows.items() if model in self.resident},
            running=min(beat.running, len(self.jobs)) if beat else 0,
            waiting=len(self.jobs) - (min(beat.running, len(self.jobs)) if beat else 0),
            memory_bytes=self._ready.memory_bytes,
            restarts=self._restarts,
        )

    @property
    def pieces(self) -> int:
        """Pictures and texts in flight."""
        return sum(self.jobs.values())

    def knows(self, model: str) -> bool:
        """Whether the model is resident, or will be when what is already queued has run."""
        return model in self.resident or model in self._models

    def submit(self, message: Submit, model: Model) -> None:
        self.load(model)
        self.jobs[message.job] = pieces(message.request)
        self.send(message)

    def load(self, model: Model) -> None:
        """Tell the worker of the entry, unless it has been told the same in this life."""
        if self._models.get(model.name) != model:
            self._models[model.name] = model
            self.send(Load(model=model))

    def forget(self, model: str) -> None:
        """The entry is to be sent again before it is next used."""
        self._models.pop(model, None)

    def send(self, message: ToWorker) -> None:
        if self._transport is not None:
            self._transport.send(message)

    def drain(self) -> None:
        """Take no more jobs; once there is none, the worker ends and its memory is free."""
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    async def run(self) -> None:
        """Keep a worker alive, except while drained, until cancelled."""
        failures = 0
        try:
            while await self._open.wait():
                began = time.monotonic()
                await self._live()
                if self._why == _DRAINED:
                    failures = 0
                    continue
                failures = 1 if time.monotonic() - began > _STEADY_SECONDS else failures + 1
                await asyncio.sleep(backoff_seconds(failures, self._settings))
        finally:
            await self._kill()

    async def end(self) -> None:
        """Stop the worker now: politely, then for certain."""
        self.drain()
        self.send(Stop())
        await self._kill()

    async def _live(self) -> None:
        """One life of the worker, from start to death."""
        self._transport = self._make_transport(worker_settings(self._settings, self.device))
        self._vitals = Vitals()
        self._why = ""
        try:
            await self._transport.start()
            await self._listen(self._transport)
        except WorkerGone as error:
            self._bury(self._why or str(error).rstrip("."))
        except Exception as error:  # a fault of the pool's own must not leave a device dead for ever
            log.exception("device_failed", device=self.device)
            self._bury(f"{type(error).__name__} in the pool")
        finally:
            await self._kill()
            self._transport = None

    async def _listen(self, transport: Transport) -> None:
        watch = asyncio.create_task(self._watch())
        try:
            while True:
                message = await transport.receive()
                self._vitals = msgspec.structs.replace(self._vitals, silent_seconds=0.0)
                self._note(message)
                self._listener.heard(self, message)
        finally:
            watch.cancel()

    def _note(self, message: FromWorker) -> None:
        match message:
            case Ready():
                self._ready = message
                self._vitals = msgspec.structs.replace(self._vitals, ready=True)
                self._life = "ready"
                log.info("worker_ready", device=self.device, name=message.name)
            case Heartbeat():
                self._vitals = msgspec.structs.replace(self._vitals, beat=message)
                self.resident = message.resident
                self._rows |= message.rows
            case Loaded():
                self.resident[message.model] = message.memory_bytes
            case Unloaded():
                self.resident.pop(message.model, None)
            case _:
                pass

    def _bury(self, why: str) -> None:
        if why == _DRAINED:
            self._life = "starting"
            log.info("worker_drained", device=self.device)
        else:
            self._life = "restarting"
            self._restarts += 1
            log.warning("worker_lost", device=self.device, why=why, jobs=len(self.jobs))
        self._models.clear()
        self.resident = {}
        self._listener.lost(self, why)
        self.jobs.clear()

    async def _watch(self) -> None:
        """Silence is counted in ticks of this task, at most two of them each: a parent that was itself paused
        (a suspended laptop, a debugger) has not listened, so it does not blame the worker."""
        tick = min(self._settings.silent_seconds / 4, self._settings.heartbeat_seconds)
        last = time.monotonic()
        while not self._why:
            await asyncio.sleep(tick)
            elapsed, last = min(time.monotonic() - last, 2 * tick), time.monotonic()
            self._vitals = msgspec.structs.replace(
                self._vitals,
                silent_seconds=self._vitals.silent_seconds + elapsed,
                age_seconds=self._vitals.age_seconds + elapsed,
            )
            rests = not self._open.is_set() and not self.jobs
            self._why = _DRAINED if rests else verdict(self._vitals, self._settings)
        await self._kill()

    async def _kill(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(ProcessLookupError):
                await self._transport.kill()

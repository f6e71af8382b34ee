"""One device as the pool sees it: its worker's lives, one after the other, and what is known of the present one.

Starts the worker, passes on what it says, notices when it died, hangs or stalls, kills it and starts it again.
Knows jobs only as ids that are in flight here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Literal, NamedTuple, NoReturn, Protocol

import msgspec
import structlog

from generators.messages import (
    FailureCode,
    FromWorker,
    Heartbeat,
    Load,
    Loaded,
    Ready,
    Stop,
    Submit,
    ToWorker,
    Unloaded,
)
from generators.models import Model
from generators.requests import pieces
from generators.settings import PoolSettings
from generators.transport import ClusterGone, MakeTransport, Transport, WorkerGone
from generators.vitals import Vitals, backoff_seconds, verdict

log = structlog.get_logger()

Life = Literal["absent", "starting", "ready", "dying", "lost"]
State = Literal["starting", "ready", "dying", "restarting", "draining", "drained"]
_SHOWN: dict[Life, State] = {
    "absent": "starting", "starting": "starting", "ready": "ready", "dying": "dying", "lost": "restarting",
}  # fmt: skip
_STEADY_SECONDS = 60.0  # a worker that lived so long is not in a crash loop
_DYING_SECONDS = 3.0
_IMMORTAL = (
    "It was killed and does not end. Its device takes no jobs until it does: look at the driver's messages."
)


class _End(NamedTuple):
    """Of a worker's life: why it came, "" if the device is drained, and what that means for its jobs."""

    why: str = ""
    code: FailureCode = "worker_lost"


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

    def lost(self, device: Device, why: str, code: FailureCode) -> None:
        """`code` is that of the jobs that ran there."""
        ...


class Device:
    """Jobs are given with `submit` only while the state is "ready".

    A worker's life: absent -> starting -> ready -> dying -> lost, or absent again if it was drained.
    """

    def __init__(
        self, device: str, settings: PoolSettings, transport: MakeTransport, listener: Listener
    ) -> None:
        self.device = device
        self.jobs: dict[str, int] = {}  # in flight -> how many pieces each makes
        self.resident: dict[str, int] = {}
        self._rows: dict[str, float] = {}
        self.loading = ""  # the model that the worker loads, so that all else waits
        self._life: Life = "absent"
        self._open = asyncio.Event()  # whether it takes jobs; clear while it drains
        self._open.set()
        self._settings = settings
        self._make_transport = transport
        self._listener = listener
        self._models: dict[str, Model] = {}  # entries that this life of the worker was told
        self._transport: Transport | None = None
        self._vitals = Vitals()
        self._ready = Ready(device=device, name="", memory_bytes=0)
        self._restarts = 0

    @property
    def state(self) -> State:
        is_gone = self._life in ("absent", "lost")
        if not self._open.is_set():
            return "drained" if is_gone else "draining"
        return _SHOWN[self._life]

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

    def is_held_up(self, model: str) -> bool:
        """Whether a job of this model would wait for another model's weights."""
        return self.loading not in ("", model)

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
                if self._life == "absent":
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
        """One life of the worker, from start to death. Its jobs are told before it is killed: that may take long,
        and until it is gone the device's memory is not free for another."""
        transport = self._transport = self._make_transport(self._settings.of_worker(self.device))
        self._vitals = Vitals()
        self._life, end = "starting", _End()
        try:
            end = await self._end_of(transport)
            self._life = "dying"
            self._bury(end)
        finally:
            await self._kill()
            self._transport = None
            self._life = "lost" if end.why else "absent"

    async def _end_of(self, transport: Transport) -> _End:
        """Start the worker and wait for its end."""
        try:
            await transport.start()
            return _End(await self._attend(transport))
        except ClusterGone as error:
            return _End(str(error).rstrip("."), "cluster_lost")
        except WorkerGone as error:
            return _End(str(error).rstrip("."))
        except Exception as error:  # a fault of the pool's own must not leave a device dead for ever
            log.exception("device_failed", device=self.device)
            return _End(f"{type(error).__name__} in the pool")

    async def _attend(self, transport: Transport) -> str:
        watching = asyncio.create_task(self._watch())
        listening = asyncio.create_task(self._listen(transport))
        try:
            await asyncio.wait((watching, listening), return_when=asyncio.FIRST_COMPLETED)
            return watching.result() if watching.done() else listening.result()
        finally:
            watching.cancel()
            listening.cancel()

    async def _listen(self, transport: Transport) -> NoReturn:
        while True:
            message = await transport.receive()
            self._vitals = msgspec.structs.replace(self._vitals, silent_seconds=0.0)
            self._note(message)
            self._listener.heard(self, message)

    def _note(self, message: FromWorker) -> None:
        match message:
            case Ready():
                self._ready = message
                self._vitals = msgspec.structs.replace(self._vitals, ready=True)
                self._life = "ready"
                log.info("worker_ready", device=self.device, name=message.name)
            case Heartbeat():
                self._vitals = msgspec.structs.replace(self._vitals, beat=message)
                self.resident, self.loading = message.resident, message.loading
                self._rows |= message.rows
            case Loaded():
                self.resident[message.model] = message.memory_bytes
                self._loads_no_more(message.model)
            case Unloaded():
                self.resident.pop(message.model, None)
                self._loads_no_more(message.model)
            case _:
                pass

    def _loads_no_more(self, model: str) -> None:
        self.loading = "" if self.loading == model else self.loading

    def _bury(self, end: _End) -> None:
        if end.why:
            self._restarts += 1
            log.warning(end.code, device=self.device, why=end.why, jobs=len(self.jobs))
        else:
            log.info("worker_drained", device=self.device)
        self._models.clear()
        self.resident, self.loading = {}, ""
        self._listener.lost(self, end.why, end.code)
        self.jobs.clear()

    async def _watch(self) -> str:
        """Why the worker should be killed, or "" when it drains and has nothing more to do.

        Silence is counted in ticks of this task, at most two of them each: a parent that was itself paused
        (a suspended laptop, a debugger) has not listened, so it does not blame the worker."""
        tick = min(self._settings.silent_seconds / 4, self._settings.heartbeat_seconds)
        last = time.monotonic()
        why = ""
        while not why and (self._open.is_set() or self.jobs):
            await asyncio.sleep(tick)
            elapsed, last = min(time.monotonic() - last, 2 * tick), time.monotonic()
            self._vitals = msgspec.structs.replace(
                self._vitals,
                silent_seconds=self._vitals.silent_seconds + elapsed,
                age_seconds=self._vitals.age_seconds + elapsed,
            )
            why = verdict(self._vitals, self._settings)
        return why

    async def _kill(self) -> None:
        if self._transport is None:
            return
        late = asyncio.get_running_loop().call_later(_DYING_SECONDS, self._warn)
        try:
            with contextlib.suppress(ProcessLookupError):
                await self._transport.kill()
        finally:
            late.cancel()

    def _warn(self) -> None:
        log.error("worker_does_not_die", device=self.device, why=_IMMORTAL)

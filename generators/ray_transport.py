"""A worker in a Ray actor. Messages go as the same frames; Ray puts large ones into its object store by itself.

Order is kept by having one call of each kind under way: what is sent meanwhile goes with the next. Whatever
Ray itself raises means that the worker is gone: the device starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from generators import frames
from generators.messages import FromWorker, ToWorker
from generators.ray_host import Host
from generators.settings import WorkerSettings
from generators.transport import WorkerGone

T = TypeVar("T")

_KILL_SECONDS = 3.0  # a host that does not answer by then is killed without having killed its worker first
_calls = ThreadPoolExecutor(4, thread_name_prefix="ray")
_ray: Any = ray


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One device of the cluster: `device` is torch's name on `node`; what it takes is `cpus` and `gpus`."""

    name: str
    node: str
    device: str
    cpus: float = 0.0
    gpus: float = 0.0


async def off_loop(call: Callable[..., T], *arguments: Any) -> T:
    """Calls that may wait for Ray's processes: the event loop must not."""
    return await asyncio.get_running_loop().run_in_executor(_calls, call, *arguments)


class RayTransport:
    def __init__(self, settings: WorkerSettings, place: Place, module: str) -> None:
        self._settings, self._place, self._module = settings, place, module
        self._actor: Any = None
        self._inbox: deque[bytes] = deque()
        self._outbox: list[bytes] = []
        self._filled = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._killing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Waits until the cluster has room for it: another owner's worker may be on the device."""
        try:
            self._actor = await off_loop(self._create)
        except (RayError, RuntimeError, ValueError) as error:
            raise WorkerGone(f"The actor could not be made ({type(error).__name__}).") from error
        await _answer(self._actor.start.remote())
        self._sending = asyncio.create_task(self._send())

    def send(self, message: ToWorker) -> None:
        self._outbox.append(frames.frame(message))
        self._filled.set()

    async def receive(self) -> FromWorker:
        if not self._inbox:
            self._inbox.extend(await _answer(self._actor.receive.remote()))
        try:
            return frames.from_worker(self._inbox.popleft())
        except frames.FrameError as error:
            raise WorkerGone(str(error)) from error

    async def kill(self) -> None:
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill())
        await asyncio.shield(self._killing)

    def _create(self) -> Any:
        place = NodeAffinitySchedulingStrategy(self._place.node, soft=False)
        made = _ray.remote(Host).options(
            num_cpus=self._place.cpus, num_gpus=self._place.gpus, scheduling_strategy=place, max_restarts=0
        )
        settings = msgspec.structs.replace(self._settings, device=self._place.device)
        return made.remote(settings, self._module)

    async def _send(self) -> None:
        with contextlib.suppress(WorkerGone):  # `receive` says it too
            while True:
                await self._filled.wait()
                self._filled.clear()
                waiting, self._outbox = self._outbox, []
                await _answer(await off_loop(self._actor.send.remote, *waiting))

    async def _kill(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        if self._actor is None:
            return
        with contextlib.suppress(WorkerGone, TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await _answer(self._actor.kill.remote())
        with contextlib.suppress(RayError, RuntimeError, ValueError):  # the cluster itself may be gone
            await off_loop(_ray.kill, self._actor)


async def _answer(reference: Awaitable[T]) -> T:
    try:
        return await reference
    except RayError as error:
        raise WorkerGone(f"Its actor is gone ({type(error).__name__}).") from error

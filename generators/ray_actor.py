"""One worker in an actor of the cluster, as Ray's driver has it. Frames go as they are; Ray puts large ones into
its object store by itself.

Order is kept by having one call of each kind under way. Whatever Ray itself raises means that the worker is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from generators.ray_host import Host
from generators.ray_messages import Begin
from generators.ray_places import Place
from generators.transport import WorkerGone

T = TypeVar("T")

_KILL_SECONDS = 3.0  # a host that does not answer by then is killed without having killed its worker first
_calls = ThreadPoolExecutor(4, thread_name_prefix="ray")
_ray: Any = ray


async def off_loop(call: Callable[..., T], *arguments: Any) -> T:
    """Calls that may wait for Ray's processes: the event loop must not."""
    return await asyncio.get_running_loop().run_in_executor(_calls, call, *arguments)


class Actor:
    def __init__(self, place: Place, begin: Begin) -> None:
        self._place, self._begin = place, begin
        self._actor: Any = None

    async def start(self) -> None:
        """Waits until the cluster has room for it. Raises `WorkerGone`."""
        try:
            self._actor = await off_loop(self._create)
        except (RayError, RuntimeError, ValueError) as error:
            raise WorkerGone(f"The actor could not be made ({type(error).__name__}).") from error
        await _answer(self._actor.start.remote())

    async def send(self, frame: bytes) -> None:
        await _answer(await off_loop(self._actor.send.remote, frame))

    async def receive(self) -> list[bytes]:
        """All that the worker has said meanwhile: bodies of frames. Raises `WorkerGone`."""
        return await _answer(self._actor.receive.remote())

    async def kill(self) -> None:
        if self._actor is None:
            return
        with contextlib.suppress(WorkerGone, TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await _answer(self._actor.kill.remote())
        with contextlib.suppress(RayError, RuntimeError, ValueError):  # the cluster itself may be gone
            await off_loop(_ray.kill, self._actor)

    def _create(self) -> Any:
        place = NodeAffinitySchedulingStrategy(self._place.node, soft=False)
        made = _ray.remote(Host).options(
            num_cpus=self._place.cpus, num_gpus=self._place.gpus, scheduling_strategy=place, max_restarts=0
        )
        settings = msgspec.structs.replace(self._begin.settings, device=self._place.device)
        return made.remote(settings, self._begin.module)


async def _answer(reference: Awaitable[T]) -> T:
    try:
        return await reference
    except RayError as error:
        raise WorkerGone(_why(error)) from error


def _why(error: RayError) -> str:
    cause = getattr(error, "cause", None)
    return str(cause) if isinstance(cause, WorkerGone) else f"Its actor is gone ({type(error).__name__})."

"""What the pool may expect of any cluster: one body of tests over spawned processes and over Ray actors.

The workers are processes that behave as their prompts say (`stub`); Ray is a local cluster of a head and two
nodes of one device each, started once. The real worker runs over both at the end.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from generators import embedded
from generators.cluster import Cluster, ThisMachine
from generators.device import DeviceStatus
from generators.events import Events
from generators.messages import Accepted, Cancelled, Event, Failed, Progress, Result, Token
from generators.models import Model
from generators.pool import Pool, PoolSettings
from generators.process_transport import ProcessTransport
from generators.ray_cluster import RayCluster
from generators.ray_places import places
from generators.requests import Message, TextToImage, WriteText
from tests.generators.conftest import CACHE
from tests.generators.nodes import Nodes

STUB = "tests.generators.stub"
MODEL = Model(name="m", kind="image", source="x")
WAIT_SECONDS = 60


def request(prompt: str = "draw", **changes: Any) -> TextToImage:
    usual: dict[str, Any] = {"model": "m", "width": 8, "height": 8, "steps": 1, "guidance": 1.0, "seed": 1}
    return TextToImage(prompt=prompt, **(usual | changes))


# --- the two clusters ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    made = Nodes(2)
    yield made
    made.close()


@pytest.fixture(params=["process", "ray"])
def cluster(request: pytest.FixtureRequest) -> Callable[..., Cluster]:
    """Makes the cluster that a pool is opened on: two devices, whose workers run the module."""
    if request.param == "process":
        return lambda module: ThisMachine(("cpu#1", "cpu#2"), make=partial(ProcessTransport, module=module))
    return ray_cluster(request.getfixturevalue("nodes"))


def ray_cluster(nodes: Nodes) -> Callable[..., Cluster]:
    return lambda module: RayCluster(nodes.address, module=module)


Open = Callable[..., Any]


@asynccontextmanager
async def opening(cluster: Cluster, cache: Path, **changes: Any) -> AsyncIterator[Pool]:
    usual: dict[str, Any] = {
        "batch_max": 1, "heartbeat_seconds": 0.1, "silent_seconds": 20.0, "restart_seconds": 0.05,
        "threads": 1, "cache": str(cache),
    }  # fmt: skip
    pool = Pool(PoolSettings(**(usual | changes)), {"m": MODEL}, cluster)
    await pool.start()
    try:
        await until(lambda: ready(pool) >= 2)
        yield pool
    finally:
        await pool.stop(grace_seconds=0)


@pytest.fixture
async def opened(cluster: Callable[..., Cluster], tmp_path: Path) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def opened(**changes: Any) -> Pool:
            return await stack.enter_async_context(opening(cluster(STUB), tmp_path, **changes))

        yield opened


def ready(pool: Pool) -> int:
    return sum(each.state == "ready" for each in pool.devices())


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not true():
            await asyncio.sleep(0.01)


async def heard(events: Events) -> list[Event]:
    async with asyncio.timeout(WAIT_SECONDS):
        return [event async for event in events]


async def running(pool: Pool, job: str, prompt: str = "run") -> tuple[Events, DeviceStatus]:
    """A job that has made a step, and the device that it runs on."""
    before = {each.device: each.running + each.waiting for each in pool.devices()}
    events = pool.submit(job, request(prompt), {})
    (device,) = [each for each in pool.devices() if each.running + each.waiting > before[each.device]]
    async with asyncio.timeout(WAIT_SECONDS):
        async for event in events:
            if isinstance(event, Progress) and event.step:
                return events, device
    raise AssertionError("it ended")


def lost(events: list[Event], code: str = "worker_lost") -> str:
    """Why the worker was lost."""
    assert isinstance(events[-1], Failed)
    assert events[-1].code == code
    return events[-1].message


def status(pool: Pool, device: DeviceStatus) -> DeviceStatus:
    (found,) = [each for each in pool.devices() if each.device == device.device]
    return found


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def gone(pid: int) -> None:
    await until(lambda: _has_ended(pid))


# --- jobs ---------------------------------------------------------------------------------------------------


async def test_jobs_are_accepted_run_and_end_once_in_order(opened: Open) -> None:
    pool = await opened()
    picture = await heard(pool.submit("1", request(), {"a": b"in", "b": b"put"}))
    assert [type(event) for event in picture] == [Accepted, Progress, Result]
    assert isinstance(picture[-1], Result)
    assert (picture[-1].artifacts[0].data, picture[-1].device_seconds) == (b"input", 0.5)
    words = await heard(pool.submit("2", request("say 5000"), {}))
    assert "".join(event.text for event in words if isinstance(event, Token)) == "".join(
        f"{number} " for number in range(5000)
    )
    assert isinstance(words[-1], Result)
    (unknown,) = await heard(pool.submit("3", request(model="nope"), {}))
    assert isinstance(unknown, Failed)
    assert unknown.code == "model_unavailable"
    assert isinstance((await heard(pool.submit("4", request("alone"), {}, alone=True)))[-1], Result)


async def test_twenty_megabytes_go_there_and_back_while_small_words_keep_coming(opened: Open) -> None:
    pool = await opened()
    data = os.urandom(20 << 20)
    ticking, _ = await running(pool, "ticking")
    big = asyncio.create_task(heard(pool.submit("big", request(), {"a": data})))
    lags = []
    while not big.done():
        due = time.perf_counter() + 0.005
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - due)
    result = (await big)[-1]
    assert isinstance(result, Result)
    assert result.artifacts[0].data == data
    assert sorted(lags)[len(lags) // 2] < 0.05  # the loop was not held while the bytes went
    assert isinstance(await anext(ticking), Progress)


async def test_cancel_of_running_and_of_waiting(opened: Open) -> None:
    pool = await opened()
    one, _ = await running(pool, "one")
    two, _ = await running(pool, "two")
    waiting = pool.submit("waiting", request(), {})
    pool.cancel("waiting")
    assert (await heard(waiting))[-1] == Cancelled(job="waiting", share=0.0)
    for job, events in (("one", one), ("two", two)):
        pool.cancel(job)
        assert (await heard(events))[-1] == Cancelled(job=job, share=0.5, device_seconds=0.1)


# --- deaths -------------------------------------------------------------------------------------------------


async def test_a_worker_that_dies_costs_what_it_ran_and_is_started_again(opened: Open) -> None:
    pool = await opened()
    steady, elsewhere = await running(pool, "steady")
    assert "silent" not in lost(await heard(pool.submit("dies", request("die"), {})))  # it is seen at once
    assert (await anext(steady)).job == "steady"  # the other one never noticed
    await until(lambda: ready(pool) == 2)
    assert sorted(each.restarts for each in pool.devices()) == [0, 1]
    assert status(pool, elsewhere).restarts == 0


async def test_what_a_worker_said_before_it_died_is_heard(opened: Open) -> None:
    pool = await opened()
    words, picture = pool.submit("1", request("say 2000 die"), {}), pool.submit("2", request("draw die"), {})
    last = await heard(words)
    assert "".join(event.text for event in last if isinstance(event, Token)).endswith(" 1998 1999 ")
    assert lost(last)
    assert isinstance((await heard(picture))[-1], Result)


async def test_a_worker_that_takes_nothing_holds_up_nobody(opened: Open) -> None:
    pool = await opened()
    steady, elsewhere = await running(pool, "steady")
    (slow,) = [psutil.Process(int(each.name)) for each in pool.devices() if each.device != elsewhere.device]
    slow.suspend()
    data = os.urandom(20 << 20)
    began = time.perf_counter()
    big = pool.submit("big", request(), {"a": data})
    assert time.perf_counter() - began < 1.0
    for _ in range(20):
        assert isinstance(await anext(steady), Progress)
    slow.resume()
    result = (await heard(big))[-1]
    assert isinstance(result, Result)
    assert result.artifacts[0].data == data


async def test_what_waited_on_a_worker_that_was_killed_runs_elsewhere(opened: Open) -> None:
    pool = await opened()
    one, first = await running(pool, "one")
    two, second = await running(pool, "two")
    waiting = pool.submit("waiting", request(), {})
    assert isinstance(await anext(waiting), Accepted)
    loaded = status(pool, first) if status(pool, first).waiting else status(pool, second)
    psutil.Process(int(loaded.name)).kill()
    survivor = two if loaded.device == first.device else one
    assert lost(await heard(one if survivor is two else two))
    pool.cancel("two" if survivor is two else "one")
    assert isinstance((await heard(waiting))[-1], Result)


async def test_a_worker_that_hangs_stalls_or_is_stopped_is_killed(opened: Open) -> None:
    pool = await opened(silent_seconds=1.0, stall_seconds=60.0)
    pids = {int(each.name) for each in pool.devices()}
    hung, stalled = pool.submit("1", request("hang"), {}), pool.submit("2", request("stall"), {})
    assert "silent" in lost(await heard(hung))
    assert "stalled" in lost(await heard(stalled))
    for pid in pids:
        await gone(pid)
    await until(lambda: ready(pool) == 2)
    stopped = psutil.Process(int(pool.devices()[0].name))
    stopped.suspend()  # it does not even die when its socket closes
    await gone(stopped.pid)


# --- devices ------------------------------------------------------------------------------------------------


async def test_drain_moves_what_waits_lets_the_rest_finish_and_resume_undoes_it(
    opened: Open, tmp_path: Path
) -> None:
    pool = await opened()
    one, drained = await running(pool, "one")
    await running(pool, "two")
    waiting = [pool.submit(name, request(), {}) for name in ("three", "four")]
    pool.drain(drained.device)
    pool.cancel("two")
    for events in waiting:
        assert isinstance((await heard(events))[-1], Result)
    assert status(pool, drained).state == "draining"
    (tmp_path / "stop").touch()
    assert isinstance((await heard(one))[-1], Result)
    await until(lambda: status(pool, drained).state == "drained")
    await gone(int(drained.name))
    assert (pool.room(), status(pool, drained).restarts) == (2, 0)
    pool.resume(drained.device)
    await until(lambda: ready(pool) == 2)
    assert pool.room() == 4
    with pytest.raises(KeyError):
        pool.drain("nowhere")


async def test_stop_ends_every_worker(opened: Open) -> None:
    pool = await opened()
    events, _ = await running(pool, "one")
    await pool.stop(grace_seconds=0)
    lost(await heard(events))
    for each in pool.devices():
        await gone(int(each.name))


async def test_a_node_that_dies_loses_no_job_and_one_that_joins_gets_some(
    nodes: Nodes, tmp_path: Path
) -> None:
    async with opening(ray_cluster(nodes)(STUB), tmp_path) as pool:
        events, device = await running(pool, "one")
        await asyncio.to_thread(nodes.kill, device.device.split("/")[0])
        lost(await heard(events))
        _, elsewhere = await running(pool, "one")
        assert elsewhere.device != device.device
        await until(lambda: [each.device for each in pool.devices()] == [elsewhere.device])
        nodes.add()  # here: Ray sets signal handlers
        await until(lambda: ready(pool) == 2)
        _, newcomer = await running(pool, "two")
        assert newcomer.device not in (device.device, elsewhere.device)


OWNER = """
import asyncio, sys
from generators.models import Model
from generators.pool import Pool, PoolSettings
from generators.ray_cluster import RayCluster
async def main():
    pool = Pool(PoolSettings(heartbeat_seconds=0.1), {}, RayCluster(sys.argv[1], module="tests.generators.stub"))
    await pool.start()
    while [each.state for each in pool.devices()] != ["ready", "ready"]:
        await asyncio.sleep(0.05)
    print("pids", *(each.name for each in pool.devices()), flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_two_owners_share_a_cluster_and_what_a_killed_one_had_is_ended(
    nodes: Nodes, tmp_path: Path
) -> None:
    async with opening(ray_cluster(nodes)(STUB), tmp_path) as pool:
        events, _ = await running(pool, "one")
        command = [sys.executable, "-c", OWNER, nodes.address]
        owner = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert owner.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            while not (line := await owner.stdout.readline()).startswith(b"pids"):
                assert line
        owner.kill()
        await owner.wait()
        for pid in line.split()[1:]:
            await gone(int(pid))
        assert ready(pool) == 2
        assert isinstance(await anext(events), Progress)


async def test_when_the_process_that_speaks_with_ray_dies_its_jobs_are_lost_and_the_cluster_is_joined_again(
    nodes: Nodes, tmp_path: Path
) -> None:
    async with opening(ray_cluster(nodes)(STUB), tmp_path) as pool:
        events, _ = await running(pool, "one")
        workers = [int(each.name) for each in pool.devices()]
        (driver,) = [
            each for each in psutil.Process().children() if "generators.ray_driver" in each.cmdline()
        ]
        driver.kill()
        assert "cluster is gone" in lost(await heard(events), code="cluster_lost")
        await until(lambda: not pool.devices())
        for pid in workers:
            await gone(pid)
        await until(lambda: ready(pool) == 2)
        assert isinstance((await heard(pool.submit("one", request(), {})))[-1], Result)


# --- the real worker ----------------------------------------------------------------------------------------


async def test_the_real_worker_draws_and_writes_in_an_actor(
    nodes: Nodes, folder: Callable[[str], Path]
) -> None:
    emoji = Model(name="emoji", kind="image", source=embedded.TINY_EMOJI)
    text = Model(name="text", kind="text", source=str(folder("llama")))
    async with opening(ray_cluster(nodes)("generators.worker"), CACHE) as pool:
        for model in (emoji, text):
            pool.add_model(model)
        apple = request("a red apple", model="emoji", width=128, height=128, steps=2)
        picture = (await heard(pool.submit("1", apple, {})))[-1]
        assert isinstance(picture, Result)
        assert picture.artifacts[0].data[:8] == b"\x89PNG\r\n\x1a\n"
        said = WriteText(model="text", messages=(Message(role="user", content="hi"),), max_tokens=8)
        words = await heard(pool.submit("2", said, {}))
        assert isinstance(words[-1], Result)
        assert any(isinstance(event, Token) for event in words)


# --- what a cluster's nodes mean ----------------------------------------------------------------------------


def node(name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeID": name * 8, "Alive": alive, "NodeManagerHostname": "host", "Resources": resources}


def test_devices_are_the_gpus_or_where_there_is_none_the_nodes() -> None:
    mixed = [node("a", CPU=8), node("b", CPU=8, GPU=2), node("c", alive=False, GPU=8)]
    assert [each.name for each in places(mixed, "auto", 1.0)] == ["host-bbbbbb/gpu:0", "host-bbbbbb/gpu:1"]
    halves = places(mixed, "auto", 0.5)
    assert [(each.gpus, each.cpus, each.device) for each in halves] == [(0.5, 0.0, "cuda:0")] * 4
    assert [each.name for each in places(mixed[:1], "auto", 1.0)] == ["host-aaaaaa/cpu"]
    assert len(places(mixed, ("cpu", "cuda"), 1.0)) == 4
    assert places([node("d", GPU=0.0, CPU=0.0)], "auto", 1.0) == ()


def test_the_bot_imports_neither_ray_nor_what_runs_models() -> None:
    """Seconds of each start, and a hundred megabytes of each process."""
    heavy = ("ray", "torch", "diffusers", "transformers")
    code = "import sys, bot.__main__, bot.bootstrap, generators.ray_cluster; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert [name for name in heavy if name in said.stdout.split()] == []

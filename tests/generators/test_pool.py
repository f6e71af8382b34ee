"""The pool's decisions, with workers played by the test: who gets a job, what a reader hears, what a death means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from generators.cluster import ThisMachine, shares
from generators.events import Events
from generators.messages import (
    Accepted,
    Cancel,
    Cancelled,
    Event,
    Failed,
    Load,
    Loaded,
    Progress,
    Result,
    Submit,
    Token,
    Unload,
    Unloaded,
)
from generators.models import Model
from generators.pool import Pool, PoolSettings, choose
from generators.ray_places import places
from generators.requests import Message, TextToImage, WriteText
from generators.transport import ClusterGone
from tests.generators.scripted import ScriptedWorker, Stage

MODELS = {name: Model(name=name, kind="image", source="x") for name in ("a", "b")}


def request(model: str = "a", count: int = 1) -> TextToImage:
    return TextToImage(
        model=model, prompt="p", width=64, height=64, steps=10, guidance=1.0, seed=1, count=count
    )


def done(job: str) -> Result:
    return Result(job=job, artifacts=(), device_seconds=1.0)


async def heard(events: Events) -> list[Event]:
    async with asyncio.timeout(5):
        return [event async for event in events]


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


@pytest.fixture
def stage() -> Stage:
    return Stage()


Open = Callable[..., Any]


@pytest.fixture
async def opened(stage: Stage) -> AsyncIterator[Open]:
    """Opens a pool whose workers are ready."""
    pools: list[Pool] = []

    async def opened(*devices: str, ready: bool = True, **changes: Any) -> Pool:
        usual: dict[str, Any] = {"batch_max": 2, "restart_seconds": 0.001, "heartbeat_seconds": 0.01}
        settings = PoolSettings(devices=devices or ("cpu",), **(usual | changes))
        pool = Pool(settings, MODELS, ThisMachine(settings.devices, make=stage))
        pools.append(pool)
        await pool.start()
        for number in range(len(devices or ("cpu",)) if ready else 0):
            (await stage.worker(number)).be_ready()
        await until(lambda: not ready or all(device.state == "ready" for device in pool.devices()))
        return pool

    yield opened
    for pool in pools:
        await pool.stop(grace_seconds=0)


class TestRoom:
    async def test_is_twice_a_batch_for_each_live_device(self, opened: Open) -> None:
        assert (await opened("cpu", "cuda:0")).room() == 8

    async def test_is_none_while_nothing_is_alive(self, opened: Open, stage: Stage) -> None:
        pool = await opened(ready=False)
        assert pool.room() == 0
        (await stage.worker(0)).be_ready()
        await pool.ready()
        assert pool.room() == 4

    async def test_counts_a_job_from_its_submission_to_its_end(self, opened: Open, stage: Stage) -> None:
        pool = await opened()
        events = pool.submit("1", request(), {})
        assert pool.room() == 3
        stage.workers[0].say(done("1"))
        await heard(events)
        assert pool.room() == 4

    async def test_counts_pictures_not_jobs(self, opened: Open, stage: Stage) -> None:
        pool = await opened("x:0", "x:1")
        pool.submit("four", request(count=4), {})
        assert pool.room() == 4
        for job in ("1", "2", "3"):  # beside four pictures two batches wait; beside fewer none does
            pool.submit(job, request(), {})
        assert (stage.workers[0].jobs, stage.workers[1].jobs) == (["four"], ["1", "2", "3"])
        assert pool.room() == 1
        stage.workers[0].say(done("four"))
        await until(lambda: pool.room() == 5)

    async def test_counts_pictures_that_no_device_has_yet(self, opened: Open, stage: Stage) -> None:
        pool = await opened(ready=False)
        pool.submit("three", request(count=3), {})
        (await stage.worker(0)).be_ready()
        await pool.ready()
        assert pool.room() == 1


class TestChoice:
    def test_prefers_who_has_the_model_then_who_has_least_to_do(self) -> None:
        none = [False] * 3
        assert choose(none, [False, True, True], [0, 2, 1], batch=4) == 2
        assert choose(none, [False, True], [0, 3], batch=4) == 1  # it can still join the first batch
        assert (
            choose(none, [False, True], [3, 4], batch=4) == 0
        )  # the one that knows it has a whole batch before it
        assert choose(none, [False, False], [3, 2], batch=4) == 1
        assert choose(none, [True, False], [9, 9], batch=4) == 0
        assert choose([False, True], [True, False], [9, 0], batch=4) == 0  # the idle one loads another model

    async def test_a_model_stays_where_it_is_resident(self, opened: Open, stage: Stage) -> None:
        pool = await opened("x:0", "x:1")
        stage.workers[1].beat(b=100)
        await until(lambda: pool.devices()[1].resident)
        pool.submit("1", request("b"), {})
        assert stage.workers[1].jobs == ["1"]

    async def test_the_entry_goes_before_its_first_job_and_again_when_it_changed(
        self, opened: Open, stage: Stage
    ) -> None:
        pool = await opened()
        for job in ("1", "2"):
            pool.submit(job, request(), {})
        pool.add_model(newer := Model(name="a", kind="image", source="y"))
        pool.submit("3", request(), {})
        told = [type(message) for message in stage.workers[0].told]
        assert told == [Load, Submit, Submit, Load, Submit]
        assert stage.workers[0].told[3] == Load(model=newer)

    async def test_an_unknown_model_is_an_answer_not_an_error(self, opened: Open) -> None:
        (ending,) = await heard((await opened()).submit("1", request("nope"), {}))
        assert isinstance(ending, Failed)
        assert ending.code == "model_unavailable"

    async def test_a_job_without_a_device_waits_for_one(self, opened: Open, stage: Stage) -> None:
        pool = await opened(ready=False)
        events = pool.submit("1", request(), {}, alone=True)
        worker = await stage.worker(0)
        worker.be_ready()
        await until(lambda: worker.jobs)
        assert isinstance(worker.told[-1], Submit)
        assert worker.told[-1].alone
        worker.say(done("1"))
        assert await heard(events) == [done("1")]

    async def test_the_same_job_cannot_fly_twice(self, opened: Open) -> None:
        pool = await opened()
        pool.submit("1", request(), {})
        with pytest.raises(ValueError, match="in flight"):
            pool.submit("1", request(), {})


class TestEvents:
    async def test_a_slow_reader_finds_the_newest_progress_and_all_of_the_text(
        self, opened: Open, stage: Stage
    ) -> None:
        pool = await opened()
        slow, quick = pool.submit("slow", request(), {}), pool.submit("quick", request(), {})
        worker = stage.workers[0]
        worker.say(Accepted(job="slow"))
        for step in range(1000):
            worker.say(Progress(job="slow", step=step, steps=1000, preview=b"jpeg" if step == 500 else b""))
            worker.say(Token(job="slow", text=f"{step} "))
        worker.say(done("slow"), done("quick"))
        assert await heard(quick) == [done("quick")]
        assert await heard(slow) == [
            Accepted(job="slow"),
            Progress(job="slow", step=999, steps=1000, preview=b"jpeg"),
            Token(job="slow", text="".join(f"{step} " for step in range(1000))),
            done("slow"),
        ]

    async def test_nothing_follows_the_end(self, opened: Open, stage: Stage) -> None:
        pool = await opened()
        events = pool.submit("1", request(), {})
        stage.workers[0].say(done("1"), Progress(job="1", step=1, steps=2), done("1"))
        assert await heard(events) == [done("1")]
        assert await heard(events) == []

    async def test_a_reader_who_leaves_cancels(self, opened: Open, stage: Stage) -> None:
        events = (await opened()).submit("1", request(), {})
        await events.aclose()
        assert stage.workers[0].told[-1] == Cancel(job="1")


class TestCancel:
    async def test_asks_the_worker_and_passes_on_its_answer(self, opened: Open, stage: Stage) -> None:
        pool = await opened()
        events = pool.submit("1", request(), {})
        pool.cancel("1")
        pool.cancel("unknown")
        assert stage.workers[0].told[-1] == Cancel(job="1")
        stage.workers[0].say(Cancelled(job="1", share=0.3))
        assert await heard(events) == [Cancelled(job="1", share=0.3)]

    async def test_before_any_device_lives_is_answered_at_once(self, opened: Open) -> None:
        pool = await opened(ready=False)
        events = pool.submit("1", request(), {})
        pool.cancel("1")
        assert await heard(events) == [Cancelled(job="1", share=0.0)]

    async def test_of_a_job_whose_worker_then_dies_needs_no_second_try(
        self, opened: Open, stage: Stage
    ) -> None:
        pool = await opened()
        events = pool.submit("1", request(), {})
        stage.workers[0].say(Progress(job="1", step=5, steps=10))
        await anext(events)
        pool.cancel("1")
        stage.workers[0].die()
        assert await heard(events) == [Cancelled(job="1", share=0.5)]


class TestDeath:
    @staticmethod
    async def lost(pool: Pool, stage: Stage, hurt: Callable[[ScriptedWorker], None]) -> Failed:
        events = pool.submit("1", request(), {})
        stage.workers[0].say(Progress(job="1", step=0, steps=10))
        hurt(stage.workers[0])
        *_, ending = await heard(events)
        assert isinstance(ending, Failed)
        assert ending.code == "worker_lost"
        return ending

    async def test_of_a_worker_loses_its_jobs_and_another_life_begins(
        self, opened: Open, stage: Stage
    ) -> None:
        pool = await opened()
        await self.lost(pool, stage, lambda worker: worker.die())
        second = await stage.worker(1)
        assert pool.room() == 0
        second.be_ready()
        await pool.ready()
        pool.submit("2", request(), {})
        assert [type(message) for message in second.told] == [Load, Submit]  # the new life knows no models
        assert pool.devices()[0].restarts == 1

    async def test_silence_is_death(self, opened: Open, stage: Stage) -> None:
        pool = await opened(silent_seconds=0.1)
        ending = await self.lost(pool, stage, lambda worker: None)
        assert "silent" in ending.message
        assert stage.workers[0].killed

    async def test_a_step_that_never_ends_is_death(self, opened: Open, stage: Stage) -> None:
        pool = await opened(stall_seconds=60)
        ending = await self.lost(pool, stage, lambda worker: worker.beat(stalled_seconds=61))
        assert "stalled" in ending.message

    async def test_a_long_load_is_not(self, opened: Open, stage: Stage) -> None:
        pool = await opened(stall_seconds=60, load_seconds=600)
        stage.workers[0].beat(stalled_seconds=599, loading="a")
        stage.workers[0].loaded("a")
        await until(lambda: pool.devices()[0].resident)
        await asyncio.sleep(0.05)  # a few rounds of the watch
        assert pool.devices()[0].state == "ready"
        ending = await self.lost(pool, stage, lambda worker: worker.beat(stalled_seconds=601, loading="a"))
        assert "loading a" in ending.message

    async def test_one_device_goes_on_while_another_is_down(self, opened: Open, stage: Stage) -> None:
        pool = await opened("x:0", "x:1", restart_seconds=60.0)
        stage.workers[0].die()
        await until(lambda: pool.devices()[0].state == "restarting")
        pool.submit("1", request(), {})
        assert stage.workers[1].jobs == ["1"]
        assert pool.room() == 3

    async def test_what_waited_on_it_runs_elsewhere_but_only_once(self, opened: Open, stage: Stage) -> None:
        pool = await opened("x:0", "x:1", restart_seconds=60.0)
        events = pool.submit("1", request(), {})
        stage.workers[0].say(Accepted(job="1"))
        stage.workers[0].die()
        await until(lambda: stage.workers[1].jobs == ["1"])
        stage.workers[1].die()  # it may be what kills them
        accepted, ending = await heard(events)
        assert isinstance(accepted, Accepted)
        assert isinstance(ending, Failed)
        assert ending.code == "worker_lost"

    async def test_who_waited_is_blamed_only_if_nothing_ran_and_its_model_was_next_twice(
        self, opened: Open, stage: Stage
    ) -> None:
        pool = await opened(batch_max=4)
        ran = pool.submit("ran", request("b"), {})
        for job, model in (("1", "a"), ("2", "b"), ("3", "a")):
            pool.submit(job, request(model), {})
        stage.workers[0].say(Progress(job="ran", step=0, steps=9))
        await anext(ran)
        await self.dies(stage, times=3)
        assert [worker.jobs for worker in stage.workers[1:]] == [["1", "2", "3"], ["1", "2", "3"], ["2"]]

    async def test_of_those_that_are_to_run_alone_only_the_first_is_blamed(
        self, opened: Open, stage: Stage
    ) -> None:
        pool = await opened(batch_max=4)
        for job in ("1", "2", "3"):
            pool.submit(job, request(), {}, alone=job != "3")
        await self.dies(stage, times=2)
        assert [worker.jobs for worker in stage.workers[1:]] == [["1", "2", "3"], ["2", "3"]]

    async def dies(self, stage: Stage, times: int) -> None:
        """Again and again, as soon as it has its jobs."""
        for life in range(times):
            stage.workers[life].die()
            worker = await stage.worker(life + 1)
            worker.be_ready()
            await until(lambda worker=worker: worker.jobs)

    async def test_a_worker_that_is_slow_to_die_takes_no_more_jobs(self, opened: Open, stage: Stage) -> None:
        pool = await opened("x:0", "x:1", stall_seconds=60)
        stage.workers[0].ended.clear()  # a process in an uninterruptible sleep
        running = pool.submit("running", request(), {})
        waiting = pool.submit("waiting", request(), {})
        stage.workers[0].say(Progress(job="running", step=0, steps=10))
        await anext(running)
        stage.workers[0].beat(stalled_seconds=61)
        assert isinstance((await heard(running))[-1], Failed)
        assert stage.workers[0].killed
        assert stage.workers[1].jobs == ["waiting"]
        assert (pool.devices()[0].state, pool.room()) == ("dying", 3)
        pool.submit("next", request(), {})
        assert stage.workers[1].jobs == ["waiting", "next"]
        stage.workers[1].say(done("waiting"))
        assert await heard(waiting) == [done("waiting")]
        assert len(stage.workers) == 2  # the other still has the device's memory
        stage.workers[0].ended.set()
        (await stage.worker(2)).be_ready()
        await until(lambda: pool.devices()[0].state == "ready")


class TestLoading:
    async def test_holds_up_nobody_who_can_run_elsewhere(self, opened: Open, stage: Stage) -> None:
        pool = await opened("x:0", "x:1")
        stage.workers[0].beat(a=10)
        stage.workers[1].beat(stalled_seconds=100, loading="b", a=10)
        await until(lambda: pool.room() == 4)  # of the one that does not load
        assert pool.warm() == {"a"}
        for number in range(6):
            pool.submit(f"a{number}", request("a"), {})
        assert stage.workers[1].jobs == []
        pool.submit("b", request("b"), {})
        assert stage.workers[1].jobs == ["b"]  # it is what it loads
        stage.workers[1].loaded("b")
        await until(lambda: pool.room() == 3)

    async def test_on_the_only_device_lets_jobs_wait_there(self, opened: Open, stage: Stage) -> None:
        pool = await opened()
        stage.workers[0].beat(loading="b")
        stage.workers[0].beat(loading="b", a=10)
        await until(lambda: pool.devices()[0].resident)
        assert pool.room() == 4
        pool.submit("1", request("a"), {})
        assert stage.workers[0].jobs == ["1"]


class Roster(ThisMachine):
    """A cluster whose devices come and go as the test says."""

    def __init__(self, stage: Stage) -> None:
        super().__init__((), make=stage)
        self.changes: asyncio.Queue[tuple[str, ...] | None] = asyncio.Queue()
        self.closed = False

    async def devices(self) -> AsyncIterator[tuple[str, ...] | None]:
        while True:
            yield await self.changes.get()

    async def close(self) -> None:
        self.closed = True


class TestMembership:
    async def test_devices_join_and_leave_and_jobs_follow(self, stage: Stage) -> None:
        cluster = Roster(stage)
        pool = Pool(PoolSettings(batch_max=2), MODELS, cluster)
        await pool.start()
        running, waiting = pool.submit("running", request(), {}), pool.submit("waiting", request(), {})
        cluster.changes.put_nowait(("n1",))
        (await stage.worker(0)).be_ready()
        await until(lambda: len(stage.workers[0].jobs) == 2)
        stage.workers[0].say(Progress(job="running", step=0, steps=9))
        await anext(running)
        cluster.changes.put_nowait(("n1", "n2"))
        (await stage.worker(1)).be_ready()
        await until(lambda: pool.room() == 6)
        cluster.changes.put_nowait(("n2",))
        (ending,) = await heard(running)
        assert isinstance(ending, Failed)
        assert ending.code == "worker_lost"
        assert stage.workers[1].jobs == ["waiting"]
        assert [each.device for each in pool.devices()] == ["n2"]
        await until(lambda: stage.workers[0].killed)
        stage.workers[1].say(done("waiting"))
        assert await heard(waiting) == [done("waiting")]
        await pool.stop(grace_seconds=0)
        assert cluster.closed

    @pytest.mark.parametrize("first_told_by", ["worker", "cluster"])
    async def test_jobs_that_a_lost_cluster_took_along_are_not_blamed(
        self, stage: Stage, first_told_by: str
    ) -> None:
        cluster = Roster(stage)
        pool = Pool(PoolSettings(batch_max=2, restart_seconds=0.001), MODELS, cluster)
        await pool.start()
        running, waiting = pool.submit("running", request(), {}), pool.submit("waiting", request(), {})
        for life in range(3):  # who was about to begin is none the more a suspect for it
            cluster.changes.put_nowait(("n1",))
            (worker := await stage.worker(life)).be_ready()
            await until(lambda worker=worker: "waiting" in worker.jobs)
            if life == 0:
                worker.say(Progress(job="running", step=0, steps=9))
                await anext(running)
            if first_told_by == "worker":
                worker.die(ClusterGone("The cluster is gone."))
            cluster.changes.put_nowait(None)
            await until(lambda: not pool.devices())
        (ending,) = await heard(running)
        assert isinstance(ending, Failed)
        assert ending.code == "cluster_lost"
        cluster.changes.put_nowait(("n2",))
        (worker := await stage.worker(3)).be_ready()
        await until(lambda: worker.jobs == ["waiting"])
        worker.say(done("waiting"))
        assert await heard(waiting) == [done("waiting")]
        await pool.stop(grace_seconds=0)

    async def test_who_cannot_tell_which_devices_there_are_is_asked_again(self, stage: Stage) -> None:
        class Moody(ThisMachine):
            tries = 0

            async def devices(self) -> AsyncIterator[tuple[str, ...]]:
                self.tries += 1
                if self.tries < 3:
                    raise OSError("the driver is not loaded yet")
                yield ("x:0",)

        pool = Pool(PoolSettings(restart_seconds=0.001), MODELS, Moody((), make=stage))
        with capture_logs() as logged:
            await pool.start()
            (await stage.worker(0)).be_ready()
        async with asyncio.timeout(5):
            await pool.ready()
        assert [each["event"] for each in logged if each["log_level"] == "error"] == ["devices_unknown"] * 2
        await pool.stop(grace_seconds=0)

    def test_a_card_is_shared_by_as_many_workers_as_fit(self) -> None:
        assert shares("cuda:0", 1.0) == ("cuda:0",)
        assert shares("cuda:0", 0.5) == ("cuda:0#1", "cuda:0#2")
        assert len(shares("cuda:1", 1 / 3)) == 3
        assert shares("cpu", 0.5) == ("cpu",)

    @pytest.mark.parametrize(("share", "count"), [(1.0, 2), (0.7, 2), (0.6, 2), (0.5, 4), (0.4, 4), (0.3, 6)])
    def test_a_node_has_as_many_workers_as_its_cards_one_by_one(self, share: float, count: int) -> None:
        node = {"NodeID": "n" * 6, "NodeManagerHostname": "host", "Alive": True, "Resources": {"GPU": 2.0}}
        assert len(places([node], "auto", share)) == count == 2 * len(shares("cuda:0", share))

    def test_ray_gives_no_card_by_its_number(self) -> None:
        node = {"NodeID": "n" * 6, "NodeManagerHostname": "host", "Alive": True, "Resources": {"GPU": 2.0}}
        assert places([node], ("cuda:1",), 1.0) == ()


class TestDrain:
    async def test_what_waits_is_let_go_and_runs_elsewhere(self, opened: Open, stage: Stage) -> None:
        pool = await opened("x:0", "x:1")
        events = pool.submit("1", request(), {})
        pool.drain("x:0")
        assert stage.workers[0].told[-1] == Cancel(job="1")
        assert stage.workers[1].jobs == []  # not before the other has let it go
        stage.workers[0].say(Cancelled(job="1", share=0.0))
        await until(lambda: stage.workers[1].jobs == ["1"])
        stage.workers[1].say(done("1"))
        assert await heard(events) == [done("1")]

    async def test_what_had_begun_meanwhile_ends_where_it_is(self, opened: Open, stage: Stage) -> None:
        pool = await opened("x:0", "x:1")
        events = pool.submit("1", request(), {})
        pool.drain("x:0")
        stage.workers[0].say(done("1"))
        assert await heard(events) == [done("1")]
        await until(lambda: pool.devices()[0].state == "drained")
        assert stage.workers[0].killed

    async def test_a_cancel_meanwhile_is_a_cancel(self, opened: Open, stage: Stage) -> None:
        pool = await opened("x:0", "x:1")
        events = pool.submit("1", request(), {})
        pool.drain("x:0")
        pool.cancel("1")
        stage.workers[0].say(Cancelled(job="1", share=0.0))
        assert await heard(events) == [Cancelled(job="1", share=0.0)]

    async def test_the_last_device_keeps_what_it_has(self, opened: Open, stage: Stage) -> None:
        pool = await opened()
        events = pool.submit("1", request(), {})
        pool.drain("cpu")
        assert pool.room() == 0
        later = pool.submit("2", request(), {})
        stage.workers[0].say(done("1"))
        assert await heard(events) == [done("1")]
        await until(lambda: pool.devices()[0].state == "drained")
        pool.resume("cpu")
        (await stage.worker(1)).be_ready()
        await until(lambda: stage.workers[1].jobs == ["2"])
        assert pool.devices()[0].restarts == 0
        stage.workers[1].say(done("2"))
        assert await heard(later) == [done("2")]


class TestLoad:
    async def test_says_how_it_went(self, opened: Open, stage: Stage) -> None:
        pool = await opened()
        asked = asyncio.create_task(pool.load("a"))
        await until(lambda: stage.workers[0].told)
        stage.workers[0].loaded("a")
        assert isinstance(await asked, Loaded)
        asked = asyncio.create_task(pool.load("b"))
        await until(lambda: len(stage.workers[0].told) == 2)
        stage.workers[0].say(Unloaded(model="b", message="half downloaded"))
        assert await asked == Unloaded(model="b", message="half downloaded")
        assert isinstance(await pool.load("nope"), Unloaded)

    async def test_ends_when_the_worker_does(self, opened: Open, stage: Stage) -> None:
        pool = await opened()
        asked = asyncio.create_task(pool.load("a"))
        await until(lambda: stage.workers[0].told)
        stage.workers[0].die()
        answer = await asked
        assert isinstance(answer, Unloaded)
        assert "lost" in answer.message

    async def test_is_not_over_when_the_worker_of_another_device_ends(
        self, opened: Open, stage: Stage
    ) -> None:
        pool = await opened("x:0", "x:1", restart_seconds=60.0)
        asked = asyncio.create_task(pool.load("a"))
        await until(lambda: stage.workers[0].told)
        stage.workers[1].die()
        await until(lambda: pool.devices()[1].state == "restarting")
        assert not asked.done()
        stage.workers[0].loaded("a")
        assert isinstance(await asked, Loaded)

    async def test_unload_is_for_all_devices_and_the_entry_goes_again_before_the_next_job(
        self, opened: Open, stage: Stage
    ) -> None:
        pool = await opened()
        pool.submit("1", request(), {})
        pool.unload("a")
        pool.submit("2", request(), {})
        assert [type(message) for message in stage.workers[0].told] == [Load, Submit, Unload, Load, Submit]


class TestStop:
    async def test_running_jobs_finish_and_waiting_ones_go_back(self, opened: Open, stage: Stage) -> None:
        pool = await opened()
        running, waiting = pool.submit("running", request(), {}), pool.submit("waiting", request(), {})
        stage.workers[0].say(Progress(job="running", step=0, steps=10))
        await anext(running)
        stopping = asyncio.create_task(pool.stop(grace_seconds=5))
        (ending,) = await heard(waiting)
        assert isinstance(ending, Failed)
        assert ending.code == "worker_lost"
        assert pool.room() == 0
        assert pool.devices()[0].state == "draining"
        stage.workers[0].say(done("running"))
        assert await heard(running) == [done("running")]
        await stopping
        assert stage.workers[0].killed

    async def test_what_outlasts_the_grace_is_lost(self, opened: Open, stage: Stage) -> None:
        pool = await opened()
        events = pool.submit("1", request(), {})
        stage.workers[0].say(Progress(job="1", step=0, steps=10))
        await anext(events)
        await pool.stop(grace_seconds=0.01)
        (ending,) = await heard(events)
        assert isinstance(ending, Failed)
        assert ending.code == "worker_lost"

    async def test_after_it_nothing_is_taken(self, opened: Open) -> None:
        pool = await opened()
        await pool.stop(grace_seconds=0)
        text = WriteText(model="a", messages=(Message(role="user", content="x"),), max_tokens=1)
        (ending,) = await heard(pool.submit("1", text, {}))
        assert isinstance(ending, Failed)
        assert ending.code == "worker_lost"

"""The worker's loop over scripted models and a simulated clock: who joins when, who goes, and what an error costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.engine import Host, ModelUnavailable, Runner
from generators.inbox import Inbox
from generators.job import Job
from generators.loop import DeviceLost, Loop
from generators.messages import (
    Cancelled,
    Failed,
    FromWorker,
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
from generators.requests import TextToImage
from generators.residency import Residency
from tests.generators.conftest import worker_settings
from tests.generators.scripted import Clock, ScriptedRunner

AFFINITY, LOAD_SECONDS = 10.0, 2.0


def drawing(model: str, **changes: Any) -> TextToImage:
    usual: dict[str, Any] = {"prompt": "p", "width": 8, "height": 8, "steps": 3, "guidance": 1.0, "seed": 1}
    return TextToImage(model=model, **(usual | changes))


@dataclass
class Rig:
    """A device with memory for 100 bytes of models. A model's source is its size; loading takes two seconds."""

    clock: Clock = field(default_factory=Clock)
    inbox: Inbox = field(default_factory=Inbox)
    host: Host = field(default_factory=lambda: Host(worker_settings(affinity_seconds=AFFINITY)))
    heard: list[FromWorker] = field(default_factory=list)
    when: dict[str, float] = field(default_factory=dict)  # job -> when it first ran
    runners: dict[str, ScriptedRunner] = field(default_factory=dict)
    spells: dict[str, Callable[[], object]] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    works: bool = True

    def __post_init__(self) -> None:
        self.residency = Residency(
            memory_bytes=100, load=self.load, send=self.say, clock=self.clock, sweep=lambda: None,
            expect=lambda model: self.expected.get(model.name, int(model.source)),
        )  # fmt: skip
        self.loop = Loop(
            self.inbox, self.residency, self.host, send=self.say, works=lambda: self.works, clock=self.clock
        )

    def load(self, model: Model) -> Runner:
        self.clock.now += LOAD_SECONDS
        if model.revision == "broken":
            raise ModelUnavailable(f"{model.name} is broken.")
        runner = ScriptedRunner(self.clock, int(model.source))
        runner.spells = self.spells
        self.runners[model.name] = runner
        return runner

    def say(self, message: FromWorker) -> None:
        self.heard.append(message)
        if isinstance(message, Progress):
            self.when.setdefault(message.job, self.clock())

    def model(self, name: str, size: int = 10, **changes: Any) -> None:
        self.inbox.put(Load(model=Model(name=name, kind="image", source=str(size), **changes)))

    def job(self, name: str, model: str = "a", steps: int = 3, prompt: str = "p", **changes: Any) -> Job:
        how = {
            key: changes.pop(key) for key in ("alone", "limit_seconds", "passed_seconds") if key in changes
        }
        request = drawing(model, steps=steps, prompt=prompt, **changes)
        job = Job(Submit(job=name, request=request, **how), self.say, arrived=self.clock())
        self.inbox.put(job)
        return job

    def turns(self, number: int) -> None:
        for _ in range(number):
            self.loop.turn()

    def run(self, *arrivals: tuple[float, str, str]) -> None:
        """Until all is done; `arrivals` are jobs that come at their time, ordered: (time, job, model)."""
        coming = list(arrivals)
        while coming or self.inbox.counts() != (0, 0):
            if coming and self.inbox.counts() == (0, 0):
                self.clock.now = max(self.clock.now, coming[0][0])
            while coming and coming[0][0] <= self.clock.now:
                _, name, model = coming.pop(0)
                self.job(name, model)
            self.loop.turn()

    def ending(self, job: str) -> Result | Failed | Cancelled:
        [ending] = [e for e in self.heard if isinstance(e, Result | Failed | Cancelled) and e.job == job]
        return ending

    def forwards(self, model: str = "a") -> list[tuple[str, ...]]:
        return self.runners[model].forwards


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.model("a")
    rig.turns(1)
    rig.clock.now = 0.0
    return rig


class TestJoining:
    def test_a_job_joins_at_the_next_step_and_leaves_alone(self, rig: Rig) -> None:
        rig.job("1", steps=3)
        rig.turns(1)
        rig.job("2", steps=3)
        rig.run()
        assert rig.forwards() == [("1",), ("1", "2"), ("1", "2"), ("2",)]

    def test_who_does_not_fit_is_not_overtaken(self, rig: Rig) -> None:
        for name, count in (("1", 3), ("2", 2), ("3", 1)):
            rig.job(name, steps=1, count=count)
        rig.run()
        assert rig.forwards() == [("1",), ("2", "3")]

    def test_a_running_job_is_cancelled_at_the_next_step_and_a_waiting_one_at_once(self, rig: Rig) -> None:
        rig.job("1", steps=4)
        rig.job("2", steps=9, count=3)
        rig.job("waits", count=4)
        rig.turns(1)
        rig.inbox.cancel("waits")
        assert rig.ending("waits") == Cancelled(job="waits", share=0.0)
        rig.inbox.cancel("2")
        rig.run()
        assert rig.ending("2") == Cancelled(job="2", share=1 / 9)
        assert rig.forwards() == [("1", "2"), ("1",), ("1",), ("1",)]

    def test_models_share_the_device_by_time(self, rig: Rig) -> None:
        rig.runners["a"].step_seconds = 3.0
        rig.model("b")
        rig.job("slow", "a", steps=100)
        rig.job("quick", "b", steps=300)
        rig.turns(80)
        seconds = {model: len(rig.forwards(model)) * rig.runners[model].step_seconds for model in "ab"}
        assert abs(seconds["a"] - seconds["b"]) <= 3

    def test_a_model_that_was_idle_has_saved_up_no_time(self, rig: Rig) -> None:
        rig.model("b")
        rig.job("1", "a", steps=50)
        rig.turns(40)
        rig.job("2", "b", steps=5)
        rig.turns(4)
        assert len(rig.forwards("b")) == 2


class TestAlone:
    def test_it_begins_when_nothing_runs_and_nothing_joins_it(self, rig: Rig) -> None:
        rig.model("b")
        rig.job("before", "b", steps=5)
        rig.job("alone", "a", steps=3, alone=True)
        rig.job("after", "a", steps=1)
        rig.job("other", "b", steps=1)
        rig.run()
        ended = [event.job for event in rig.heard if isinstance(event, Result)]
        assert ended[:2] == ["before", "alone"]
        assert rig.when["alone"] >= rig.when["before"] + 5
        assert min(rig.when["after"], rig.when["other"]) >= rig.when["alone"] + 3

    def test_nothing_is_loaded_beside_it(self, rig: Rig) -> None:
        rig.job("alone", steps=3, alone=True)
        rig.turns(1)
        rig.model("b")
        rig.turns(1)
        assert set(rig.residency.sizes()) == {"a"}
        rig.run()
        rig.job("next")
        rig.run()
        assert set(rig.residency.sizes()) == {"a", "b"}


class TestLimit:
    """A step takes a second, a load two."""

    def test_who_runs_longer_than_allowed_is_ended_between_two_steps_and_nobody_else(self, rig: Rig) -> None:
        rig.job("late", steps=9, limit_seconds=3.0)
        rig.job("other", steps=9)
        rig.run()
        assert failure(rig, "late") == "crowded"  # it may be the others' fault: it is to be tried alone
        assert isinstance(rig.ending("other"), Result)
        assert rig.forwards() == [("late", "other")] * 4 + [("other",)] * 5

    def test_who_was_by_itself_all_the_time_is_just_too_long(self, rig: Rig) -> None:
        rig.job("late", steps=9, limit_seconds=3.0, alone=True)
        rig.job("next", limit_seconds=3.0)
        rig.run()
        assert failure(rig, "late") == "timeout"
        assert isinstance(rig.ending("next"), Result)

    def test_waiting_and_loading_do_not_count(self, rig: Rig) -> None:
        rig.job("1", limit_seconds=3.0)
        rig.turns(1)
        rig.model("b")
        rig.job("2", count=4, limit_seconds=3.0)
        rig.run()
        assert rig.clock() == 3 + LOAD_SECONDS + 3
        assert [type(rig.ending(job)) for job in ("1", "2")] == [Result] * 2

    def test_a_new_beginning_has_all_of_its_time_again(self, rig: Rig) -> None:
        rig.spells["break once"] = lambda: rig.spells.pop("break once") and 1 / 0
        rig.job("1", steps=3, limit_seconds=3.0, prompt="break once")
        rig.job("2", steps=3, limit_seconds=3.0)
        rig.run()
        assert [type(rig.ending(job)) for job in ("1", "2")] == [Result] * 2


def failure(rig: Rig, job: str) -> str:
    ending = rig.ending(job)
    assert isinstance(ending, Failed)
    return ending.code


class TestErrors:
    def test_only_the_guilty_job_fails(self, rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
        def curse() -> None:
            raise ValueError(f"cannot draw {wish}")

        wish = "secret wish"
        rig.spells[wish] = curse
        rig.model("b")
        rig.job("elsewhere", "b", steps=4)
        for name, prompt in (("1", "cat"), ("2", wish), ("3", "dog")):
            rig.job(name, steps=2, prompt=prompt)
        rig.run()
        failed = rig.ending("2")
        assert isinstance(failed, Failed)
        assert failed.code == "internal"
        assert "ValueError in test_loop.py" in failed.message
        assert "secret" not in failed.message + "".join(capfd.readouterr())
        assert all(isinstance(rig.ending(name), Result) for name in ("1", "3", "elsewhere"))
        assert [who for who in rig.forwards() if len(who) > 1] == [("1", "2", "3")]
        assert rig.forwards("b") == [("elsewhere",)] * 4

    def test_what_was_streamed_is_not_streamed_again(self, rig: Rig) -> None:
        tries = iter([None, ValueError()])

        def curse() -> None:
            if error := next(tries, None):
                raise error

        rig.spells["second"] = curse
        rig.job("1", prompt="first")
        rig.job("2", prompt="second")
        rig.run()
        texts = {name: [e.text for e in rig.heard if isinstance(e, Token) and e.job == name] for name in "12"}
        assert texts == {"1": ["first"] * 3, "2": ["second"] * 3}

    def test_a_job_that_cannot_be_begun_costs_nobody_else(self, rig: Rig) -> None:
        rig.spells["begin odd"] = lambda: 1 / 0
        rig.job("1")
        rig.job("2", prompt="odd")
        rig.run()
        failed = rig.ending("2")
        assert isinstance(failed, Failed)
        assert "ZeroDivisionError" in failed.message
        assert rig.forwards() == [("1",)] * 3

    def test_a_job_that_its_runner_lost_is_answered(self, rig: Rig) -> None:
        rig.job("1")
        rig.turns(1)
        rig.runners["a"].step = rig.runners["a"].abandon  # type: ignore[method-assign]
        rig.turns(1)
        assert isinstance(rig.ending("1"), Failed)

    def test_a_device_that_answers_no_more_ends_the_process(self, rig: Rig) -> None:
        rig.spells["p"] = lambda: 1 / 0
        rig.works = False
        rig.job("1")
        rig.job("2")
        with pytest.raises(DeviceLost):
            rig.run()
        assert not any(isinstance(event, Failed) for event in rig.heard)  # the pool says that they were lost


class TestMemory:
    def test_what_fits_beside_is_loaded_at_once(self, rig: Rig) -> None:
        rig.model("b", 90)
        rig.job("1", "a", steps=50)
        rig.turns(3)
        rig.job("2", "b")
        rig.turns(3)
        assert rig.residency.sizes() == {"a": 10, "b": 90}
        assert rig.forwards("b")

    def test_idle_models_give_way_at_once_the_least_recently_used_first(self, rig: Rig) -> None:
        for name, size in (("b", 40), ("c", 40)):
            rig.model(name, size)
        for name in "abca":
            rig.job(f"{rig.clock()}", name)
            rig.run()
        rig.model("d", 30)
        rig.job("d", "d")
        rig.run()
        assert set(rig.residency.sizes()) == {"a", "c", "d"}
        assert [e.model for e in rig.heard if isinstance(e, Unloaded)] == ["b"]

    def test_nothing_goes_that_turns_out_not_to_be_needed(self, rig: Rig) -> None:
        rig.model("b", 80)
        for name in "ab":
            rig.job(name, name)
            rig.run()
        rig.model("c", 70)
        rig.job("c", "c")
        rig.run()
        assert set(rig.residency.sizes()) == {"a", "c"}

    def test_a_model_with_running_jobs_never_goes(self, rig: Rig) -> None:
        rig.model("big", 95)
        rig.job("long", "a", steps=60)
        rig.job("new", "big")
        rig.run()
        assert rig.forwards("a")[:60] == [("long",)] * 60
        assert rig.when["new"] >= 60

    def test_one_that_is_larger_than_expected_waits_for_its_room(self, rig: Rig) -> None:
        rig.expected["big"] = 1
        rig.model("big", 95)
        rig.job("long", "a", steps=30)
        rig.turns(1)
        rig.job("new", "big")
        rig.run()
        assert isinstance(rig.ending("new"), Result)
        assert isinstance(rig.ending("long"), Result)
        assert len(rig.forwards("a")) == 30
        assert len([e for e in rig.heard if isinstance(e, Loaded) and e.model == "big"]) == 1

    @pytest.mark.parametrize("expected", [101, 0])
    def test_what_never_fits_is_refused_with_its_size_and_costs_nobody_else(
        self, rig: Rig, expected: int
    ) -> None:
        rig.expected["big"] = expected
        rig.model("big", 101)
        rig.job("1", "a")
        rig.job("2", "big")
        rig.run()
        assert isinstance(rig.ending("1"), Result)
        refused = rig.ending("2")
        assert isinstance(refused, Failed)
        assert refused.code == "model_unavailable"
        assert "GiB" in refused.message
        assert set(rig.residency.sizes()) == {"a"}

    def test_a_model_that_cannot_be_loaded_is_named_and_the_others_go_on(self, rig: Rig) -> None:
        rig.model("bad", revision="broken")
        rig.job("1", "bad")
        rig.job("2", "a")
        rig.job("3", "unheard of")
        rig.run()
        for name, said in (("1", "bad is broken"), ("3", "told of no model named 'unheard of'")):
            failed = rig.ending(name)
            assert isinstance(failed, Failed)
            assert said in failed.message
        assert Unloaded(model="bad", message="bad is broken.") in rig.heard
        assert isinstance(rig.ending("2"), Result)

    def test_unloading_waits_for_running_jobs_and_the_next_job_loads_again(self, rig: Rig) -> None:
        rig.job("1", steps=5)
        rig.turns(2)
        rig.inbox.put(Unload(model="a"))
        rig.job("2", steps=1)
        rig.run()
        assert isinstance(rig.ending("1"), Result)
        assert [type(e) for e in rig.heard if isinstance(e, Loaded | Unloaded)] == [Loaded, Unloaded, Loaded]

    def test_a_changed_entry_replaces_the_model_when_its_jobs_are_over(self, rig: Rig) -> None:
        rig.job("1", steps=5)
        rig.turns(2)
        rig.model("a", 20)
        rig.job("2", steps=1)
        rig.run()
        assert rig.residency.sizes() == {"a": 20}
        assert isinstance(rig.ending("1"), Result)
        assert rig.forwards() == [("2",)]

    def test_a_model_can_be_made_resident_before_anybody_needs_it(self, rig: Rig) -> None:
        rig.turns(1)
        rig.model("a")
        rig.turns(1)
        assert [type(e) for e in rig.heard] == [Loaded, Loaded]
        assert rig.clock() == 0

    def test_what_runs_out_of_memory_is_relieved_of_idle_models_only(self, rig: Rig) -> None:
        for name in "bc":
            rig.model(name)
        rig.job("1", "b", steps=9)
        rig.job("2", "c", steps=1)
        rig.run()
        rig.job("3", "b", steps=9)
        relieved: list[bool] = []
        rig.spells["big"] = lambda: relieved.append(rig.host.relieve())
        rig.job("4", "a", prompt="big", steps=2)
        rig.run()
        assert relieved == [True, False]
        assert set(rig.residency.sizes()) == {"a", "b"}


class TestAffinity:
    """Two models of which only one fits."""

    @pytest.fixture
    def rig(self) -> Rig:
        rig = Rig()
        for name in "abc":
            rig.model(name, 60)
        return rig

    def test_a_warm_model_goes_first_for_so_long_and_then_drains(self, rig: Rig) -> None:
        stream = [(float(at), f"a{at}", "a") for at in range(60)]
        rig.run(*sorted([*stream, (20.5, "b", "b")]))
        waited = rig.when["b"] - 20.5
        assert AFFINITY <= waited <= AFFINITY + 3 + LOAD_SECONDS + 2
        assert rig.when["a25"] < rig.when["b"]  # a later one of the warm model did go first
        assert all(isinstance(rig.ending(f"a{at}"), Result) for at in range(60))

    @pytest.mark.parametrize("passed", [0.0, 4.0, AFFINITY])
    def test_what_went_ahead_in_the_queue_counts_too(self, rig: Rig, passed: float) -> None:
        """From the queue to the device it is one patience, and then what runs ends."""
        rig.turns(3)
        rig.run((rig.clock(), "first", "a"))
        rig.clock.now = 60.0  # the warm model has had its own turn
        rig.job("b", "b", passed_seconds=passed)
        rig.run(*((60.0 + at, f"a{at}", "a") for at in range(40)))
        waited = rig.when["b"] - 60.0 + passed
        assert AFFINITY <= waited <= AFFINITY + 3 + LOAD_SECONDS + 1

    def test_nobody_waits_for_affinity_when_nobody_uses_the_warm_model(self, rig: Rig) -> None:
        rig.run((10.0, "a", "a"), (20.0, "b", "b"))
        assert rig.when["b"] - 20.0 == LOAD_SECONDS

    def test_a_turn_is_worth_its_loading(self, rig: Rig) -> None:
        """Both always busy: not a load for every few jobs, though every job has waited long."""
        jobs = sorted((at / 2, f"{model}{at}", model) for at in range(200) for model in "ab")
        rig.run(*jobs)
        loads = [e.model for e in rig.heard if isinstance(e, Loaded)]
        assert len(loads) <= rig.clock() / AFFINITY
        assert {"a", "b"} == set(loads[-2:])

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.floats(0, 60), st.sampled_from("abc")), min_size=1, max_size=60))
    def test_nobody_starves(self, arrivals: list[tuple[float, str]]) -> None:
        """Whoever is first of its model waits at most one turn of each other model, as long as all have room."""
        rig = Rig()
        for name in "abc":
            rig.model(name, 60)
        jobs = sorted((at, f"{number}", model) for number, (at, model) in enumerate(arrivals))
        ready = 3 * LOAD_SECONDS + 1  # the entries are loaded first, one after the other
        rig.turns(3)
        rig.run(*[(at + ready, name, model) for at, name, model in jobs])
        work = 3.0 * len(jobs)
        for at, name, _ in jobs:
            assert isinstance(rig.ending(name), Result)
            assert rig.when[name] - at - ready <= 3 * (AFFINITY + 3 + LOAD_SECONDS) + work

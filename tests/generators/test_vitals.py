"""When a worker is given up, and how long until the next one."""

from __future__ import annotations

from generators.messages import Heartbeat
from generators.settings import PoolSettings
from generators.vitals import Vitals, backoff_seconds, verdict

LIMITS = PoolSettings(silent_seconds=10, stall_seconds=60, load_seconds=600)


def beat(stalled: float, loading: str = "") -> Heartbeat:
    return Heartbeat(stalled_seconds=stalled, running=1, waiting=0, loading=loading, stepping="n")


def test_a_worker_that_beats_is_well() -> None:
    assert verdict(Vitals(silent_seconds=9, ready=True, beat=beat(59)), LIMITS) == ""
    assert verdict(Vitals(silent_seconds=9, ready=True, beat=beat(599, "m")), LIMITS) == ""
    assert verdict(Vitals(silent_seconds=9, age_seconds=599), LIMITS) == ""


def test_each_limit_has_its_name() -> None:
    assert "silent" in verdict(Vitals(silent_seconds=11, ready=True), LIMITS)
    assert "a step of n" in verdict(Vitals(ready=True, beat=beat(61)), LIMITS)
    assert "loading m" in verdict(Vitals(ready=True, beat=beat(601, "m")), LIMITS)
    assert "never became ready" in verdict(Vitals(age_seconds=601, beat=beat(0)), LIMITS)


def test_restarts_come_ever_later_up_to_a_bound() -> None:
    waits = [backoff_seconds(failures, LIMITS) for failures in range(1, 200)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits == sorted(waits)
    assert waits[-1] == LIMITS.restart_seconds_max

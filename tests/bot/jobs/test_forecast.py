"""Places and times left: what they follow from, how their error is told, and what devices really deliver."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.jobs import forecast
from bot.jobs.forecast import Accuracy, Place
from bot.jobs.throughput import PRIOR_SECONDS, Throughput
from storage.fair import Tier
from storage.flows import Flow
from storage.jobs import Pending
from storage.records import Capacity

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = 1_000_000
TIERS = [Tier(name=name, weight=weight, start_us=0, now_us=0)
         for name, weight in (("free", 10), ("pro", 40), ("relaxed", 1))]  # fmt: skip


def waits(job: int, account: int, seconds: float = 10, tier: str = "free") -> Pending:
    return Pending(id=job, account=account, tier=tier, cost_us=round(seconds * SECOND), started_at=None)


def runs(job: int, account: int, seconds: float, since: float) -> Pending:
    return Pending(id=job, account=account, tier="free", cost_us=round(seconds * SECOND),
                   started_at=NOW - timedelta(seconds=since))  # fmt: skip


def places(
    pending: list[Pending],
    *,
    known: int = 9999,
    devices: int = 1,
    slots: int = 1,
    rate: float = 1.0,
    cap: int = 99,
) -> dict[int, Place]:
    """Only the first `known` of these jobs are looked at."""
    running = Counter(job.account for job in pending if job.started_at)
    waiting = Counter((job.account, job.tier) for job in pending if not job.started_at)
    flows = [
        Flow(account=account, tier=tier, start_us=0, waiting=waiting[account, tier], running=running[account], cap=cap)
        for account, tier in {(job.account, job.tier) for job in pending}
    ]  # fmt: skip
    capacity = Capacity(devices=devices, slots=slots, rate_us=round(rate * SECOND))
    return forecast.places(TIERS, flows, pending[:known], NOW, capacity)


def order(found: dict[int, Place]) -> list[int]:
    return sorted(found, key=lambda job: found[job].ahead)


def test_one_person_with_many_jobs_goes_in_turn_with_others() -> None:
    found = places([*(waits(number, 1) for number in range(4)), waits(9, 2)])
    assert order(found).index(9) == 1


def test_of_a_line_too_long_to_be_looked_at_only_what_goes_before_the_unknown_is_promised() -> None:
    line = [*(waits(number, 1) for number in range(5)), waits(5, 2), waits(6, 3), waits(7, 2)]
    assert order(places(line)) == [0, 5, 6, 1, 7, 2, 3, 4]
    assert order(places(line, known=7)) == [0, 5, 6, 1]
    assert order(places(line, known=6)) == [0, 5]
    assert places(line, known=6)[5] == places(line)[5]


def test_long_jobs_make_room_for_short_ones() -> None:
    found = places([waits(1, 1, 180), waits(2, 1, 180), *(waits(n, 2, 6) for n in range(10, 20))])
    assert order(found)[-1] == 2


def test_tiers_share_by_weight_and_relaxed_work_gets_little_but_something() -> None:
    rows = [(100, 1, "free"), (200, 2, "pro"), (300, 3, "relaxed")]
    pending = [waits(first + n, account, 10, tier) for first, account, tier in rows for n in range(40)]
    first = order(places(pending))[:51]
    assert [sum(job // 100 == number for job in first) for number in (1, 2, 3)] == [10, 40, 1]


def test_a_job_that_runs_is_waited_for_by_what_it_still_owes() -> None:
    [place] = places([runs(1, 1, 30, since=10), waits(2, 2, 5)]).values()
    assert (place.ahead, place.starts, place.seconds) == (0, pytest.approx(20), pytest.approx(25))


def test_who_may_run_one_at_a_time_waits_for_the_own_one_while_others_pass() -> None:
    found = places([waits(1, 1), waits(2, 1), waits(3, 2)], devices=2, slots=2, rate=2, cap=1)
    assert [round(found[job].starts) for job in (1, 3, 2)] == [0, 0, 10]


def test_jobs_that_share_devices_slow_each_other_and_one_alone_uses_only_one_device() -> None:
    together = places([waits(1, 1), waits(2, 2)], slots=8)
    assert [round(place.seconds) for place in together.values()] == [20, 20]
    [alone] = places([waits(1, 1)], devices=4, slots=32, rate=4).values()
    assert alone.seconds == pytest.approx(10)


def test_what_devices_really_deliver_sets_the_pace() -> None:
    [place] = places([waits(1, 1)], rate=0.5).values()
    assert place.seconds == pytest.approx(20)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 100), st.sampled_from(["free", "pro", "gone"])), max_size=30),
    st.integers(1, 3), st.integers(1, 6), st.integers(1, 3),
)  # fmt: skip
def test_every_waiting_job_of_a_known_tier_has_one_place_and_all_work_is_done(
    rows: list[tuple[int, int, str]], devices: int, slots: int, cap: int
) -> None:
    pending = [waits(number, *row) for number, row in enumerate(rows)]
    found = places(pending, devices=devices, slots=slots, rate=devices, cap=cap)
    known = [job for job in pending if job.tier != "gone"]
    assert sorted(found) == [job.id for job in known]
    assert sorted(place.ahead for place in found.values()) == list(range(len(known)))
    work = sum(job.cost_us for job in known) / SECOND
    last = max((place.seconds for place in found.values()), default=0)
    assert work / devices - 1e-3 <= last <= work + 1e-3
    assert all(0 <= place.starts < place.seconds for place in found.values())


def test_errors_are_told_and_later_promises_allow_for_who_comes_later() -> None:
    accuracy = Accuracy()
    for _ in range(100):
        promise = accuracy.promise(Place(3, 10.0, 12.0), NOW)
        accuracy.note(promise, NOW + timedelta(seconds=20), NOW + timedelta(seconds=22))
    told = accuracy.tell(Place(3, 10.0, 12.0))
    assert told.starts == pytest.approx(20, abs=0.5)
    assert told.seconds - told.starts == pytest.approx(2)
    assert 0 < accuracy.bias("start") == pytest.approx(accuracy.mean_absolute("start"))
    assert accuracy.bias("start") < 2
    assert accuracy.kept == 100


def test_throughput_is_what_full_devices_deliver() -> None:
    throughput = Throughput(0.0)
    assert throughput.share == 1.0
    for second in range(10_000):
        throughput.note(second, full=True, devices=2, done_seconds=1.2)
    assert throughput.share == pytest.approx(0.6, abs=0.01)


def test_idle_devices_say_nothing_about_throughput() -> None:
    throughput = Throughput(0.0)
    throughput.note(0.0, full=False, devices=1)
    throughput.note(100 * PRIOR_SECONDS, full=False, devices=1, done_seconds=1.0)
    assert throughput.share == 1.0

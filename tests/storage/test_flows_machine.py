"""Any order of submits, claims, ends, cancels, merges and changes of plan is served as fair queueing says.

Beside the rows runs a model that keeps nothing but Python values and asks "who is next?" in the plainest way.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, func, select

from storage import accounts, flows, jobs
from storage.accounts import Identity
from storage.database import Database, Session, connect
from storage.tables import FlowRow, JobRow, TierRow, TurnRow
from tests.conftest import NOON

PEOPLE, TIERS = 4, ("free", "pro", "relaxed")
Flow = tuple[str, int]
_numbers = itertools.count()


@dataclass
class Line:
    start: int = 0
    debt: int = 0
    cap: int = 1
    waiting: dict[int, int] = field(default_factory=dict)  # job -> cost
    running: dict[int, int] = field(default_factory=dict)
    later: dict[int, int] = field(default_factory=dict)  # to be tried again


class Model:
    """Start-time fair queueing on two levels, as the textbook has it."""

    def __init__(self, weights: dict[str, int]) -> None:
        self.weights, self.now = weights, 0
        self.starts, self.nows = Counter[str](), Counter[str]()
        self.lines: dict[Flow, Line] = {}

    def submit(self, flow: Flow, job: int, cost: int, cap: int) -> None:
        line = self.lines.setdefault(flow, Line())
        line.waiting[job], line.cap = cost, cap
        line.start = max(line.start, self.nows[flow[0]])

    def claim(self) -> int | None:
        able = [flow for flow, line in self.lines.items() if line.waiting and len(line.running) < line.cap]
        if not able:
            return None
        tier = min((self.starts[tier], tier) for tier, _ in able)[1]
        flow = min((self.lines[each].start, each[1], each) for each in able if each[0] == tier)[2]
        line, job = self.lines[flow], min(self.lines[flow].waiting)
        cost = line.running[job] = line.waiting.pop(job)
        self.now = max(self.now, self.starts[tier])
        self.starts[tier] = self.now + (cost + line.debt) // self.weights[tier]
        self.nows[tier] = line.start
        line.start, line.debt = line.start + cost, 0
        return job

    def owes(self, flow: Flow, more: int) -> None:
        line = self.lines[flow]
        line.start, line.debt = max(line.start + more, self.nows[flow[0]]), line.debt + more

    def join(self, source: Flow, target: Flow, cap: int | None) -> None:
        if (gone := self.lines.pop(source, None)) is None:
            return
        self.starts[source[0]] += gone.debt // self.weights[source[0]]
        line = self.lines.setdefault(target, Line(cap=cap or gone.cap))
        line.cap = cap or line.cap
        line.start = max(line.start, self.nows[target[0]]) + max(gone.start - self.nows[source[0]], 0)
        line.waiting |= gone.waiting
        line.running |= gone.running
        line.later |= gone.later

    def flow_of(self, job: int) -> Flow:
        return next(f for f, line in self.lines.items() if job in line.waiting or job in line.running)

    def all(self, what: str) -> list[int]:
        return sorted(job for line in self.lines.values() for job in getattr(line, what))


class Fair(RuleBasedStateMachine):
    do: ClassVar[Callable[..., Any]]

    @initialize(pro=st.integers(2, 20))
    def open(self, pro: int) -> None:
        self.model = Model({"free": 10, "pro": pro, "relaxed": 1})
        self.people: list[int] = self.do(_fresh, self.model.weights)
        self.virtual: dict[str, int] = {}

    @rule(who=st.integers(0, PEOPLE - 1), tier=st.sampled_from(TIERS), cost=st.integers(1, 200), cap=st.integers(1, 3),
          count=st.integers(1, 3))  # fmt: skip
    def submit(self, who: int, tier: str, cost: int, cap: int, count: int) -> None:
        for _ in range(count):
            job = self.do(_submit, self.people[who], tier, cost, cap)
            self.model.submit((tier, self.people[who]), job, cost, cap)

    @rule(limit=st.integers(1, 6))
    def claim(self, limit: int) -> None:
        claimed = [job.id for job in self.do(jobs.claim, "me", lease_seconds=30, limit=limit)]
        expected = [job for _ in range(limit) if (job := self.model.claim()) is not None]
        assert claimed == expected

    @precondition(lambda self: self.model.all("running"))
    @rule(
        data=st.data(),
        used=st.integers(0, 400),
        how=st.sampled_from(["complete", "retry", "give_back", "cancel"]),
    )
    def end(self, data: Any, used: int, how: str) -> None:
        job = data.draw(st.sampled_from(self.model.all("running")))
        flow = self.model.flow_of(job)
        self.do(_end, job, used, how)
        cost = self.model.lines[flow].running.pop(job)
        match how:
            case "give_back":
                used, self.model.lines[flow].waiting[job] = 0, cost
            case "retry":
                self.model.lines[flow].later[job] = cost
        self.model.owes(flow, used - cost)

    @rule()
    def retries_are_due(self) -> None:
        self.do(jobs.due, NOON + timedelta(minutes=1))
        for flow, line in self.model.lines.items():
            if line.later:
                line.waiting |= line.later
                line.later = {}
                self.model.owes(flow, 0)

    @precondition(lambda self: self.model.all("waiting"))
    @rule(data=st.data())
    def cancel_waiting(self, data: Any) -> None:
        job = data.draw(st.sampled_from(self.model.all("waiting")))
        self.do(_end, job, 0, "cancel")
        flow = self.model.flow_of(job)
        self.model.lines[flow].waiting.pop(job)
        self.model.owes(flow, 0)

    @rule(one=st.integers(0, PEOPLE - 1), other=st.integers(0, PEOPLE - 1))
    def merge(self, one: int, other: int) -> None:
        old, new = self.people[one], self.people[other]
        if old == new:
            return
        self.do(_merge, old, new)
        for tier in TIERS:
            self.model.join((tier, old), (tier, new), None)

    @rule(who=st.integers(0, PEOPLE - 1), tiers=st.permutations(TIERS), cap=st.integers(1, 3))
    def change_plan(self, who: int, tiers: list[str], cap: int) -> None:
        account, (before, after, _) = self.people[who], tiers
        self.do(flows.change_tier, account, before, after, cap=cap)
        self.model.join((before, account), (after, account), cap)

    @rule(pro=st.integers(1, 40))
    def change_weights(self, pro: int) -> None:
        self.model.weights["pro"] = pro
        self.do(flows.define_tiers, self.model.weights)

    @invariant()
    def counts_are_those_of_the_jobs(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = {
            (tier, account): (waits, runs, eligible)
            for account, tier, waits, runs, eligible in self.do(_flows)
        }
        counted: Counter[tuple[str, int, str]] = self.do(_counts)
        for flow, (waits, runs, eligible) in rows.items():
            line = self.model.lines[flow]
            assert (waits, runs) == (counted[*flow, "available"], counted[*flow, "running"])
            assert (waits, runs) == (len(line.waiting), len(line.running))
            assert eligible == (waits > 0 and runs < line.cap)

    @invariant()
    def the_line_is_those_who_may_run_a_job_and_nobody_in_it_is_overlooked(self) -> None:
        if hasattr(self, "model"):
            line, able, looked_from = self.do(_line)
            assert line == able
            assert all(start >= looked_from[tier] for tier, start, _ in line)

    @invariant()
    def virtual_time_never_goes_back(self) -> None:
        if not hasattr(self, "model"):
            return
        before, self.virtual = self.virtual, dict(self.do(_virtual_times))
        assert all(self.virtual[name] >= time for name, time in before.items())

    def teardown(self) -> None:
        """Nobody starves: when all that runs ends, all that waits is served."""
        if not hasattr(self, "model"):
            return
        while running := self.model.all("running"):
            for job in running:
                self.do(_end, job, 1, "complete")
                flow = self.model.flow_of(job)
                self.model.owes(flow, 1 - self.model.lines[flow].running.pop(job))
            self.claim(10)
        self.claim(99)
        assert self.model.all("waiting") == [] or self.model.all("running")


def _fresh(session: Session, weights: dict[str, int]) -> list[int]:
    for row in (FlowRow, JobRow, TierRow):
        session.execute(delete(row))
    flows.define_tiers(session, weights)
    return [
        accounts.resolve(session, Identity(platform="web", external_id=f"{n}"), NOON) for n in range(PEOPLE)
    ]


def _merge(session: Session, source: int, target: int) -> None:
    """What a merge of accounts does here; the accounts themselves go on."""
    flows.lock_tiers(session)
    jobs.move(session, source, target)
    flows.merge(session, source, target)


def _submit(session: Session, account: int, tier: str, cost: int, cap: int) -> int:
    new = jobs.NewJob(key=f"k{next(_numbers)}", account=account, tier=tier, kind="image", model="m", words="w",
                      request=b"{}", address=b"{}", cost_us=cost, price=1)  # fmt: skip
    return jobs.add(session, new, NOON, cap=cap)


def _end(session: Session, job_id: int, used: int, how: str) -> None:
    job = jobs.lock(session, job_id)
    assert job is not None
    match how:
        case "complete":
            jobs.complete(session, job, NOON, used_us=used, paid=1)
        case "retry":
            jobs.retry(session, job, NOON, delay_seconds=10, used_us=used, error="internal")
        case "give_back":
            jobs.give_back(session, job)
        case _:
            jobs.cancel(session, job, NOON, used_us=used)


def _flows(session: Session) -> list[Any]:
    columns = (FlowRow.account_id, FlowRow.tier, FlowRow.waiting, FlowRow.running, FlowRow.eligible)
    return list(session.execute(select(*columns)).all())


def _counts(session: Session) -> Counter[tuple[str, int, str]]:
    columns = (JobRow.tier, JobRow.account_id, JobRow.state)
    rows = session.execute(select(*columns, func.count()).group_by(*columns))
    return Counter({(tier, account, state): count for tier, account, state, count in rows})


def _line(session: Session) -> tuple[set[Any], set[Any], dict[str, int]]:
    """The turns; what they are to be, from the flows; from where claims look."""
    columns = [(row.tier, row.start_us, row.account_id) for row in (TurnRow, FlowRow)]
    turns, able = (select(*each) for each in columns)
    looked_from = session.execute(select(TierRow.name, TierRow.from_us))
    found = ({tuple(row) for row in session.execute(each)} for each in (turns, able.where(FlowRow.eligible)))
    return (*found, dict(map(tuple, looked_from)))


def _virtual_times(session: Session) -> list[Any]:
    return list(session.execute(select(TierRow.name, TierRow.now_us)).all())


def test_whatever_happens_the_order_is_fair(database_url: str) -> None:
    loop = asyncio.new_event_loop()

    async def opened() -> Database:
        return connect(database_url)

    database = loop.run_until_complete(opened())

    def do(function: Any, *args: Any, **kwargs: Any) -> Any:
        return loop.run_until_complete(database.run(function, *args, **kwargs))

    machine = type("FairHere", (Fair,), {"do": staticmethod(do)})
    budget = settings(
        max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    try:
        run_state_machine_as_test(machine, settings=budget)
    finally:
        loop.run_until_complete(database.close())
        loop.close()

"""Fair shares whatever jobs cost, favours to warm models that stay within their bound, several dispatchers at once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from storage import accounts, flows, jobs
from storage.accounts import Identity
from storage.database import Database, Session
from storage.fair import Affinity, Head, Tier, Turns, next_start
from storage.prepared import send
from storage.tables import FlowRow, JobRow, TierRow
from tests.conftest import NOON

_numbers = itertools.count()
SECOND = 1_000_000
COSTS = st.lists(st.integers(1, 60), min_size=1, max_size=7)  # seconds


def tiers(**weights: int) -> list[Tier]:
    return [Tier(name=name, weight=weight, start_us=0, now_us=0) for name, weight in weights.items()]


def jain(values: Sequence[float]) -> float:
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


@given(
    st.lists(st.tuples(st.sampled_from(["free", "pro"]), COSTS), min_size=2, max_size=8), st.integers(1, 12)
)
@settings(deadline=None, max_examples=40)
def test_all_backlogged_everyone_gets_the_share_of_their_weight(
    people: list[tuple[str, list[int]]], pro: int
) -> None:
    """Jain's index over device time by weight, of tiers and of the accounts of a tier, is 0.98 or more."""
    weights = {"free": 1, "pro": pro}
    costs = [itertools.cycle([seconds * SECOND for seconds in mine]) for _, mine in people]
    turns, got = Turns(tiers(**weights)), Counter[int]()
    for account, (tier, _) in enumerate(people):
        turns.add(Head(account=account, tier=tier, start_us=0, cost_us=next(costs[account]), job=1))
    while min(got[account] for account in range(len(people))) < 3600 * SECOND:
        turn = turns.take()
        assert turn is not None
        head = turn.head
        got[head.account] += head.cost_us
        turns.add(Head(account=head.account, tier=head.tier, start_us=next_start(turn), job=1,
                       cost_us=next(costs[head.account])))  # fmt: skip
    of_tier = {name: [got[n] for n, (tier, _) in enumerate(people) if tier == name] for name in weights}
    assert all(jain(mine) >= 0.98 for mine in of_tier.values() if mine)
    assert jain([sum(mine) / weights[name] for name, mine in of_tier.items() if mine]) >= 0.98


@given(
    st.lists(st.tuples(st.sampled_from("abc"), COSTS), min_size=2, max_size=12),
    st.integers(0, 100),
    st.sets(st.sampled_from("abc")),
)
@settings(deadline=None, max_examples=60)
def test_nobody_lets_more_than_the_patience_go_ahead(
    people: list[tuple[str, list[int]]], patience: int, warm: set[str]
) -> None:
    affinity, turns = Affinity(warm=warm, patience_us=patience), Turns(tiers(free=1))
    waiting = {
        account: Head(account=account, tier="free", start_us=0, cost_us=costs[0], job=1, model=model)
        for account, (model, costs) in enumerate(people)
    }
    passed, favours = Counter[int](), 0
    for head in waiting.values():
        turns.add(head)
    for number in range(100):
        turn = turns.take(affinity)
        assert turn is not None
        for head in turn.passed:
            assert head.model not in warm or head.account != turn.passed[0].account
            passed[head.account] += turn.head.cost_us
        assert turn.head.passed_us == passed[turn.head.account]
        assert max(passed.values(), default=0) <= patience
        favours += bool(turn.passed)
        passed[turn.head.account] = 0
        model, costs = people[turn.head.account]
        turns.add(Head(account=turn.head.account, tier="free", start_us=next_start(turn), job=1, model=model,
                       cost_us=costs[number % len(costs)]))  # fmt: skip
    assert patience or not favours


def _queue(session: Session, name: str, *models: str, cost_us: int = 3_000_000, cap: int = 9) -> list[int]:
    flows.define_tiers(session, {"free": 10, "pro": 40})
    account = accounts.resolve(session, Identity(platform="web", external_id=name), NOON)
    return [_add(session, account, model, cost_us=cost_us, cap=cap) for model in models]


def _add(session: Session, account: int, model: str, *, cost_us: int = 3_000_000, cap: int = 9) -> int:
    new = jobs.NewJob(key=f"k{next(_numbers)}", account=account, tier="free", kind="image", model=model, words="w",
                      request=b"{}", address=b"{}", cost_us=cost_us, price=1)  # fmt: skip
    return jobs.add(session, new, NOON, cap=cap)


async def claim(database: Database, limit: int = 1, *, warm: str = "", patience: float = 10) -> list[int]:
    affinity = Affinity(warm=set(warm), patience_us=round(patience * 1e6))
    found = await database.run(jobs.claim, "me", lease_seconds=30, limit=limit, affinity=affinity)
    return [job.id for job in found]


async def test_many_at_once_let_no_more_go_ahead_than_one_by_one(database: Database) -> None:
    [cold, later] = await database.run(_queue, "ann", "a", "a")
    warm = [(await database.run(_queue, name, "b"))[0] for name in ("bob", "cid", "dan", "eve")]
    affinity = Affinity(warm={"b"}, patience_us=10_000_000)
    found = await database.run(jobs.claim, "me", lease_seconds=30, limit=4, affinity=affinity)
    assert [job.id for job in found] == [*warm[:3], cold]  # 3 s of work each
    assert [job.passed_us for job in found] == [0, 0, 0, 9_000_000]
    found = await database.run(jobs.claim, "me", lease_seconds=30, limit=2, affinity=affinity)
    assert [(job.id, job.passed_us) for job in found] == [(warm[3], 0), (later, 0)]  # it has not waited yet


async def test_a_warm_model_goes_first_until_the_patience_of_whoever_waits_is_over(
    database: Database,
) -> None:
    [cold] = await database.run(_queue, "ann", "a")
    warm = [(await database.run(_queue, name, "b"))[0] for name in ("bob", "cid", "dan", "eve")]
    claimed = [await claim(database, warm="b") for _ in range(5)]  # 3 s of work each, 10 s of patience
    assert claimed == [[warm[0]], [warm[1]], [warm[2]], [cold], [warm[3]]]


async def test_the_patience_of_who_was_served_begins_anew(database: Database) -> None:
    [cold] = await database.run(_queue, "ann", "a")
    for name in ("bob", "cid", "dan"):
        await database.run(_queue, name, "b")
    assert [await claim(database, warm="b") for _ in range(4)][-1] == [cold]  # 9 s went ahead of it
    await database.run(_queue, "ann", "a")
    [warm] = await database.run(_queue, "bob", "b")
    assert await claim(database, warm="b") == [warm]


async def test_what_a_flow_took_beyond_its_prediction_is_charged_to_the_tier_that_it_leaves(
    database: Database,
) -> None:
    [job] = await database.run(_queue, "ann", "a")
    found = await database.read(jobs.get, job)
    assert found is not None
    await database.run(flows.move, found.account, "free", debt_us=30 * SECOND)
    await database.run(flows.change_tier, found.account, "free", "pro", cap=3)
    assert await database.read(_tier_starts) == {"free": 3 * SECOND, "pro": 0}  # of weight 10


def _tier_starts(session: Session) -> dict[str, int]:
    return {name: start for name, start in session.execute(select(TierRow.name, TierRow.start_us))}


async def test_without_patience_or_with_all_models_cold_the_order_is_the_fair_one(database: Database) -> None:
    [cold] = await database.run(_queue, "ann", "a")
    await database.run(_queue, "bob", "b")
    await database.run(_queue, "cid", "b")
    assert (await claim(database, warm="b", patience=0)) == [cold]
    [next_cold] = await database.run(_queue, "ann", "a")
    assert (await claim(database, 3, warm="c"))[-1] == next_cold


async def test_several_dispatchers_share_a_line_and_each_job_is_claimed_once(database: Database) -> None:
    for name in ("ann", "bob", "cid"):
        await database.run(_queue, name, *"ab" * 5, cap=4)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(claim(database, limit)) for limit in (1, 2, 3, 4, 5, 6)]
    claimed = [job for task in tasks for job in task.result()]
    assert len(claimed) == len(set(claimed)) == 12  # three people, four each
    assert [tuple(row) for row in await database.read(_counts)] == [(6, 4)] * 3


def _counts(session: Session) -> list[tuple[int, int]]:
    return [tuple(row) for row in session.execute(select(FlowRow.waiting, FlowRow.running))]


async def test_a_job_that_is_cancelled_while_it_is_claimed_costs_its_flow_nothing(database: Database) -> None:
    first, second = await database.run(_queue, "ann", "a", "a")
    await database.run(_cancel, first)
    assert await claim(database, 9) == [second]
    assert await database.read(_counts) == [(0, 1)]


def _cancel(session: Session, job: int) -> None:
    found = jobs.lock(session, job)
    assert found is not None
    jobs.cancel(session, found, NOON)


def _give_back(session: Session, job: int) -> None:
    found = jobs.lock(session, job)
    assert found is not None
    jobs.give_back(session, found)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_claim_that_somebody_else_overtakes_takes_nothing_back_and_begins_again(
    database: Database, database_url: str
) -> None:
    """While the claim waits for its job, that is cancelled; while it waits for the tiers, another claim has the job."""
    first, second, third = await database.run(_queue, "ann", "a", "a", "a")
    assert await _behind(database_url, claim(database), lambda session: _cancel(session, first)) == [second]
    taken = await _behind(database_url, claim(database), lambda session: jobs.claim(session, "you", **ONE))
    assert taken == []
    assert await database.read(_counts) == [(0, 2)]
    assert (await database.read(jobs.get, third)).state == "running"  # type: ignore[union-attr]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_favours_of_two_dispatchers_at_once_count_together(
    database: Database, database_url: str
) -> None:
    [cold] = await database.run(_queue, "ann", "a")
    for name, model in (("bob", "b"), ("cid", "c")):
        await database.run(_queue, name, model)
    favour = Affinity(warm={"b"}, patience_us=5 * SECOND)
    claiming = claim(database, warm="c", patience=5)  # 3 s of bob's and 3 s of cid's would be more
    assert await _behind(
        database_url, claiming, lambda session: jobs.claim(session, "you", affinity=favour, **ONE)
    ) == [cold]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_job_that_comes_back_while_a_newer_one_is_claimed_is_the_next(
    database: Database, database_url: str
) -> None:
    first, second, _ = await database.run(_queue, "ann", "a", "a", "a")
    assert await claim(database) == [first]
    assert await _behind(database_url, claim(database), lambda session: _give_back(session, first)) == [
        second
    ]
    assert await claim(database) == [first]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_who_queues_so_slowly_that_virtual_time_moves_on_meanwhile_is_not_passed_over(
    database: Database, database_url: str
) -> None:
    """Claims look from where no turn can be before; that stays behind whoever has begun to write."""
    [early] = await database.run(_queue, "ann", "a")
    assert await claim(database) == [early]
    ann = (await database.read(jobs.get, early)).account  # type: ignore[union-attr]
    for name in ("bob", "cid"):
        await database.run(_queue, name, *"aaaaaa")
    async with _open(database_url) as (slow, do):
        await do(lambda session: _add(session, ann, "a"))
        for _ in range(8):  # up to 6 s of virtual time; hers is 3 s
            await claim(database)
        await slow.commit()
    [late] = await claim(database)
    assert (await database.read(jobs.get, late)).account == ann  # type: ignore[union-attr]
    for _ in range(2):
        await claim(database)
    assert all(start > 0 for start in await database.read(_looked_from))


def _looked_from(session: Session) -> list[int]:
    return list(session.scalars(select(TierRow.from_us).where(TierRow.now_us > 0)))


ONE: dict[str, int] = {"lease_seconds": 30, "limit": 1}


async def _behind(
    url: str, claiming: Coroutine[Any, Any, list[int]], work: Callable[[Session], Any]
) -> list[int]:
    """What is claimed by who waits for a transaction that has done its work and then commits."""
    async with asyncio.timeout(20), _open(url) as (connection, do), asyncio.TaskGroup() as group:
        await do(work)
        task = group.create_task(claiming)
        while not await connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            await asyncio.sleep(0.005)
        await connection.commit()
    return task.result()


@asynccontextmanager
async def _open(url: str) -> AsyncIterator[tuple[AsyncConnection, Callable[..., Any]]]:
    """A transaction that stays open until its connection commits, and what does work in it."""
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        await connection.begin()
        yield connection, lambda work: connection.run_sync(lambda sync: _work(sync, work))
    await engine.dispose()


def _work(connection: Connection, work: Callable[[Session], Any]) -> None:
    with Session(connection) as session:
        work(session)
        send(session)


async def test_counts_that_were_spoilt_by_hand_are_mended_by_the_next_claim(database: Database) -> None:
    [job] = await database.run(_queue, "ann", "a")
    [other] = await database.run(_queue, "bob", "a")
    await database.run(
        lambda session: session.execute(update(JobRow).where(JobRow.id == job).values(state="discarded"))
    )
    assert await claim(database, 9) == [other]
    assert await claim(database, 9) == []
    assert await database.read(_counts) == [(0, 0), (0, 1)]


async def test_merged_accounts_go_on_as_one_and_owe_what_both_owed(database: Database) -> None:
    a1, a2 = await database.run(_queue, "ann", "a", "a")
    b1, b2 = await database.run(_queue, "bob", "a", "a")
    c1, c2 = await database.run(_queue, "cid", "a", "a")
    assert await claim(database, 3) == [a1, b1, c1]
    ann, bob = [(await database.read(jobs.get, job)).account for job in (a1, b1)]  # type: ignore[union-attr]
    await database.run(accounts.merge, ann, bob, NOON)
    assert await claim(database, 9) == [c2, a2, b2]
    assert {(await database.read(jobs.get, job)).account for job in (a1, a2, b1, b2)} == {bob}  # type: ignore[union-attr]


async def test_a_new_plan_takes_waiting_jobs_along(database: Database) -> None:
    [a1] = await database.run(_queue, "ann", "a")
    [b1] = await database.run(_queue, "bob", "a")
    job = await database.read(jobs.get, b1)
    assert job is not None
    await database.run(flows.change_tier, job.account, "free", "pro", cap=3)
    moved = await database.read(jobs.get, b1)
    assert moved is not None
    assert moved.tier == "pro"
    assert sorted(await claim(database, 9)) == [a1, b1]


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_how_many_are_claimed_at_a_time_does_not_change_the_order(
    database: Database, limit: int
) -> None:
    mine = {
        name: await database.run(_queue, name, *"aaaa", cost_us=cost)
        for name, cost in (("ann", 7), ("bob", 2), ("cid", 3))
    }
    order: list[int] = []
    while found := await claim(database, limit):
        order += found
    # By hand: starts are multiples of each one's cost; ties go to the elder account.
    starts = [
        (number * cost, rank, mine[name][number])
        for rank, (name, cost) in enumerate((("ann", 7), ("bob", 2), ("cid", 3)))
        for number in range(4)
    ]
    assert order == [job for *_, job in sorted(starts)]

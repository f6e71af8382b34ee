"""The fair order as rows: what `fair` does with values, shared by all dispatchers and kept over restarts.

A flow is one account's jobs in one tier: its virtual start, its counts (always those of its jobs), and whether it
may run another. Queueing and finishing touch one flow only; who claims locks the tiers, one after the other.
What a job took beyond its prediction moves its flow's start at once, and its tier's when the flow is next served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    literal_column,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from storage.fair import BETWEEN, Affinity, Head, Tier, Turn, Turns, next_start, served
from storage.prepared import Prepared
from storage.tables import FlowRow, JobRow, TierRow
from storage.types import commit_lazily, insert_for, larger

LIVE = ("available", "running", "retryable")


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One flow as the queue's forecast needs it."""

    account: int
    tier: str
    start_us: int
    running: int
    cap: int


def define_tiers(session: Session, weights: dict[str, int]) -> None:
    """Makes the configured tiers exist with these weights. Tiers that are gone keep their rows and jobs."""
    for name, weight in ({BETWEEN: 0} | weights).items():
        session.execute(
            insert_for(session)(TierRow)
            .values(name=name, weight=weight, start_us=0, now_us=0)
            .on_conflict_do_update(index_elements=["name"], set_={"weight": weight})
        )


def enqueue(session: Session, account: int, tier: str, *, cap: int) -> None:
    """One more job waits in the account's flow, which from now on runs at most `cap` at once."""
    _ENQUEUE[session.get_bind().dialect.name].write(session, of_account=account, of_tier=tier, cap_new=cap)


def move(
    session: Session, account: int, tier: str, *, waiting: int = 0, running: int = 0, debt_us: int = 0
) -> None:
    """Adds to a flow's counts, and charges what a job took beyond (or below) its prediction."""
    _MOVE.write(
        session, of_account=account, of_tier=tier, more_waiting=waiting, more_running=running, more_us=debt_us
    )


def lock_tiers(session: Session) -> dict[str, Tier]:
    """The tiers, locked until the transaction ends. Before any job or flow, as who claims does it."""
    return _by_name(_LOCK_TIERS(session).all())


def open_claim(session: Session, *, window: int, one: bool) -> tuple[dict[str, Tier], list[Head]]:
    """Locks the tiers for a transaction that only claims; with them what `heads` gives.

    PostgreSQL does both in one statement, which sees the flows as they were before it waited for the locks: if
    another claim has moved a tier on meanwhile, they are read again.
    """
    if session.get_bind().dialect.name != "postgresql":
        tiers = lock_tiers(session)
        return tiers, heads(session, tiers, window=window, one=one)
    rows = _open_claim(window, one)(session).all()
    tiers = _by_name(rows)
    if any(row.moved for row in rows):
        return tiers, heads(session, tiers, window=window, one=one)
    return tiers, _found(session, [row[-_HEAD:] for row in rows if row.account_id is not None])


def heads(session: Session, tiers: dict[str, Tier], *, window: int, one: bool) -> list[Head]:
    """The first `window` flows of each tier that may run a job, and which job that is; or only of `one` tier, the
    one whose turn it is."""
    names = [tier.name for tier in sorted(tiers.values(), key=lambda tier: (tier.start_us, tier.name))]
    rows = _heads(len(names), window, one)(
        session, **{f"tier_{rank}": name for rank, name in enumerate(names)}
    )
    return _found(session, rows.all())


def pick(
    tiers: dict[str, Tier], heads: Iterable[Head], *, limit: int, affinity: Affinity | None = None
) -> list[Turn]:
    """The next turns of these, one for each flow at most: fewer than `limit` when a flow's is due again."""
    turns, found = Turns(tiers.values(), heads), list[Turn]()
    while len(found) < limit and (turn := turns.take(affinity)) and turn.head.job is not None:
        found.append(turn)
        if turn.head.more:
            turns.add(_served_again(turn))
    return found


def advance(session: Session, tiers: dict[str, Tier], turns: Sequence[Turn]) -> dict[str, Tier]:
    """These turns' jobs go into service: counts and virtual times move on. Returns the tiers as they are now."""
    before = tiers
    for turn in turns:
        tiers = tiers | served(tiers, turn.at_us, turn.head)
    set_tiers(session, [tier for name, tier in tiers.items() if tier != before[name]])
    _ADVANCE.many(
        session,
        [
            {"of_account": turn.head.account, "of_tier": turn.head.tier, "at_us": turn.at_us,
             "cost_us": turn.head.cost_us, "settled_us": turn.head.debt_us}
            for turn in turns
        ],
    )  # fmt: skip
    passed = Counter[tuple[int, str]]()
    for turn in turns:
        passed.update({(head.account, head.tier): turn.head.cost_us for head in turn.passed})
    if passed:
        _PASS.many(session, [{"of_account": a, "of_tier": b, "more_us": us} for (a, b), us in passed.items()])
    return tiers


def set_tiers(session: Session, tiers: Iterable[Tier]) -> None:
    """Keeps virtual times. The caller holds the tiers' locks."""
    rows = [{"of_tier": tier.name, "start_new": tier.start_us, "now_new": tier.now_us} for tier in tiers]
    if rows:
        _SET_TIER.many(session, rows)


def recount(session: Session, account: int, tier: str) -> None:
    """Mends a flow's counts after its jobs were changed by hand."""

    def count(state: str) -> ColumnElement[int]:
        return (
            select(func.count())
            .where(JobRow.account_id == account, JobRow.tier == tier, JobRow.state == state)
            .scalar_subquery()
        )

    waits, runs = count("available"), count("running")
    session.execute(
        update(FlowRow)
        .where(FlowRow.account_id == account, FlowRow.tier == tier)
        .values(waiting=waits, running=runs, eligible=and_(waits > 0, runs < FlowRow.cap, literal(True)))
    )


def merge(session: Session, source: int, target: int) -> None:
    """An account's flows join another's, as its jobs have done. The caller has locked accounts, tiers and jobs."""
    tiers = lock_tiers(session)
    for tier in session.scalars(select(FlowRow.tier).where(FlowRow.account_id == source)).all():
        _join(session, tiers, (source, tier), (target, tier), cap=None)


def change_tier(session: Session, account: int, source: str, target: str, *, cap: int) -> None:
    """The account's live jobs of one tier go on in another: its plan has changed."""
    tiers = lock_tiers(session)
    session.execute(
        update(JobRow)
        .where(JobRow.account_id == account, JobRow.tier == source, JobRow.state.in_(LIVE))
        .values(tier=target)
    )
    _join(session, tiers, (account, source), (account, target), cap=cap)


def snapshot(session: Session) -> tuple[list[Tier], list[Flow]]:
    """What the forecast of queue places starts from."""
    tiers = [
        Tier(name=name, weight=weight, start_us=start, now_us=now)
        for name, weight, start, now in session.execute(
            select(TierRow.name, TierRow.weight, TierRow.start_us, TierRow.now_us)
        )
    ]
    flows = [
        Flow(account=account, tier=tier, start_us=start, running=running, cap=cap)
        for account, tier, start, running, cap in session.execute(
            select(FlowRow.account_id, FlowRow.tier, FlowRow.start_us, FlowRow.running, FlowRow.cap).where(
                (FlowRow.waiting > 0) | (FlowRow.running > 0)
            )
        )
    ]
    return tiers, flows


def _found(session: Session, rows: Sequence[Any]) -> list[Head]:
    """Rows of `_with_jobs` as values. A flow that says that jobs wait where none does is mended."""
    found: list[Head] = []
    for account, tier, start, debt, passed, more, is_asked, job, cost, model in rows:
        if job is not None:
            found.append(Head(account=account, tier=tier, start_us=start, debt_us=debt, passed_us=passed,
                              more=more, job=job, cost_us=cost, model=model))  # fmt: skip
        elif is_asked:
            recount(session, account, tier)
    return found


def _served_again(turn: Turn) -> Head:
    """The flow's next turn, of which it is not known yet whose job it is."""
    head = turn.head
    return Head(account=head.account, tier=head.tier, start_us=next_start(turn))


def _join(
    session: Session,
    tiers: dict[str, Tier],
    source: tuple[int, str],
    target: tuple[int, str],
    *,
    cap: int | None,
) -> None:
    """What each of the two flows has had beyond its share counts; what the source owes its tier is settled now."""
    gone = session.execute(
        delete(FlowRow).where(FlowRow.account_id == source[0], FlowRow.tier == source[1])
        .returning(FlowRow.start_us, FlowRow.debt_us, FlowRow.waiting, FlowRow.running, FlowRow.cap)
    ).one_or_none()  # fmt: skip
    if gone is None:
        return
    start, debt, waiting, running, its_cap = gone
    _settle(session, tiers, source[1], debt)
    session.execute(
        insert_for(session)(FlowRow).values(account_id=target[0], tier=target[1], start_us=0, cap=cap or its_cap)
        .on_conflict_do_nothing()
    )  # fmt: skip
    _ABSORB(
        session, of_account=target[0], of_tier=target[1], at_us=tiers[target[1]].now_us, more_waiting=waiting,
        more_running=running, ahead_us=max(start - tiers[source[1]].now_us, 0), cap_new=cap,
    )  # fmt: skip


def _by_name(rows: Sequence[Any]) -> dict[str, Tier]:
    return {row[0]: Tier(name=row[0], weight=row[1], start_us=row[2], now_us=row[3]) for row in rows}


def _settle(session: Session, tiers: dict[str, Tier], name: str, debt_us: int) -> None:
    tier = tiers[name]
    tiers[name] = msgspec.structs.replace(tier, start_us=tier.start_us + debt_us // max(tier.weight, 1))
    set_tiers(session, [tiers[name]])


# --- statements -------------------------------------------------------------------------------------------


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=FlowRow.start_us.type)


_flow = update(FlowRow).where(
    FlowRow.account_id == bindparam("of_account"), FlowRow.tier == bindparam("of_tier")
)


def _counted(
    waiting: ColumnElement[int], running: ColumnElement[int], cap: Any = FlowRow.cap
) -> dict[str, Any]:
    """The counts as they become, and what follows from them."""
    return {"waiting": waiting, "running": running, "cap": cap, "eligible": (waiting > 0) & (running < cap)}


_waiting = FlowRow.waiting + bindparam("more_waiting", type_=FlowRow.waiting.type)
_running = FlowRow.running + bindparam("more_running", type_=FlowRow.running.type)
_cap_new = bindparam("cap_new", type_=FlowRow.cap.type)


def _enqueue(insert: Any) -> Prepared:
    new = {"start_us": 0, "debt_us": 0, "passed_us": 0, "waiting": 1, "running": 0, "cap": _cap_new}
    return Prepared(
        insert(FlowRow)
        .values(account_id=bindparam("of_account", type_=FlowRow.account_id.type),
                tier=bindparam("of_tier", type_=FlowRow.tier.type), eligible=_cap_new > 0, **new)
        .on_conflict_do_update(
            index_elements=["account_id", "tier"], set_=_counted(FlowRow.waiting + 1, FlowRow.running + 0, _cap_new)
        )
    )  # fmt: skip


_ENQUEUE = {"sqlite": _enqueue(sqlite.insert), "postgresql": _enqueue(postgresql.insert)}
_MOVE = Prepared(
    _flow.values(
        start_us=FlowRow.start_us + _number("more_us"), debt_us=FlowRow.debt_us + _number("more_us"),
        **_counted(_waiting, _running),
    ),
    sets=(),
)  # fmt: skip
_ADVANCE = Prepared(
    _flow.values(
        start_us=larger(FlowRow.start_us, _number("at_us")) + _number("cost_us"),
        debt_us=FlowRow.debt_us - _number("settled_us"), passed_us=0,
        **_counted(FlowRow.waiting - 1, FlowRow.running + 1),
    ),
    sets=(),
)  # fmt: skip
_PASS = Prepared(_flow.values(passed_us=FlowRow.passed_us + _number("more_us")), sets=())
_ABSORB = Prepared(
    _flow.values(
        start_us=larger(FlowRow.start_us, _number("at_us")) + _number("ahead_us"),
        **_counted(_waiting, _running, func.coalesce(_cap_new, FlowRow.cap)),
    ),
    sets=(),
)
_tiers = (TierRow.name, TierRow.weight, TierRow.start_us, TierRow.now_us)
_LOCK_TIERS = Prepared(select(*_tiers).order_by(TierRow.name).with_for_update(key_share=True))
_SET_TIER = Prepared(
    update(TierRow).where(TierRow.name == bindparam("of_tier"))
    .values(start_us=_number("start_new"), now_us=_number("now_new")),
    sets=(),
)  # fmt: skip


_HEAD = 10
"""Columns of `_with_jobs`."""


def _first(window: int, tier: Any, rank: Any) -> Select[*tuple[Any, ...]]:
    """The first eligible flows of a tier."""
    return (
        select(rank.label("rank"), FlowRow)
        .where(FlowRow.eligible, FlowRow.tier == tier)
        .order_by(FlowRow.start_us, FlowRow.account_id)
        .limit(literal_column(str(window)))
    )


def _with_jobs(flow: CTE, one: bool) -> tuple[Sequence[Any], ColumnElement[bool]]:
    """What `_found` reads, and the condition by which a flow's oldest job that waits is joined to it."""
    turn = select(flow.c.tier).order_by(flow.c.rank, flow.c.tier).limit(literal_column("1")).scalar_subquery()
    is_asked = flow.c.tier == turn if one else true()
    oldest = (
        select(JobRow.id)
        .where(JobRow.account_id == flow.c.account_id, JobRow.tier == flow.c.tier, JobRow.state == "available")
        .order_by(JobRow.id).limit(literal_column("1")).correlate(flow).scalar_subquery()
    )  # fmt: skip
    more = (flow.c.waiting > 1) & (flow.c.running + 1 < flow.c.cap)
    columns = (flow.c.account_id, flow.c.tier, flow.c.start_us, flow.c.debt_us, flow.c.passed_us, more, is_asked,
               JobRow.id, JobRow.cost_us, JobRow.model)  # fmt: skip
    return columns, JobRow.id == case((is_asked, oldest))


@lru_cache
def _heads(tiers: int, window: int, one: bool) -> Prepared:
    firsts = [
        select(_first(window, bindparam(f"tier_{rank}"), literal_column(str(rank))).subquery())
        for rank in range(tiers)
    ]
    flow = union_all(*firsts).cte("flow")
    columns, has_job = _with_jobs(flow, one)
    return Prepared(select(*columns).select_from(flow.outerjoin(JobRow, has_job)))


@lru_cache
def _open_claim(window: int, one: bool) -> Prepared:
    """All tiers, locked, with their first flows. `moved`: not as it was when the statement began."""
    tier = select(*_tiers).order_by(TierRow.name).with_for_update(key_share=True).cte("tier")
    turn = select(tier.c.name, tier.c.start_us).order_by(tier.c.start_us, tier.c.name).subquery()
    first = _first(window, turn.c.name, turn.c.start_us).lateral()
    firsts = select(first).select_from(turn.join(first, true()))
    if one:  # no tier is looked at after the one whose turn it is has filled the window
        firsts = firsts.order_by(turn.c.start_us, turn.c.name).limit(literal_column(str(window)))
    flow = firsts.cte("flow")
    seen = aliased(TierRow)
    moved = (seen.start_us != tier.c.start_us) | (seen.now_us != tier.c.now_us)
    columns, has_job = _with_jobs(flow, one)
    return Prepared(
        select(*tier.c, moved.label("moved"), commit_lazily(), *columns).select_from(
            tier.join(seen, seen.name == tier.c.name)
            .outerjoin(flow, flow.c.tier == tier.c.name)
            .outerjoin(JobRow, has_job)
        )
    )

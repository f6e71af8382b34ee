"""The fair order as rows: what `fair` does with values, shared by all dispatchers and kept over restarts.

A flow is one account's jobs in one tier: its virtual start, its counts (always those of its jobs), and whether it
may run another: then it has a turn (see `turns`). Queueing and finishing touch one flow only; who claims locks the
tiers, one after the other.
What a job took beyond its prediction moves its flow's start at once, and its tier's when the flow is next served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnClause,
    ColumnElement,
    and_,
    bindparam,
    case,
    column,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.fair import Tier, Turn, served
from storage.prepared import Prepared
from storage.tables import FlowRow, JobRow, TierRow
from storage.types import insert_for, larger, newest, next_xid, oldest_xid

LIVE = ("available", "running", "retryable")
TIERS = (TierRow.name, TierRow.weight, TierRow.start_us, TierRow.now_us, TierRow.at_us, TierRow.from_us)
"""Columns of a `Tier`."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One flow as the queue's forecast needs it."""

    account: int
    tier: str
    start_us: int
    waiting: int
    running: int
    cap: int


def define_tiers(session: Session, weights: dict[str, int]) -> None:
    """Makes the configured tiers exist with these weights. Tiers that are gone keep their rows and jobs."""
    for name, weight in weights.items():
        session.execute(
            insert_for(session)(TierRow)
            .values(name=name, weight=weight, start_us=0, now_us=0, at_us=0)
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
    return tiers_of(_LOCK_TIERS(session).all())


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
             "cost_us": turn.head.cost_us, "settled_us": turn.head.debt_us, "of_job": turn.head.job,
             "before": turn.head.served_job}
            for turn in turns
        ],
    )  # fmt: skip
    passed = Counter[tuple[int, str]]()
    for turn in turns:
        passed.update({(head.account, head.tier): turn.head.cost_us for head in turn.passed})
        passed.pop((turn.head.account, turn.head.tier), None)  # who is served has waited enough
    if passed:
        _PASS.many(session, [{"of_account": a, "of_tier": b, "more_us": us} for (a, b), us in passed.items()])
    return tiers


def tiers_of(rows: Sequence[Any]) -> dict[str, Tier]:
    """By name, of rows that begin with `TIERS`."""
    return {row[0]: Tier(**dict(zip(Tier.__struct_fields__, row, strict=False))) for row in rows}


def set_tiers(session: Session, tiers: Iterable[Tier]) -> None:
    """Keeps virtual times. The caller holds the tiers' locks."""
    rows = [
        {"of_tier": tier.name, "start_new": tier.start_us, "now_new": tier.now_us, "at_new": tier.at_us}
        for tier in tiers
    ]
    if rows:
        _SET_TIER[session.get_bind().dialect.name].many(session, rows)


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
        .values(
            waiting=waits,
            running=runs,
            eligible=and_(waits > 0, runs < FlowRow.cap, literal(True)),
            start_us=larger(FlowRow.start_us, _now(FlowRow.tier)),
            served_job=_UNKNOWN,
        )
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
    tiers = list(tiers_of(session.execute(select(*TIERS)).all()).values())
    columns = (FlowRow.account_id, FlowRow.tier, FlowRow.start_us, FlowRow.waiting, FlowRow.running)
    flows = [
        Flow(account=account, tier=tier, start_us=start, waiting=waiting, running=running, cap=cap)
        for account, tier, start, waiting, running, cap in session.execute(
            select(*columns, FlowRow.cap).where((FlowRow.waiting > 0) | (FlowRow.running > 0))
        )
    ]
    return tiers, flows


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


def _now(tier: Any) -> ColumnElement[int]:
    """Virtual time inside the tier. Who joins a line, or is moved in it, is owed nothing of before."""
    return newest(TierRow.now_us, (TierRow.name, tier)).scalar_subquery()


_UNKNOWN = case((FlowRow.served_job > 0, -1), else_=FlowRow.served_job - 1)
"""Jobs have come that may be older than the one that was served last."""
_waiting = FlowRow.waiting + bindparam("more_waiting", type_=FlowRow.waiting.type)
_running = FlowRow.running + bindparam("more_running", type_=FlowRow.running.type)
_cap_new = bindparam("cap_new", type_=FlowRow.cap.type)


def _enqueue(insert: Any) -> Prepared:
    account = bindparam("of_account", type_=FlowRow.account_id.type)
    tier = bindparam("of_tier", type_=FlowRow.tier.type)
    now = _now(tier)
    return Prepared(
        insert(FlowRow)
        .values(account_id=account, tier=tier, start_us=now, debt_us=0, passed_us=0, waiting=1, running=0,
                cap=_cap_new, eligible=_cap_new > 0, served_job=0)
        .on_conflict_do_update(
            index_elements=["account_id", "tier"],
            set_=_counted(FlowRow.waiting + 1, FlowRow.running + 0, _cap_new)
            | {"start_us": larger(FlowRow.start_us, now)},
        )
    )  # fmt: skip


_ENQUEUE = {"sqlite": _enqueue(sqlite.insert), "postgresql": _enqueue(postgresql.insert)}
_MOVE = Prepared(
    _flow.values(
        start_us=larger(FlowRow.start_us + _number("more_us"), _now(FlowRow.tier)),
        debt_us=FlowRow.debt_us + _number("more_us"),
        served_job=case((bindparam("more_waiting") > 0, _UNKNOWN), else_=FlowRow.served_job),
        **_counted(_waiting, _running),
    ),
    sets=(),
)  # fmt: skip
_ADVANCE = Prepared(
    _flow.values(
        start_us=larger(FlowRow.start_us, _number("at_us")) + _number("cost_us"),
        debt_us=FlowRow.debt_us - _number("settled_us"), passed_us=0,
        served_job=case((FlowRow.served_job == _number("before"), _number("of_job")), else_=FlowRow.served_job),
        **_counted(FlowRow.waiting - 1, FlowRow.running + 1),
    ),
    sets=(),
)  # fmt: skip
_PASS = Prepared(_flow.values(passed_us=FlowRow.passed_us + _number("more_us")), sets=())
_ABSORB = Prepared(
    _flow.values(
        start_us=larger(FlowRow.start_us, _number("at_us")) + _number("ahead_us"),
        served_job=_UNKNOWN,
        **_counted(_waiting, _running, func.coalesce(_cap_new, FlowRow.cap)),
    ),
    sets=(),
)
_LOCK_TIERS = Prepared(select(*TIERS).order_by(TierRow.name).with_for_update(key_share=True))
_past = (TierRow.past_xid <= oldest_xid()) | (TierRow.past_xid > next_xid())  # the latter: of another server


def _if_past(new: Any, column: Any) -> ColumnElement[int]:
    return case((_past, new), else_=column)


def _set_tier(place: ColumnClause[Any]) -> Prepared:
    """`place`: what the database calls where a row's version is. It stays there while we hold the row's lock."""
    here = newest(place, (TierRow.name, bindparam("of_tier", type_=TierRow.name.type))).scalar_subquery()
    return Prepared(
        update(TierRow).where(place == here)
        .values(start_us=_number("start_new"), now_us=_number("now_new"), at_us=_number("at_new"),
                from_us=_if_past(TierRow.past_us, TierRow.from_us),
                past_us=_if_past(TierRow.now_us, TierRow.past_us), past_xid=_if_past(next_xid(), TierRow.past_xid))
    )  # fmt: skip


_SET_TIER = {"sqlite": _set_tier(column("rowid")), "postgresql": _set_tier(column("ctid"))}
"""Who moves a flow does not wait for claims, so it may put a turn where virtual time was when its statement began.
Virtual time as it was when a transaction began is where claims look from, once all older ones have ended; in each
its number is drawn, by the lock of a job, before it moves a flow."""

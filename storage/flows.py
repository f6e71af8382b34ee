"""The fair order as rows: what `fair` does with values, shared by all dispatchers and kept over restarts.

A flow is one account's jobs in one tier: its virtual start, its counts (always those of its jobs), and whether it
may run another. Queueing and finishing touch one flow only; who claims locks the tiers, one after the other.
What a job took beyond its prediction moves its flow's start at once, and its tier's when the flow is next served.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from storage.fair import BETWEEN, NEXT_MAX, Affinity, Head, Tier, Turn, Turns, next_start, served
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
    if not _ENQUEUE(session, of_account=account, of_tier=tier, cap_new=cap).rowcount:
        _OPEN(
            session, account_id=account, tier=tier, start_us=0, debt_us=0, passed_us=0, waiting=1, running=0,
            cap=cap, eligible=cap > 0,
        )  # fmt: skip


def move(
    session: Session, account: int, tier: str, *, waiting: int = 0, running: int = 0, debt_us: int = 0
) -> None:
    """Adds to a flow's counts, and charges what a job took beyond (or below) its prediction."""
    _MOVE(
        session, of_account=account, of_tier=tier, more_waiting=waiting, more_running=running, more_us=debt_us
    )


def lock_tiers(session: Session) -> dict[str, Tier]:
    """The tiers, locked until the transaction ends. Before any job or flow, as who claims does it."""
    return _by_name(_LOCK_TIERS(session).all())


def open_claim(session: Session) -> tuple[dict[str, Tier], list[str]]:
    """Locks the tiers for a transaction that only claims, and says which of them have work."""
    rows = _OPEN_CLAIM(session).all()
    return _by_name(rows), [row[0] for row in rows if row[4]]


def pick(
    session: Session,
    tiers: dict[str, Tier],
    names: list[str],
    *,
    limit: int,
    affinity: Affinity | None = None,
) -> list[Turn]:
    """The next turns of these tiers, one for each flow at most: fewer than `limit` when a flow's is due again."""
    turns, found = Turns(tiers.values(), _heads(session, names, limit)), list[Turn]()
    while len(found) < limit and (turn := turns.take(affinity)) and turn.head.job is not None:
        found.append(turn)
        if turn.head.more:
            turns.add(_served_again(turn))
    return found


def advance(session: Session, tiers: dict[str, Tier], turns: Sequence[Turn]) -> dict[str, Tier]:
    """These turns' jobs go into service: counts and virtual times move on. Returns the tiers as they are now."""
    for turn in turns:
        tiers = tiers | served(tiers, turn.at_us, turn.head)
    _ADVANCE.many(
        session,
        [
            {"of_account": turn.head.account, "of_tier": turn.head.tier, "at_us": turn.at_us,
             "cost_us": turn.head.cost_us, "settled_us": turn.head.debt_us}
            for turn in turns
        ],
    )  # fmt: skip
    passed = [
        {"of_account": head.account, "of_tier": head.tier, "more_us": turn.head.cost_us}
        for turn in turns
        for head in turn.passed
    ]
    if passed:
        _PASS.many(session, passed)
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


def _heads(session: Session, names: list[str], limit: int) -> list[Head]:
    """The first flows of each tier that may run a job, and which job that is."""
    window = 1 << (limit + NEXT_MAX - 2).bit_length()  # few statements serve all limits
    rows = _first_flows(len(names), window)(
        session, **{f"tier_{place}": name for place, name in enumerate(names)}
    )
    heads: list[Head] = []
    for account, tier, start, debt, passed, more, job, cost, model in rows.all():
        if job is None:
            recount(session, account, tier)
            continue
        heads.append(Head(account=account, tier=tier, start_us=start, debt_us=debt, passed_us=passed,
                          more=more, job=job, cost_us=cost, model=model))  # fmt: skip
    return heads


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
_ENQUEUE = Prepared(_flow.values(**_counted(FlowRow.waiting + 1, FlowRow.running + 0, _cap_new)), sets=())
_OPEN = Prepared(
    insert(FlowRow).inline(),
    sets=("account_id", "tier", "start_us", "debt_us", "passed_us", "waiting", "running", "cap", "eligible"),
)
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
_has_work = exists().where(FlowRow.eligible, FlowRow.tier == TierRow.name)
_LOCK_TIERS = Prepared(select(*_tiers).order_by(TierRow.name).with_for_update(key_share=True))
_OPEN_CLAIM = Prepared(
    select(*_tiers, _has_work, commit_lazily())
    .order_by(TierRow.name)
    .with_for_update(key_share=True, of=TierRow)
)
_SET_TIER = Prepared(
    update(TierRow).where(TierRow.name == bindparam("of_tier"))
    .values(start_us=_number("start_new"), now_us=_number("now_new")),
    sets=(),
)  # fmt: skip


@lru_cache
def _first_flows(tiers: int, window: int) -> Prepared:
    """The first `window` eligible flows of so many tiers, each with its oldest job that waits."""
    firsts = [
        select(FlowRow).where(FlowRow.eligible, FlowRow.tier == bindparam(f"tier_{place}"))
        .order_by(FlowRow.start_us, FlowRow.account_id).limit(literal_column(str(window))).subquery()
        for place in range(tiers)
    ]  # fmt: skip
    flow = union_all(*(select(first) for first in firsts)).subquery()
    oldest = (
        select(JobRow.id)
        .where(JobRow.account_id == flow.c.account_id, JobRow.tier == flow.c.tier, JobRow.state == "available")
        .order_by(JobRow.id).limit(literal_column("1")).correlate(flow).scalar_subquery()
    )  # fmt: skip
    more = (flow.c.waiting > 1) & (flow.c.running + 1 < flow.c.cap)
    return Prepared(
        select(flow.c.account_id, flow.c.tier, flow.c.start_us, flow.c.debt_us, flow.c.passed_us, more,
               JobRow.id, JobRow.cost_us, JobRow.model)
        .outerjoin(JobRow, JobRow.id == oldest)
    )  # fmt: skip

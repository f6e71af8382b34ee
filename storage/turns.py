"""Whose turn it is, by the rows: what a claim reads, in one statement whatever waits.

`turns` is the order of the flows that may run a job. A claim looks from where no turn can be before, so that it does
not walk over the turns that were: PostgreSQL keeps those for as long as anybody's snapshot may see them. For the same
reason a flow's oldest job is looked for after the one that was served before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import Session

from storage.fair import Affinity, Head, Tier, Turn, Turns, next_start
from storage.flows import TIERS, lock_tiers, recount, tiers_of
from storage.prepared import Prepared
from storage.tables import FlowRow, JobRow, TierRow, TurnRow
from storage.types import BigInt, commit_lazily, newest


def open_claim(session: Session, *, window: int, one: bool) -> tuple[dict[str, Tier], list[Head]]:
    """Locks the tiers for a transaction that only claims; with them what `heads` gives.

    PostgreSQL does both in one statement, which sees the flows as they were before it waited for the locks: if
    another claim has moved a tier on meanwhile, they are read again.
    """
    if session.get_bind().dialect.name != "postgresql":
        tiers = lock_tiers(session)
        return tiers, heads(session, tiers, window=window, one=one)
    rows = _open_claim(window, one)(session).all()
    tiers = tiers_of(rows)
    if any(row.moved for row in rows):
        return tiers, heads(session, tiers, window=window, one=one)
    return tiers, _found(session, [row[-_HEAD:] for row in rows if row.account_id is not None])


def heads(session: Session, tiers: dict[str, Tier], *, window: int, one: bool) -> list[Head]:
    """The first `window` flows of each tier that may run a job, and which job that is; or only of `one` tier, the
    one whose turn it is."""
    names = [tier.name for tier in sorted(tiers.values(), key=lambda tier: (tier.start_us, tier.name))]
    places = {f"tier_{rank}": name for rank, name in enumerate(names)}
    places |= {f"from_{rank}": tiers[name].from_us for rank, name in enumerate(names)}
    lateral = session.get_bind().dialect.name == "postgresql"
    rows = _heads(len(names), window, one, lateral)(session, **places)
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


def _found(session: Session, rows: Sequence[Any]) -> list[Head]:
    """Rows of `_with_jobs` as values. A flow that says that jobs wait where none does is mended."""
    found: list[Head] = []
    for account, tier, start, debt, passed, served, more, is_asked, job, cost, model in rows:
        if job is not None:
            found.append(Head(account=account, tier=tier, start_us=start, debt_us=debt, passed_us=passed,
                              served_job=served, more=more, job=job, cost_us=cost, model=model))  # fmt: skip
        elif is_asked:
            recount(session, account, tier)
    return found


def _served_again(turn: Turn) -> Head:
    """The flow's next turn, of which it is not known yet whose job it is."""
    head = turn.head
    return Head(account=head.account, tier=head.tier, start_us=next_start(turn))


# --- statements -------------------------------------------------------------------------------------------

_HEAD = 11
"""Columns of `_with_jobs`."""


_ITS_FLOW = ((FlowRow.account_id, TurnRow.account_id), (FlowRow.tier, TurnRow.tier))


def _first(window: int, tier: Any, since: Any, rank: Any, *, lateral: bool) -> Select[*tuple[Any, ...]]:
    """The first flows of a tier that may run a job. SQLite knows no LATERAL, nor does it need one."""
    flow: Any = newest(FlowRow, *_ITS_FLOW).lateral() if lateral else FlowRow
    its_flow = true() if lateral else and_(*(column == value for column, value in _ITS_FLOW))
    return (
        select(rank.label("rank"), flow)
        .select_from(TurnRow)
        .join(flow, its_flow)
        .where(TurnRow.tier == tier, TurnRow.start_us >= since)
        .order_by(TurnRow.start_us, TurnRow.account_id)
        .limit(literal_column(str(window)))
    )


def _with_jobs(flow: CTE, one: bool) -> tuple[Sequence[Any], ColumnElement[bool]]:
    """What `_found` reads, and the condition by which a flow's oldest job that waits is joined to it."""
    turn = select(flow.c.tier).order_by(flow.c.rank, flow.c.tier).limit(literal_column("1")).scalar_subquery()
    is_asked = flow.c.tier == turn if one else true()
    oldest = (
        select(JobRow.id)
        .where(JobRow.account_id == flow.c.account_id, JobRow.tier == flow.c.tier, JobRow.state == "available",
               JobRow.id > flow.c.served_job)
        .order_by(JobRow.id).limit(literal_column("1")).correlate(flow).scalar_subquery()
    )  # fmt: skip
    more = (flow.c.waiting > 1) & (flow.c.running + 1 < flow.c.cap)
    columns = (flow.c.account_id, flow.c.tier, flow.c.start_us, flow.c.debt_us, flow.c.passed_us,
               flow.c.served_job, more, is_asked,
               JobRow.id, JobRow.cost_us, JobRow.model)  # fmt: skip
    return columns, JobRow.id == case((is_asked, oldest))


@lru_cache
def _heads(tiers: int, window: int, one: bool, lateral: bool) -> Prepared:
    firsts = [
        select(
            _first(
                window,
                bindparam(f"tier_{rank}"),
                bindparam(f"from_{rank}", type_=BigInt),
                literal_column(str(rank)),
                lateral=lateral,
            ).subquery()
        )
        for rank in range(tiers)
    ]
    flow = union_all(*firsts).cte("flow")
    columns, has_job = _with_jobs(flow, one)
    return Prepared(select(*columns).select_from(flow.outerjoin(JobRow, has_job)))


@lru_cache
def _open_claim(window: int, one: bool) -> Prepared:
    """All tiers, locked, with their first flows. `moved`: not as it was when the statement began."""
    tier = select(*TIERS).order_by(TierRow.name).with_for_update(key_share=True).cte("tier")
    turn = (
        select(tier.c.name, tier.c.start_us, tier.c.from_us).order_by(tier.c.start_us, tier.c.name).subquery()
    )
    first = _first(window, turn.c.name, turn.c.from_us, turn.c.start_us, lateral=True).lateral()
    firsts = select(first).select_from(turn.join(first, true()))
    if one:  # no tier is looked at after the one whose turn it is has filled the window
        firsts = firsts.order_by(turn.c.start_us, turn.c.name).limit(literal_column(str(window)))
    flow = firsts.cte("flow")
    seen = newest(TierRow, (TierRow.name, tier.c.name)).lateral()
    moved = (seen.c.start_us != tier.c.start_us) | (seen.c.now_us != tier.c.now_us)
    columns, has_job = _with_jobs(flow, one)
    return Prepared(
        select(*tier.c, moved.label("moved"), commit_lazily(), *columns).select_from(
            tier.join(seen, true()).outerjoin(flow, flow.c.tier == tier.c.name).outerjoin(JobRow, has_job)
        )
    )

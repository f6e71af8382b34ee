"""The fair order, as rows: hierarchical start-time fair queueing over tiers (by weight) and accounts.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): each flow has the virtual start of its next job; the
least goes first, virtual time becomes that start, and the flow's next start is its cost later. A flow or tier
that slept is not owed its sleep: its start counts as at least the present virtual time, which `claim` applies
when it picks, so queueing a job touches only its own flow. The row `*` keeps virtual time between the tiers.
A flow's debt, measured less predicted time, is settled when its next job is claimed.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from storage.tables import FlowRow, TierRow
from storage.types import insert_for, larger

BETWEEN = "*"


class Pick(msgspec.Struct, frozen=True):
    """The flow whose turn it is."""

    account: int
    tier: str
    flow_start_us: int
    debt_us: int
    weight: int


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One flow as the queue's forecast needs it."""

    account: int
    tier: str
    start_us: int
    running: int
    cap: int


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    weight: int
    start_us: int
    now_us: int


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
    changed = session.execute(
        update(FlowRow)
        .where(FlowRow.account_id == account, FlowRow.tier == tier)
        .values(waiting=FlowRow.waiting + 1, cap=cap, eligible=FlowRow.running < cap)
    )
    if not changed.rowcount:  # type: ignore[attr-defined]
        session.execute(
            insert(FlowRow).values(
                account_id=account,
                tier=tier,
                start_us=0,
                debt_us=0,
                waiting=1,
                running=0,
                cap=cap,
                eligible=cap > 0,
            )
        )


def move(
    session: Session, account: int, tier: str, *, waiting: int = 0, running: int = 0, debt_us: int = 0
) -> None:
    """Adds to a flow's counts, and remembers what a job took beyond (or below) its prediction."""
    waits, runs = FlowRow.waiting + waiting, FlowRow.running + running
    session.execute(
        update(FlowRow)
        .where(FlowRow.account_id == account, FlowRow.tier == tier)
        .values(
            waiting=waits,
            running=runs,
            debt_us=FlowRow.debt_us + debt_us,
            eligible=(waits > 0) & (runs < FlowRow.cap),
        )
    )


def pick(session: Session) -> Pick | None:
    """The flow whose turn it is; the tiers are locked until the transaction ends."""
    row = session.execute(
        select(FlowRow.account_id, FlowRow.tier, larger(FlowRow.start_us, TierRow.now_us), FlowRow.debt_us,
               TierRow.weight)
        .join(TierRow, TierRow.name == FlowRow.tier)
        .where(FlowRow.eligible)
        .order_by(TierRow.weight == 0, TierRow.start_us, FlowRow.start_us, FlowRow.account_id)
        .limit(1)
    ).one_or_none()  # fmt: skip
    return Pick(*row) if row else None


def lock_tiers(session: Session) -> None:
    """Two dispatchers pick one after the other."""
    session.execute(select(TierRow.name).order_by(TierRow.name).with_for_update(key_share=True))


def advance(session: Session, picked: Pick, cost_us: int) -> None:
    """The picked flow's job goes into service: virtual times move on and its debt is settled."""
    cost = max(cost_us + picked.debt_us, 0)
    session.execute(
        update(FlowRow)
        .where(FlowRow.account_id == picked.account, FlowRow.tier == picked.tier)
        .values(
            start_us=picked.flow_start_us + cost,
            debt_us=0,
            waiting=FlowRow.waiting - 1,
            running=FlowRow.running + 1,
            eligible=(FlowRow.waiting - 1 > 0) & (FlowRow.running + 1 < FlowRow.cap),
        )
    )
    between = select(TierRow.now_us).where(TierRow.name == BETWEEN).scalar_subquery()
    start = session.scalar(select(larger(TierRow.start_us, between)).where(TierRow.name == picked.tier)) or 0
    session.execute(
        update(TierRow)
        .where(TierRow.name == picked.tier)
        .values(now_us=picked.flow_start_us, start_us=start + cost // max(picked.weight, 1))
    )
    if picked.weight:
        session.execute(update(TierRow).where(TierRow.name == BETWEEN).values(now_us=start))


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

"""The fair order, as rows: hierarchical start-time fair queueing over tiers (by weight) and accounts.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): each flow has the virtual start of its next job; the
least goes first, virtual time becomes that start, and the flow's next start is its cost later. A flow or tier
that slept is not owed its sleep: its start counts as at least the present virtual time, which `claim` applies
when it picks, so queueing a job touches only its own flow. The row `*` keeps virtual time between the tiers.
A flow's debt, measured less predicted time, is settled when its next job is claimed.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import bindparam, case, insert, select, update
from sqlalchemy.orm import Session, aliased

from storage.prepared import Prepared
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
    tier_start_us: int


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
    if not _ENQUEUE(session, of_account=account, of_tier=tier, cap_new=cap).rowcount:
        _OPEN(
            session, account_id=account, tier=tier, start_us=0, debt_us=0, waiting=1, running=0, cap=cap,
            eligible=cap > 0,
        )  # fmt: skip


def move(
    session: Session, account: int, tier: str, *, waiting: int = 0, running: int = 0, debt_us: int = 0
) -> None:
    """Adds to a flow's counts, and remembers what a job took beyond (or below) its prediction."""
    _MOVE(
        session, of_account=account, of_tier=tier, more_waiting=waiting, more_running=running, more_us=debt_us
    )


def merge(session: Session, source: int, target: int) -> None:
    """An account's flows become another's: what waits and runs adds up, and so does what was not settled."""
    theirs = {
        flow.tier: flow for flow in session.scalars(select(FlowRow).where(FlowRow.account_id == target))
    }
    for flow in session.scalars(select(FlowRow).where(FlowRow.account_id == source)).all():
        session.delete(flow)
        if (into := theirs.get(flow.tier)) is None:
            into = FlowRow(
                account_id=target, tier=flow.tier, start_us=0, debt_us=0, waiting=0, running=0, cap=flow.cap
            )
            session.add(into)
        into.waiting += flow.waiting
        into.running += flow.running
        into.debt_us += flow.debt_us
        into.start_us, into.cap = max(into.start_us, flow.start_us), max(into.cap, flow.cap)
        into.eligible = into.waiting > 0 and into.running < into.cap
    session.flush()


def pick(session: Session) -> Pick | None:
    """The flow whose turn it is; the tiers are locked until the transaction ends."""
    row = _PICK(session).one_or_none()
    return Pick(*row) if row else None


def lock_tiers(session: Session) -> None:
    """Two dispatchers pick one after the other."""
    _LOCK_TIERS(session).close()


def advance(session: Session, picked: Pick, cost_us: int) -> None:
    """The picked flow's job goes into service: virtual times move on and its debt is settled."""
    cost = max(cost_us + picked.debt_us, 0)
    _ADVANCE_FLOW(
        session, of_account=picked.account, of_tier=picked.tier, start_new=picked.flow_start_us + cost
    )
    _ADVANCE_TIERS(
        session, of_tier=picked.tier, weighs=picked.weight, flow_us=picked.flow_start_us,
        tier_us=picked.tier_start_us, next_us=picked.tier_start_us + cost // max(picked.weight, 1),
    )  # fmt: skip


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


# --- statements -------------------------------------------------------------------------------------------

_more_waiting = FlowRow.waiting + bindparam("more_waiting", type_=FlowRow.waiting.type)
_more_running = FlowRow.running + bindparam("more_running", type_=FlowRow.running.type)
_cap_new = bindparam("cap_new", type_=FlowRow.cap.type)
_flow = update(FlowRow).where(
    FlowRow.account_id == bindparam("of_account"), FlowRow.tier == bindparam("of_tier")
)
_between = aliased(TierRow)

_ENQUEUE = Prepared(
    _flow.values(waiting=FlowRow.waiting + 1, cap=_cap_new, eligible=FlowRow.running < _cap_new), sets=()
)
_OPEN = Prepared(
    insert(FlowRow).inline(),
    sets=("account_id", "tier", "start_us", "debt_us", "waiting", "running", "cap", "eligible"),
)
_MOVE = Prepared(
    _flow.values(
        waiting=_more_waiting, running=_more_running,
        debt_us=FlowRow.debt_us + bindparam("more_us", type_=FlowRow.debt_us.type),
        eligible=(_more_waiting > 0) & (_more_running < FlowRow.cap),
    ),
    sets=(),
)  # fmt: skip
_PICK = Prepared(
    select(FlowRow.account_id, FlowRow.tier, larger(FlowRow.start_us, TierRow.now_us), FlowRow.debt_us,
           TierRow.weight, larger(TierRow.start_us, _between.now_us))
    .join(TierRow, TierRow.name == FlowRow.tier)
    .join(_between, _between.name == BETWEEN)
    .where(FlowRow.eligible)
    .order_by(TierRow.weight == 0, TierRow.start_us, FlowRow.start_us, FlowRow.account_id)
    .limit(1)
)  # fmt: skip
_LOCK_TIERS = Prepared(select(TierRow.name).order_by(TierRow.name).with_for_update(key_share=True))
_ADVANCE_FLOW = Prepared(
    _flow.values(
        start_us=bindparam("start_new", type_=FlowRow.start_us.type), debt_us=0,
        waiting=FlowRow.waiting - 1, running=FlowRow.running + 1,
        eligible=(FlowRow.waiting - 1 > 0) & (FlowRow.running + 1 < FlowRow.cap),
    ),
    sets=(),
)  # fmt: skip
_is_between = TierRow.name == BETWEEN
_flow_us, _tier_us, _next_us, _weighs = (
    bindparam(name, type_=TierRow.now_us.type) for name in ("flow_us", "tier_us", "next_us", "weighs")
)
_ADVANCE_TIERS = Prepared(
    update(TierRow)
    .where((TierRow.name == bindparam("of_tier")) | (_is_between & (_weighs > 0)))
    .values(
        now_us=case((_is_between, _tier_us), else_=_flow_us),
        start_us=case((_is_between, TierRow.start_us), else_=_next_us),
    ),
    sets=(),
)

"""Accounts and the identities that reach them: people, and groups that have a wallet of their own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from storage import flows, jobs, ledger
from storage.payment_tables import EntitlementRow, NoticeRow, OrderRow, PaymentRow
from storage.prepared import Prepared
from storage.signals import notify
from storage.tables import AccountRow, ArtifactRow, DeliveryRow, IdentityRow, JobRow, UploadRow
from storage.types import insert_for


class Account(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    plan: str
    plan_since: datetime | None
    plan_until: datetime | None
    derive_at: datetime | None
    entitlement: int | None
    settings: dict[str, Any]
    limits: dict[str, int]  # instead of the plan's
    banned_reason: str | None
    debt: int  # credits owed
    created_at: datetime


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    platform: str
    external_id: str
    name: str = ""
    locale: str = ""


_COLUMNS = (
    AccountRow.id, AccountRow.plan, AccountRow.plan_since, AccountRow.plan_until, AccountRow.derive_at,
    AccountRow.entitlement_id, AccountRow.settings, AccountRow.limits, AccountRow.banned_reason, AccountRow.debt,
    AccountRow.created_at, AccountRow.merged_into,
)  # fmt: skip
_account = select(*_COLUMNS).where(AccountRow.id == bindparam("of_account"))
_GET, _LOCK = Prepared(_account), Prepared(_account.with_for_update(key_share=True))
_FIND = Prepared(
    select(IdentityRow.account_id).where(
        IdentityRow.platform == bindparam("of_platform"), IdentityRow.external_id == bindparam("of_id")
    )
)


PLACE = "place:"
NAME_CHARACTERS_MAX = 200


def place(platform: str, external_id: str) -> Identity:
    """A server or group as the owner of a wallet."""
    return Identity(platform=platform, external_id=f"{PLACE}{external_id}")


def is_place(identity: Identity) -> bool:
    return identity.external_id.startswith(PLACE)


def resolve(session: Session, identity: Identity, now: datetime) -> int:
    """The identity's account; the first call makes both. Two first calls at once make one."""
    found = find(session, identity)
    return found if found is not None else _create(session, identity, now)


def find(session: Session, identity: Identity) -> int | None:
    return _FIND(session, of_platform=identity.platform, of_id=identity.external_id).scalar()


def role(session: Session, identity: Identity) -> str:
    """What the identity claimed: "owner" or nothing."""
    found = session.scalar(
        select(IdentityRow.role).where(
            IdentityRow.platform == identity.platform, IdentityRow.external_id == identity.external_id
        )
    )
    return found or ""


def describe(session: Session, identity: Identity) -> None:
    """How somebody is called and in which language they spoke last; what is empty stays."""
    told = {"name": identity.name[:NAME_CHARACTERS_MAX], "locale": identity.locale}
    session.execute(
        update(IdentityRow)
        .where(IdentityRow.platform == identity.platform, IdentityRow.external_id == identity.external_id)
        .values({name: value for name, value in told.items() if value})
    )


def set_role(session: Session, identity: Identity, role: str) -> None:
    session.execute(
        update(IdentityRow)
        .where(IdentityRow.platform == identity.platform, IdentityRow.external_id == identity.external_id)
        .values(role=role)
    )


def erase(session: Session, account: int, now: datetime) -> None:
    """The person's words, results and uploads: gone, or due to be collected. The books keep their figures."""
    mine = select(JobRow.id).where(JobRow.account_id == account)
    session.execute(
        update(ArtifactRow)
        .where(ArtifactRow.job_id.in_(mine), ArtifactRow.deleted_at.is_(None))
        .values(deleted_at=now)
    )
    session.execute(update(UploadRow).where(UploadRow.account_id == account).values(expires_at=now))
    for job in session.scalars(mine).all():
        jobs.delete(session, job, now)
    session.execute(update(AccountRow).where(AccountRow.id == account).values(settings={}))
    session.execute(update(IdentityRow).where(IdentityRow.account_id == account).values(name=""))


def get(session: Session, account: int) -> Account | None:
    """The account, or the one that it was merged into."""
    return _fetch(session, account, lock=False)


def lock(session: Session, account: int) -> Account | None:
    """Like `get`, holding the account's lock until the transaction ends."""
    return _fetch(session, account, lock=True)


def lock_all(session: Session, ids: Iterable[int]) -> dict[int, Account | None]:
    """Locks several, always in the order of their ids; each under the id that it was asked by."""
    return {account: lock(session, account) for account in sorted(set(ids))}


def merge(session: Session, source: int, target: int, now: datetime) -> Account:
    """Makes one account of two: all that is the source's becomes the target's. Raises LookupError.

    The source stays as a tombstone that `get` and `lock` follow. The target's settings win, either's ban stays,
    the better plan is in force from the next derivation on. Merging again changes nothing.
    """
    locked = lock_all(session, (source, target))
    old, new = locked[source], locked[target]
    if old is None or new is None:
        raise LookupError(source if old is None else target)
    if old.id != new.id:
        flows.lock_tiers(session)  # before any job
        paid_for = jobs.lock_paid_by(session, old.id)
        ledger.absorb(session, old.id, new.id, now, held_by=paid_for)
        _move(session, old, new, now)
        flows.merge(session, old.id, new.id)  # everybody waits for a flow: last
        notify(session, "accounts", old.id)
    merged = lock(session, new.id)
    assert merged is not None
    return merged


def all_ids(session: Session, account: int) -> list[int]:
    """The account and those that were merged into it: whom the keys of its grants may name."""
    merged = session.scalars(select(AccountRow.id).where(AccountRow.merged_into == account))
    return [account, *merged]


def move_place(session: Session, platform: str, old: str, new: str, now: datetime) -> None:
    """A group has another id now; its wallet follows it."""
    wallet = find(session, place(platform, old))
    if wallet is None:
        return
    there = resolve(session, place(platform, new), now)
    merge(session, wallet, there, now)


def identities(session: Session, account: int) -> list[Identity]:
    rows = session.execute(
        select(IdentityRow.platform, IdentityRow.external_id, IdentityRow.name, IdentityRow.locale)
        .where(IdentityRow.account_id == account)
        .order_by(IdentityRow.created_at)
    )
    return [
        Identity(platform=platform, external_id=key, name=name, locale=locale)
        for platform, key, name, locale in rows
    ]


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The plan that all entitlements together give, its present period, and when to derive it anew."""

    plan: str
    since: datetime | None = None
    until: datetime | None = None
    derive_at: datetime | None = None
    entitlement: int | None = None


def set_plan(session: Session, account: int, plan: InForce) -> None:
    session.execute(
        update(AccountRow)
        .where(AccountRow.id == account)
        .values(
            plan=plan.plan,
            plan_since=plan.since,
            plan_until=plan.until,
            derive_at=plan.derive_at,
            entitlement_id=plan.entitlement,
        )
    )


def invite(session: Session, account: int, inviter: int) -> bool:
    """Keeps who invited the account; False if somebody was named before."""
    kept = session.execute(
        update(AccountRow)
        .where(AccountRow.id == account, AccountRow.invited_by.is_(None))
        .values(invited_by=inviter)
    )
    return bool(kept.rowcount)  # type: ignore[attr-defined]


def invited_by(session: Session, account: int) -> int | None:
    return session.scalar(select(AccountRow.invited_by).where(AccountRow.id == account))


def set_limits(session: Session, account: int, limits: dict[str, int]) -> None:
    """Limits that hold for this account instead of its plan's."""
    session.execute(update(AccountRow).where(AccountRow.id == account).values(limits=limits))


def plans_over(session: Session, now: datetime, *, limit: int = 500) -> list[int]:
    """Accounts whose plan in force is to be derived anew."""
    return list(
        session.scalars(
            select(AccountRow.id)
            .where(AccountRow.derive_at <= now, AccountRow.merged_into.is_(None))
            .order_by(AccountRow.id)
            .limit(limit)
        )
    )


def set_settings(session: Session, account: int, settings: dict[str, Any]) -> None:
    session.execute(update(AccountRow).where(AccountRow.id == account).values(settings=settings))


def set_ban(session: Session, account: int, reason: str | None) -> None:
    """A reason bans; None lifts the ban."""
    session.execute(update(AccountRow).where(AccountRow.id == account).values(banned_reason=reason))


def _fetch(session: Session, account: int, *, lock: bool) -> Account | None:
    row = (_LOCK if lock else _GET)(session, of_account=account).one_or_none()
    if row is None:
        return None
    if row.merged_into is not None:
        return _fetch(session, row.merged_into, lock=lock)
    return Account(
        id=row.id, plan=row.plan, plan_since=row.plan_since, plan_until=row.plan_until,
        derive_at=row.derive_at, entitlement=row.entitlement_id, settings=row.settings, limits=row.limits or {},
        banned_reason=row.banned_reason, debt=row.debt, created_at=row.created_at,
    )  # fmt: skip


def _move(session: Session, old: Account, new: Account, now: datetime) -> None:
    jobs.move(session, old.id, new.id)
    for row in (IdentityRow, UploadRow, DeliveryRow, OrderRow, PaymentRow, EntitlementRow, NoticeRow):
        session.execute(update(row).where(row.account_id == old.id).values(account_id=new.id))
    session.execute(update(OrderRow).where(OrderRow.buyer_id == old.id).values(buyer_id=new.id))
    session.execute(
        update(AccountRow)
        .where(AccountRow.id == new.id)
        .values(
            settings=old.settings | new.settings, derive_at=now,
            banned_reason=new.banned_reason if new.banned_reason is not None else old.banned_reason,
            created_at=min(old.created_at, new.created_at),
        )
    )  # fmt: skip
    tombstone = update(AccountRow).where((AccountRow.id == old.id) | (AccountRow.merged_into == old.id))
    session.execute(tombstone.values(merged_into=new.id))
    session.execute(update(AccountRow).where(AccountRow.id == old.id).values(settings={}))


def _create(session: Session, identity: Identity, now: datetime) -> int:
    account = session.scalar(
        insert(AccountRow).values(plan="free", settings={}, created_at=now).returning(AccountRow.id)
    )
    assert account is not None
    made = session.scalar(
        insert_for(session)(IdentityRow)
        .values(
            platform=identity.platform, external_id=identity.external_id, name=identity.name[:NAME_CHARACTERS_MAX],
            account_id=account, locale=identity.locale, created_at=now,
        )
        .on_conflict_do_nothing()
        .returning(IdentityRow.account_id)
    )  # fmt: skip
    if made is not None:
        return account
    # Another first call was faster: its account is the one, ours never existed.
    session.execute(AccountRow.__table__.delete().where(AccountRow.id == account))  # type: ignore[attr-defined]
    found = find(session, identity)
    assert found is not None
    return found

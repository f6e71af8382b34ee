"""Accounts and the identities that reach them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from storage import jobs
from storage.prepared import Prepared
from storage.tables import AccountRow, ArtifactRow, IdentityRow, JobRow, UploadRow
from storage.types import insert_for


class Account(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    plan: str
    plan_until: datetime | None
    settings: dict[str, Any]
    banned_reason: str | None
    created_at: datetime


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    platform: str
    external_id: str
    name: str = ""


_COLUMNS = (
    AccountRow.id, AccountRow.plan, AccountRow.plan_until, AccountRow.settings, AccountRow.banned_reason,
    AccountRow.created_at, AccountRow.merged_into,
)  # fmt: skip
_account = select(*_COLUMNS).where(AccountRow.id == bindparam("of_account"))
_GET, _LOCK = Prepared(_account), Prepared(_account.with_for_update(key_share=True))


def resolve(session: Session, identity: Identity, now: datetime) -> int:
    """The identity's account; the first call makes both. Two first calls at once make one."""
    found = find(session, identity)
    return found if found is not None else _create(session, identity, now)


def find(session: Session, identity: Identity) -> int | None:
    return session.scalar(
        select(IdentityRow.account_id).where(
            IdentityRow.platform == identity.platform, IdentityRow.external_id == identity.external_id
        )
    )


def role(session: Session, identity: Identity) -> str:
    """What the identity claimed: "owner" or nothing."""
    found = session.scalar(
        select(IdentityRow.role).where(
            IdentityRow.platform == identity.platform, IdentityRow.external_id == identity.external_id
        )
    )
    return found or ""


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


def identities(session: Session, account: int) -> list[Identity]:
    rows = session.execute(
        select(IdentityRow.platform, IdentityRow.external_id, IdentityRow.name)
        .where(IdentityRow.account_id == account)
        .order_by(IdentityRow.created_at)
    )
    return [Identity(platform=platform, external_id=key, name=name) for platform, key, name in rows]


def set_plan(session: Session, account: int, plan: str, until: datetime | None) -> None:
    session.execute(update(AccountRow).where(AccountRow.id == account).values(plan=plan, plan_until=until))


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
        id=row.id, plan=row.plan, plan_until=row.plan_until, settings=row.settings,
        banned_reason=row.banned_reason, created_at=row.created_at,
    )  # fmt: skip


def _create(session: Session, identity: Identity, now: datetime) -> int:
    account = session.scalar(
        insert(AccountRow).values(plan="free", settings={}, created_at=now).returning(AccountRow.id)
    )
    assert account is not None
    made = session.scalar(
        insert_for(session)(IdentityRow)
        .values(
            platform=identity.platform, external_id=identity.external_id, name=identity.name[:200],
            account_id=account, created_at=now,
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

"""All rows, in the order of a job's life. Only `storage/` ever sees one.

Amounts are whole credits, device time is whole microseconds, times are aware UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from storage.types import BigInt, Utc

Id = Annotated[int, mapped_column(BigInt, primary_key=True, autoincrement=True)]
AccountId = Annotated[int, mapped_column(BigInt, ForeignKey("accounts.id"))]
JobId = Annotated[int, mapped_column(BigInt, ForeignKey("jobs.id"))]
Amount = Annotated[int, mapped_column(BigInt, default=0)]
Word = Annotated[str, mapped_column(String(64))]
Key = Annotated[str, mapped_column(String(200))]
Time = Annotated[datetime, mapped_column(Utc)]


ROOMY = {"postgresql_with": {"fillfactor": 50}}
"""For small rows that change all the time: their next version finds room beside them, and indexes stay as they are."""


class Row(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class AccountRow(Row):
    """Whoever has a balance. Locking this row locks the account's lots, holds and flows."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("debt >= 0", name="debt"),
        Index(
            "ix_accounts_derive_at",
            "derive_at",
            sqlite_where=text("derive_at IS NOT NULL"),
            postgresql_where=text("derive_at IS NOT NULL"),
        ),
        Index(
            "ix_accounts_merged_into",
            "merged_into",
            sqlite_where=text("merged_into IS NOT NULL"),
            postgresql_where=text("merged_into IS NOT NULL"),
        ),
    )

    id: Mapped[Id]
    plan: Mapped[Word] = mapped_column(default="free")  # in force; derived from the entitlements
    plan_since: Mapped[Time | None]  # start of its present period
    plan_until: Mapped[Time | None]  # its end, as far as is known
    derive_at: Mapped[Time | None]  # when the plan in force changes by itself
    entitlement_id: Mapped[int | None] = mapped_column(BigInt)  # where the plan comes from
    settings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    limits: Mapped[dict[str, int]] = mapped_column(JSON, default=dict, server_default="{}")  # not the plan's
    invited_by: Mapped[int | None] = mapped_column(BigInt)  # an account
    banned_reason: Mapped[str | None]
    merged_into: Mapped[AccountId | None]  # a tombstone: use that account
    debt: Mapped[Amount] = mapped_column(server_default="0")  # credits owed; the next grant repays them
    created_at: Mapped[Time]


class IdentityRow(Row):
    """A person as a platform knows them."""

    __tablename__ = "identities"

    platform: Mapped[Word] = mapped_column(primary_key=True)
    external_id: Mapped[Key] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId] = mapped_column(index=True)
    name: Mapped[Key] = mapped_column(default="")
    role: Mapped[Word] = mapped_column(default="", server_default="")  # "owner" after `claim`
    locale: Mapped[Word] = mapped_column(default="", server_default="")  # as last heard: for words unasked
    created_at: Mapped[Time]


class TierRow(Row):
    """One class of flows in the fair order."""

    __tablename__ = "tiers"
    __table_args__ = ROOMY

    name: Mapped[Word] = mapped_column(primary_key=True)
    weight: Mapped[Amount]
    start_us: Mapped[Amount]  # virtual start of the tier's next job
    now_us: Mapped[Amount]  # virtual time inside the tier
    at_us: Mapped[Amount] = mapped_column(server_default="0")  # virtual time between them when last served
    from_us: Mapped[Amount] = mapped_column(server_default="0")  # no turn is or will be before this
    past_us: Mapped[Amount] = mapped_column(server_default="0")  # nor before this, once every transaction
    past_xid: Mapped[Amount] = mapped_column(server_default="0")  # that is older than this one has ended


class FlowRow(Row):
    """One account's jobs in one tier. None of its columns that change is in an index: it is updated in place."""

    __tablename__ = "flows"
    __table_args__ = ROOMY

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    tier: Mapped[Word] = mapped_column(ForeignKey("tiers.name"), primary_key=True)
    start_us: Mapped[Amount]  # virtual start of the flow's next job
    debt_us: Mapped[Amount]  # measured less predicted time, of which its tier hears at the next claim
    passed_us: Mapped[Amount] = mapped_column(
        server_default="0"
    )  # work let ahead of it for a warm model's sake
    waiting: Mapped[int] = mapped_column(default=0)
    running: Mapped[int] = mapped_column(default=0)
    cap: Mapped[int] = mapped_column(default=1)
    eligible: Mapped[bool] = mapped_column(default=False)  # waiting > 0 and running < cap
    served_job: Mapped[Amount] = mapped_column(
        server_default="0"
    )  # all that wait are newer; not positive: not known, and another number each time


class TurnRow(Row):
    """A flow that may run a job, in the order of turns: an index of `flows`, kept by triggers on that table.

    Apart, because PostgreSQL makes a new entry in every index for an update that changes an indexed column: each
    lookup of a busy flow then walks over all that an old snapshot still sees. Whoever makes `flows` anew (Alembic's
    batch mode does) has to make its triggers again: see `storage.triggers`.
    """

    __tablename__ = "turns"
    __table_args__ = ({"sqlite_with_rowid": False},)

    tier: Mapped[Word] = mapped_column(primary_key=True)
    start_us: Mapped[int] = mapped_column(BigInt, primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInt, primary_key=True)


class JobRow(Row):
    """One request on its way. Terminal states: completed, discarded, cancelled."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(
            "state IN ('available', 'running', 'retryable', 'completed', 'discarded', 'cancelled')",
            name="state",
        ),
        Index("ix_jobs_flow", "account_id", "tier", "state", "id"),
        Index(
            "ix_jobs_live",
            "state",
            "created_at",
            sqlite_where=text("state IN ('available', 'running', 'retryable')"),
            postgresql_where=text("state IN ('available', 'running', 'retryable')"),
        ),
        Index(
            "ix_jobs_payer",
            "payer_id",
            sqlite_where=text("payer_id IS NOT NULL"),
            postgresql_where=text("payer_id IS NOT NULL"),
        ),
    )

    id: Mapped[Id]
    key: Mapped[Key] = mapped_column(
        unique=True
    )  # (platform, event, ordinal): a redelivery makes no second job
    account_id: Mapped[AccountId]
    payer_id: Mapped[AccountId | None]  # the group whose wallet pays; NULL: the account itself
    tier: Mapped[Word]
    kind: Mapped[Word]
    model: Mapped[Key]
    words: Mapped[str]  # the person's own
    request: Mapped[bytes] = mapped_column(LargeBinary)  # opaque here
    address: Mapped[bytes] = mapped_column(LargeBinary)  # opaque here
    private: Mapped[bool] = mapped_column(default=False)
    origin: Mapped[int | None] = mapped_column(BigInt)  # the job that this one answers
    state: Mapped[Word] = mapped_column(default="available")
    attempt: Mapped[int] = mapped_column(default=0)  # of the latest claim
    failures: Mapped[int] = mapped_column(default=0)
    owner: Mapped[Word | None]
    lease_until: Mapped[Time | None]
    run_at: Mapped[Time]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    cost_us: Mapped[Amount]  # predicted device time
    used_us: Mapped[Amount]  # measured device time
    price: Mapped[int] = mapped_column(default=0)
    paid: Mapped[int] = mapped_column(default=0)
    budget: Mapped[Key] = mapped_column(default="")  # the free budget it draws on, if any
    error: Mapped[Word | None]
    unread: Mapped[Key] = mapped_column(server_default="")  # of the prompt, by the model
    created_at: Mapped[Time]
    started_at: Mapped[Time | None]
    finished_at: Mapped[Time | None]
    deleted_at: Mapped[Time | None]


class ProgressRow(Row):
    """The newest progress of a running job, for processes that do not run it."""

    __tablename__ = "progress"

    job_id: Mapped[JobId] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class LotRow(Row):
    """Credits of one origin with one expiry. granted = remaining + held + captured + lapsed + taken."""

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("remaining >= 0 AND remaining <= granted", name="remaining"),
        Index(
            "ix_lots_live",
            "account_id",
            sqlite_where=text("remaining > 0"),
            postgresql_where=text("remaining > 0"),
        ),
        Index(  # for merges; apart from the live ones, so that spending touches one index only
            "ix_lots_empty",
            "account_id",
            sqlite_where=text("remaining = 0"),
            postgresql_where=text("remaining = 0"),
        ),
        Index(
            "ix_lots_expiry",
            "expires_at",
            sqlite_where=text("remaining > 0"),
            postgresql_where=text("remaining > 0"),
        ),
    )

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    key: Mapped[Key] = mapped_column(unique=True)  # one lot per (source, event)
    kind: Mapped[Word]
    granted: Mapped[Amount]
    remaining: Mapped[Amount]
    lapsed: Mapped[Amount]
    taken: Mapped[Amount] = mapped_column(server_default="0")  # back by the house, or for a debt
    expires_at: Mapped[Time | None]
    created_at: Mapped[Time]


class ReversalRow(Row):
    """What of one lot's grant was taken back for one refund or dispute."""

    __tablename__ = "reversals"

    key: Mapped[Key] = mapped_column(primary_key=True)
    lot_id: Mapped[int] = mapped_column(BigInt, ForeignKey("lots.id"), primary_key=True, index=True)
    taken: Mapped[Amount]  # out of what was available
    owed: Mapped[Amount]  # became a debt
    at: Mapped[Time]
    restored_at: Mapped[Time | None]  # the dispute was won: given back


class HoldRow(Row):
    """What one job has set aside from one lot. Open until the job is terminal; then it ends once."""

    __tablename__ = "holds"
    __table_args__ = (
        CheckConstraint("amount > 0 AND captured >= 0 AND captured <= amount", name="captured"),
    )

    job_id: Mapped[JobId] = mapped_column(primary_key=True)
    lot_id: Mapped[int] = mapped_column(BigInt, ForeignKey("lots.id"), primary_key=True)
    amount: Mapped[Amount]
    captured: Mapped[Amount]
    open: Mapped[bool] = mapped_column(default=True)


class EntryRow(Row):
    """One movement of credits from one book to another: double entry by construction. Append-only.

    Books `available`, `held` and `debt` are the account's, the others the house's: see `storage.ledger.books`.
    """

    __tablename__ = "entries"
    __table_args__ = (
        CheckConstraint("amount > 0 AND source <> target", name="moves"),
        Index("ix_entries_account", "account_id", "id"),
    )

    id: Mapped[Id]
    key: Mapped[Key] = mapped_column(unique=True)
    account_id: Mapped[AccountId]
    source: Mapped[Word]
    target: Mapped[Word]
    amount: Mapped[Amount]
    job_id: Mapped[int | None] = mapped_column(BigInt)
    lot_id: Mapped[int | None] = mapped_column(BigInt)
    reason: Mapped[Key] = mapped_column(default="")
    at: Mapped[Time]


class RateRow(Row):
    """Someone's pace in something: the theoretical arrival time of the generic cell rate algorithm."""

    __tablename__ = "rates"

    key: Mapped[Key] = mapped_column(primary_key=True)
    due_us: Mapped[Amount]  # microseconds since 1970


class BudgetRow(Row):
    """Device time that free use has been promised on one day (UTC) in one scope."""

    __tablename__ = "budgets"

    scope: Mapped[Key] = mapped_column(primary_key=True)
    used_us: Mapped[Amount]


class ArtifactRow(Row):
    """One finished file: metadata here, bytes in the blob store under `blob`."""

    __tablename__ = "artifacts"
    __table_args__ = (
        Index(
            "ix_artifacts_kept",
            "expires_at",
            sqlite_where=text("collected_at IS NULL"),
            postgresql_where=text("collected_at IS NULL"),
        ),
    )

    id: Mapped[Id]
    job_id: Mapped[JobId] = mapped_column(index=True)
    ordinal: Mapped[int]
    blob: Mapped[Key] = mapped_column(unique=True)
    media_type: Mapped[Word]
    size_bytes: Mapped[Amount]
    width: Mapped[int] = mapped_column(default=0)
    height: Mapped[int] = mapped_column(default=0)
    seed: Mapped[Amount]
    created_at: Mapped[Time]
    expires_at: Mapped[Time]
    deleted_at: Mapped[Time | None]
    collected_at: Mapped[Time | None]


class UploadRow(Row):
    """A picture that a person sent to start from; collected like an artifact."""

    __tablename__ = "uploads"

    blob: Mapped[Key] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId] = mapped_column(index=True)
    expires_at: Mapped[Time] = mapped_column(index=True)


class DeliveryRow(Row):
    """The outbox: one final card on its way to a person."""

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'sent', 'undeliverable')", name="state"),
        Index(
            "ix_deliveries_due",
            "platform",
            "due_at",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_deliveries_account", "account_id", "state"),
    )

    id: Mapped[Id]
    job_id: Mapped[JobId] = mapped_column(unique=True)
    account_id: Mapped[AccountId]
    platform: Mapped[Word]
    state: Mapped[Word] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[Time]  # also the end of the sender's lease
    message: Mapped[Key] = mapped_column(default="")
    created_at: Mapped[Time]
    sent_at: Mapped[Time | None]


class PlaceRow(Row):
    """What the people who run a server or group decided for it."""

    __tablename__ = "places"

    platform: Mapped[Word] = mapped_column(primary_key=True)
    external_id: Mapped[Key] = mapped_column(primary_key=True)
    settings: Mapped[bytes] = mapped_column(LargeBinary)  # opaque here


class TokenRow(Row):
    """The newest way to answer a person in a place that the platform gave us for a short time."""

    __tablename__ = "tokens"

    platform: Mapped[Word] = mapped_column(primary_key=True)
    place: Mapped[Key] = mapped_column(primary_key=True)
    person: Mapped[Key] = mapped_column(primary_key=True)
    token: Mapped[str]
    expires_at: Mapped[Time] = mapped_column(index=True)


class LeaseRow(Row):
    """Something that one process at a time may do."""

    __tablename__ = "leases"

    name: Mapped[Key] = mapped_column(primary_key=True)
    owner: Mapped[Word]
    until: Mapped[Time]


class DeviceRow(Row):
    """A device as the process that has it described it last."""

    __tablename__ = "devices"

    process: Mapped[Key] = mapped_column(primary_key=True)
    name: Mapped[Key] = mapped_column(primary_key=True)
    status: Mapped[bytes] = mapped_column(LargeBinary)  # opaque here
    drained: Mapped[bool] = mapped_column(default=False)  # what operators want
    seen_at: Mapped[Time]


class AuditRow(Row):
    """What an admin did, to whom and why."""

    __tablename__ = "audit"

    id: Mapped[Id]
    at: Mapped[Time]
    actor: Mapped[Key]
    action: Mapped[Word]
    account_id: Mapped[int | None] = mapped_column(BigInt, index=True)
    reason: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class NonceRow(Row):
    """Something that may happen once: a one-time link, a daily allowance of a network."""

    __tablename__ = "nonces"

    key: Mapped[Key] = mapped_column(primary_key=True)
    expires_at: Mapped[Time] = mapped_column(index=True)


class TimingRow(Row):
    """What a unit of a model's work has taken lately, in requests of one shape; shape "" is any."""

    __tablename__ = "timings"

    model: Mapped[Key] = mapped_column(primary_key=True)
    shape: Mapped[Word] = mapped_column(primary_key=True, default="", server_default="")
    unit_us: Mapped[Amount]
    samples: Mapped[int] = mapped_column(default=0)


class CapacityRow(Row):
    """What the devices of one dispatcher get done, as it last said."""

    __tablename__ = "capacities"

    owner: Mapped[Word] = mapped_column(primary_key=True)
    devices: Mapped[int]
    slots: Mapped[int]  # jobs that it has at a time
    rate_us: Mapped[Amount]  # device time delivered each second, over all devices
    until: Mapped[Time]

"""What jobs made and what people sent: metadata and lifetimes of blobs. The bytes are in `storage.blobs`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, insert, or_, select, update
from sqlalchemy.orm import Session

from storage.prepared import Prepared
from storage.tables import ArtifactRow, UploadRow


class NewArtifact(msgspec.Struct, frozen=True, kw_only=True):
    ordinal: int
    blob: str
    media_type: str
    size_bytes: int
    width: int = 0
    height: int = 0
    seed: int = 0


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    job: int
    ordinal: int
    blob: str
    media_type: str
    size_bytes: int
    width: int
    height: int
    seed: int


_COLUMNS = (
    ArtifactRow.id, ArtifactRow.job_id, ArtifactRow.ordinal, ArtifactRow.blob, ArtifactRow.media_type,
    ArtifactRow.size_bytes, ArtifactRow.width, ArtifactRow.height, ArtifactRow.seed,
)  # fmt: skip
_FIELDS = Artifact.__struct_fields__
_ADD = Prepared(
    insert(ArtifactRow).inline(),
    sets=("job_id", "created_at", "expires_at", *NewArtifact.__struct_fields__),
)


def add(session: Session, job: int, made: list[NewArtifact], now: datetime, *, expires_at: datetime) -> None:
    _ADD.many(
        session,
        [
            {"job_id": job, "created_at": now, "expires_at": expires_at, **msgspec.structs.asdict(each)}
            for each in made
        ],
    )


def get(session: Session, artifact: int) -> Artifact | None:
    """None for one that was deleted or collected."""
    row = session.execute(select(*_COLUMNS).where(ArtifactRow.id == artifact, _kept())).one_or_none()
    return _artifact(row) if row else None


def of_jobs(session: Session, jobs: list[int]) -> dict[int, list[Artifact]]:
    """The kept artifacts of several jobs, in their order."""
    found: dict[int, list[Artifact]] = {job: [] for job in jobs}
    statement = select(*_COLUMNS).where(ArtifactRow.job_id.in_(jobs), _kept())
    for row in session.execute(statement.order_by(ArtifactRow.job_id, ArtifactRow.ordinal)):
        artifact = _artifact(row)
        found[artifact.job].append(artifact)
    return found


def delete(session: Session, job: int, now: datetime) -> None:
    """Nobody sees the job's artifacts again; the collector removes their bytes."""
    session.execute(
        update(ArtifactRow)
        .where(ArtifactRow.job_id == job, ArtifactRow.deleted_at.is_(None))
        .values(deleted_at=now)
    )


def collectable(session: Session, now: datetime, *, limit: int = 200) -> list[tuple[int, str]]:
    """(artifact, blob) whose time is over or that were deleted."""
    rows = session.execute(
        select(ArtifactRow.id, ArtifactRow.blob)
        .where(ArtifactRow.collected_at.is_(None))
        .where(or_(ArtifactRow.expires_at <= now, ArtifactRow.deleted_at.is_not(None)))
        .limit(limit)
    )
    return [(artifact, blob) for artifact, blob in rows]


def collected(session: Session, artifacts: list[int], now: datetime) -> None:
    session.execute(update(ArtifactRow).where(ArtifactRow.id.in_(artifacts)).values(collected_at=now))


def known(session: Session, blobs: list[str]) -> set[str]:
    """Which of these blobs a row answers for."""
    kept = select(ArtifactRow.blob).where(ArtifactRow.blob.in_(blobs), ArtifactRow.collected_at.is_(None))
    sent = select(UploadRow.blob).where(UploadRow.blob.in_(blobs))
    return {*session.scalars(kept), *session.scalars(sent)}


def add_upload(session: Session, account: int, blob: str, *, expires_at: datetime) -> None:
    if session.get(UploadRow, blob) is None:
        session.execute(insert(UploadRow).values(blob=blob, account_id=account, expires_at=expires_at))


def expired_uploads(session: Session, now: datetime, *, limit: int = 200) -> list[str]:
    return list(session.scalars(select(UploadRow.blob).where(UploadRow.expires_at <= now).limit(limit)))


def forget_uploads(session: Session, blobs: list[str]) -> None:
    for row in session.scalars(select(UploadRow).where(UploadRow.blob.in_(blobs))):
        session.delete(row)


def _artifact(row: Any) -> Artifact:
    return Artifact(**dict(zip(_FIELDS, row, strict=True)))


def _kept() -> ColumnElement[bool]:
    return ArtifactRow.deleted_at.is_(None) & ArtifactRow.collected_at.is_(None)

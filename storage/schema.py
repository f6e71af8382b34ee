"""Bringing a database's schema up to date, by one process at a time, with a backup before on SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import AsyncFileLock, FileLock, Timeout
from sqlalchemy import Connection, make_url, text

import migrations
from storage.database import Database, StorageError
from storage.payment_tables import Row  # which brings the rows of all modules

ADVISORY_LOCK = 0x61_74_65_6C_69_65_72  # "atelier": whoever holds it in PostgreSQL migrates


class InUse(StorageError):
    """Another process holds the database."""


async def upgrade(database: Database, url: str, *, backups: Path) -> bool:
    """Applies what is missing; returns whether anything was. Safe to call from several processes at once."""
    path = sqlite_path(url)
    if path is None:
        return await database.schema(_upgrade_locked)
    async with AsyncFileLock(f"{path}.migrating", timeout=60):
        pending = await database.schema(_pending)
        if pending and await database.schema(_is_old):
            target = backups / f"before-migration-{datetime.now(UTC):%Y%m%d-%H%M%S}.db"
            await asyncio.to_thread(copy_sqlite, path, target)
        return await database.schema(_upgrade)


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL, None for another database."""
    made = make_url(url)
    return Path(made.database or ":memory:") if made.get_backend_name() == "sqlite" else None


def copy_sqlite(source: Path, target: Path) -> None:
    """A consistent copy of a database in use, through SQLite's own backup, put in place at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(partial)) as writing:
        reading.backup(writing)
    partial.rename(target)


@contextmanager
def only_process(path: Path) -> Generator[None]:
    """While in here no other process runs on this SQLite database. Raises InUse."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InUse(f"{path} is in use") from None
    try:
        yield
    finally:
        lock.release()


def differences(connection: Connection) -> list[Any]:
    """What `alembic check` would find between the tables and the database."""
    return list(compare_metadata(MigrationContext.configure(connection), Row.metadata))


def alembic_config(connection: Connection | None) -> Config:
    """Where the migrations are; with a connection, what they run on."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


def _pending(connection: Connection) -> bool:
    head = ScriptDirectory.from_config(alembic_config(connection)).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() != head


def _is_old(connection: Connection) -> bool:
    return MigrationContext.configure(connection).get_current_revision() is not None


def _upgrade(connection: Connection) -> bool:
    if not _pending(connection):
        return False
    command.upgrade(alembic_config(connection), "head")
    return True


def _upgrade_locked(connection: Connection) -> bool:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    return _upgrade(connection)


def revise(connection: Connection, message: str) -> None:
    """Writes a new revision into `migrations/versions` from what `differences` finds: for developers."""
    command.revision(alembic_config(connection), message=message, autogenerate=True)

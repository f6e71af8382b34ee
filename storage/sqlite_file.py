"""A SQLite database as a file: judged before it is trusted, and put in place of another while nobody uses that."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from storage import schema, triggers
from storage.transfer import TransferError

MAGIC = b"SQLite format 3\0"


def judge(path: Path) -> None:
    """Raises TransferError for a file that is damaged, or holds code (triggers, views) that is not ours."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise TransferError("The copy of the database is no SQLite database.")
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
            code = connection.execute(
                "SELECT sql FROM sqlite_master WHERE type IN ('trigger', 'view')"
            ).fetchall()
    except sqlite3.DatabaseError as error:
        raise TransferError(f"The copy of the database is damaged: {error}.") from error
    if found != ("ok",) or not {sql for (sql,) in code} <= triggers.KNOWN:
        raise TransferError("The copy of the database is damaged or not Atelier's.")


def put_in_place(fresh: Path, target: Path, aside: Path | None) -> None:
    """`fresh` becomes `target`; what was there is first copied to `aside`, if given, and its log folded in."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _fold(fresh)
    if aside is not None:
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            schema.copy_sqlite(target, aside)
            _fold(target)
        except sqlite3.DatabaseError:  # no database at all: kept as it is
            shutil.copy2(target, aside)
    for leftover in ("-wal", "-shm"):  # a log must never meet a database that is not its own
        target.with_name(target.name + leftover).unlink(missing_ok=True)
    fresh.rename(target)


def _fold(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

"""All rows of a database as one stream: out of any of our databases into any other, in one transaction.

A stream is a file of frames, each a length and one `Batch` in MessagePack, tables in the order in which they
refer to each other. Reading is one snapshot, keyset by keyset, so that memory does not grow with history.

    StorageError
    └── TransferError    nothing was changed in the target
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import asyncpg
import msgspec
from alembic import command
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Connection,
    DateTime,
    MetaData,
    Table,
    event,
    func,
    insert,
    make_url,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

from storage import ledger, schema
from storage.database import Database, StorageError
from storage.tables import ArtifactRow, Row, UploadRow
from storage.types import Utc

BATCH_ROWS = 100
FRAME_BYTES_MAX = 256 * 1024 * 1024
HOUSEKEEPING = frozenset({"tiers", "alembic_version"})
"""Tables that a fresh instance already fills by itself."""
DERIVED = frozenset({"turns"})
"""Tables that the database itself keeps from others."""

T = TypeVar("T")
_LENGTH = struct.Struct(">I")


class TransferError(StorageError):
    """The rows cannot be brought over; the text is a sentence, and the target is as it was."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows of one table."""

    table: str
    columns: tuple[str, ...]
    rows: list[list[Any]]


async def on(database: Database, function: Callable[..., T], *args: Any) -> T:
    """Runs `function(connection, ...)` in one transaction with DDL. Raises StorageError for what the database says."""
    try:
        return await database.schema(lambda connection: function(connection, *args))
    except DBAPIError as error:
        raise StorageError(f"The database says: {_first_line(error)}.") from None
    except asyncpg.PostgresError as error:  # refused at the door: no such database, a wrong password
        raise StorageError(f"The database says: {str(error).splitlines()[0].rstrip('.')}.") from None


def checked(url: str) -> str:
    """The URL as given. Raises StorageError for one that names no database of ours; never repeats it."""
    try:
        name = make_url(url).get_backend_name()
    except (ArgumentError, ValueError):
        name = ""
    if name not in ("sqlite", "postgresql"):
        raise StorageError("A database is named by sqlite:///file or postgresql://user@host/name.")
    return url


# --- out --------------------------------------------------------------------------------------------------


def dump(session: Session, path: Path) -> dict[str, int]:
    """Writes all rows to a file; returns how many each table has."""
    with path.open("wb") as file:
        return {table.name: _dump_table(session, table, file) for table in _copied()}


def snapshot(session: Session, folder: Path) -> dict[str, int]:
    """`dump` and `list_blobs` of one moment, into `rows` and `blobs` in a folder; returns the rows' counts."""
    list_blobs(session, folder / "blobs")
    return dump(session, folder / "rows")


def count(session: Session) -> dict[str, int]:
    """How many rows each table has."""
    return {
        str(table.name): session.scalar(select(func.count()).select_from(table)) or 0 for table in _copied()
    }


def list_blobs(session: Session, path: Path) -> int:
    """Writes the key of every blob that somebody may still see to a file, one a line; returns how many."""
    kept = ArtifactRow.collected_at.is_(None) & ArtifactRow.deleted_at.is_(None)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for statement, column in (
            (select(ArtifactRow.blob).where(kept), ArtifactRow.blob),
            (select(UploadRow.blob), UploadRow.blob),
        ):
            for key in _keys(session, statement, column):
                file.write(f"{key}\n")
                count += 1
    return count


def batches(path: Path) -> Iterator[Batch]:
    """The stream in a file. Raises TransferError for what is none."""
    with path.open("rb") as file:
        while start := file.read(_LENGTH.size):
            yield _frame(file, start)


def _copied() -> list[Table]:
    return [table for table in Row.metadata.sorted_tables if table.name not in DERIVED]


def _dump_table(session: Session, table: Table, file: BinaryIO) -> int:
    columns, key = tuple(str(column.name) for column in table.columns), list(table.primary_key.columns)
    statement, count = select(table).order_by(*key).limit(BATCH_ROWS), 0
    rows = session.execute(statement).all()
    while rows:
        count += len(rows)
        _write(file, Batch(table=str(table.name), columns=columns, rows=[list(row) for row in rows]))
        last = [rows[-1][columns.index(column.name)] for column in key]
        rows = session.execute(statement.where(tuple_(*key) > tuple_(*last))).all()
    return count


def _keys(session: Session, statement: Any, column: Any) -> Iterator[str]:
    page: list[str] = list(session.scalars(statement.order_by(column).limit(500)))
    while page:
        yield from page
        page = list(session.scalars(statement.where(column > page[-1]).order_by(column).limit(500)))


def _write(file: BinaryIO, batch: Batch) -> None:
    frame = msgspec.msgpack.encode(batch)
    if len(frame) <= FRAME_BYTES_MAX:
        file.write(_LENGTH.pack(len(frame)) + frame)
        return
    half = len(batch.rows) // 2
    if half == 0:
        raise TransferError(f"A row of {batch.table} is larger than {FRAME_BYTES_MAX} bytes.")
    for rows in (batch.rows[:half], batch.rows[half:]):
        _write(file, msgspec.structs.replace(batch, rows=rows))


def _frame(file: BinaryIO, start: bytes) -> Batch:
    length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else FRAME_BYTES_MAX + 1
    raw = file.read(length) if length <= FRAME_BYTES_MAX else b""
    try:
        if len(raw) != length:
            raise ValueError
        return msgspec.msgpack.decode(raw, type=Batch)
    except ValueError as error:  # msgspec's own errors are ValueErrors
        raise TransferError("The rows are damaged or cut off: take another copy.") from error


# --- in ---------------------------------------------------------------------------------------------------


def replace_all(connection: Connection, path: Path, revision: str) -> dict[str, int]:
    """Drops our tables, makes them as `revision` had them, loads the stream, and migrates to the newest.

    All in the connection's transaction; returns the rows of each table. Raises TransferError.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": schema.ADVISORY_LOCK})
    _drop(connection)
    command.upgrade(schema.alembic_config(connection), revision)
    counts = _load(connection, path)
    _fix_sequences(connection)
    command.upgrade(schema.alembic_config(connection), "head")
    return counts


def copy_into(connection: Connection, path: Path, expected: dict[str, int]) -> None:
    """Fills a fresh database, and proves that nothing is missing and the books are right. Raises TransferError."""
    if occupied := occupied_tables(connection):
        raise TransferError(f"The target already has rows in {', '.join(occupied)}: name an empty database.")
    replace_all(connection, path, head())
    verify(connection, expected)


def restore_into(connection: Connection, path: Path, revision: str, expected: dict[str, int]) -> None:
    """Replaces whatever the database holds. Raises TransferError if rows are missing."""
    found = replace_all(connection, path, revision)
    missing = {name: rows for name, rows in expected.items() if rows and found.get(name, 0) != rows}
    if missing:
        raise TransferError(f"The rows of {', '.join(sorted(missing))} are not all there: use another copy.")


def verify(connection: Connection, expected: dict[str, int]) -> None:
    """Raises TransferError if rows are missing or the ledger does not add up."""
    for table in _copied():
        found = connection.scalar(select(func.count()).select_from(table))
        if found != expected.get(table.name, 0):
            raise TransferError(
                f"{table.name} has {found} rows of {expected.get(table.name, 0)}: nothing was kept."
            )
    with Session(connection) as session:
        if drift := ledger.check(session):
            raise TransferError(
                f"The ledger does not add up in {len(drift)} places: nothing was kept; see `atelier doctor`."
            )


def occupied_tables(connection: Connection) -> list[str]:
    """Those of our tables that hold something of people's."""
    present = _present(connection)
    return [
        table.name
        for table in present.sorted_tables
        if table.name not in HOUSEKEEPING and connection.execute(select(table).limit(1)).first() is not None
    ]


def revision(connection: Connection) -> str | None:
    """What the database was last migrated to; None for one that never was."""
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """The newest revision that this version knows."""
    found = ScriptDirectory.from_config(schema.alembic_config(None)).get_current_head()
    assert found is not None
    return found


def knows(wanted: str) -> bool:
    """Whether this version can migrate from a revision; not if a newer one made it."""
    scripts = ScriptDirectory.from_config(schema.alembic_config(None))
    return any(script.revision == wanted for script in scripts.walk_revisions())


def listeners(connection: Connection) -> int:
    """How many processes listen for signals in a PostgreSQL database, so are instances at work; 0 on SQLite.

    This process counts too, unless its `database.signals` are closed.
    """
    if connection.dialect.name != "postgresql":
        return 0
    statement = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN %'"
    )
    return int(connection.scalar(text(statement)) or 0)


def _drop(connection: Connection) -> None:
    _present(connection).drop_all(connection)
    connection.execute(text("DROP TABLE IF EXISTS alembic_version"))


def _present(connection: Connection) -> MetaData:
    """Our tables as this database has them: an older revision's may lack columns."""
    found = MetaData()
    event.listen(found, "column_reflect", _with_our_types)
    found.reflect(connection, only=lambda name, _: name in Row.metadata.tables)
    return found


def _with_our_types(_: object, __: object, column: dict[str, Any]) -> None:
    if isinstance(column["type"], DateTime):
        column["type"] = Utc()


def _load(connection: Connection, path: Path) -> dict[str, int]:
    tables = _present(connection)
    connection.execute(tables.tables["tiers"].delete())
    counts = dict.fromkeys(tables.tables, 0)
    later: list[tuple[Table, list[dict[str, Any]]]] = []
    for batch in batches(path):
        table = _table(tables, batch)
        rows = [dict(zip(batch.columns, row, strict=True)) for row in batch.rows]
        later += _postponed(table, rows)
        _insert(connection, table, rows)
        counts[table.name] += len(rows)
    for table, rows in later:
        _point_to_own_rows(connection, table, rows)
    return counts


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Raises TransferError without the rows, which are nobody's to read."""
    try:
        connection.execute(insert(table), rows)
    except DBAPIError as error:
        raise TransferError(f"The target refuses rows of {table.name}: {_first_line(error)}.") from None


def _first_line(error: DBAPIError) -> str:
    """What the driver says, without the details, which may quote a row."""
    said = str(error.orig).splitlines() or [type(error.orig).__name__]
    return said[0].rpartition(">: ")[2].rstrip(".")


def _table(tables: MetaData, batch: Batch) -> Table:
    table = tables.tables.get(batch.table)
    if table is None or not set(batch.columns) <= set(table.columns.keys()) or not batch.rows:
        raise TransferError("The rows are not those of an Atelier: take another copy.")
    if any(len(row) != len(batch.columns) for row in batch.rows):
        raise TransferError("The rows are damaged: take another copy.")
    return table


def _postponed(table: Table, rows: list[dict[str, Any]]) -> list[tuple[Table, list[dict[str, Any]]]]:
    """Takes out what points to rows of the same table (a merged account), which may come later."""
    own = [key.parent.name for key in table.foreign_keys if key.column.table is table]
    keys = [column.name for column in table.primary_key.columns]
    pointing = [{name: row[name] for name in (*keys, *own)} for row in rows if any(row[name] for name in own)]
    for row in rows:
        row.update(dict.fromkeys(own))
    return [(table, pointing)] if pointing else []


def _point_to_own_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    keys = list(table.primary_key.columns)
    for row in rows:
        values = {name: value for name, value in row.items() if name not in table.primary_key.columns}
        statement = update(table).where(*(key == row[key.name] for key in keys))
        connection.execute(statement.values(values))


def _fix_sequences(connection: Connection) -> None:
    """PostgreSQL numbers on from what was loaded; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in _present(connection).sorted_tables:
        column = Row.metadata.tables[table.name].autoincrement_column
        if column is not None:
            largest = func.max(table.columns[column.name])
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(select(func.setval(sequence, func.coalesce(largest, 1), largest.is_not(None))))

"""Column types and SQL functions that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Select, String, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator

BigInt = BigInteger().with_variant(Integer, "sqlite")
"""64 bits on both; SQLite only numbers rows by itself for a column it calls INTEGER."""


class Utc(TypeDecorator[datetime]):
    """An aware UTC time. SQLite stores it as sortable text; a naive datetime is a programmer's error."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "times are aware"
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class from_now(GenericFunction[datetime]):  # noqa: N801  (spelled like the SQL function that it is)
    """The database's clock plus so many seconds: leases are judged by one clock, whoever holds them."""

    type = Utc()
    inherit_cache = True


@compiles(from_now, "postgresql")
def _from_now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(clock_timestamp() + make_interval(secs => CAST({seconds} AS double precision)))"


@compiles(from_now, "sqlite")
def _from_now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


class larger(GenericFunction[int]):  # noqa: N801
    """The larger of two numbers: `greatest` on PostgreSQL, two-argument `max` on SQLite."""

    type = BigInteger()
    inherit_cache = True


@compiles(larger, "postgresql")
def _larger_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"greatest({compiler.process(element.clauses, **kw)})"


@compiles(larger, "sqlite")
def _larger_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"max({compiler.process(element.clauses, **kw)})"


class commit_lazily(GenericFunction[str]):  # noqa: N801
    """Selecting it, PostgreSQL does not wait for the disk when this transaction commits, so that its locks are
    held for as short as its statements take. A crash of the server may then undo it, but nothing that is
    committed later and waits. On SQLite, where transactions share their fsync, it does nothing.
    """

    type = String()
    inherit_cache = True


@compiles(commit_lazily, "postgresql")
def _commit_lazily_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "set_config('synchronous_commit', 'off', true)"


@compiles(commit_lazily, "sqlite")
def _commit_lazily_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "''"


class oldest_xid(GenericFunction[int]):  # noqa: N801
    """All of PostgreSQL's transactions older than this number have ended. On SQLite, which writes one after the
    other, it is 0."""

    type = BigInteger()
    inherit_cache = True


class next_xid(GenericFunction[int]):  # noqa: N801
    """Transactions that begin to write after this statement has begun have this number or a later one."""

    type = BigInteger()
    inherit_cache = True


@compiles(oldest_xid, "postgresql")
def _oldest_xid_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"


@compiles(next_xid, "postgresql")
def _next_xid_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"


@compiles(oldest_xid, "sqlite")
@compiles(next_xid, "sqlite")
def _xid_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "0"


def newest(what: Any, *key: tuple[Any, Any]) -> Select[Any]:
    """What there is of the one row whose columns have these values, found at once even if it changes all the time.

    PostgreSQL's indexes then have all versions that an old snapshot keeps, the newest last; and an index is walked
    from its end for a range, not for a value.
    """
    ranges = (column.between(value, value) for column, value in key)
    order = (column.desc() for column, _ in key)
    return select(what).where(*ranges).order_by(*order).limit(literal_column("1"))


def insert_for(session: Session) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT."""
    return postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert

"""`Database.run(function, ...)`: one transaction, the same on SQLite and PostgreSQL.

A function may be run again when the database asks for it (deadlock, lost connection) or when a neighbour in a
SQLite group broke the transaction, so each is idempotent by its keys. Cancelling the caller never tears a
transaction: it is shielded and ends by itself.

    StorageError
    ├── DatabaseUnavailable   the disk is full, the server is away: nothing was written
    └── Overtaken             what a function had read has changed: its transaction is run again
"""

from __future__ import annotations

import asyncio
import queue
import re
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import asyncpg
import structlog
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool
from sqlalchemy.util import greenlet_spawn

from storage.signals import Signals

__all__ = ["Database", "DatabaseUnavailable", "Overtaken", "Session", "StorageError", "connect"]

P = ParamSpec("P")
T = TypeVar("T")
Function = Callable[Concatenate[Session, P], T]

GROUP_MAX = 64
"""Transactions that may share one SQLite commit, and so one fsync."""
BUSY_SECONDS = 10.0
"""How long a statement or a reconnection is tried before the database counts as unavailable."""
SCHEMA_BUG = re.compile("no such (table|column)")
"""What SQLite calls an operational error although it is ours and no outage."""
RETRY_CODES = frozenset({"40001", "40P01", "57P01", "57P02", "57P03", "53300", "08006", "08003", "08000"})
"""PostgreSQL: serialization failure, deadlock, shutdown, starting up, too many connections, lost connection."""
REFUSED_CODES = frozenset({"3D000", "28P01", "28000"})
"""PostgreSQL: no such database, wrong password, not allowed in."""
NOTIFY = "SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS t (channel, payload)"
SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""What is read in several statements is of one moment, as it is on SQLite."""

log = structlog.get_logger(__name__)


class StorageError(Exception):
    """Base of what storage raises."""


class DatabaseUnavailable(StorageError):
    """Nothing was written. It may work again later."""


class Overtaken(StorageError):
    """Raised by a function: somebody was faster. `run` takes all back and runs it again, a little later."""


class Database(ABC):
    """One database. Functions signal what others wait for through `storage.signals.notify`."""

    signals: Signals

    @abstractmethod
    async def run(self, function: Function[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's value, once its transaction is durable. Raises what it raised, or DatabaseUnavailable."""

    @abstractmethod
    async def read(self, function: Function[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `run`, for functions that only read: all that they see is of one moment."""

    @abstractmethod
    async def schema(self, function: Callable[[Connection], T]) -> T:
        """Runs DDL on a connection of its own, outside of other work."""

    @abstractmethod
    async def close(self) -> None:
        """Waits for transactions under way."""


def connect(url: str, *, pool: int = 10) -> Database:
    """The database at `sqlite:///path` or `postgresql://...`. Call it inside a running event loop."""
    name = make_url(url).get_backend_name()
    match name:
        case "sqlite":
            return SqliteDatabase(url)
        case "postgresql":
            return PostgresDatabase(url, pool=pool)
        case _:
            raise StorageError(
                f"{name} is not a database that Atelier speaks: use sqlite:///file or postgresql://…"
            )


# --- SQLite -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    work: Callable[[Session], Any]
    future: asyncio.Future[Any]


@dataclass(frozen=True)
class _Outcome:
    call: _Call
    value: Any = None
    error: BaseException | None = None
    signals: tuple[tuple[str, str], ...] = ()


class SqliteDatabase(Database):
    """One writer thread that commits waiting transactions together, and a few reader threads (WAL)."""

    def __init__(self, url: str) -> None:
        path = make_url(url).database
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._loop = asyncio.get_running_loop()
        self.signals = Signals()
        self._engine = sqlite_engine(url)
        self._reading = sqlite_engine(url, writes=False)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="sqlite-read")
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="sqlite-write", daemon=True)
        self._writer.start()

    async def run(self, function: Function[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        call = _Call(lambda session: function(session, *args, **kwargs), self._loop.create_future())
        self._calls.put(call)
        return cast("T", await asyncio.shield(call.future))

    async def read(self, function: Function[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def work() -> T:
            with Session(self._reading) as session:
                return function(session, *args, **kwargs)

        try:
            return await self._loop.run_in_executor(self._readers, work)
        except OperationalError as error:
            raise DatabaseUnavailable(str(error.orig)) from error

    async def schema(self, function: Callable[[Connection], T]) -> T:
        def work() -> T:
            engine = sqlite_engine(str(self._engine.url))
            try:
                with engine.begin() as connection:
                    return function(connection)
            finally:
                engine.dispose()

        return await self._loop.run_in_executor(self._readers, work)

    async def close(self) -> None:
        self._calls.put(None)
        await self._loop.run_in_executor(None, self._writer.join)
        self._readers.shutdown()
        self._reading.dispose()
        self._engine.dispose()

    def _write(self) -> None:
        while (first := self._calls.get()) is not None:
            calls, last = self._gather(first)
            self._settle(self._commit_together(calls))
            if last:
                return

    def _gather(self, first: _Call) -> tuple[list[_Call], bool]:
        calls = [first]
        with suppress(queue.Empty):
            while len(calls) < GROUP_MAX:
                call = self._calls.get_nowait()
                if call is None:
                    return calls, True
                calls.append(call)
        return calls, False

    def _commit_together(self, calls: list[_Call]) -> list[_Outcome]:
        """All in one transaction, each behind a savepoint; if that breaks, each in one of its own."""
        try:
            with self._engine.begin() as connection:
                outcomes = [_attempt(connection, call) for call in calls]
            return outcomes
        except Exception as error:
            if len(calls) == 1:
                return [_Outcome(calls[0], error=_translated(error))]
        return [outcome for call in calls for outcome in self._commit_together([call])]

    def _settle(self, outcomes: list[_Outcome]) -> None:
        self._loop.call_soon_threadsafe(self._resolve, outcomes)

    def _resolve(self, outcomes: list[_Outcome]) -> None:
        for outcome in outcomes:
            if outcome.error is None:
                for channel, payload in outcome.signals:
                    self.signals.publish(channel, payload)
            if outcome.call.future.done():
                continue
            if outcome.error is not None:
                outcome.call.future.set_exception(outcome.error)
            else:
                outcome.call.future.set_result(outcome.value)


def _attempt(connection: Connection, call: _Call) -> _Outcome:
    """One function behind a savepoint. What breaks the whole transaction (a full disk) is raised."""
    try:
        with Session(connection, join_transaction_mode="create_savepoint") as session, session.begin():
            value = call.work(session)
            sent = tuple(session.info.get("signals", ()))
        return _Outcome(call, value=value, signals=sent)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        return _Outcome(call, error=error)


def sqlite_engine(url: str, *, writes: bool = True) -> Engine:
    """WAL, foreign keys on, durable commits; a writer begins IMMEDIATE so that it never upgrades a lock."""
    options: dict[str, Any] = {"poolclass": StaticPool} if writes else {"pool_size": 2}
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS}, **options)

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we begin by ourselves
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", "cache_size=-20000"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


# --- PostgreSQL -------------------------------------------------------------------------------------------


class PostgresDatabase(Database):
    """asyncpg through SQLAlchemy's greenlet bridge; signals travel by LISTEN and NOTIFY.

    PostgreSQL lets transactions that notify commit only one after the other, each with an fsync of its own. So
    signals go out just after the commit, those of many transactions in one of their own that writes nothing.
    """

    def __init__(self, url: str, *, pool: int) -> None:
        self._url = make_url(url).set(drivername="postgresql+asyncpg")
        self._engine = self._make_engine(pool)
        self.signals = Signals(listen_to=make_url(url).set(drivername="postgresql").render_as_string(False))
        self._outgoing: dict[tuple[str, str], None] = {}
        self._sending: asyncio.Task[None] | None = None

    def _make_engine(self, pool: int) -> AsyncEngine:
        return create_async_engine(
            self._url,
            pool_size=pool,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            connect_args={"timeout": BUSY_SECONDS, "command_timeout": 60},
        )

    async def run(self, function: Function[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def work(session: Session) -> T:
            return function(session, *args, **kwargs)

        task = asyncio.ensure_future(self._persist(work, {}))
        return await asyncio.shield(task)

    async def read(self, function: Function[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def work(session: Session) -> T:
            return function(session, *args, **kwargs)

        return await self._persist(work, SNAPSHOT)

    async def schema(self, function: Callable[[Connection], T]) -> T:
        try:
            async with self._engine.begin() as connection:
                return await connection.run_sync(function)
        except (DBAPIError, OSError, TimeoutError, asyncpg.PostgresError) as error:
            if isinstance(error, OSError | TimeoutError) or _code(error) in REFUSED_CODES | RETRY_CODES:
                raise DatabaseUnavailable(f"PostgreSQL can't be used: {_sentence(error)}") from error
            raise

    async def close(self) -> None:
        if self._sending is not None:
            await self._sending
        await self.signals.close()
        await self._engine.dispose()

    async def _persist(self, work: Callable[[Session], T], options: dict[str, Any]) -> T:
        """Runs until it is durable, is refused for good, or BUSY_SECONDS are over."""
        loop = asyncio.get_running_loop()
        deadline, wait = loop.time() + BUSY_SECONDS, 0.02
        while True:
            try:
                return await self._once(work, options)
            except PoolTimeout as error:  # all connections are busy; it has waited BUSY_SECONDS already
                raise DatabaseUnavailable(
                    "All connections to PostgreSQL are busy: raise database.pool."
                ) from error
            except (DBAPIError, OSError, TimeoutError, asyncpg.PostgresError, Overtaken) as error:
                refused = _code(error) in REFUSED_CODES
                if not refused and not _is_passing(error):
                    raise
                if refused or loop.time() + wait > deadline:
                    raise DatabaseUnavailable(_sentence(error)) from error
                log.warning("database.retry", error=type(error).__name__)
            await asyncio.sleep(wait)
            wait = min(wait * 2, 1.0)

    async def _once(self, work: Callable[[Session], T], options: dict[str, Any]) -> T:
        value, signals = await greenlet_spawn(_transact, self._engine.sync_engine, work, options)
        if signals:
            self._outgoing |= signals
            if self._sending is None or self._sending.done():
                self._sending = asyncio.create_task(self._send())
        return value

    async def _send(self) -> None:
        while self._outgoing:
            channels, payloads = zip(*self._outgoing, strict=True)
            self._outgoing = {}
            try:
                async with self._engine.connect() as connection:
                    await connection.exec_driver_sql(NOTIFY, (list(channels), list(payloads)))
                    await connection.commit()
            except (DBAPIError, OSError, TimeoutError, PoolTimeout, asyncpg.PostgresError) as error:
                log.warning("signals.unsent", error=type(error).__name__)  # whoever waits looks by himself


def _transact(
    engine: Engine, work: Callable[[Session], T], options: dict[str, Any]
) -> tuple[T, dict[tuple[str, str], None]]:
    """All in one greenlet: each further one is a visit to the event loop."""
    with engine.connect() as connection:
        if options:
            connection.execution_options(**options)
        with Session(connection, join_transaction_mode="control_fully") as session:
            value = work(session)
            session.commit()
            return value, session.info.get("signals", {})


def _is_passing(error: Exception) -> bool:
    """Whether the same transaction may succeed when it is run again."""
    if isinstance(error, IntegrityError):
        return False
    if not isinstance(error, DBAPIError):
        return not isinstance(error, asyncpg.PostgresError) or _code(error) in RETRY_CODES
    return error.connection_invalidated or _code(error) in RETRY_CODES or isinstance(error, InterfaceError)


def _code(error: Exception) -> str:
    """PostgreSQL's code for what happened, wherever the layers have put it."""
    inner = getattr(error, "orig", None) or error
    return str(getattr(inner, "sqlstate", None) or getattr(inner, "pgcode", None) or "")


def _translated(error: Exception) -> Exception:
    if isinstance(error, OperationalError | InterfaceError) and not SCHEMA_BUG.search(str(error)):
        translated = DatabaseUnavailable(_sentence(error))
        translated.__cause__ = error
        return translated
    return error


def _sentence(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error) or type(error).__name__

"""Statements of the hot paths, built and compiled once, and sent in few round trips.

`session.execute` walks a statement at each call to find its compiled form, and for ORM classes does the session's
work as well: several times what SQLite itself takes. A `Prepared` is compiled once a dialect and goes straight to
the connection of the session's transaction. It changes no objects that a session has loaded.

`write` is for a change whose answer nobody needs. PostgreSQL is a round trip away, often under a lock, so there it
waits for the next read or the commit, and all that wait go as one statement: `WITH … AS (UPDATE …) INSERT …`. Parts
of a statement do not see each other's changes; so no two that touch one table are joined. SQLite has it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, CursorResult, Dialect, bindparam, event
from sqlalchemy.engine import Compiled
from sqlalchemy.orm import Session
from sqlalchemy.sql import Executable, visitors

Rows: TypeAlias = CursorResult[*tuple[Any, ...]]
Parameters: TypeAlias = dict[str, Any]
Write: TypeAlias = "tuple[Prepared, Parameters]"

JOINED_MAX = 2
"""A write of more rows goes by itself: the driver sends them all in one round trip."""
FORMS_MAX = 256
"""So many joined statements are remembered: each is one combination of writes on one path through the code."""


class Prepared:
    """`sets` names the columns that an INSERT or UPDATE sets from parameters of their names."""

    def __init__(self, statement: Executable, sets: Sequence[str] = ()) -> None:
        written: Any = statement
        if sets:
            columns = written.table.c
            written = written.values({name: bindparam(name, type_=columns[name].type) for name in sets})
        self.statement: Any = written
        self._compiled: WeakKeyDictionary[Dialect, Compiled] = WeakKeyDictionary()

    def __call__(self, session: Session, **parameters: Any) -> Rows:
        """What the statement answers, after all writes that wait."""
        send(session)
        return self.run(session, [parameters])

    def along(self, session: Session, **parameters: Any) -> Rows:
        """Like a call of a change, but as one statement with the writes that wait: it reads nothing of theirs."""
        return _together(session, [(self, parameters), *self._apart(session)])

    def write(self, session: Session, **parameters: Any) -> None:
        """Soon: before anything is read, and before the commit."""
        self.many(session, [parameters])

    def many(self, session: Session, rows: list[Parameters]) -> None:
        """A write for each of these; they touch different rows."""
        if session.get_bind().dialect.name != "postgresql":
            self.run(session, rows)
            return
        if len(rows) > JOINED_MAX:
            send(session)
            self.run(session, rows)
        else:
            self._apart(session).extend((self, row) for row in rows)

    def _apart(self, session: Session) -> list[Write]:
        """The writes that wait, none of them to this one's table: if one was, all were sent."""
        if any(other.statement.table is self.statement.table for other, _ in session.info.get("writes", ())):
            send(session)
        return session.info.setdefault("writes", [])

    def run(self, session: Session, rows: list[Parameters]) -> Rows:
        """At once, whatever waits."""
        connection: Any = session.connection()
        compiled = self._compiled.get(connection.dialect)
        if compiled is None:
            compiled = self._compiled[connection.dialect] = self.statement.compile(dialect=connection.dialect)
        # As `Connection.execute` does it, less the search: SQLAlchemy 2.1 has no public way to run what is compiled.
        start: Any = connection.dialect.execution_ctx_cls._init_compiled
        return connection._execute_context(
            connection.dialect, start, compiled, rows, connection.get_execution_options(),
            compiled, rows, self.statement, None,
        )  # fmt: skip


@event.listens_for(Session, "before_commit")
def send(session: Session) -> None:
    """Sends the writes that wait."""
    if waiting := session.info.get("writes"):
        _together(session, waiting)


@event.listens_for(Session, "do_orm_execute")
def _send_before(state: Any) -> None:
    send(state.session)


def _together(session: Session, writes: list[Write]) -> Rows:
    """Runs them as one statement; the rows are the first one's. None waits any more."""
    session.info.pop("writes", None)
    if len(writes) == 1:
        alone, row = writes[0]
        return alone.run(session, [row])
    numbered = enumerate(row for _, row in writes)
    parameters = {f"{name}_{place}": value for place, row in numbered for name, value in row.items()}
    return _joined(tuple(each for each, _ in writes)).run(session, [parameters])


@lru_cache(FORMS_MAX)
def _joined(parts: tuple[Prepared, ...]) -> Prepared:
    """One statement of several. PostgreSQL runs the first, then the others from the last to the first: so their
    order is turned, and what everybody waits for is locked last, as it was written last."""
    first, *others = (_numbered(each.statement, place) for place, each in enumerate(parts))
    names = [f"write_{place}" for place in range(1, len(parts))]
    ctes = [other.cte(name) for other, name in zip(others, names, strict=True)]
    return Prepared(first.add_cte(*reversed(ctes)))


def _numbered(statement: Any, place: int) -> Any:
    """The statement with names of parameters that no other place has."""

    def rename(parameter: BindParameter[Any]) -> None:
        if not parameter.unique:
            parameter.key = f"{parameter.key}_{place}"

    return visitors.cloned_traverse(statement, {}, {"bindparam": rename})

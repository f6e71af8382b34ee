"""Statements of the hot paths, built and compiled once.

`session.execute` walks a statement at each call to find its compiled form, and for ORM classes does the session's
work as well: several times what SQLite itself takes. A `Prepared` is compiled once a dialect and goes straight to
the connection of the session's transaction. It changes no objects that a session has loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from sqlalchemy import CursorResult, Dialect
from sqlalchemy.engine import Compiled
from sqlalchemy.orm import Session
from sqlalchemy.sql import Executable

Rows: TypeAlias = CursorResult[*tuple[Any, ...]]


class Prepared:
    """`sets` names the columns that an INSERT or UPDATE sets from parameters of their names."""

    def __init__(self, statement: Executable, sets: Sequence[str] | None = None) -> None:
        self._statement, self._sets = statement, sets
        self._compiled: WeakKeyDictionary[Dialect, Compiled] = WeakKeyDictionary()

    def __call__(self, session: Session, **parameters: Any) -> Rows:
        return self._execute(session, [parameters])

    def many(self, session: Session, rows: list[dict[str, Any]]) -> None:
        """Once for each row of parameters."""
        self._execute(session, rows)

    def _execute(self, session: Session, rows: list[dict[str, Any]]) -> Rows:
        connection: Any = session.connection()
        compiled = self._compiled.get(connection.dialect)
        if compiled is None:
            compiled = self._compile(connection.dialect)
        # As `Connection.execute` does it, less the search: SQLAlchemy 2.1 has no public way to run what is compiled.
        start: Any = connection.dialect.execution_ctx_cls._init_compiled
        return connection._execute_context(
            connection.dialect, start, compiled, rows, connection.get_execution_options(),
            compiled, rows, self._statement, None,
        )  # fmt: skip

    def _compile(self, dialect: Dialect) -> Compiled:
        statement: Any = self._statement
        compiled = statement.compile(dialect=dialect, column_keys=self._sets)
        self._compiled[dialect] = compiled
        return compiled

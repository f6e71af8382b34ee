"""Writes that nobody waits for go together, in their order, and are never missed by what is read after them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, text, update

from storage.database import Database, Session
from storage.prepared import Prepared
from storage.tables import BudgetRow, RateRow, TimingRow

POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
_PACE = Prepared(insert(RateRow).inline(), sets=("key", "due_us"))
_LATER = Prepared(update(RateRow).values(due_us=RateRow.due_us + 1))
_BUDGET = Prepared(insert(BudgetRow).inline(), sets=("scope", "used_us"))
_TIMING = Prepared(
    insert(TimingRow).returning(TimingRow.unit_us), sets=("model", "shape", "unit_us", "samples")
)
_DUE = Prepared(select(RateRow.due_us))


def write(session: Session) -> None:
    _PACE.write(session, key="a", due_us=1)
    _BUDGET.write(session, scope="a", used_us=2)


@pytest.mark.parametrize("read", [lambda s: _DUE(s).scalar(), lambda s: s.scalar(select(RateRow.due_us))])
async def test_what_is_read_sees_all_that_was_written_before(database: Database, read: Any) -> None:
    def work(session: Session) -> None:
        write(session)
        assert read(session) == 1
        _LATER.write(session)

    await database.run(work)
    assert await database.read(read) == 2


async def test_writes_to_one_table_see_each_other(database: Database) -> None:
    def work(session: Session) -> None:
        write(session)
        _LATER.write(session)
        _LATER.write(session)

    await database.run(work)
    assert await database.read(lambda session: _DUE(session).scalar()) == 3


@POSTGRESQL
async def test_postgresql_gets_writes_as_one_statement_with_what_goes_along(database: Database) -> None:
    def work(session: Session) -> list[str]:
        statements: list[str] = []
        event.listen(session.connection(), "before_cursor_execute", lambda *of: statements.append(of[2]))
        write(session)
        assert _TIMING.along(session, model="m", shape="", unit_us=3, samples=1).scalar() == 3
        return statements

    assert len(await database.run(work)) == 1


@POSTGRESQL
async def test_postgresql_keeps_their_order_so_that_locks_are_taken_in_it(database: Database) -> None:
    now = func.nextval("moment")
    writes = [
        Prepared(insert(RateRow).inline().values(key="a", due_us=now)),
        Prepared(insert(BudgetRow).inline().values(scope="a", used_us=now)),
        Prepared(insert(TimingRow).inline().values(model="a", shape="", samples=1, unit_us=now)),
    ]

    def work(session: Session) -> list[Any]:
        session.execute(text("CREATE SEQUENCE moment"))
        for each in writes:
            each.write(session)
        return [
            session.scalar(select(column))
            for column in (RateRow.due_us, BudgetRow.used_us, TimingRow.unit_us)
        ]

    assert await database.run(work) == [1, 2, 3]

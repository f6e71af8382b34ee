"""Dying between any two statements of a movement of credits: nothing of it has happened, and it can be done again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from storage import accounts, jobs, ledger
from storage.database import Database, Session
from storage.ledger import Grant
from storage.tables import AccountRow, EntryRow, HoldRow, JobRow, LotRow, ReversalRow
from tests.conftest import NOON
from tests.dying import Path, leaves_all_or_nothing
from tests.storage.test_ledger import account, give, hold


def prepare(session: Session) -> None:
    """Ann (1) holds half of a pack, has spent some, owes for another one, and lost a dispute; Web (2) has a little."""
    ann, web = account(session, "ann"), account(session, "web")
    give(session, ann, 60, "pack")
    give(session, ann, 10, "daily", days=1)
    hold(session, ann, 40)
    ledger.reverse(session, ann, ["pack:1:None"], NOON, key="dispute", amount=45, reason="r")
    give(session, web, 5, "daily", days=1)
    give(session, web, 7, "pack")
    hold(session, web, 8, "w")


def cancel(session: Session) -> None:
    found = jobs.lock(session, 1)
    assert found
    ledger.settle(session, found.paid_by, 1, 3, NOON)
    if found.state == "available":
        jobs.cancel(session, found, NOON, paid=3)


PATHS: dict[str, Path] = {
    "grant": lambda s: ledger.grant(s, 1, [Grant(key="new", kind="pack", amount=9)], NOON),
    "settle": cancel,
    "take": lambda s: ledger.take(s, 2, 3, NOON, key="t", reason="r"),
    "reverse": lambda s: ledger.reverse(s, 2, ["pack:2:None"], NOON, key="r", reason="r"),
    "restore": lambda s: ledger.restore(s, 1, "dispute", NOON, reason="won"),
    "forgive": lambda s: ledger.forgive(s, 1, NOON, key="f", reason="r"),
    "merge": lambda s: accounts.merge(s, 2, 1, NOON),
}


@pytest.mark.parametrize("name", PATHS)
async def test_dying_at_any_statement_leaves_all_or_nothing(database: Database, name: str) -> None:
    await database.run(prepare)
    await leaves_all_or_nothing(database, PATHS[name], everything)


def everything(session: Session) -> list[Any]:
    tables = [row.__table__ for row in (AccountRow, LotRow, HoldRow, EntryRow, ReversalRow, JobRow)]
    return [session.execute(select(each).order_by(*each.primary_key)).all() for each in tables]

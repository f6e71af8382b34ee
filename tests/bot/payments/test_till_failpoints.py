"""Dying between any two statements of what the till does: nothing of it has happened, and it can be done again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from bot.payments import till
from bot.payments.events import AnyEvent
from storage.database import Database, Session
from storage.payment_tables import Row
from tests.bot.payments.till_world import DAY, NOON, Till, disputes, pays, refunds, stands, subscribes
from tests.dying import leaves_all_or_nothing

BEFORE: tuple[AnyEvent, ...] = (
    pays("ann", "old"), subscribes("ann", "month"), pays("ann", "lost"), disputes("lost", "open"),
    pays("ann", "back"), refunds("back", 199),
)  # fmt: skip
MONEY: dict[str, AnyEvent] = {
    "a pack": pays("ann", "new", consume=True),
    "a plan": subscribes("bob", "first"),
    "a renewal": subscribes("ann", "second", month=1),
    "a refund": refunds("old"),
    "a part of it": refunds("old", 100),
    "a refund of a month": refunds("month"),
    "a refund before its payment": refunds("unheard"),
    "a refund that fails": refunds("back", 199, failed=150),
    "a dispute": disputes("old", "open"),
    "a dispute that is won": disputes("lost", "won"),
    "the end of a subscription": stands("ann", at=NOON + DAY, ended=True),
}


@pytest.mark.parametrize("name", MONEY)
async def test_dying_at_any_statement_leaves_all_or_nothing(database: Database, name: str) -> None:
    counter = Till(database)
    for person in ("ann", "bob"):
        await counter.person(person)
    await counter.apply(*BEFORE)

    def path(session: Session) -> None:
        till.apply(session, counter.config, MONEY[name], counter.at)

    await leaves_all_or_nothing(database, path, everything)


def everything(session: Session) -> Sequence[Any]:
    return [
        session.execute(select(table).order_by(*table.primary_key)).all()
        for table in Row.metadata.sorted_tables
    ]

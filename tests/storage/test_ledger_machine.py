"""Any order of grants, holds, captures, releases, expiries and clock jumps keeps the books right."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from storage import accounts, flows, jobs, ledger
from storage.accounts import Identity
from storage.database import Database, Session, connect
from storage.ledger import Grant, Insufficient
from tests import postgres
from tests.conftest import NOON

AMOUNTS = st.integers(1, 50)
_numbers = itertools.count()


class Books(RuleBasedStateMachine):
    """A model of two accounts beside the real ledger: what was given out is somewhere, exactly once."""

    make_url: ClassVar[Callable[[], str]]

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = NOON
        self.database: Database = self.loop.run_until_complete(_connect(type(self).make_url()))
        self.people = [self.do(_person, name) for name in ("ann", "bob")]
        self.holds: dict[int, tuple[int, int]] = {}
        self.given = self.captured = 0

    def do(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self.loop.run_until_complete(self.database.run(function, *args, **kwargs))

    @rule(
        who=st.integers(0, 1),
        amount=AMOUNTS,
        kind=st.sampled_from(sorted(ledger.RANKS)),
        days=st.integers(0, 3),
    )
    def grant(self, who: int, amount: int, kind: ledger.LotKind, days: int) -> None:
        expires = self.now + timedelta(days=days) if days else None
        grant = Grant(key=f"g{next(_numbers)}", kind=kind, amount=amount, expires_at=expires)
        for _ in range(2):
            self.given += self.do(ledger.grant, self.people[who], [grant], self.now)

    @rule(who=st.integers(0, 1), amount=AMOUNTS)
    def hold(self, who: int, amount: int) -> None:
        before = self.available(who)
        try:
            job = self.do(_hold, self.people[who], amount, self.now)
        except Insufficient as refusal:
            assert before < amount
            assert refusal.available == before == self.available(who)
            return
        assert before - amount == self.available(who)
        self.holds[job] = (who, amount)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), used=st.integers(0, 60), fault=st.booleans())
    def settle(self, data: Any, used: int, fault: bool) -> None:
        job = data.draw(st.sampled_from(sorted(self.holds)))
        who, amount = self.holds.pop(job)
        captured = self.do(_settle, self.people[who], job, used, self.now, fault)
        assert captured == min(used, amount)
        assert self.do(_settle, self.people[who], job, used, self.now, fault) == 0
        self.captured += captured

    @rule(who=st.integers(0, 1), amount=AMOUNTS)
    def take(self, who: int, amount: int) -> None:
        before = self.available(who)
        taken = self.do(ledger.take, self.people[who], amount, self.now, key=f"t{next(_numbers)}", reason="r")
        assert taken == min(before, amount)
        assert self.available(who) == before - taken

    @rule(hours=st.integers(1, 60))
    def pass_time(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def expire(self) -> None:
        before = [self.available(who) for who in (0, 1)]
        self.do(ledger.expire, self.now)
        assert before == [self.available(who) for who in (0, 1)]  # what lapses could not be spent any more

    @invariant()
    def books_are_right(self) -> None:
        if not hasattr(self, "database"):
            return
        assert self.do(ledger.check) == []
        books = self.do(ledger.balance_of_books)
        assert sum(books.values()) == 0
        assert books.get("held", 0) == sum(amount for _, amount in self.holds.values())
        assert books.get("revenue", 0) == self.captured
        assert all(books.get(book, 0) >= 0 for book in ("available", "held", "revenue", "breakage"))

    def available(self, who: int) -> int:
        return sum(lot.remaining for lot in self.do(ledger.lots, self.people[who], self.now))

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.loop.run_until_complete(self.database.close())
            self.loop.close()


async def _connect(url: str) -> Database:
    return connect(url)


def _person(session: Session, name: str) -> int:
    flows.define_tiers(session, {"free": 1})
    return accounts.resolve(session, Identity(platform="web", external_id=name), NOON)


def _hold(session: Session, account: int, amount: int, now: Any) -> int:
    accounts.lock(session, account)
    new = jobs.NewJob(key=f"k{next(_numbers)}", account=account, tier="free", kind="image", model="m", words="w",
                      request=b"{}", address=b"{}", cost_us=1, price=amount)  # fmt: skip
    job = jobs.add(session, new, now, cap=9)
    ledger.hold(session, account, job, amount, now, live=ledger.lots(session, account, now))
    return job


def _settle(session: Session, account: int, job: int, used: int, now: Any, fault: bool) -> int:
    captured = ledger.settle(session, account, job, used, now, our_fault=fault)
    found = jobs.get(session, job)
    if found is not None and found.state == "available":
        jobs.cancel(session, found, now)
    return captured


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_books_are_right_after_anything(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    def make_url() -> str:
        name = f"books_{next(_numbers)}"
        if kind == "sqlite":
            shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / name)
            return f"sqlite:///{tmp_path / name}"
        server: str = request.getfixturevalue("postgres_template")
        return made.enter_context(postgres.database(server, name, template="template_atelier"))

    machine = type("BooksHere", (Books,), {"make_url": staticmethod(make_url)})
    with ExitStack() as made:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=12,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

"""Any order of grants, holds, refunds, disputes, merges, plan changes and clock jumps keeps the books right."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
from sqlalchemy import func, select

from bot import settings as configuration
from bot.jobs import allowances
from bot.jobs.wallets import plan_of
from storage import accounts, flows, jobs, ledger
from storage.accounts import Identity, InForce
from storage.database import Database, Session, connect
from storage.ledger import Grant, Insufficient
from storage.tables import AccountRow
from tests import postgres
from tests.conftest import NOON

AMOUNTS = st.integers(1, 50)
PEOPLE = 3
WHO = st.integers(0, PEOPLE - 1)
CONFIG = configuration.load(
    None, {"ATELIER_PLANS_FREE_CREDITS_DAY": "30", "ATELIER_PLANS_PRO_CREDITS_MONTH": "90"}
)
_numbers = itertools.count()


@dataclass
class Payment:
    """What one grant was worth, and which reversals of it stand."""

    account: int
    amount: int
    reversals: dict[str, int] = field(default_factory=dict[str, int])


class Books(RuleBasedStateMachine):
    """A model of three people beside the real ledger: what was given out is somewhere, exactly once."""

    make_url: ClassVar[Callable[[], str]]

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = NOON
        self.database: Database = self.loop.run_until_complete(_connect(type(self).make_url()))
        self.people = [self.do(_person, f"p{number}") for number in range(PEOPLE)]
        self.holds: dict[int, tuple[int, int]] = {}
        self.payments: dict[str, Payment] = {}
        self.lost: dict[str, str] = {}  # reversals that a dispute may undo, and of which payment
        self.given = self.captured = self.returned = self.forgiven = 0

    def do(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self.loop.run_until_complete(self.database.run(function, *args, **kwargs))

    @rule(who=WHO, amount=AMOUNTS, kind=st.sampled_from(sorted(ledger.RANKS)), days=st.integers(0, 3))
    def grant(self, who: int, amount: int, kind: ledger.LotKind, days: int) -> None:
        expires = self.now + timedelta(days=days) if days else None
        grant = Grant(key=f"g{next(_numbers)}", kind=kind, amount=amount, expires_at=expires)
        given = [self.do(ledger.grant, self.people[who], [grant], self.now) for _ in range(2)]
        assert given == [amount, 0]
        self.given += amount
        self.payments[grant.key] = Payment(self.people[who], amount)

    @rule(who=WHO, plan=st.sampled_from(["free", "basic", "pro"]))
    def change_plan(self, who: int, plan: str) -> None:
        """And the allowances of the new one come."""
        self.given += self.do(_change_plan, self.people[who], plan, self.now)

    @rule(payer=WHO, member=WHO, amount=AMOUNTS)
    def hold(self, payer: int, member: int, amount: int) -> None:
        before = self.available(payer)
        try:
            job = self.do(_hold, self.people[payer], self.people[member], amount, self.now)
        except Insufficient as refusal:
            assert before < amount
            assert refusal.available == before == self.available(payer)
            return
        assert before - amount == self.available(payer)
        self.holds[job] = (payer, amount)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), used=st.integers(0, 60), fault=st.booleans())
    def settle(self, data: Any, used: int, fault: bool) -> None:
        job = data.draw(st.sampled_from(sorted(self.holds)))
        _, amount = self.holds.pop(job)
        captured = [self.do(_settle, job, used, self.now, fault) for _ in range(2)]
        assert captured == [min(used, amount), 0]
        self.captured += captured[0]

    @rule(who=WHO, amount=AMOUNTS)
    def take(self, who: int, amount: int) -> None:
        before, key = self.available(who), f"t{next(_numbers)}"
        taken = [
            self.do(ledger.take, self.people[who], amount, self.now, key=key, reason="r") for _ in range(2)
        ]
        assert taken == [min(before, amount), 0]
        assert self.available(who) == before - taken[0]
        self.returned += taken[0]

    @precondition(lambda self: self.payments)
    @rule(data=st.data(), amount=st.none() | AMOUNTS)
    def refund(self, data: Any, amount: int | None) -> None:
        """In full or in part, again and again: never more than was paid."""
        self.reverse(data.draw(st.sampled_from(sorted(self.payments))), amount)

    @rule(who=WHO, amount=AMOUNTS)
    def refund_while_it_is_held(self, who: int, amount: int) -> None:
        """The short way into debt."""
        self.grant(who, amount, "pack", 0)
        of = next(reversed(self.payments))
        self.hold(who, who, self.available(who) or amount)
        self.reverse(of, None)

    def reverse(self, of: str, amount: int | None) -> None:
        paid, key = self.payments[of], f"r{next(_numbers)}"
        once, again = (
            self.do(ledger.reverse, paid.account, [of], self.now, key=key, amount=amount, reason="r")
            for _ in range(2)
        )
        assert once == again
        paid.reversals[key] = once.taken + once.owed
        assert sum(paid.reversals.values()) <= paid.amount
        assert amount is None or once.taken + once.owed <= amount
        self.returned += once.taken + once.owed
        self.lost[key] = of

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def win_dispute(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.lost)))
        paid = self.payments[self.lost.pop(key)]
        given = [self.do(ledger.restore, paid.account, key, self.now, reason="won") for _ in range(2)]
        assert given == [paid.reversals.pop(key), 0]
        self.given += given[0]

    @rule(who=WHO, amount=st.none() | AMOUNTS)
    def forgive(self, who: int, amount: int | None) -> None:
        key = f"f{next(_numbers)}"
        self.forgiven += self.do(
            ledger.forgive, self.people[who], self.now, key=key, amount=amount, reason="r"
        )

    @rule(gone=WHO, kept=WHO)
    def merge(self, gone: int, kept: int) -> None:
        """A new person takes the place of who was merged."""
        if gone == kept:
            return
        old, new = self.people[gone], self.people[kept]
        self.do(accounts.merge, old, new, self.now)
        for paid in self.payments.values():
            paid.account = new if paid.account == old else paid.account
        self.people[gone] = self.do(_person, f"p{next(_numbers)}")

    @rule(hours=st.integers(-30, 60))
    def pass_time(self, hours: int) -> None:
        """Clocks go wrong, too."""
        self.now += timedelta(hours=hours)

    @rule()
    def expire(self) -> None:
        before = [self.available(who) for who in range(PEOPLE)]
        self.do(ledger.expire, self.now)
        assert before == [
            self.available(who) for who in range(PEOPLE)
        ]  # what lapses could not be spent any more

    @invariant()
    def books_are_right(self) -> None:
        if not hasattr(self, "database"):
            return
        books, debts = self.do(_state, self.people, self.now)
        assert sum(books.values()) == 0
        assert books.get("held", 0) == sum(amount for _, amount in self.holds.values())
        assert books.get("revenue", 0) == self.captured
        assert books.get("debt", 0) == -debts
        out = books.get("house", 0) + books.get("promotion", 0)
        assert out == self.returned - self.given - self.forgiven
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


def _state(session: Session, people: list[int], now: datetime) -> tuple[dict[str, int], int]:
    """The books and all debts, after what must hold for each person was checked."""
    assert ledger.check(session) == []
    for person in people:
        found, live = accounts.get(session, person), ledger.lots(session, person, now)
        assert found
        assert not found.debt or {lot.kind for lot in live} <= {"daily"}  # who owes has nothing else to spend
        assert len([lot for lot in live if lot.key.endswith(f":{now:%Y-%m-%d}")]) <= 1  # one allowance a day
    return ledger.balance_of_books(session), session.scalar(select(func.sum(AccountRow.debt))) or 0


def _change_plan(session: Session, account: int, plan: str, now: datetime) -> int:
    accounts.set_plan(session, account, InForce(plan=plan))
    found = accounts.lock(session, account)
    assert found
    due = allowances.due(found, plan_of(CONFIG, found)[1], CONFIG.abuse, now=now)
    return ledger.grant(session, account, due, now)


def _hold(session: Session, payer: int, member: int, amount: int, now: datetime) -> int:
    accounts.lock_all(session, (payer, member))
    new = jobs.NewJob(key=f"k{next(_numbers)}", account=member, payer=payer if payer != member else None,
                      tier="free", kind="image", model="m", words="w", request=b"{}", address=b"{}", cost_us=1,
                      price=amount)  # fmt: skip
    job = jobs.add(session, new, now, cap=9)
    ledger.hold(session, payer, job, amount, now, live=ledger.lots(session, payer, now))
    return job


def _settle(session: Session, job: int, used: int, now: datetime, fault: bool) -> int:
    found = jobs.lock(session, job)
    assert found
    captured = ledger.settle(session, found.paid_by, job, used, now, our_fault=fault)
    if found.state == "available":
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
                max_examples=15,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

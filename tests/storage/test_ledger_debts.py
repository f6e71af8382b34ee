"""Refunds, disputes and debts: what was granted is taken back once, from wherever it went."""

from __future__ import annotations

from datetime import timedelta

from storage import accounts, ledger
from storage.database import Database, Session
from storage.ledger import Grant, Reversed
from tests.conftest import NOON
from tests.storage.test_ledger import account, available, finish, give, hold

PACK = "pack:1:None"


def reverse(session: Session, of: int, key: str = "refund", amount: int | None = None) -> Reversed:
    return ledger.reverse(session, of, [PACK], NOON, key=key, amount=amount, reason="refund")


def debt(session: Session, of: int) -> int:
    found = accounts.get(session, of)
    assert found
    assert ledger.check(session) == []
    return found.debt


def spend(session: Session, of: int, amount: int, key: str = "k") -> None:
    made = hold(session, of, amount, key)
    ledger.settle(session, of, made, amount, NOON)
    finish(session, made)


async def test_a_refund_of_what_was_not_touched_takes_it_back(database: Database) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        give(session, ann, 100, "pack")
        assert [reverse(session, ann), reverse(session, ann)] == [Reversed(100, 0)] * 2  # the key counts once
        assert (available(session, ann), debt(session, ann)) == (0, 0)
        assert ledger.balance_of_books(session)["house"] == 0

    await database.run(work)


async def test_what_was_spent_is_taken_from_elsewhere_but_not_from_the_daily_allowance(
    database: Database,
) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        give(session, ann, 100, "pack")
        spend(session, ann, 90)
        give(session, ann, 30, "gift")
        give(session, ann, 40, "daily", days=1)
        assert reverse(session, ann) == Reversed(taken=40, owed=60)
        assert (available(session, ann), debt(session, ann)) == (40, 60)

    await database.run(work)


async def test_the_next_grant_repays_a_debt(database: Database) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        give(session, ann, 100, "pack")
        spend(session, ann, 100)
        assert reverse(session, ann) == Reversed(0, 100)
        give(session, ann, 70, "reward")
        assert (available(session, ann), debt(session, ann)) == (0, 30)
        give(session, ann, 50, "gift")
        assert (available(session, ann), debt(session, ann)) == (20, 0)

    await database.run(work)


async def test_what_a_job_holds_is_owed_until_it_comes_back(database: Database) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        give(session, ann, 100, "pack")
        made = hold(session, ann, 80)
        assert reverse(session, ann) == Reversed(taken=20, owed=80)
        assert ledger.settle(session, ann, made, 30, NOON) == 30
        finish(session, made)
        assert (available(session, ann), debt(session, ann)) == (0, 30)

    await database.run(work)


async def test_partial_refunds_together_never_take_more_than_was_granted(database: Database) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        give(session, ann, 100, "pack")
        give(session, ann, 500, "gift")
        found = [reverse(session, ann, key, 60) for key in ("a", "b", "c")]
        assert [each.taken for each in found] == [60, 40, 0]
        assert (available(session, ann), debt(session, ann)) == (500, 0)

    await database.run(work)


async def test_nothing_is_owed_for_what_lapsed(database: Database) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        give(session, ann, 100, "pack", days=1)
        ledger.expire(session, NOON + timedelta(days=2))
        found = ledger.reverse(session, ann, [f"pack:{ann}:1"], NOON, key="refund", reason="refund")
        assert (found, debt(session, ann)) == (Reversed(0, 0), 0)

    await database.run(work)


async def test_several_lots_of_one_payment_are_taken_back_together_the_fullest_first(
    database: Database,
) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        for key in ("one", "two"):
            ledger.grant(session, ann, [Grant(key=key, kind="pack", amount=50)], NOON)
        spend(session, ann, 50)
        half = ledger.reverse(session, ann, ["one", "two"], NOON, key="half", amount=50, reason="r")
        assert half == Reversed(50, 0)
        rest = ledger.reverse(session, ann, ["one", "two"], NOON, key="rest", reason="r")
        assert (rest, debt(session, ann)) == (Reversed(0, 50), 50)

    await database.run(work)


async def test_a_dispute_that_was_won_gives_back_what_it_took_once(database: Database) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        give(session, ann, 100, "pack", days=10)
        spend(session, ann, 30)
        lot = [f"pack:{ann}:10"]
        assert ledger.reverse(session, ann, lot, NOON, key="dispute", reason="d") == Reversed(70, 30)
        won = NOON + timedelta(days=30)
        assert ledger.restore(session, ann, "dispute", won, reason="won") == 100
        assert ledger.restore(session, ann, "dispute", won, reason="won") == 0
        assert debt(session, ann) == 0
        [restored] = ledger.lots(session, ann, won)
        assert (restored.kind, restored.remaining) == ("pack", 70)
        assert restored.expires_at == NOON + timedelta(days=40)  # the ten days that it still had
        again = ledger.reverse(session, ann, lot, won, key="refund", reason="r")
        assert (again, debt(session, ann)) == (Reversed(70, 30), 30)

    await database.run(work)


async def test_a_debt_can_be_forgiven(database: Database) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        give(session, ann, 100, "pack")
        spend(session, ann, 100)
        reverse(session, ann)
        some = [ledger.forgive(session, ann, NOON, key="f", amount=30, reason="r") for _ in range(2)]
        assert (some, debt(session, ann)) == ([30, 0], 70)
        assert ledger.forgive(session, ann, NOON, key="g", reason="r") == 70
        assert debt(session, ann) == 0

    await database.run(work)

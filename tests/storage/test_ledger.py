"""Credits: granted once, held, captured or returned, and always adding up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from storage import accounts, flows, jobs, ledger
from storage.accounts import Identity
from storage.database import Database, Session
from storage.ledger import Grant, Insufficient
from tests.conftest import NOON


def account(session: Session, name: str = "ann") -> int:
    return accounts.resolve(session, Identity(platform="web", external_id=name), NOON)


def give(
    session: Session, to: int, amount: int, kind: ledger.LotKind = "gift", *, days: int | None = None
) -> None:
    expires = NOON + timedelta(days=days) if days is not None else None
    grant = Grant(key=f"{kind}:{to}:{days}", kind=kind, amount=amount, expires_at=expires)
    ledger.grant(session, to, [grant], NOON)


def job(session: Session, of: int, key: str = "k") -> int:
    flows.define_tiers(session, {"free": 1})
    new = jobs.NewJob(
        key=key, account=of, tier="free", kind="image", model="m", words="w",
        request=b"{}", address=b"{}", cost_us=1, price=1,
    )  # fmt: skip
    return jobs.add(session, new, NOON, cap=9)


def hold(session: Session, of: int, amount: int, key: str = "k") -> int:
    made = job(session, of, key)
    ledger.hold(session, of, made, amount, NOON, live=ledger.lots(session, of, NOON))
    return made


def available(session: Session, of: int, *, days: float = 0) -> int:
    return sum(lot.remaining for lot in ledger.lots(session, of, NOON + timedelta(days=days)))


def finish(session: Session, made: int) -> None:
    found = jobs.get(session, made)
    assert found
    jobs.complete(session, found, NOON, used_us=1, paid=0)


async def test_a_grant_counts_once_however_often_it_comes(database: Database) -> None:
    def work(session: Session) -> int:
        ann = account(session)
        for _ in range(3):
            give(session, ann, 40)
        return available(session, ann)

    assert await database.run(work) == 40


async def test_a_hold_leaves_the_rest_and_a_capture_returns_what_was_not_used(database: Database) -> None:
    def work(session: Session) -> tuple[int, int, int]:
        ann = account(session)
        give(session, ann, 10)
        made = hold(session, ann, 7)
        during = available(session, ann)
        captured = ledger.settle(session, ann, made, 5, NOON)
        finish(session, made)
        assert ledger.check(session) == []
        return during, captured, available(session, ann)

    assert await database.run(work) == (3, 5, 5)


async def test_a_hold_ends_once(database: Database) -> None:
    def work(session: Session) -> tuple[int, int, int]:
        ann = account(session)
        give(session, ann, 10)
        made = hold(session, ann, 4)
        first, second = (ledger.settle(session, ann, made, 4, NOON) for _ in range(2))
        return first, second, available(session, ann)

    assert await database.run(work) == (4, 0, 6)


async def test_what_cannot_be_afforded_is_refused_and_nothing_is_held(database: Database) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        give(session, ann, 3)
        made = job(session, ann)
        with pytest.raises(Insufficient) as refusal:
            ledger.hold(session, ann, made, 4, NOON, live=ledger.lots(session, ann, NOON))
        assert (refusal.value.needed, refusal.value.available) == (4, 3)
        assert available(session, ann) == 3

    await database.run(work)


async def test_what_lapses_soonest_and_cost_least_is_spent_first(database: Database) -> None:
    def work(session: Session) -> list[tuple[str, int]]:
        ann = account(session)
        give(session, ann, 1, "pack", days=365)
        give(session, ann, 2, "gift", days=2)
        give(session, ann, 3, "monthly", days=30)
        give(session, ann, 4, "reward", days=9)
        give(session, ann, 5, "promo", days=3)
        give(session, ann, 6, "referral")
        give(session, ann, 7, "daily", days=1)
        return [(lot.kind, lot.remaining) for lot in ledger.lots(session, ann, NOON)]

    order = ["daily 7", "promo 5", "reward 4", "referral 6", "monthly 3", "gift 2", "pack 1"]
    assert [f"{kind} {left}" for kind, left in await database.run(work)] == order


async def test_what_lapses_goes_to_breakage_even_when_it_comes_back_late(database: Database) -> None:
    def work(session: Session) -> tuple[int, int, dict[str, int]]:
        ann = account(session)
        give(session, ann, 10, "daily", days=1)
        made = hold(session, ann, 4)
        later = NOON + timedelta(days=2)
        first = ledger.expire(session, later)
        ledger.settle(session, ann, made, 0, later)
        finish(session, made)
        second = ledger.expire(session, later)
        assert ledger.check(session) == []
        return first, second, ledger.balance_of_books(session)

    first, second, books = await database.run(work)
    assert (first, second) == (1, 1)
    assert books["breakage"] == 10
    assert sum(books.values()) == 0


async def test_what_our_fault_gives_back_late_is_good_for_another_day(database: Database) -> None:
    def work(session: Session) -> tuple[int, int]:
        ann = account(session)
        give(session, ann, 10, "daily", days=1)
        made = hold(session, ann, 4)
        ledger.settle(session, ann, made, 0, NOON + timedelta(days=2), our_fault=True)
        return available(session, ann, days=2.5), available(session, ann, days=3.5)

    assert await database.run(work) == (10, 0)


async def test_a_movement_is_never_posted_twice(database: Database) -> None:
    def work(session: Session) -> None:
        ann = account(session)
        for _ in range(2):
            ledger.post(session, ann, "same", "promotion", "available", 1, NOON)

    with pytest.raises(IntegrityError):
        await database.run(work)


async def test_the_check_finds_what_was_tampered_with(database: Database) -> None:
    def work(session: Session) -> list[str]:
        ann = account(session)
        give(session, ann, 10)
        from sqlalchemy import update

        from storage.tables import LotRow

        session.execute(update(LotRow).values(remaining=3))
        return sorted(drift.what for drift in ledger.check(session))

    assert await database.run(work) == ["available", "lot"]

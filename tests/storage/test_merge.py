"""Two accounts become one: nothing is lost, nothing is counted twice, whatever is under way."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from storage import accounts, deliveries, entitlements, flows, jobs, ledger
from storage.accounts import Account, Identity
from storage.database import Database, Session, connect
from storage.entitlements import News
from storage.ledger import Grant
from tests.conftest import NOON
from tests.storage.test_ledger import account, available, finish, give, hold, job


def allowance(session: Session, of: int, amount: int, kind: ledger.LotKind = "daily") -> None:
    until = NOON + timedelta(hours=12)
    grant = Grant(key=f"{kind}:{of}:2026-11-24", kind=kind, amount=amount, expires_at=until)
    ledger.grant(session, of, [grant], NOON)


def merged(session: Session, source: int, target: int) -> Account:
    found = accounts.merge(session, source, target, NOON)
    assert ledger.check(session) == []
    assert sum(ledger.balance_of_books(session).values()) == 0
    return found


async def test_credits_add_up_and_the_old_account_leads_to_the_new_one(database: Database) -> None:
    def work(session: Session) -> None:
        ann, web = account(session, "ann"), account(session, "web")
        give(session, ann, 30)
        give(session, web, 12)
        assert merged(session, web, ann).id == ann
        assert (available(session, ann), available(session, web)) == (42, 0)
        for follow in (accounts.get, accounts.lock):
            found = follow(session, web)
            assert found
            assert found.id == ann
        assert account(session, "web") == ann
        assert sorted(accounts.all_ids(session, ann)) == sorted([ann, web])
        assert merged(session, web, ann) == merged(session, ann, web)  # again changes nothing

    await database.run(work)


async def test_jobs_under_way_end_as_if_they_had_always_been_the_others(database: Database) -> None:
    def work(session: Session) -> None:
        ann, web = account(session, "ann"), account(session, "web")
        give(session, web, 20)
        running, waiting = hold(session, web, 5, "running"), hold(session, web, 7, "waiting")
        [claimed] = jobs.claim(session, "me", lease_seconds=9, limit=1)
        assert claimed.id == running
        merged(session, web, ann)
        for made, used in ((running, 4), (waiting, 0)):
            found = jobs.lock(session, made)
            assert found
            assert found.account == found.paid_by == ann
            ledger.settle(session, found.paid_by, made, used, NOON)
            deliveries.enqueue(session, made, found.account, "web", NOON)
            finish(session, made)
        assert available(session, ann) == 16
        assert ledger.check(session) == []
        assert [(flow.account, flow.running) for flow in flows.snapshot(session)[1]] == []

    await database.run(work)


async def test_two_allowances_of_one_day_do_not_both_stay(database: Database) -> None:
    def work(session: Session) -> None:
        ann, web = account(session, "ann"), account(session, "web")
        allowance(session, ann, 40)
        allowance(session, web, 20)
        held = hold(session, web, 5)
        merged(session, web, ann)
        assert available(session, ann) == 40
        ledger.settle(session, ann, held, 0, NOON)  # what comes back to the lapsed one lapses too
        finish(session, held)
        assert available(session, ann) == 40
        ledger.expire(session, NOON)
        assert ledger.balance_of_books(session)["breakage"] == 20
        assert ledger.check(session) == []

    await database.run(work)


@pytest.mark.parametrize("kind", ["daily", "monthly"])
async def test_an_allowance_that_one_had_is_not_given_again_to_both(
    database: Database, kind: ledger.LotKind
) -> None:
    def work(session: Session) -> None:
        ann, web = account(session, "ann"), account(session, "web")
        allowance(session, web, 20, kind)
        merged(session, web, ann)
        allowance(session, ann, 40, kind)
        assert available(session, ann) == 20

    await database.run(work)


async def test_debts_go_along_and_are_repaid_out_of_what_the_other_has(database: Database) -> None:
    def work(session: Session) -> None:
        ann, web = account(session, "ann"), account(session, "web")
        give(session, web, 50, "pack")
        made = hold(session, web, 50)
        ledger.settle(session, web, made, 50, NOON)
        finish(session, made)
        ledger.reverse(session, web, [f"pack:{web}:None"], NOON, key="refund", reason="r")
        give(session, ann, 20)
        allowance(session, ann, 40)
        assert merged(session, web, ann).debt == 30
        assert available(session, ann) == 40  # the day's allowance is left alone
        again = ledger.reverse(session, ann, [f"pack:{web}:None"], NOON, key="more", reason="r")
        assert (again.taken, again.owed) == (0, 0)  # it was taken back before

    await database.run(work)


async def test_what_belongs_to_a_person_goes_along(database: Database) -> None:
    def work(session: Session) -> None:
        ann, web = account(session, "ann"), account(session, "web")
        made = job(session, web)
        deliveries.enqueue(session, made, web, "web", NOON)
        until = NOON + timedelta(days=3)
        news = News(source="gift", external_id="g", plan="pro", since=NOON, until=until, at=NOON)
        entitlements.hear(session, web, news)
        accounts.set_settings(session, web, {"style": "ink", "steps": 9})
        accounts.set_settings(session, ann, {"steps": 5})
        accounts.set_ban(session, web, "spam")
        found = merged(session, web, ann)
        assert found.settings == {"style": "ink", "steps": 5}
        assert [right.plan for right in entitlements.of_account(session, ann)] == ["pro"]
        assert found.derive_at == NOON  # the plan in force is due to be derived from them
        assert found.banned_reason == "spam"
        assert [each.id for each in jobs.of_account(session, ann)] == [made]
        [delivery] = deliveries.claim(session, "web", lease_seconds=9, limit=9)
        assert delivery.account == ann

    await database.run(work)


async def test_a_merge_reads_no_whole_table_however_many_people_there_are(
    sqlite_template: Path, tmp_path: Path
) -> None:
    """All submits wait for it. Tiers are as many as the plans."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    def work(session: Session) -> list[str]:
        ann, web = account(session, "ann"), account(session, "web")
        give(session, web, 20)
        hold(session, web, 5, "running")
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", note)
        merged = accounts.merge(session, web, ann, NOON)
        accounts.all_ids(session, merged.id)
        event.remove(connection, "before_cursor_execute", note)
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}", values) for each, values in asked]
        return [row.detail for plan in plans for row in plan if row.detail.startswith("SCAN")]

    shutil.copy(sqlite_template, tmp_path / "a.db")
    database = connect(f"sqlite:///{tmp_path / 'a.db'}")
    assert [each for each in await database.run(work) if not each.startswith("SCAN tiers")] == []
    await database.close()


async def test_a_wallet_follows_its_group(database: Database) -> None:
    def work(session: Session) -> None:
        wallet = accounts.resolve(session, accounts.place("telegram", "-5"), NOON)
        give(session, wallet, 9, "pack")
        accounts.move_place(session, "telegram", "-5", "-1005", NOON)
        now_here = accounts.find(session, accounts.place("telegram", "-1005"))
        assert now_here is not None
        assert available(session, now_here) == 9
        assert accounts.find(session, Identity(platform="telegram", external_id="place:-5")) == now_here

    await database.run(work)

"""Rows out of one database into another: nothing lost, nothing changed, numbering goes on, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from storage import (
    accounts,
    artifacts,
    devices,
    entitlements,
    errands,
    jobs,
    ledger,
    notices,
    payments,
    places,
    promos,
    records,
    transfer,
)
from storage.accounts import Identity
from storage.database import Database, Session, connect
from storage.entitlements import News
from storage.ledger import Grant
from storage.promos import Promo
from storage.tables import AccountRow, LotRow, Row
from storage.transfer import Batch, TransferError
from tests import postgres
from tests.bot.jobs.world import now, world
from tests.conftest import NOON, _numbers

EXPECTED_TABLES = {table.name for table in Row.metadata.sorted_tables} - transfer.DERIVED


async def furnish(url: str, folder: Path, people: int = 3) -> None:
    """A database in which something has happened in most tables; blobs lie in `folder/blobs`."""
    async with world(url, folder) as w:
        for number in range(people):
            person = await w.person(f"ann-{number} “é 漢字” 🍎")
            asked = await w.submit(person, f"event-{number}")
            if number == 0:
                await w.live(lambda job=asked.job.id: w.delivered(job))
        await w.real.run(_more, person)
        for key in ("uploads/one", "uploads/unknown"):
            await w.blobs.put(key, b"picture " * 100)


def _more(session: Session, account: int) -> None:
    ledger.grant(
        session, account, [Grant(key="gift", kind="gift", amount=7)], NOON + timedelta(microseconds=1)
    )
    ledger.take(session, account, 2, now(), key="take", reason="because")
    ledger.reverse(session, account, ["gift"], now(), key="refund", amount=3, reason="because")
    artifacts.add_upload(session, account, "uploads/one", expires_at=NOON + timedelta(days=99999))
    artifacts.add_upload(session, account, "uploads/gone", expires_at=NOON + timedelta(days=99999))
    records.audit(session, NOON, actor="cli:me", action="ban", account=account, reason="", a=[1, {"b": None}])
    records.first_time(session, "nonce", expires_at=NOON)
    records.spend(session, "free:x", 2**40, limit_us=2**50)
    records.learn(session, "tiny", {"": 17, "14.0 4.5": 18})
    records.set_capacity(session, "me", records.Capacity(devices=1, slots=2, rate_us=3), lease_seconds=5)
    records.set_progress(session, 1, 1, b"\x00\xff")
    places.set_settings(session, "discord", "1", b"{}")
    places.keep_token(session, "discord", "1", "2", "token", seconds=60)
    places.lead(session, "poller", "me", seconds=5)
    devices.report(session, "me", {"cpu": b"{}"})
    accounts.set_settings(session, account, {"locale": "zh", "steps": None})
    _paid(session, account)
    session.execute(update(AccountRow).where(AccountRow.id == 1).values(merged_into=account))


def _paid(session: Session, account: int) -> None:
    order = payments.NewOrder(token="t", buyer=account, account=account, provider="stripe", product="pack:small",
                              amount=199, currency="usd", expires_at=NOON)  # fmt: skip
    payments.add_order(session, order, NOON)
    payments.hear(session, "stripe", "p1", NOON)
    right = News(source="gift", external_id="g", plan="pro", since=NOON, until=None, at=NOON)
    entitlements.hear(session, account, right)
    errands.send(session, NOON, key="e", provider="stripe", kind="refund", target="p1")
    errands.receive(session, NOON, provider="stripe", external_id="n", kind="k", body=b"\x00{}")
    promos.add(session, Promo(code="SPRING", credits=5), "cli")
    to = Identity(platform="test", external_id="ann", locale="zh")
    notices.send(session, NOON, key="n", account=account, to=to, message="notice-refunded", credits=5)


async def content(url: str, folder: Path) -> list[Batch]:
    """Every row, as a stream has it."""
    database = connect(url)
    try:
        await database.read(transfer.dump, folder / "rows")
    finally:
        await database.close()
    return list(transfer.batches(folder / "rows"))


async def copied(database: Database, url: str, folder: Path) -> None:
    counts = await database.read(transfer.dump, folder / "copy")
    target = connect(url)
    try:
        await target.schema(lambda connection: transfer.copy_into(connection, folder / "copy", counts))
    finally:
        await target.close()


@pytest.fixture
def source_url(database_url: str, tmp_path: Path) -> str:
    asyncio.run(furnish(database_url, tmp_path))
    return database_url


@pytest.fixture
def new_postgres(postgres_server: str) -> Iterator[str]:
    with postgres.database(postgres_server, f"new_{next(_numbers)}") as url:
        yield url


async def test_through_both_databases_and_back_every_row_is_the_same(
    source_url: str, new_postgres: str, tmp_path: Path
) -> None:
    before = await content(source_url, tmp_path)
    assert {batch.table for batch in before} >= EXPECTED_TABLES - {"flows"}
    for url in (new_postgres, f"sqlite:///{tmp_path}/back.db"):
        previous = source_url if url == new_postgres else new_postgres
        database = connect(previous)
        await copied(database, url, tmp_path)
        await database.close()
        assert await content(url, tmp_path) == before
    database = connect(url)
    assert len(await database.run(jobs.claim, "me", lease_seconds=9, limit=9)) == 2  # the line is there, too
    await database.close()


async def test_numbering_goes_on_after_what_was_copied(
    source_url: str, new_postgres: str, tmp_path: Path
) -> None:
    database = connect(source_url)
    await copied(database, new_postgres, tmp_path)
    await database.close()
    target = connect(new_postgres)
    try:
        last: Any = await target.read(lambda session: session.scalar(select(func.max(AccountRow.id))))
        assert (
            await target.run(accounts.resolve, Identity(platform="test", external_id="new"), NOON) == last + 1
        )
        await target.run(ledger.grant, last, [Grant(key="more", kind="gift", amount=1)], NOON)
        assert await target.read(ledger.check) == []
    finally:
        await target.close()


async def test_many_rows_come_in_many_batches(database: Database, tmp_path: Path) -> None:
    rows = [{"plan": "free", "settings": {}, "created_at": NOON} for _ in range(2 * transfer.BATCH_ROWS + 1)]
    await database.run(lambda session: session.execute(insert(AccountRow), rows) and None)
    people = [Identity(platform=f"p{n % 7}", external_id=f"{n}") for n in range(250)]
    for person in people:
        await database.run(accounts.resolve, person, NOON)
    counts = await database.read(transfer.dump, tmp_path / "rows")
    assert (counts["accounts"], counts["identities"]) == (len(rows) + 250, 250)
    found = [
        row[:2]
        for each in transfer.batches(tmp_path / "rows")
        if each.table == "identities"
        for row in each.rows
    ]
    assert sorted(found) == sorted([each.platform, each.external_id] for each in people)


async def test_a_target_with_people_in_it_is_refused(source_url: str, tmp_path: Path) -> None:
    database = connect(source_url)
    before = await content(source_url, tmp_path)
    with pytest.raises(TransferError, match="already has rows in accounts"):
        await copied(database, source_url, tmp_path)
    await database.close()
    assert await content(source_url, tmp_path) == before


@pytest.mark.parametrize("fault", ["drift", "count"])
async def test_what_does_not_add_up_leaves_the_target_untouched(
    database: Database, new_postgres: str, tmp_path: Path, fault: str
) -> None:
    await database.run(accounts.resolve, Identity(platform="test", external_id="ann"), NOON)
    await database.run(ledger.grant, 1, [Grant(key="gift", kind="gift", amount=7)], NOON)
    if fault == "drift":
        await database.run(lambda session: session.execute(update(LotRow).values(remaining=6)) and None)
    counts = await database.read(transfer.dump, tmp_path / "rows")
    counts["jobs"] += fault == "count"
    for url in (new_postgres, f"sqlite:///{tmp_path}/new.db"):
        target = connect(url)
        with pytest.raises(TransferError, match="nothing was kept"):
            await target.schema(lambda connection: transfer.copy_into(connection, tmp_path / "rows", counts))
        assert await target.schema(transfer.occupied_tables) == []
        assert await target.schema(transfer.revision) is None
        await target.close()


@pytest.mark.parametrize(
    "raw",
    [b"\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\x80", b"\x00\x00\x00\x01\x80", b"junk of some length"],
)
def test_a_damaged_stream_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "rows").write_bytes(raw)
    with pytest.raises(TransferError):
        list(transfer.batches(tmp_path / "rows"))


async def test_foreign_rows_are_refused_and_not_repeated(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    for batch in (
        Batch(table="pg_class", columns=("a",), rows=[[1]]),
        Batch(table="accounts", columns=("id", "nope"), rows=[[1, 2]]),
        Batch(table="accounts", columns=("id",), rows=[[1, 2]]),
        Batch(table="accounts", columns=("id",), rows=[]),
        Batch(table="entries", columns=("id", "key"), rows=[[1, "private words"]]),
    ):
        with path.open("wb") as file:
            transfer._write(file, batch)
        with pytest.raises(TransferError) as raised:
            await database.schema(lambda connection: transfer.replace_all(connection, path, transfer.head()))
        assert "private words" not in str(raised.value)
        assert await database.schema(transfer.revision) == transfer.head()


async def test_blobs_that_nobody_may_see_again_are_not_listed(source_url: str, tmp_path: Path) -> None:
    database = connect(source_url)
    assert await database.read(transfer.list_blobs, tmp_path / "keys") == 3
    keys = (tmp_path / "keys").read_text().splitlines()
    assert keys[1:] == ["uploads/gone", "uploads/one"]
    await database.run(artifacts.delete, int(keys[0].split("/")[1]), NOON)
    assert await database.read(transfer.list_blobs, tmp_path / "keys") == 2
    await database.close()


def test_revisions() -> None:
    assert transfer.knows(transfer.head())
    assert not transfer.knows("9999")


async def test_instances_at_work_are_counted(database: Database, database_url: str) -> None:
    async def listening() -> int:
        await asyncio.sleep(0.3)
        return await transfer.on(database, transfer.listeners)

    await database.signals.close()
    assert await listening() == 0
    other = connect(database_url)
    assert await listening() == database_url.startswith("postgresql")
    await other.close()
    assert await listening() == 0

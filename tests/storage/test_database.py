"""One transaction a call, on both databases: all or nothing, prompt signals, and honest when it is away."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import accounts, schema
from storage.accounts import Identity
from storage.database import Database, DatabaseUnavailable, Session, StorageError, connect
from storage.signals import Wake, notify
from tests import postgres
from tests.conftest import NOON, missing


def make(session: Session, name: str) -> int:
    return accounts.resolve(session, Identity(platform="web", external_id=name), NOON)


async def count(database: Database) -> int:
    return await database.read(lambda session: session.scalar(text("SELECT count(*) FROM accounts")) or 0)


async def test_what_raises_writes_nothing_and_its_neighbours_are_not_disturbed(database: Database) -> None:
    def fails(session: Session) -> None:
        make(session, "lost")
        raise ValueError("no")

    async with asyncio.TaskGroup() as group:
        kept = [group.create_task(database.run(make, f"kept{number}")) for number in range(20)]
        lost = [group.create_task(_raises(database.run(fails))) for _ in range(20)]
    assert len({each.result() for each in kept}) == 20
    assert all(each.result() for each in lost)
    assert await count(database) == 20


async def _raises(work: object) -> bool:
    with pytest.raises(ValueError, match="no"):
        await work  # type: ignore[misc]
    return True


async def test_cancelling_the_caller_does_not_tear_the_transaction(database: Database) -> None:
    task = asyncio.ensure_future(database.run(make, "ann"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        while await count(database) != 1:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_reads_that_are_cancelled_at_any_moment_give_their_connections_back(database: Database) -> None:
    for number in range(30):  # more than there are connections
        task = asyncio.ensure_future(
            database.read(lambda session: session.execute(text("SELECT pg_sleep(60)")))
        )
        await asyncio.sleep(number / 1000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await count(database) == 0


async def test_first_calls_at_once_make_one_account(database: Database) -> None:
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(database.run(make, "same")) for _ in range(20)]
    assert len({each.result() for each in tries}) == 1
    assert await count(database) == 1


async def test_signals_arrive_after_the_commit_and_never_without_one(database: Database) -> None:
    wake = Wake(database.signals, "jobs")
    await wake.wait(1)  # PostgreSQL says everything once when it begins to listen
    heard: list[str] = []
    database.signals.on("jobs", heard.append)

    def works(session: Session) -> None:
        notify(session, "jobs", 7)

    def fails(session: Session) -> None:
        notify(session, "jobs", 8)
        raise ValueError("no")

    await _raises(database.run(fails))
    await database.run(works)
    async with asyncio.timeout(10):
        while "7" not in heard:
            await asyncio.sleep(0.01)
    assert "8" not in heard


async def test_what_is_read_is_of_one_moment(database: Database) -> None:
    loop, counts = asyncio.get_running_loop(), list[int]()

    def reading(session: Session) -> None:
        query = text("SELECT count(*) FROM accounts")
        counts.append(session.scalar(query) or 0)
        if session.get_bind().dialect.name == "sqlite":
            asyncio.run_coroutine_threadsafe(database.run(make, "late"), loop).result(10)
        counts.append(session.scalar(query) or 0)

    await database.read(reading)
    assert counts == [0, 0]


async def test_the_schema_is_complete_and_upgrading_again_does_nothing(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    assert await database.schema(schema.differences) == []
    assert await schema.upgrade(database, database_url, backups=tmp_path / "backups") is False
    assert not (tmp_path / "backups").exists()


async def test_several_processes_may_migrate_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    opened = [connect(url) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        did = [group.create_task(schema.upgrade(each, url, backups=tmp_path)) for each in opened]
    assert sorted(each.result() for each in did) == [False, False, True]
    for each in opened:
        await each.close()


async def test_sqlite_is_copied_before_an_old_schema_is_changed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    database = connect(url)
    await schema.upgrade(database, url, backups=tmp_path / "backups")
    await database.run(make, "ann")
    await database.run(
        lambda session: session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    )
    with pytest.raises(Exception, match="0000"):  # a revision of the future, or of another program
        await schema.upgrade(database, url, backups=tmp_path / "backups")
    [copy] = list((tmp_path / "backups").iterdir())
    await database.close()
    opened = connect(f"sqlite:///{copy}")
    assert await count(opened) == 1
    await opened.close()


async def test_a_full_disk_loses_nothing_and_says_so(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "full.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = connect(f"sqlite:///{path}")
    pages = await database.read(lambda session: session.scalar(text("PRAGMA page_count")))
    await database.run(lambda session: session.execute(text(f"PRAGMA max_page_count = {pages}")))
    with pytest.raises(DatabaseUnavailable, match="full"):
        async with asyncio.timeout(20):
            for number in range(5000):
                await database.run(make, f"person {number} " + "x" * 150)
    before = await count(database)
    await database.run(lambda session: session.execute(text("PRAGMA max_page_count = 100000")))
    await database.run(make, "when there is room again")
    assert await count(database) == before + 1
    await database.close()


@pytest.fixture
def cluster() -> Iterator[postgres.Cluster]:
    """A server of the test's own, to be stopped and started."""
    try:
        postgres.binaries()
    except postgres.PostgresMissing as error:
        missing(str(error))
    with tempfile.TemporaryDirectory(prefix="atelier-pg-") as folder:
        yield postgres.Cluster(Path(folder), durable=True)


async def test_a_database_that_goes_away_and_comes_back(cluster: postgres.Cluster, tmp_path: Path) -> None:
    url = cluster.start()
    database = connect(url)
    await schema.upgrade(database, url, backups=tmp_path)
    await database.run(make, "before")
    cluster.stop()
    waiting = asyncio.ensure_future(database.run(make, "meanwhile"))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(cluster.start)
    assert await waiting
    assert await count(database) == 2
    cluster.stop()
    await database.close()


async def test_a_database_that_is_not_there_is_said_in_a_sentence(postgres_server: str) -> None:
    url = postgres_server.rsplit("/", 1)[0] + "/nowhere"
    database = connect(url)
    with pytest.raises(DatabaseUnavailable, match="nowhere"):
        await database.run(make, "ann")
    with pytest.raises(DatabaseUnavailable, match="nowhere"):
        await database.schema(schema.differences)
    await database.close()


def test_another_kind_of_database_is_refused_in_a_sentence() -> None:
    async def open_it() -> None:
        connect("mysql://host/db")

    with pytest.raises(StorageError, match="use sqlite"):
        asyncio.run(open_it())


async def test_a_pool_that_stays_busy_is_an_outage_and_no_crash(
    postgres_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.BUSY_SECONDS", 0.2)
    database = connect(postgres_template, pool=1)
    try:
        holding = asyncio.create_task(
            database.read(lambda session: session.execute(text("SELECT pg_sleep(1)")).all())
        )
        await asyncio.sleep(0.1)
        with pytest.raises(DatabaseUnavailable, match=r"database\.pool"):
            await database.read(lambda session: session.execute(text("SELECT 1")).all())
        await holding
    finally:
        await database.close()

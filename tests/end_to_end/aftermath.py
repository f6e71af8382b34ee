"""What must be true once all is over: each job ended, once, as its page was told; each effect and charge once; and
no process is left of a bot that is gone."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil
from sqlalchemy import func, select

from generators import requests
from generators.requests import WriteText
from storage import accounts, jobs
from storage.accounts import Identity
from storage.database import Database, Session
from storage.jobs import Job
from storage.tables import ArtifactRow, DeliveryRow, EntryRow, JobRow
from tests.bot.platforms.web.conftest import Visitor
from tests.end_to_end.askers import Asker, Page
from tests.end_to_end.process import Instance

SETTLE_SECONDS = 180.0  # a delivery that was claimed by a process that died waits for the end of its lease
LEAVE_SECONDS = 20.0  # Ray ends the actors of a driver that is gone
SHOWN = {"completed": "done", "cancelled": "cancelled", "discarded": "failed"}
PAID: dict[str, Callable[[int], Sequence[int]]] = {
    "completed": lambda price: (price,),
    "cancelled": lambda price: range(price + 1),  # the share that was done
    "discarded": lambda _: (0,),  # three of its workers were killed
}


async def all_over(database: Database, instance: Instance) -> None:
    """Waits until nothing is in line, running or undelivered."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while states := await database.read(_open):
        assert time.monotonic() < deadline, f"still open: {states}\n{instance.log()[-3000:]}"
        await asyncio.sleep(0.2)


def _open(session: Session) -> list[tuple[str, int]]:
    found = Counter(session.scalars(select(JobRow.state).where(JobRow.state.in_(jobs.LIVE))))
    found.update(session.scalars(select(DeliveryRow.state).where(DeliveryRow.state == "pending")))
    return sorted(found.items())


async def check_asker(database: Database, asker: Asker) -> None:
    """What was accepted is this account's, is over, and is what the gallery shows; nothing else was made."""
    mine = await _jobs_of(database, asker.visitor)
    assert set(mine) == set(asker.accepted.values())
    assert len(mine) == len(asker.accepted)
    for job in mine.values():
        assert job.paid in PAID[job.state](job.price)
    assert all(mine[job].state == "cancelled" and mine[job].paid == 0 for job in asker.withdrawn)
    shown = {card["job"]: card for card in (await asker.visitor.cards())["cards"]}
    for job_id, card in shown.items():
        assert card["state"] == SHOWN[mine[job_id].state]
        await _check_pictures(asker.visitor, mine[job_id], card["pictures"])


async def check_page(database: Database, page: Page) -> None:
    """It has heard the end of every job, the true one, and nothing that is wrong on the way."""
    mine = await _jobs_of(database, page.visitor)
    async with asyncio.timeout(SETTLE_SECONDS):
        while page.ended.keys() != mine.keys():
            await asyncio.sleep(0.2)
    assert page.ended == {job.id: SHOWN[job.state] for job in mine.values()}
    assert page.wrong == []


async def _jobs_of(database: Database, visitor: Visitor) -> dict[int, Job]:
    cookie = next(each for each in visitor.session.cookie_jar if each.key == "atelier")
    person = Identity(platform="web", external_id=cookie.value.split(".")[0])
    account = await database.read(accounts.find, person)
    assert account is not None
    return {job.id: job for job in await database.read(jobs.of_account, account, limit=100_000)}


async def _check_pictures(visitor: Visitor, job: Job, pictures: list[dict[str, str]]) -> None:
    assert bool(pictures) == (job.state == "completed" and job.kind == "image")
    for picture in pictures:
        async with visitor.session.get(f"{visitor.site.url}{picture['url']}") as response:
            assert response.status == 200
            assert (await response.read())[:8] == b"\x89PNG\r\n\x1a\n"


async def check_nothing_twice(database: Database) -> None:
    """One delivery a job, sent; of each completed one the artifacts that were asked for, of the others none; what
    was charged for each is what it paid, to the credit."""

    def look(session: Session) -> None:
        found = session.scalars(select(JobRow)).all()
        deliveries = session.execute(select(DeliveryRow.job_id, DeliveryRow.state)).all()
        assert sorted(map(tuple, deliveries)) == sorted((job.id, "sent") for job in found)
        assert _counted(session, ArtifactRow, func.count()) == {
            job.id: _wanted(job.request) for job in found if job.state == "completed"
        }
        charged = _counted(session, EntryRow, func.sum(EntryRow.amount), EntryRow.target == "revenue")
        assert charged == {job.id: job.paid for job in found if job.paid}
        assert charged

    await database.read(look)


def attempts(session: Session) -> list[int]:
    """How often each job was begun."""
    return list(session.scalars(select(JobRow.attempt)))


def _counted(session: Session, row: type, number: object, *which: object) -> dict[int, int]:
    query = select(row.job_id, number).where(*which).group_by(row.job_id)  # type: ignore[attr-defined]
    return {job: int(count) for job, count in session.execute(query)}  # type: ignore[arg-type]


def _wanted(request: bytes) -> int:
    asked = requests.decode(request)
    return 1 if isinstance(asked, WriteText) else asked.count


async def check_no_orphans(instance: Instance) -> None:
    """Of a bot that was killed nothing goes on: neither its workers, wherever they are, nor its driver."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while left := _processes_of(instance):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.2)


def _processes_of(instance: Instance) -> list[list[str]]:
    """Its environment, or its settings, name the home."""
    found: list[list[str]] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            ours = process.environ().get("ATELIER_HOME") == str(instance.home)
            if process.status() != psutil.STATUS_ZOMBIE and (ours or str(instance.home) in " ".join(words)):
                found.append(words)
    return found

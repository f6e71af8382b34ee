"""The real bot while what it stands on is away: a full disk, a database that stops. It keeps running and says so."""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage import jobs
from tests import postgres
from tests.bot.platforms.web.conftest import Visitor, read_events
from tests.conftest import missing
from tests.end_to_end.conftest import MakeInstance
from tests.end_to_end.process import Instance, check_books

AWAY = "I can't save anything right now, so nothing was done or charged."
QUICK = "a red apple --steps 4"


async def ended(visitor: Visitor, job: int, *, seconds: float = 60) -> dict[str, Any]:
    """The job's last card, as the page gets it."""
    async with asyncio.timeout(seconds):
        while True:  # a feed may end at any time: the page opens another
            if (card := await _ended_in_feed(visitor, job)) is not None:
                return card


async def _ended_in_feed(visitor: Visitor, job: int) -> dict[str, Any] | None:
    async with visitor.feed() as response:
        async for kind, value in read_events(response):
            cards = (await visitor.cards())["cards"] if kind == "hello" else [value] if kind == "card" else []
            for card in cards:
                if card["job"] == job and card["ended"]:
                    return card
    return None


async def made(visitor: Visitor, prompt: str = QUICK) -> dict[str, Any]:
    status, reply = await visitor.say("imagine", prompt)
    assert (status, reply["refused"]) == (200, False), reply
    return await ended(visitor, reply["cards"][0]["job"])


def limit_files(instance: Instance, bytes_max: int) -> None:
    """No file may grow beyond this: what a full disk is to whoever writes."""
    _, hard = resource.prlimit(instance.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(instance.pid, resource.RLIMIT_FSIZE, (bytes_max, hard))


async def test_a_full_disk_is_said_and_survived(
    make_instance: MakeInstance, visit: Callable[..., Any]
) -> None:
    instance = make_instance()
    await asyncio.to_thread(instance.start)
    visitor = await visit(instance)
    assert (await made(visitor))["state"] == "done"
    limit_files(instance, 1)
    for _ in range(3):
        status, reply = await visitor.say("imagine", QUICK)
        assert (status, reply["refused"]) == (200, True)
        assert AWAY in reply["text"]
    await asyncio.sleep(2.5)  # the rescuer's and the deliverer's rounds meet the full disk as well
    assert instance.running
    assert len((await visitor.cards())["cards"]) == 1  # what is there can still be seen
    limit_files(instance, resource.RLIM_INFINITY)
    assert (await made(visitor))["state"] == "done"
    async with instance.database() as database:
        assert await database.read(jobs.counts) == {"completed": 2}
        await check_books(database)


async def test_a_disk_that_fills_while_a_picture_is_made_loses_nothing(
    make_instance: MakeInstance, visit: Callable[..., Any]
) -> None:
    instance = make_instance()
    await asyncio.to_thread(instance.start)
    visitor = await visit(instance)
    _, reply = await visitor.say("imagine", "a red apple --size 256x256 --steps 30")
    await asyncio.to_thread(instance.wait, lambda: "job.claimed" in instance.log(), 10)
    limit_files(instance, 1)
    await asyncio.sleep(4)
    limit_files(instance, resource.RLIM_INFINITY)
    card = await ended(visitor, reply["cards"][0]["job"])
    assert card["state"] == "done"
    async with instance.database() as database:
        [job] = await database.read(jobs.many, [card["job"]])
        assert job.paid == job.price
        await check_books(database)


# --- a database that goes away and comes back -----------------------------------------------------------------


@pytest.fixture
def cluster() -> Iterator[postgres.Cluster]:
    """A server of the test's own, to be stopped and started."""
    try:
        postgres.binaries()
    except postgres.PostgresMissing as error:
        missing(str(error))
    with tempfile.TemporaryDirectory(prefix="atelier-pg-") as folder:
        made = postgres.Cluster(Path(folder))
        made.url = made.start()  # type: ignore[attr-defined]
        yield made
        made.stop()


@pytest.fixture
async def on_cluster(cluster: postgres.Cluster, make_instance: MakeInstance) -> Instance:
    instance = make_instance(database_url=cluster.url, ATELIER_TIMEOUTS_LEASE="5s")  # type: ignore[attr-defined]
    await asyncio.to_thread(instance.start)
    return instance


async def test_a_database_that_goes_away_and_comes_back(
    cluster: postgres.Cluster, on_cluster: Instance, visit: Callable[..., Any]
) -> None:
    """Stopped in the middle of a picture, for longer than its lease; asked for more meanwhile."""
    visitor = await visit(on_cluster)
    _, reply = await visitor.say("imagine", "a red apple --size 256x256 --steps 30")
    await asyncio.to_thread(on_cluster.wait, lambda: "job.claimed" in on_cluster.log(), 10)
    await asyncio.to_thread(cluster.stop)
    began = time.monotonic()
    status, refused = await visitor.say("imagine", QUICK)
    assert (status, refused["refused"]) == (200, True)
    assert AWAY in refused["text"]
    assert time.monotonic() - began < 15
    assert not await asyncio.to_thread(on_cluster.healthy)
    assert on_cluster.running
    await asyncio.to_thread(cluster.start)
    assert (await ended(visitor, reply["cards"][0]["job"]))["state"] == "done"
    assert (await made(visitor))["state"] == "done"
    await asyncio.to_thread(on_cluster.wait, on_cluster.healthy, 10)
    async with on_cluster.database() as database:
        assert await database.read(jobs.counts) == {"completed": 2}
        found = await database.read(jobs.recent, limit=9)
        assert [job.paid for job in found] == [job.price for job in found]
        await check_books(database)


# --- the door itself --------------------------------------------------------------------------------------------


async def test_what_knocks_at_the_door_gets_a_sentence_and_never_a_traceback(
    make_instance: MakeInstance, visit: Callable[..., Any]
) -> None:
    instance = make_instance(ATELIER_PLANS_FREE_PER_MINUTE="100", ATELIER_WEB_ALLOWANCES_PER_NETWORK="1")
    await asyncio.to_thread(instance.start)
    visitor, cleared = await visit(instance), await visit(instance)
    for prompt in ("", "x" * 100_000, "x" * 1_000_000, "a --stepz 3", "\x00", "x --steps 1e9"):
        status, reply = await visitor.say("imagine", prompt)
        assert reply.get("text") or reply.get("error"), (prompt[:20], status, reply)
        assert status in (200, 413)
    for picture in (b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg/>", b"x" * (10 * 1024 * 1024 + 1)):
        status, reply = await visitor.say("imagine", "an apple", picture=picture)
        assert reply.get("refused") or reply.get("error")
    for button in ("", "x", "\x00", "ag-1.zz.AAAAAAAAAAAAAAAA", "é" * 300, "ag-" + "9" * 200):
        status, reply = await visitor.press(button)
        assert reply.get("refused") or reply.get("error"), (button, status, reply)
    for body in (
        b"",
        b"{}",
        b"[]",
        b"\xff",
        json.dumps({"event": 1, "button": []}).encode(),
        b'{"event": "\\ud800"}',
    ):
        for path in ("press", "say", "language"):
            async with visitor.session.post(
                f"{instance.url}/api/{path}", data=body, headers=visitor.headers
            ) as response:
                assert response.status == 400
                assert (await response.json())["error"]
    card = await made(visitor)
    for button in card["buttons"]:
        _, reply = await cleared.press(button["id"])
        assert reply["text"] == "That belongs to somebody else."
    _, reply = await cleared.say("imagine", "an apple")
    assert "went to another session" in reply["text"]
    _, reply = await visitor.say("balance", "")
    assert reply["left"] == 19
    async with instance.database() as database:
        await check_books(database)

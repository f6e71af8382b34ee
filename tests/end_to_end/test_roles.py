"""Roles of their own processes: one chats, two generate, PostgreSQL between them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from storage import jobs
from tests.bot.platforms.web.conftest import Visitor, read_events
from tests.end_to_end.conftest import MakeInstance
from tests.end_to_end.process import Instance, check_books

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
SHORT_LEASE = {"ATELIER_TIMEOUTS_LEASE": "3s", "ATELIER_POOL_THREADS": "1"}
SLOW_PICTURE = "a red apple --size 256x256 --steps 30"


@pytest.fixture
async def roles(database_url: str, make_instance: MakeInstance) -> tuple[Instance, Instance, Instance]:
    """(chat, generate, generate), started one after the other: the first one migrates and makes the keys."""
    chat = make_instance(database_url=database_url, role="chat", **SHORT_LEASE)
    generators = [make_instance(database_url=database_url, role="generate", **SHORT_LEASE) for _ in range(2)]
    await asyncio.to_thread(chat.start)
    async with asyncio.TaskGroup() as group:
        for each in generators:
            group.create_task(asyncio.to_thread(each.start))
    return chat, generators[0], generators[1]


async def ended(
    visitor: Visitor, job: int, *, seconds: float = 40
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The job's last card and all that the feed showed before."""
    shown: list[dict[str, Any]] = []
    async with asyncio.timeout(seconds), visitor.feed() as response:
        async for kind, value in read_events(response):
            if kind == "hello":  # what ended before the feed was open
                shown += [card for card in (await visitor.cards())["cards"] if card["job"] == job]
            elif kind in ("card", "text") and value["job"] == job:
                shown.append(value)
            if shown and shown[-1].get("ended"):
                return shown[-1], shown
    raise AssertionError(json.dumps(shown)[-2000:])


async def test_a_prompt_of_the_page_is_done_by_another_process_and_its_progress_is_seen(
    roles: tuple[Instance, Instance, Instance], visit: Callable[[Instance], Any]
) -> None:
    chat, *generators = roles
    visitor = await visit(chat)
    _, reply = await visitor.say("imagine", SLOW_PICTURE)
    card, shown = await ended(visitor, reply["cards"][0]["job"])
    assert card["state"] == "done"
    assert any(0 < each.get("fraction", 0) < 1 for each in shown)
    assert any(each.get("preview") for each in shown)
    assert "job.completed" not in chat.log()
    assert sum(each.log().count("job.completed") for each in generators) == 1


async def test_a_text_streams_between_processes(
    roles: tuple[Instance, Instance, Instance], visit: Callable[[Instance], Any]
) -> None:
    chat, *_ = roles
    visitor = await visit(chat)
    _, reply = await visitor.say("write", "a story about a mushroom --length 60")
    card, shown = await ended(visitor, reply["cards"][0]["job"])
    assert card["state"] == "done"
    assert any(each.get("text") and not each.get("ended") for each in shown)


async def test_a_process_that_dies_loses_nothing_another_does_its_jobs(
    roles: tuple[Instance, Instance, Instance], visit: Callable[[Instance], Any]
) -> None:
    chat, *generators = roles
    visitors = [await visit(chat) for _ in range(3)]
    made = [(await each.say("imagine", SLOW_PICTURE))[1]["cards"][0]["job"] for each in visitors]
    victim = await first_to_claim(generators)
    victim.kill()
    async with asyncio.TaskGroup() as group:
        for visitor, job in zip(visitors, made, strict=True):
            group.create_task(ended(visitor, job))
    async with chat.database() as database:
        found = await database.read(jobs.many, made)
        assert [job.state for job in found] == ["completed"] * 3
        assert [job.paid for job in found] == [job.price for job in found]
        assert max(job.attempt for job in found) == 2
        await check_books(database)


async def first_to_claim(generators: list[Instance]) -> Instance:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for each in generators:
            if each.log().count("job.claimed") > each.log().count("job.completed"):
                return each
        await asyncio.sleep(0.02)
    raise AssertionError("nobody claimed a job")


async def test_stopping_a_process_hands_its_waiting_jobs_over(
    roles: tuple[Instance, Instance, Instance], visit: Callable[[Instance], Any]
) -> None:
    chat, *generators = roles
    visitor = await visit(chat)
    made = [(await visitor.say("imagine", SLOW_PICTURE))[1]["cards"][0]["job"] for _ in range(2)]
    stopped = await first_to_claim(generators)
    await asyncio.to_thread(stopped.terminate)
    for job in made:
        card, _ = await ended(visitor, job)
        assert card["state"] == "done"
    async with chat.database() as database:
        await check_books(database)

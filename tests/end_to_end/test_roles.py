"""Roles of their own processes: one chats, two generate, PostgreSQL between them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage import jobs
from tests import postgres
from tests.bot.platforms.web.conftest import Visitor, read_events
from tests.end_to_end.conftest import new_home
from tests.end_to_end.process import START_SECONDS, Instance, check_books, instances

Roles = tuple[Instance, Instance, Instance]
SHORT_LEASE = {"ATELIER_TIMEOUTS_LEASE": "3s", "ATELIER_POOL_THREADS": "1"}
SLOW_PICTURE = "a red apple --size 256x256 --steps 30"


@pytest.fixture(scope="module")
def started(
    postgres_template: str, converted: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Roles]:
    """(chat, generate, generate), started one after the other: the first one migrates and makes the keys."""
    home = new_home(tmp_path_factory.mktemp("roles"), converted)
    with postgres.database(postgres_template, "roles") as url:
        chat, *generators = instances(home, ["chat", "generate", "generate"], url, **SHORT_LEASE)
        chat.start()
        for each in generators:
            each.launch()
        for each in generators:
            each.wait(lambda each=each: each.ready > 0, START_SECONDS)
        yield chat, generators[0], generators[1]
        for each in (chat, *generators):
            each.end()
        assert [line for each in (chat, *generators) for line in each.complaints()] == []


@pytest.fixture
def roles(started: Roles) -> Roles:
    """The same for all tests here; what one test stopped is started again for the next."""
    for each in started:
        if not each.running:
            each.start()
    return started


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
    roles: Roles, visit: Callable[[Instance], Any]
) -> None:
    chat, *generators = roles
    visitor = await visit(chat)
    _, reply = await visitor.say("imagine", SLOW_PICTURE)
    job = reply["cards"][0]["job"]
    card, shown = await ended(visitor, job)
    assert card["state"] == "done"
    assert any(0 < each.get("fraction", 0) < 1 for each in shown)
    assert any(each.get("preview") for each in shown)
    assert [said(each, "job.completed", job) for each in (chat, *generators)].count(True) == 1
    assert not said(chat, "job.completed", job)


async def test_a_text_streams_between_processes(roles: Roles, visit: Callable[[Instance], Any]) -> None:
    chat, *_ = roles
    visitor = await visit(chat)
    _, reply = await visitor.say("write", "a story about a mushroom --length 60")
    card, shown = await ended(visitor, reply["cards"][0]["job"])
    assert card["state"] == "done"
    assert any(each.get("text") and not each.get("ended") for each in shown)


async def test_a_process_that_dies_loses_nothing_another_does_its_jobs(
    roles: Roles, visit: Callable[[Instance], Any]
) -> None:
    chat, *generators = roles
    visitors = [await visit(chat) for _ in range(3)]
    made = [(await each.say("imagine", SLOW_PICTURE))[1]["cards"][0]["job"] for each in visitors]
    victim = await first_to_claim(generators, made)
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


def said(instance: Instance, event: str, job: int) -> bool:
    words = {f"event={event}", f"job={job}"}
    return any(words <= set(line.split()) for line in instance.log().splitlines())


async def first_to_claim(generators: list[Instance], made: list[int]) -> Instance:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for each in generators:
            if any(said(each, "job.claimed", job) and not said(each, "job.completed", job) for job in made):
                return each
        await asyncio.sleep(0.02)
    raise AssertionError("nobody claimed a job")


async def test_stopping_a_process_hands_its_waiting_jobs_over(
    roles: Roles, visit: Callable[[Instance], Any]
) -> None:
    chat, *generators = roles
    visitor = await visit(chat)
    made = [(await visitor.say("imagine", SLOW_PICTURE))[1]["cards"][0]["job"] for _ in range(2)]
    stopped = await first_to_claim(generators, made)
    await asyncio.to_thread(stopped.terminate)
    for job in made:
        card, _ = await ended(visitor, job)
        assert card["state"] == "done"
    async with chat.database() as database:
        await check_books(database)

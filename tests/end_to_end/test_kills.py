"""Real SIGKILLs of the worker and of the whole bot, at random moments, while people keep asking and change their
minds, so that jobs join and leave running models all the time, and their open pages follow what happens.

At the end everything that was accepted has come to its end exactly once: one job, one charge, one delivery.
`make soak` does the same for SOAK_SECONDS, with texts among the pictures, over processes and over Ray.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil
import pytest

from tests.end_to_end import aftermath
from tests.end_to_end.askers import PICTURES, TEXTS, Asker, Page, Prompt
from tests.end_to_end.conftest import MakeInstance, visiting
from tests.end_to_end.process import START_SECONDS, Instance, check_books
from tests.generators.nodes import Nodes

VISITORS = 4
GENEROUS = {
    "ATELIER_PLANS_FREE_CREDITS_DAY": "100000",
    "ATELIER_PLANS_FREE_PER_MINUTE": "100000",
    "ATELIER_PLANS_FREE_RUNNING": "2",
    "ATELIER_PLANS_FREE_WAITING": "3",
    "ATELIER_BUDGET_FREE_TOTAL": "0",
    "ATELIER_BUDGET_FREE_PER_PLACE": "0",
    "ATELIER_RETRY_BASE": "0s",
    "ATELIER_TIMEOUTS_LEASE": "3s",
}


async def under_fire(
    instance: Instance, chance: random.Random, prompts: Sequence[Prompt], kill: Callable[[], Awaitable[None]]
) -> None:
    """People ask while `kill` does its work; then all of it is looked at."""
    await asyncio.to_thread(instance.start)
    async with AsyncExitStack() as stack:
        askers, pages = [], []
        for _ in range(VISITORS):
            visitor = await stack.enter_async_context(visiting(instance))
            askers.append(Asker(visitor, random.Random(chance.getrandbits(32)), prompts))
            pages.append(Page(visitor))
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(page.run()) for page in pages]
            await asked(askers, kill)
            async with instance.database() as database:
                await aftermath.all_over(database, instance)
                for asker, page in zip(askers, pages, strict=True):
                    await aftermath.check_asker(database, asker)
                    await aftermath.check_page(database, page)
                await check_books(database)
                await aftermath.check_nothing_twice(database)
                attempts = await database.read(aftermath.attempts)
            for task in reading:
                task.cancel()
    accepted = sum(len(asker.accepted) for asker in askers)
    print(f"{accepted} jobs, {sum(len(page.streamed) for page in pages)} streamed texts")
    assert accepted > VISITORS
    assert max(attempts) > 1  # a kill took somebody's job along
    assert all(asker.presses for asker in askers if asker.accepted)
    if prompts is not PICTURES and accepted > 100:  # where each life is shorter than a text, none gets far
        assert any(page.streamed for page in pages)
    await asyncio.to_thread(instance.kill)
    await aftermath.check_no_orphans(instance)


async def asked(askers: Sequence[Asker], kill: Callable[[], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for asker in askers:
            group.create_task(asker.run(stop))
        await kill()
        stop.set()


async def kill_at_random(instance: Instance, chance: random.Random, more: Callable[[int], bool]) -> None:
    """Worker, bot, worker, bot … until there are to be no `more`: two on their way up, the next two when the device
    works again, and so has something to lose."""
    kills = lives = 0
    while more(kills):
        if kills % 4 >= 2:
            await asyncio.to_thread(instance.wait, lambda lives=lives: instance.ready > lives, START_SECONDS)
        await asyncio.sleep(chance.uniform(0.1, 1.6))
        lives = instance.ready
        if kills % 2:
            instance.kill()
            await asyncio.to_thread(instance.start)
        else:
            await asyncio.to_thread(instance.wait, instance.kill_worker, 60.0)
        kills += 1
    print(f"{kills} kills")


async def kill_in_cluster(
    nodes: Nodes, instance: Instance, chance: random.Random, more: Callable[[int], bool]
) -> None:
    """A worker, an actor, a node (another joins), the driver, the bot, the head and with it the whole cluster (which
    is started anew): again and again."""
    kills = 0
    while more(kills):
        await asyncio.sleep(chance.uniform(2.0, 8.0))
        match kills % 6:
            case 0:
                kill_one("generators.worker")
            case 1:
                kill_one("ray::Host")
            case 2:
                nodes.kill()
                nodes.add()
            case 3:
                kill_one("generators.ray_driver")
            case 4:
                await asyncio.to_thread(instance.restart, signal.SIGKILL)
            case _:
                nodes.kill_head()
                await asyncio.sleep(chance.uniform(1.0, 12.0))
                nodes.revive()
        kills += 1
    print(f"{kills} kills")


def kill_one(words: str) -> None:
    """A process of the bot or of the cluster, which both are children of the test's."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if words in " ".join(process.cmdline()):
                process.kill()
                return


SCRIBE = """
[defaults]
image = "tiny"
text = "scribe"
[models.tiny]
[models.scribe]
kind = "text"
source = "{}"
max_tokens = 200
credits = 1
commercial = true
"""
KILLS = {"sqlite": 8, "postgresql": 4}


async def test_kills_of_worker_and_bot_lose_nothing_and_charge_nothing_twice(
    database_url: str, make_instance: MakeInstance
) -> None:
    kills = KILLS[database_url.split(":")[0]]
    instance, chance = make_instance(database_url=database_url, **GENEROUS), random.Random(2026)
    await under_fire(
        instance, chance, PICTURES, lambda: kill_at_random(instance, chance, lambda done: done < kills)
    )


@pytest.fixture
def with_texts(tmp_path: Path, folder: Callable[[str], Path]) -> dict[str, str]:
    """The starter model for pictures, and a tiny one that babbles."""
    config = tmp_path / "soak.toml"
    config.write_text(SCRIBE.format(folder("scribe")))
    return {"ATELIER_CONFIG": str(config)}


@pytest.mark.soak
async def test_soak(database_url: str, make_instance: MakeInstance, with_texts: dict[str, str]) -> None:
    """A third of SOAK_SECONDS on each database. SOAK_SEED repeats a run's choices."""
    instance = make_instance(database_url=database_url, **GENEROUS, **with_texts)
    chance, more = soaking()
    await under_fire(instance, chance, (*PICTURES, *TEXTS), lambda: kill_at_random(instance, chance, more))


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_soak_of_a_cluster(
    database_url: str, make_instance: MakeInstance, with_texts: dict[str, str]
) -> None:
    """The last third, over Ray."""
    nodes = Nodes(2)
    over_ray = {
        "ATELIER_POOL_ENGINE": "ray", "ATELIER_POOL_RAY_ADDRESS": nodes.address,
        "ATELIER_RETRY_ATTEMPTS": "10",  # a node takes all that run on it along
    }  # fmt: skip
    try:
        instance = make_instance(database_url=database_url, **GENEROUS, **with_texts, **over_ray)
        chance, more = soaking()
        await under_fire(
            instance, chance, (*PICTURES, *TEXTS), lambda: kill_in_cluster(nodes, instance, chance, more)
        )
    finally:
        nodes.close()


def soaking() -> tuple[random.Random, Callable[[int], bool]]:
    """The dice, and whether the time is not up."""
    until = time.monotonic() + float(os.environ.get("SOAK_SECONDS", "600")) / 3
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().getrandbits(32))
    print(f"SOAK_SEED={seed}")
    return random.Random(seed), lambda _: time.monotonic() < until

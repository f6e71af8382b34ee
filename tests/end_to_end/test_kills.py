"""Real SIGKILLs of the worker and of the whole bot, at random moments, while people keep asking and change their
minds, so that jobs join and leave running models all the time.

At the end everything that was accepted has come to its end exactly once: one job, one charge, one delivery.
`make soak` does the same for SOAK_SECONDS.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psutil
import pytest
from sqlalchemy import select

from bot.chat import Action
from storage import accounts, jobs
from storage.accounts import Identity
from storage.database import Database, Session
from storage.jobs import Job
from storage.tables import DeliveryRow, EntryRow, JobRow
from tests.bot.platforms.web.conftest import Visitor
from tests.end_to_end.conftest import MakeInstance, visiting
from tests.end_to_end.process import Instance, check_books
from tests.generators.nodes import Nodes

VISITORS = 4
CANCELLED_SHARE = 0.3
SETTLE_SECONDS = 90.0  # a delivery that was claimed by a process that died waits for the end of its lease
GENEROUS = {
    "ATELIER_PLANS_FREE_CREDITS_DAY": "20000",
    "ATELIER_PLANS_FREE_PER_MINUTE": "100000",
    "ATELIER_PLANS_FREE_RUNNING": "2",
    "ATELIER_PLANS_FREE_WAITING": "3",
    "ATELIER_RETRY_BASE": "0s",
}
SHOWN = {"completed": "done", "cancelled": "cancelled", "discarded": "failed"}
PAID: dict[str, Callable[[int], Sequence[int]]] = {
    "completed": lambda price: (price,),
    "cancelled": lambda price: range(price + 1),  # the share that was done
    "discarded": lambda _: (0,),
}
PROMPTS = (
    "a red apple --steps 6", "a rocket --steps 12", "a fox -n 2 --steps 6", "a whale --size 160x160 --steps 8",
)  # fmt: skip


@dataclass
class Asker:
    """A person who asks again and again; what gets no answer is sent again as the same event, as the page does.
    Some of it is cancelled a moment later, whether it waits, runs or is over."""

    visitor: Visitor
    chance: random.Random
    accepted: dict[str, int] = field(default_factory=dict)  # event -> job
    presses: int = 0  # of the cancel button
    withdrawn: set[int] = field(default_factory=set)  # jobs that it said were cancelled: they had not run
    refused: Counter[str] = field(default_factory=Counter)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._ask(uuid.UUID(int=self.chance.getrandbits(128)).hex)
            await asyncio.sleep(self.chance.uniform(0.05, 0.5))

    async def _ask(self, event: str) -> None:
        prompt = self.chance.choice(PROMPTS)
        while True:
            try:
                status, reply = await self.visitor.say("imagine", prompt, event=event)
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(0.2)  # nobody is there: it is being killed or started
                continue
            assert status == 200, reply
            if reply["refused"]:
                self.refused[reply["text"]] += 1
            else:
                [card] = reply["cards"]
                assert self.accepted.setdefault(event, card["job"]) == card["job"]
                await self._reconsider(card)
            return

    async def _reconsider(self, card: dict[str, Any]) -> None:
        cancels = [button["id"] for button in card["buttons"] if button["action"] == Action.CANCEL]
        if not cancels or (self.presses and self.chance.random() > CANCELLED_SHARE):
            return
        await asyncio.sleep(self.chance.uniform(0, 1))
        reply = await self._pressed(cancels[0])
        self.presses += 1
        self.withdrawn |= {each["job"] for each in reply["cards"] if each["state"] == "cancelled"}

    async def _pressed(self, button: str) -> dict[str, Any]:
        while True:
            try:
                return (await self.visitor.press(button))[1]
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(0.2)


async def kill_at_random(instance: Instance, chance: random.Random, more: Callable[[int], bool]) -> None:
    """Worker, bot, worker, bot … until there are to be no `more`."""
    kills = 0
    while more(kills):
        await asyncio.sleep(chance.uniform(0.1, 1.6))
        if kills % 2:
            instance.kill()
            await asyncio.to_thread(instance.start)
        else:
            await asyncio.to_thread(instance.wait, instance.kill_worker, 10.0)
        kills += 1


async def under_fire(
    instance: Instance, seed: int, more: Callable[[int], bool], *, nodes: Nodes | None = None
) -> None:
    chance = random.Random(seed)
    await asyncio.to_thread(instance.start)
    async with AsyncExitStack() as stack:
        askers = [
            Asker(await stack.enter_async_context(visiting(instance)), random.Random(chance.getrandbits(32)))
            for _ in range(VISITORS)
        ]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for asker in askers:
                group.create_task(asker.run(stop))
            if nodes is None:
                await kill_at_random(instance, chance, more)
            else:
                await kill_in_cluster(nodes, instance, chance, more)
            stop.set()
        async with instance.database() as database:
            await all_over(database, instance)
            for asker in askers:
                await check_asker(database, asker)
            await check_books(database)
            await check_nothing_twice(database)
    assert sum(len(asker.accepted) for asker in askers) > VISITORS
    assert all(asker.presses for asker in askers if asker.accepted)


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
    """What was accepted is this account's, is over, and is what the page shows; nothing else was made."""
    cookie = next(each for each in asker.visitor.session.cookie_jar if each.key == "atelier")
    account = await database.read(
        accounts.find, Identity(platform="web", external_id=cookie.value.split(".")[0])
    )
    assert account is not None
    mine = {job.id: job for job in await database.read(jobs.of_account, account, limit=100_000)}
    assert set(mine) == set(asker.accepted.values())
    assert len(mine) == len(asker.accepted)
    for job in mine.values():
        assert job.state in (
            "completed",
            "cancelled",
            "discarded",
        )  # discarded: three of its workers were killed
        assert job.paid in PAID[job.state](job.price)
    assert all(mine[job].state == "cancelled" and mine[job].paid == 0 for job in asker.withdrawn)
    shown = {card["job"]: card for card in (await asker.visitor.cards())["cards"]}
    for job_id, card in shown.items():
        assert card["state"] == SHOWN[mine[job_id].state]
        await check_pictures(asker.visitor, mine[job_id], card["pictures"])


async def check_pictures(visitor: Visitor, job: Job, pictures: list[dict[str, str]]) -> None:
    assert bool(pictures) == (job.state == "completed")
    for picture in pictures:
        async with visitor.session.get(f"{visitor.site.url}{picture['url']}") as response:
            assert response.status == 200
            assert (await response.read())[:8] == b"\x89PNG\r\n\x1a\n"


async def check_nothing_twice(database: Database) -> None:
    """One delivery a job, sent; what was charged is what the jobs paid, to the credit."""

    def look(session: Session) -> tuple[Counter[int], set[str], int, int]:
        deliveries = Counter(session.scalars(select(DeliveryRow.job_id)))
        states = set(session.scalars(select(DeliveryRow.state)))
        charged = sum(session.scalars(select(EntryRow.amount).where(EntryRow.target == "revenue")))
        paid = sum(session.scalars(select(JobRow.paid)))
        return deliveries, states, charged, paid

    deliveries, states, charged, paid = await database.read(look)
    assert set(deliveries.values()) == {1}
    assert states == {"sent"}
    assert charged == paid > 0


async def kill_in_cluster(
    nodes: Nodes, instance: Instance, chance: random.Random, more: Callable[[int], bool]
) -> None:
    """A worker, an actor, a node (another joins), the bot itself, again and again."""
    kills = 0
    while more(kills):
        await asyncio.sleep(chance.uniform(2.0, 8.0))
        match kills % 4:
            case 0:
                kill_one("generators.worker")
            case 1:
                kill_one("ray::Host")
            case 2:
                nodes.kill()
                nodes.add()
            case _:
                await asyncio.to_thread(instance.restart, signal.SIGKILL)
        kills += 1


def kill_one(words: str) -> None:
    """A process of the cluster, which is a child of the test's."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if words in " ".join(process.cmdline()):
                process.kill()
                return


KILLS = {"sqlite": 20, "postgresql": 8}


async def test_kills_of_worker_and_bot_lose_nothing_and_charge_nothing_twice(
    database_url: str, make_instance: MakeInstance
) -> None:
    kills = KILLS[database_url.split(":")[0]]
    instance = make_instance(database_url=database_url, **GENEROUS, ATELIER_TIMEOUTS_LEASE="3s")
    await under_fire(instance, seed=2026, more=lambda done: done < kills)


@pytest.mark.soak
async def test_soak(database_url: str, make_instance: MakeInstance) -> None:
    """A third of SOAK_SECONDS on each database. SOAK_SEED repeats a run's choices."""
    instance = make_instance(database_url=database_url, **GENEROUS, ATELIER_TIMEOUTS_LEASE="3s")
    seed, more = soaking()
    await under_fire(instance, seed, more)


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_soak_of_a_cluster(database_url: str, make_instance: MakeInstance) -> None:
    """The last third, over Ray: workers, actors, nodes and the bot are killed."""
    nodes = Nodes(2)
    over_ray = {
        "ATELIER_POOL_ENGINE": "ray", "ATELIER_POOL_RAY_ADDRESS": nodes.address,
        "ATELIER_RETRY_ATTEMPTS": "10",  # a node takes all that run on it along
    }  # fmt: skip
    try:
        instance = make_instance(
            database_url=database_url, **GENEROUS, ATELIER_TIMEOUTS_LEASE="3s", **over_ray
        )
        seed, more = soaking()
        await under_fire(instance, seed, more, nodes=nodes)
    finally:
        nodes.close()


def soaking() -> tuple[int, Callable[[int], bool]]:
    """A seed, and whether the time is not up."""
    until = time.monotonic() + float(os.environ.get("SOAK_SECONDS", "600")) / 3
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().getrandbits(32))
    print(f"SOAK_SEED={seed}")
    return seed, lambda _: time.monotonic() < until

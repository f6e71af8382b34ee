"""Devices are listed for others to see, and do what operators want, across processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot import fleet
from bot.jobs import roster
from bot.jobs.roster import Roster
from generators.device import DeviceStatus, State
from storage.database import Database, connect


class Devices:
    """A pool of devices that drain at once."""

    def __init__(self, *names: str) -> None:
        self.states: dict[str, State] = dict.fromkeys(names, "ready")

    def devices(self) -> tuple[DeviceStatus, ...]:
        return tuple(
            DeviceStatus(
                device=name, name="card", state=state, resident={}, running=0, waiting=0, memory_bytes=0,
                restarts=0,
            )
            for name, state in self.states.items()
        )  # fmt: skip

    def drain(self, device: str) -> None:
        self.states[device] = "drained"

    def resume(self, device: str) -> None:
        self.states[device] = "starting"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """So patient that only signals and changes can be what makes it act."""
    monkeypatch.setattr(roster, "SAY_SECONDS", 600.0)
    monkeypatch.setattr(roster, "LOOK_SECONDS", 0.05)


@asynccontextmanager
async def serving(database: Database, devices: Devices, owner: str) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Roster(database, devices, owner=owner).run())
        yield
        task.cancel()


async def until(true: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    async with asyncio.timeout(10):
        while not await true():
            await asyncio.sleep(0.01)


async def test_two_processes_list_their_devices_obey_and_leave(database_url: str) -> None:
    database = connect(database_url)
    one, two = Devices("a", "b"), Devices("a")

    async def shown(*expected: str) -> bool:
        found = await database.read(fleet.entries)
        return sorted(f"{each.name} {each.status.state}" for each in found) == sorted(expected)

    async with serving(database, one, "p1"):
        async with serving(database, two, "p2"):
            await until(lambda: shown("a@p1 ready", "a@p2 ready", "b ready"))
            await database.run(lambda session: fleet.want(session, "a@p2", drained=True))
            await until(lambda: shown("a@p1 ready", "a@p2 drained", "b ready"))
            await database.run(lambda session: fleet.want(session, "a", drained=False))
            await until(lambda: shown("a@p1 ready", "a@p2 starting", "b ready"))
            del one.states["b"]
            await until(lambda: shown("a@p1 ready", "a@p2 starting"))
        await until(lambda: shown("a ready"))
    assert await database.read(fleet.entries) == []
    await database.close()

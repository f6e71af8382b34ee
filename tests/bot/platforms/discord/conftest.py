"""The real platform on the fake Discord, with a chat that does what it is told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import settings
from bot.buttons import Buttons
from bot.config import Config
from bot.places import Places, PlaceSettings
from bot.platforms.discord.client import DiscordPlatform
from bot.signing import Signer
from storage.database import Database, connect
from tests.bot.jobs.world import KEY, now
from tests.bot.platforms.discord.scripted import ScriptedChat
from tests.fakes.discord.person import Person, person
from tests.fakes.discord.server import FakeDiscord
from tests.fakes.discord.state import GUILD, MANAGER, Channel


@dataclass
class Site:
    """A server with a channel, two members, and our platform in it."""

    fake: FakeDiscord
    database: Database
    config: Config
    chat: ScriptedChat
    channel: Channel
    ann: Person
    bob: Person
    environ: dict[str, str]
    ahead: timedelta = field(default_factory=timedelta)
    task: asyncio.Task[None] | None = None

    def clock(self) -> datetime:
        return now() + self.ahead

    async def start(self) -> None:
        """A new process over the same database."""
        buttons = Buttons(Signer(KEY), lifetime_seconds=30 * 86400)
        self.places = Places(self.database)
        self.platform = DiscordPlatform(
            self.chat, self.config, self.database, self.places, buttons, clock=self.clock
        )
        self.chat.platform = self.platform
        self.task = asyncio.create_task(self.platform.run())
        self.fake.gateway.ready.clear()
        await asyncio.wait_for(self.fake.gateway.ready.wait(), 10)
        await self.fake.until(lambda: self.platform.ready.is_set())

    async def stop(self) -> None:
        assert self.task
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def set(self, **fields: Any) -> None:
        await self.places.set("discord", GUILD, PlaceSettings(**fields))


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    made = FakeDiscord()
    await made.start()
    yield made
    await made.stop()
    assert made.problems == []


@pytest.fixture
async def site(fake: FakeDiscord, sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Site]:
    shutil.copy(sqlite_template, tmp_path / "a.db")
    database = connect(f"sqlite:///{tmp_path / 'a.db'}")
    buttons = Buttons(Signer(KEY), lifetime_seconds=30 * 86400)
    environ = fake.environ | {"ATELIER_HOME": str(tmp_path)}
    made = Site(
        fake=fake, database=database, config=settings.load(None, environ), environ=environ, chat=ScriptedChat(buttons),
        channel=fake.channel(), ann=person(fake, "ann"), bob=person(fake, "bob", may=MANAGER),
    )  # fmt: skip
    await made.start()
    yield made
    await made.stop()
    await database.close()

"""A bot on a fake Telegram, and the line that says how many requests were checked."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.platforms.telegram import steps
from tests.bot.platforms.telegram.life import Life
from tests.fakes.telegram import FakeTelegram, Person


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are shown sooner than people would want them; how often is the budgets' matter."""
    monkeypatch.setattr(steps, "EDIT_SECONDS", 0.3)
    monkeypatch.setattr(steps, "DRAFT_SECONDS", 0.2)


@pytest.fixture
async def server() -> AsyncIterator[FakeTelegram]:
    made = await FakeTelegram().start()
    yield made
    await made.stop()
    assert made.problems == []


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "a.db")
    return f"sqlite:///{tmp_path / 'a.db'}"


class Lives:
    """The life that runs now, and a way to the next one."""

    def __init__(self, url: str, folder: Path, server: FakeTelegram) -> None:
        self.url, self.folder, self.server = url, folder, server
        self.now: Life | None = None

    async def begin(self, **fields: Any) -> Life:
        self.now = await Life(self.url, self.folder, self.server, **fields).begin()
        return self.now

    async def restart(self, **changes: Any) -> Life:
        assert self.now is not None
        self.now = await self.now.restart(**changes)
        return self.now


@pytest.fixture
async def lives(sqlite_url: str, tmp_path: Path, server: FakeTelegram) -> AsyncIterator[Lives]:
    made = Lives(sqlite_url, tmp_path, server)
    yield made
    if made.now is not None:
        await made.now.end()


@pytest.fixture
async def life(lives: Lives) -> Life:
    return await lives.begin()


@pytest.fixture
def ann(server: FakeTelegram) -> Person:
    return Person(server, 501)


@asynccontextmanager
async def site() -> AsyncIterator[tuple[web.Application, list[Life], str]]:
    """A server of ours that the platform's handler is mounted on."""
    lives: list[Life] = []

    async def hook(request: web.Request) -> web.StreamResponse:
        return await lives[-1].platform.webhook(request) if lives else web.Response(status=503)

    app = web.Application()
    app.router.add_post("/telegram", hook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield app, lives, f"http://127.0.0.1:{runner.addresses[0][1]}/telegram"
    finally:
        await runner.cleanup()

"""A web platform on a real socket, a client that behaves like the page."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shutil
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from bot.platforms.web.client import WebPlatform
from bot.platforms.web.settings import Probes, WebSettings
from bot.signing import Signer
from tests.bot.platforms.web.scripted import ScriptedChat, ScriptedDesk, boot
from tests.conftest import missing

DONE = ".frame img:not(.preview)"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def metrics() -> bytes:
    return b"atelier_jobs 1\n"


@dataclass
class Site:
    """A running platform. `restart` ends it and serves the same chat, on the same port, with the same key."""

    settings: WebSettings
    chat: ScriptedChat = field(default_factory=ScriptedChat)
    desk: ScriptedDesk = field(default_factory=ScriptedDesk)
    now: int = 1_800_000_000
    health: dict[str, str] = field(default_factory=lambda: {"database": "ok"})
    complaints: list[str] = field(default_factory=list)  # of a browser's console
    task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    async def start(self) -> None:
        probes = Probes(health=self.read_health, metrics=metrics)
        signer = Signer(b"k" * 32)
        self.platform = WebPlatform(
            self.chat, self.desk, self.settings, signer, boot, probes, clock=lambda: self.now
        )
        self.chat.platform = self.platform
        self.task = asyncio.create_task(self.platform.run())
        async with asyncio.timeout(5):
            await self.platform.started.wait()

    async def read_health(self) -> dict[str, str]:
        return self.health

    async def stop(self) -> None:
        assert self.task
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def restart(self) -> None:
        await self.stop()
        await self.start()


@dataclass
class Visitor:
    """Speaks to a site as the page does."""

    site: Site
    session: aiohttp.ClientSession
    csrf: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Origin": self.site.url, "X-CSRF": self.csrf}

    async def open(self, **headers: str) -> str:
        async with self.session.get(self.site.url, headers=headers) as response:
            page = await response.text()
            assert response.status == 200, page
        found = re.search(r'id="boot">(.*?)</script>', page, re.DOTALL)
        assert found
        self.csrf = json.loads(html.unescape(found[1]))["csrf"]
        return page

    async def say(
        self, command: str, text: str, *, event: str = "", **fields: Any
    ) -> tuple[int, dict[str, Any]]:
        form = aiohttp.FormData(
            {"event": event or uuid.uuid4().hex, "command": command, "text": text},
            quote_fields=False,
            default_to_multipart=True,
        )
        for name, value in fields.items():
            form.add_field(name, value, filename="../../a/cat.png" if name == "picture" else None)
        async with self.session.post(f"{self.site.url}/api/say", data=form, headers=self.headers) as response:
            return response.status, await response.json()

    async def press(self, button: str) -> tuple[int, dict[str, Any]]:
        body = {"event": uuid.uuid4().hex, "button": button}
        async with self.session.post(
            f"{self.site.url}/api/press", json=body, headers=self.headers
        ) as response:
            return response.status, await response.json()

    async def cards(self, before: int | None = None) -> dict[str, Any]:
        query = f"?before={before}" if before else ""
        async with self.session.get(f"{self.site.url}/api/cards{query}") as response:
            return await response.json()

    def feed(self):
        return self.session.get(f"{self.site.url}/api/feed")


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """The events of a stream; comments are ("", None)."""
    kind = ""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])
        elif line.startswith(":"):
            yield "", None


@pytest.fixture
def settings() -> WebSettings:
    return WebSettings(port=free_port(), heartbeat_seconds=0.2, shutdown_seconds_max=1)


@asynccontextmanager
async def serving(settings: WebSettings) -> AsyncIterator[Site]:
    made = Site(settings=settings)
    await made.start()
    yield made
    made.chat.gate.set()
    for task in list(made.chat.tasks):
        task.cancel()
    await made.stop()
    assert serious(made.complaints) == []


@pytest.fixture
async def site(settings: WebSettings) -> AsyncIterator[Site]:
    async with serving(settings) as made:
        yield made


@pytest.fixture
async def visitor(site: Site) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        made = Visitor(site=site, session=session)
        await made.open()
        yield made


@pytest.fixture
async def stranger(site: Site) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        made = Visitor(site=site, session=session)
        await made.open()
        yield made


# --- a real browser ---------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """It takes a second to start: a module shares one."""
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(executable_path=_executable(), args=CHROMIUM_ARGUMENTS)
        yield made
        await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """Whatever a test opens in it is closed: pages, cookies, storage."""
    yield chromium
    for context in list(chromium.contexts):
        await context.close()


async def opened(
    browser: Browser, url: str, complaints: list[str], *, patience_ms: int, **options: Any
) -> Page:
    """A person's own browser at a page; what its console says goes to the complaints. Nothing moves for long in it:
    without a GPU, drawing what moves took as long as all else."""
    context = await browser.new_context(**{"reduced_motion": "reduce"} | options)
    context.set_default_timeout(patience_ms)
    page = await context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    await page.goto(url)
    return page


async def ask(page: Page, text: str) -> None:
    await page.fill("#prompt", text)
    await page.press("#prompt", "Enter")


def serious(complaints: list[str]) -> list[str]:
    """Without what a browser says of every call that a test makes fail."""
    return [said for said in complaints if not said.startswith("Failed to load resource")]


def _executable() -> str:
    """The shell without windows, if there is one: it takes half of what the whole browser does."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    found = next(filter(None, map(shutil.which, names)), None)
    return found or missing("Chromium (chromium-headless-shell or chromium on PATH), to open the page")

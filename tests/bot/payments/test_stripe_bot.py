"""The whole bot in one process: somebody opens the page, looks at what is sold, pays at Stripe, and has it."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from bot import bootstrap, settings
from storage.blobs import open_blobs
from storage.database import connect
from tests.bot.platforms.web.conftest import Visitor, free_port
from tests.fakes.stripe.server import KEY, SECRET, FakeStripe


@pytest.fixture
async def visitor(fake: FakeStripe, sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Visitor]:
    shutil.copy(sqlite_template, tmp_path / "a.db")
    url, port = f"sqlite:///{tmp_path / 'a.db'}", free_port()
    config = settings.load(None, {
        "ATELIER_HOME": str(tmp_path), "ATELIER_DATABASE_URL": url, "ATELIER_WEB_PORT": str(port),
        "ATELIER_STRIPE_KEY": KEY, "ATELIER_STRIPE_WEBHOOK_SECRET": SECRET, "ATELIER_STRIPE_API_BASE": fake.url,
    })  # fmt: skip
    database, stop = connect(url), asyncio.Event()
    instance = bootstrap.Instance(config, ("chat",), database, open_blobs(str(tmp_path / "blobs")))
    running = asyncio.create_task(instance.run(stop))
    async with asyncio.timeout(10):
        await cast(Any, instance.platforms[0]).started.wait()
    site = cast(Any, SimpleNamespace(url=f"http://127.0.0.1:{port}"))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        made = Visitor(site=site, session=session)
        assert '"sells":true' in await made.open()
        yield made
    stop.set()
    await running
    await database.close()


async def test_from_the_plans_to_the_credits_and_words_of_thanks(fake: FakeStripe, visitor: Visitor) -> None:
    before = await _left(visitor)
    async with visitor.feed() as feed:
        _, plans = await visitor.say("plans", "")
        pack = next(each for each in plans["buttons"] if each["label"].startswith("500 credits"))
        _, offer = await visitor.press(pack["id"])
        assert "1.99 USD" in offer["text"]
        fake.books.pay(offer["buttons"][0]["url"])
        for event in fake.unsent:
            assert await fake.post(f"{visitor.site.url}/hooks/stripe", event) == 200
        async with asyncio.timeout(10):
            async for line in feed.content:
                if b"arrived" in line:
                    break
    assert await _left(visitor) == before + 500
    _, receipts = await visitor.say("receipts", "")
    assert "1.99 USD" in receipts["text"]


async def test_a_subscription_is_managed_on_its_own_page(fake: FakeStripe, visitor: Visitor) -> None:
    _, offer = await visitor.say("buy", "basic")
    session = fake.books.pay(offer["buttons"][0]["url"])
    for event in fake.unsent:
        await fake.post(f"{visitor.site.url}/hooks/stripe", event)
    async with asyncio.timeout(10):
        while not (managed := (await visitor.say("manage", ""))[1])["buttons"]:
            await asyncio.sleep(0.05)
    assert re.search(r"\*\*Basic\*\* renews on \d{4}-", managed["text"])
    portal = fake.books.get(managed["buttons"][0]["url"].rpartition("/")[2])
    assert portal["customer"] == fake.books.get(session["subscription"])["customer"]


async def _left(visitor: Visitor) -> int:
    return (await visitor.say("balance", ""))[1]["left"]

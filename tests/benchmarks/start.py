"""From nothing to a usable page, and from a prompt to its picture, over HTTP against the real process.

A fresh home folder and a free port. The page is usable when `GET /` and every script and style that it names
answer 200; the picture is finished when its card is done and its bytes have arrived.

Meanwhile the page is asked for again and again: its slowest answer is what a person who came early had to wait.

    python -m tests.benchmarks.start [--engine ray]
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import re
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp

from tests.benchmarks.report import Figures, last_line, table
from tests.end_to_end.process import Instance

PAGE_MAX_SECONDS, PICTURE_MAX_SECONDS = 60.0, 30.0
POLL_SECONDS = 0.05
ASSET = re.compile(r'(?:src|href)="(/[^"#]+\.(?:js|css|svg|png|ico)[^"]*)"')
BOOT = re.compile(r'id="boot">(.*?)</script>', re.DOTALL)


async def page(session: aiohttp.ClientSession, url: str) -> tuple[str, int]:
    """The page once all of it answers, and how many assets that were."""
    while True:
        try:
            async with session.get(url) as response:
                text = await response.text()
                response.raise_for_status()
            assets = set(ASSET.findall(text))
            for asset in assets:
                async with session.get(url + asset) as response:
                    response.raise_for_status()
            return text, len(assets)
        except aiohttp.ClientError:
            await asyncio.sleep(POLL_SECONDS)


async def picture(session: aiohttp.ClientSession, url: str, text: str) -> int:
    """Asks for a red apple as the page does; the size of its bytes once they are here."""
    found = BOOT.search(text)
    assert found
    headers = {"Origin": url, "X-CSRF": json.loads(html.unescape(found[1]))["csrf"]}
    form = aiohttp.FormData(
        {"event": uuid.uuid4().hex, "command": "imagine", "text": "a red apple"}, default_to_multipart=True
    )
    async with session.post(f"{url}/api/say", data=form, headers=headers) as response:
        assert response.status == 200, await response.text()
    while True:
        async with session.get(f"{url}/api/cards") as response:
            cards: dict[str, Any] = await response.json()
        card = cards["cards"][0]
        assert card["state"] in ("waiting", "running", "done"), card
        if card["state"] == "done":
            break
        await asyncio.sleep(POLL_SECONDS)
    async with session.get(url + _link(card)) as response:
        response.raise_for_status()
        return len(await response.read())


async def slowest(session: aiohttp.ClientSession, url: str, stop: asyncio.Event) -> float:
    """How long the slowest answer took, in seconds."""
    longest = 0.0
    while not stop.is_set():
        asked = time.perf_counter()
        async with session.get(url) as response:
            await response.read()
        longest = max(longest, time.perf_counter() - asked)
        await asyncio.sleep(POLL_SECONDS)
    return longest


def _link(card: dict[str, Any]) -> str:
    picture = card["pictures"][0]
    return next(value for value in picture.values() if isinstance(value, str) and value.startswith("/"))


async def measure(instance: Instance) -> Figures:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session, asyncio.timeout(180):
        began = time.perf_counter()
        instance.launch()
        text, assets = await page(session, instance.url)
        opened = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            stop = asyncio.Event()
            waiting = group.create_task(slowest(session, instance.url, stop))
            size = await picture(session, instance.url, text)
            stop.set()
        drawn = time.perf_counter()
    return {
        "page_seconds": opened - began,
        "page_assets": assets,
        "page_slowest_seconds": waiting.result(),
        "picture_seconds": drawn - opened,
        "picture_bytes": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("process", "ray"), default="process")
    engine = parser.parse_args().engine
    with tempfile.TemporaryDirectory() as folder:
        instance = Instance(Path(folder), ATELIER_POOL_ENGINE=engine)
        try:
            figures = asyncio.run(measure(instance))
        finally:
            instance.end()
    table("From start to the first picture", ("", "figure"), [*figures.items()])  # type: ignore[arg-type]
    figures["ok"] = (
        float(figures["page_seconds"]) < PAGE_MAX_SECONDS
        and float(figures["picture_seconds"]) < PICTURE_MAX_SECONDS
    )
    last_line(figures)


if __name__ == "__main__":
    main()

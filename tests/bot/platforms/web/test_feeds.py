"""Open pages hear of their own cards, in order, however slowly they read."""

from __future__ import annotations

import asyncio
import json
import socket

import msgspec
import pytest

from bot.chat import Address, Card
from bot.platforms.web.feeds import Feed, Feeds, FeedsFull
from bot.platforms.web.settings import WebSettings
from tests.bot.platforms.web.conftest import Site, Visitor, free_port, read_events

HERE = Address(platform="web")


def card(job: int, text: str = "", **changes: object) -> Card:
    made = Card(job=job, kind="text", state="running", prompt="p", text=text)
    return msgspec.structs.replace(made, **changes)


def link(artifact: int) -> str:
    return f"/media/{artifact}"


def events(data: bytes | None) -> list[tuple[str, dict[str, object]]]:
    parts = [piece.split("\n") for piece in (data or b"").decode().split("\n\n") if piece]
    return [(lines[0][7:], json.loads(lines[1][6:])) for lines in parts if lines[0].startswith("event")]


async def taken(feed: Feed) -> list[tuple[str, dict[str, object]]]:
    return events(await feed.next(link, heartbeat_seconds=0.01))


async def test_text_travels_as_what_is_new_with_its_place() -> None:
    feed = Feed(jobs_max=4)
    feed.offer(card(1, "Hello 🌊"))
    assert (await taken(feed))[0][1]["text"] == "Hello 🌊"
    feed.offer(card(1, "Hello 🌊 there", status="5 s left"))
    ((kind, delta),) = await taken(feed)
    assert kind == "text"
    assert (delta["offset"], delta["text"], delta["status"]) == (
        8,
        " there",
        "5 s left",
    )  # as JavaScript counts


async def test_text_that_began_anew_is_sent_whole() -> None:
    feed = Feed(jobs_max=4)
    feed.offer(card(1, "first try"))
    await taken(feed)
    feed.offer(card(1, "second"))
    ((kind, whole),) = await taken(feed)
    assert (kind, whole["text"]) == ("card", "second")


async def test_a_preview_is_sent_once() -> None:
    feed = Feed(jobs_max=4)
    feed.offer(card(1, kind="image", preview=b"jpeg"))
    assert (await taken(feed))[0][1]["preview"] == "anBlZw=="
    feed.offer(card(1, kind="image", preview=b"jpeg", fraction=0.5))
    assert "preview" not in (await taken(feed))[0][1]


async def test_a_slow_reader_gets_the_newest_of_each_job_only() -> None:
    feed = Feed(jobs_max=4)
    for number in range(1000):
        feed.offer(card(1, fraction=number / 1000))
        feed.offer(card(2, state="done"))
    got = await taken(feed)
    assert [(kind, value["job"]) for kind, value in got] == [("card", 1), ("card", 2)]
    assert got[0][1]["fraction"] == 0.999


async def test_too_many_jobs_make_it_fetch_anew() -> None:
    feed = Feed(jobs_max=4)
    for job in range(5):
        feed.offer(card(job))
    assert await taken(feed) == [("stale", {})]


async def test_closing_sends_what_waits_and_ends() -> None:
    feed = Feed(jobs_max=4)
    feed.offer(card(1))
    feed.close()
    assert len(await taken(feed)) == 1
    assert await feed.next(link, heartbeat_seconds=1) is None


async def test_feeds_are_counted_by_account_and_in_all() -> None:
    feeds = Feeds(WebSettings(feeds_max=2, feeds_total_max=3))
    first = feeds.open(1)
    feeds.open(1)
    with pytest.raises(FeedsFull):
        feeds.open(1)
    feeds.open(2)
    with pytest.raises(FeedsFull):
        feeds.open(3)
    feeds.close(1, first)
    feeds.open(3)


async def test_a_page_hears_of_its_own_jobs_to_the_end(visitor: Visitor, stranger: Visitor) -> None:
    async with visitor.feed() as mine, stranger.feed() as theirs:
        stream = read_events(mine)
        assert await anext(stream) == ("hello", {})
        await visitor.say("imagine", "a red apple")
        seen = []
        async with asyncio.timeout(5):
            async for kind, value in stream:
                if kind == "card":
                    seen.append((value["state"], bool(value.get("preview"))))
                    if value["ended"]:
                        break
        assert ("running", True) in seen
        assert seen[-1][0] == "done"
        others = read_events(theirs)
        assert [await anext(others) for _ in range(3)] == [("hello", {}), ("", None), ("", None)]


async def test_feeds_of_one_account_are_limited_and_come_free(site: Site, visitor: Visitor) -> None:
    opened = [await visitor.feed() for _ in range(site.settings.feeds_max)]
    async with visitor.feed() as refused:
        assert refused.status == 429
        assert "too many" in (await refused.json())["error"]
    opened[0].close()
    async with asyncio.timeout(5):
        while True:
            async with visitor.feed() as again:
                if again.status == 200:
                    break
            await asyncio.sleep(0.05)
    for response in opened:
        response.close()


async def test_a_reader_that_takes_nothing_delays_nobody(site: Site, visitor: Visitor) -> None:
    """A socket that is never read: the platform stays quick and keeps one card a job."""
    cookie = next(iter(visitor.session.cookie_jar))
    stuck = socket.create_connection(("127.0.0.1", site.settings.port))
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.sendall(
        f"GET /api/feed HTTP/1.1\r\nHost: localhost\r\nCookie: atelier={cookie.value}\r\n\r\n".encode()
    )
    account = await site.chat.account(await first_person(site, visitor))
    await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    for number in range(400):
        big = card(1, kind="image", preview=bytes(20_000) + number.to_bytes(2, "big"))
        await site.platform.show(account, HERE, big)
        await asyncio.sleep(0)
    assert await site.platform.deliver(account, HERE, card(1, state="done")) == "web-1"
    assert asyncio.get_running_loop().time() - began < 2
    stuck.close()


async def first_person(site: Site, visitor: Visitor):
    await visitor.say("help", "")
    return site.chat.invocations[0].person


async def test_shutdown_ends_open_feeds_at_once() -> None:
    site = Site(settings=WebSettings(port=free_port(), heartbeat_seconds=0.05, shutdown_seconds_max=30))
    await site.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", site.settings.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    cookie = next(line for line in head.decode().split("\r\n") if line.startswith("Set-Cookie")).split(" ")[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", site.settings.port)
    writer.write(f"GET /api/feed HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
    await reader.readuntil(b"hello")
    async with asyncio.timeout(3):
        await site.stop()
        while await reader.read(1000):
            pass
    writer.close()

"""The open pages: who hears of which card, and how much may wait for a slow one.

A feed keeps at most one card a job, always the newest, so a page that reads slowly skips steps and nobody waits
for it. A page that opens a feed fetches its cards once; from then on the feed alone keeps it right.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from bot.chat import Card
from bot.platforms.web.settings import WebSettings
from bot.platforms.web.translate import ENDED, Link, card_event, sse

HEARTBEAT = b": here\n\n"
HELLO = sse("hello", {})
STALE = sse("stale", {})
WORDS_MAX = 20


class FeedsFull(Exception):
    """This account, or the server, has as many feeds as it may."""


class Feed:
    """One page's stream."""

    def __init__(self, *, jobs_max: int) -> None:
        self._jobs_max = jobs_max
        self._waiting: dict[int, Card] = {}
        self._sent: dict[int, Card] = {}
        self._words: list[str] = []
        self._stale = False
        self._closed = False
        self._wake = asyncio.Event()

    def offer(self, card: Card) -> None:
        """Takes the newest card of a job; never waits."""
        self._waiting[card.job] = card
        if len(self._waiting) > self._jobs_max:
            self._waiting.clear()
            self._sent.clear()
            self._stale = True
        self._wake.set()

    def say(self, text: str) -> None:
        """Takes words that belong to no card; never waits."""
        self._words = [*self._words[-WORDS_MAX + 1 :], text]
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    async def next(self, link: Link, *, heartbeat_seconds: float) -> bytes | None:
        """The next bytes to send: what has changed, or a sign of life; None once it is closed."""
        try:
            async with asyncio.timeout(heartbeat_seconds):
                await self._wake.wait()
        except TimeoutError:
            return HEARTBEAT
        self._wake.clear()
        pieces = self._take(link)
        return pieces or (None if self._closed else HEARTBEAT)

    def _take(self, link: Link) -> bytes:
        waiting, self._waiting = self._waiting, {}
        stale, self._stale = self._stale, False
        words, self._words = self._words, []
        events = [sse("words", {"text": text}) for text in words]
        events += [card_event(card, self._sent.get(card.job), link) for card in waiting.values()]
        for card in waiting.values():
            self._remember(card)
        if self._closed:
            self._wake.set()
        return (STALE if stale else b"") + b"".join(events)

    def _remember(self, card: Card) -> None:
        self._sent.pop(card.job, None)
        if card.state not in ENDED:
            self._sent[card.job] = card
        if len(self._sent) > self._jobs_max:
            del self._sent[next(iter(self._sent))]


class Feeds:
    """All feeds of this process, by account."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._open: defaultdict[int, set[Feed]] = defaultdict(set)
        self._count = 0
        self._closed = False

    def open(self, account: int) -> Feed:
        """Raises `FeedsFull`. Every feed that was opened must be given to `close`."""
        full = self._count >= self._settings.feeds_total_max
        if self._closed or full or len(self._open.get(account, ())) >= self._settings.feeds_max:
            raise FeedsFull
        feed = Feed(jobs_max=self._settings.feed_jobs_max)
        self._open[account].add(feed)
        self._count += 1
        return feed

    def close(self, account: int, feed: Feed) -> None:
        self._open[account].remove(feed)
        self._count -= 1
        if not self._open[account]:
            del self._open[account]

    def part(self, merged: str) -> None:
        """Ends the feeds of an account (empty: of all) that became another: its pages come back as that one."""
        for account, feeds in self._open.items():
            if merged in ("", str(account)):
                for feed in feeds:
                    feed.close()

    def tell(self, account: int, text: str) -> int:
        """Words for each open page of an account; returns how many there are."""
        feeds = self._open.get(account, set())
        for feed in feeds:
            feed.say(text)
        return len(feeds)

    def push(self, account: int, card: Card) -> int:
        """Offers a card to each open page of an account; returns how many there are."""
        feeds = self._open.get(account, set())
        for feed in feeds:
            feed.offer(card)
        return len(feeds)

    def shut(self) -> None:
        """Ends all feeds: the pages come back to whoever serves next."""
        self._closed = True
        for feeds in self._open.values():
            for feed in feeds:
                feed.close()

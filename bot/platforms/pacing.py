"""How fast we may send: budgets for each chat and for all, pauses that a platform asks for, results first.

Token buckets, filled by time. Progress never waits: without room it is dropped and drawn again later. Results
wait their turn in order, before any progress; a pause that is too long to wait for is raised as `TryLater`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bot.chat import TryLater

CHATS_MAX = 50_000  # idle chats are forgotten, which only gives them a full bucket
WAIT_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Rate:
    """`burst` at once, then `per_second`."""

    per_second: float
    burst: float


@dataclass
class _Bucket:
    rate: Rate
    tokens: float
    at: float
    paused_until: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # results of a chat go one after the other
    results: int = 0  # that wait: progress makes way

    def missing(self, now: float) -> float:
        """Seconds until one more may be sent; 0 means now."""
        self.tokens = min(self.rate.burst, self.tokens + (now - self.at) * self.rate.per_second)
        self.at = now
        lacking = max(0.0, 1.0 - self.tokens) / self.rate.per_second
        return max(lacking, self.paused_until - now)


class Pacer:
    """One platform's budgets. `rate_of` tells a chat's own rate from its id."""

    def __init__(
        self, overall: Rate, rate_of: Callable[[str], Rate], *, clock: Callable[[], float] | None = None
    ) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._rate_of = rate_of
        self._all = self._bucket(overall)
        self._chats: OrderedDict[str, _Bucket] = OrderedDict()

    def try_progress(self, chat: str) -> bool:
        """Whether progress may be sent now; if so, it is counted."""
        mine = self._chat(chat)
        now = self._clock()
        if mine.results or self._all.results or mine.missing(now) > 0 or self._all.missing(now) > 0:
            return False
        self._take(mine)
        return True

    @asynccontextmanager
    async def result(self, chat: str) -> AsyncGenerator[None]:
        """Waits for a result's turn. Raises TryLater when that is over WAIT_SECONDS_MAX away."""
        mine = self._chat(chat)
        mine.results += 1
        try:
            async with mine.turn:
                await self._turn(mine)
                yield
        finally:
            mine.results -= 1

    async def _turn(self, mine: _Bucket) -> None:
        self._all.results += 1  # while it waits, all progress makes way
        try:
            while (wait := self._wait(mine)) > 0:
                if wait > WAIT_SECONDS_MAX:
                    raise TryLater(wait)
                await asyncio.sleep(wait)
            self._take(mine)
        finally:
            self._all.results -= 1

    def pause(self, chat: str | None, seconds: float) -> None:
        """The platform said 429: for one chat, or for all when `chat` is None."""
        bucket = self._all if chat is None else self._chat(chat)
        bucket.paused_until = max(bucket.paused_until, self._clock() + seconds)

    def _wait(self, mine: _Bucket) -> float:
        now = self._clock()
        return max(mine.missing(now), self._all.missing(now))

    def _take(self, mine: _Bucket) -> None:
        mine.tokens -= 1
        self._all.tokens -= 1

    def _chat(self, chat: str) -> _Bucket:
        found = self._chats.get(chat)
        if found is None:
            found = self._chats[chat] = self._bucket(self._rate_of(chat))
            self._forget_idle()
        self._chats.move_to_end(chat)
        return found

    def _forget_idle(self) -> None:
        while len(self._chats) > CHATS_MAX:
            _, oldest = next(iter(self._chats.items()))
            if oldest.results or oldest.paused_until > self._clock():
                return
            self._chats.popitem(last=False)

    def _bucket(self, rate: Rate) -> _Bucket:
        return _Bucket(rate, rate.burst, self._clock())

"""People who ask again and again while everything around them is killed, and the pages they keep open."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from bot.chat import Action
from bot.platforms.web.translate import utf16_length
from tests.bot.platforms.web.conftest import Visitor, read_events

CANCELLED_SHARE = 0.3
T = TypeVar("T")
AWAY = (aiohttp.ClientError, OSError, TimeoutError)
"""Nobody is there: the bot is being killed or started."""
Prompt = tuple[str, str]
PICTURES: Sequence[Prompt] = (
    ("imagine", "a red apple --steps 6"), ("imagine", "a rocket --steps 12"), ("imagine", "a fox -n 2 --steps 6"),
    ("imagine", "a whale --size 160x160 --steps 8"),
)  # fmt: skip
TEXTS: Sequence[Prompt] = (("write", "a long story --length 60"), ("write", "two words --length 5"))


@dataclass
class Asker:
    """A person who asks again and again; what gets no answer is sent again as the same event, as the page does.
    Some of it is cancelled a moment later, whether it waits, runs or is over."""

    visitor: Visitor
    chance: random.Random
    prompts: Sequence[Prompt]
    accepted: dict[str, int] = field(default_factory=dict)  # event -> job
    presses: int = 0  # of the cancel button
    withdrawn: set[int] = field(default_factory=set)  # jobs that it said were cancelled: they had not run
    refused: Counter[str] = field(default_factory=Counter)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._ask(uuid.UUID(int=self.chance.getrandbits(128)).hex)
            await asyncio.sleep(self.chance.uniform(0.05, 0.5))

    async def _ask(self, event: str) -> None:
        command, words = self.chance.choice(self.prompts)
        status, reply = await insist(lambda: self.visitor.say(command, words, event=event))
        assert status == 200, reply
        if reply["refused"]:
            self.refused[reply["text"]] += 1
            return
        [card] = reply["cards"]
        assert self.accepted.setdefault(event, card["job"]) == card["job"]
        await self._reconsider(card)

    async def _reconsider(self, card: dict[str, Any]) -> None:
        cancels = [button["id"] for button in card["buttons"] if button["action"] == Action.CANCEL]
        if not cancels or (self.presses and self.chance.random() > CANCELLED_SHARE):
            return
        await asyncio.sleep(self.chance.uniform(0, 1))
        _, reply = await insist(lambda: self.visitor.press(cancels[0]))
        self.presses += 1
        self.withdrawn |= {each["job"] for each in reply["cards"] if each["state"] == "cancelled"}


@dataclass
class Page:
    """What the person's open page knows: it keeps a feed, comes back when that breaks, and fetches its cards then.

    `wrong` is what no page may ever be told: that something which is over is in line or runs, or a piece of text
    that does not follow what came before.
    """

    visitor: Visitor
    ended: dict[int, str] = field(default_factory=dict)  # job -> how
    streamed: set[int] = field(default_factory=set)  # jobs of which pieces of text came
    wrong: list[str] = field(default_factory=list)
    _over: set[int] = field(default_factory=set)  # as this feed has said
    _texts: dict[int, str] = field(default_factory=dict)  # as this feed has said

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._read()
            except AWAY:
                await asyncio.sleep(0.2)

    async def _read(self) -> None:
        self._over, self._texts = set(), {}
        async with self.visitor.feed() as response:
            async for kind, value in read_events(response):
                match kind:
                    case "hello" | "stale":
                        await self._fetch()
                    case "card":
                        self._card(value)
                    case "text":
                        self._piece(value)
                    case _:
                        pass

    async def _fetch(self) -> None:
        known = set(self.ended)
        for card in (await self.visitor.cards())["cards"]:
            if card["ended"]:
                self._end(card)
            elif card["job"] in known:
                self.wrong.append(f"{card['job']} was {self.ended[card['job']]}, now {card['status']!r}")

    def _card(self, card: dict[str, Any]) -> None:
        job, before = card["job"], self._texts.pop(card["job"], "")
        if card["ended"]:
            self._over.add(job)
            self._end(card)
            if card["state"] == "done" and not card["text"].startswith(before):
                self.wrong.append(f"{job}: what was streamed is not how its text begins")
            return
        self._texts[job] = card["text"]
        if job in self._over:
            self.wrong.append(f"{job} was {self.ended[job]}, then came {card['status']!r}")

    def _piece(self, piece: dict[str, Any]) -> None:
        before = self._texts.get(piece["job"])
        if before is None or utf16_length(before) != piece["offset"]:
            self.wrong.append(f"{piece['job']}: a piece at {piece['offset']} follows {before!r}")
        self._texts[piece["job"]] = (before or "") + piece["text"]
        self.streamed.add(piece["job"])

    def _end(self, card: dict[str, Any]) -> None:
        if self.ended.setdefault(card["job"], card["state"]) != card["state"]:
            self.wrong.append(f"{card['job']} was {self.ended[card['job']]}, now {card['state']}")


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Again and again, until somebody answers."""
    while True:
        try:
            return await call()
        except AWAY:
            await asyncio.sleep(0.2)

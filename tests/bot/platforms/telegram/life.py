"""The whole bot on Telegram in one process: real SDK, sockets, commands, SQL, deliveries; only devices are scripted.

A `Life` is one run of the process. The server and the people outlive it: `restart` begins the next one.
"""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from bot import settings
from bot.buttons import Buttons
from bot.commands.context import Context
from bot.config import Config
from bot.jobs import submit
from bot.jobs.abilities import Abilities
from bot.jobs.board import Board
from bot.jobs.cards import Cards
from bot.jobs.deliverer import Deliverer
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.progress import Reporter
from bot.jobs.rescuer import Rescuer
from bot.office import Office
from bot.operations import Operations
from bot.payments.cashier import Cashier
from bot.payments.herald import Herald
from bot.payments.inbox import Inbox
from bot.payments.shop import Shop
from bot.payments.telegram_stars import TelegramStars
from bot.places import Places
from bot.platforms.telegram.client import BotStars, TelegramPlatform, bot_of
from bot.service import Service
from bot.signing import Signer
from generators.device import DeviceStatus
from generators.messages import Accepted, Cancelled, Event, Failed, Progress, Result, Token
from generators.requests import Artifact, Request, WriteText
from storage import deliveries, flows, jobs, ledger
from storage.blobs import open_blobs
from storage.database import Database, connect
from storage.jobs import Job
from tests.bot.jobs.world import KEY, now
from tests.fakes.telegram import TOKEN, FakeTelegram, Person, until

SUGGESTIONS = ("a red apple", "a rocket", "a fox", "a whale")
ENVIRON = {
    "ATELIER_TELEGRAM_TOKEN": TOKEN, "ATELIER_RETRY_BASE": "0s", "ATELIER_PLANS_FREE_PER_MINUTE": "1000",
    "ATELIER_PLANS_FREE_CREDITS_DAY": "10000", "ATELIER_PLANS_FREE_COUNT_MAX": "4",
    "ATELIER_PLANS_FREE_RUNNING": "4", "ATELIER_PLANS_FREE_WAITING": "50", "ATELIER_BUDGET_FREE_TOTAL": "0",
}  # fmt: skip


def png(colour: str = "red", side: int = 64) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(data, "PNG")
    return data.getvalue()


class Engine:
    """Makes what is asked for at once, or when the gate opens. Words in the prompt say how it goes:
    "fail" fails, what follows "unread" is not read, "long" and "endless" texts have 9,000 and 30,000 characters,
    "broken" ones have markup.
    """

    def __init__(self, *, hurried: bool = True) -> None:
        self.gate = asyncio.Event()
        if hurried:
            self.gate.set()
        self.requests: list[Request] = []
        self.inputs: list[dict[str, bytes]] = []
        self._cancels: dict[str, asyncio.Event] = {}

    def room(self) -> int:
        return max(0, 8 - len(self._cancels))

    def warm(self) -> frozenset[str]:
        return frozenset()

    def devices(self) -> list[DeviceStatus]:
        return [DeviceStatus(device="cpu", name="scripted", state="ready", resident={}, running=0, waiting=0,
                             memory_bytes=0, restarts=0)]  # fmt: skip

    def submit(self, job: str, request: Request, inputs: dict[str, bytes], **how: Any) -> Any:
        self.requests.append(request)
        self.inputs.append(inputs)
        self._cancels[job] = asyncio.Event()
        return self._play(job, request)

    def cancel(self, job: str) -> None:
        if job in self._cancels:
            self._cancels[job].set()

    async def _play(self, job: str, request: Request) -> AsyncIterator[Event]:
        cancelled = self._cancels[job]
        try:
            yield Accepted(job=job)
            for event in _steps(job, request):
                yield event
                if isinstance(event, Token):
                    await asyncio.sleep(0.01)
            waits = [asyncio.create_task(each.wait()) for each in (self.gate, cancelled)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            yield (
                Cancelled(job=job, share=0.5, device_seconds=0.1)
                if cancelled.is_set()
                else _end(job, request)
            )
        finally:
            self._cancels.pop(job, None)


def _steps(job: str, request: Request) -> list[Event]:
    if isinstance(request, WriteText):
        return [Token(job=job, text=piece) for piece in ("Once ", "upon ", "a time ")]
    return [Progress(job=job, step=step, steps=4, preview=b"jpeg") for step in range(3)]


def _end(job: str, request: Request) -> Event:
    if isinstance(request, WriteText):
        return Result(job=job, artifacts=(_text(request.messages[-1].content),), device_seconds=0.2)
    if "fail" in request.prompt:
        return Failed(job=job, code="bad_output", message="scripted")
    made = tuple(
        Artifact(media_type="image/png", data=png(colour), width=64, height=64, seed=1)
        for colour in ("red", "green", "blue", "yellow")[: request.count]
    )
    return Result(job=job, artifacts=made, device_seconds=0.2, unread=request.prompt.partition("unread ")[2])


def _text(asked: str) -> Artifact:
    line = "**Bold** words, `code` & <b>no tag</b> 🌊 run on and on to the end of the paragraph. "
    text = "Once upon a time **it ended** <well>."
    if "long" in asked:
        text = "\n\n".join([line * 5] * 21)
    if "endless" in asked:
        text = line * 350
    return Artifact(media_type="text/plain", data=text.encode())


@dataclass
class Life:
    """`clock` is moved by `ahead`; the platform alone sees it, as SQL has its own time."""

    url: str
    folder: Path
    server: FakeTelegram
    environ: dict[str, str] = field(default_factory=dict)
    engine: Engine = field(default_factory=Engine)
    ahead: timedelta = timedelta()
    alone: bool = True  # no other process shares the database
    webhook: str = ""

    def clock(self) -> datetime:
        return now() + self.ahead

    async def begin(self) -> Life:
        environ = {**ENVIRON, "ATELIER_TELEGRAM_API_BASE": self.server.url, **self.environ}
        self.config: Config = settings.load(None, environ)
        self.database: Database = connect(self.url)
        await self.database.run(flows.define_tiers, submit.tier_weights(self.config))
        if self.alone:
            await self.database.run(jobs.all_lost)
            await self.database.run(deliveries.release_all, "telegram")
        self._build()
        self.tasks = [asyncio.create_task(part) for part in self._parts()]
        await until(self.platform.started.is_set, "the platform started")
        return self

    def _build(self) -> None:
        signer = Signer(KEY)
        buttons = Buttons(signer, lifetime_seconds=self.config.timeouts.buttons)
        self.blobs = open_blobs(str(self.folder / "blobs"))
        self.places = Places(self.database)
        abilities = Abilities(self.config.models)
        cards = Cards(self.config, buttons, abilities)
        self.board = Board(self.database, self.blobs, cards, clock=now)
        seeds = itertools.count(1000)
        self.inbox = Inbox(self.database, self.config, clock=self.clock)
        bot = bot_of(self.config)
        self.stars = TelegramStars(BotStars(bot), self.inbox, self.database, self.config, clock=self.clock)
        self.shop = Shop(self.database, self.config, [self.stars], clock=self.clock)
        self.cashier = Cashier(self.database, self.inbox, [self.stars], clock=self.clock)
        self.service = Service(
            Context(
                database=self.database, blobs=self.blobs, config=self.config, abilities=abilities,
                board=self.board, buttons=buttons, signer=signer, places=self.places, clock=now,
                seed=lambda: next(seeds), suggestions=SUGGESTIONS, shop=self.shop,
                operations=Operations(self.database, self.config, signer, clock=now),
                office=Office(self.database, self.config, clock=now),
            )
        )  # fmt: skip
        self.platform = TelegramPlatform(
            self.service, self.config, self.database, self.places, signer, bot=bot, stars=self.stars,
            clock=self.clock,
        )  # fmt: skip
        self.board.add(self.platform)

    def _parts(self) -> list[Any]:
        reporter = Reporter(self.database, hear=self.board.hear, shared=False)
        dispatcher = Dispatcher(
            self.database, self.blobs, self.engine, reporter, self.config, owner="me", clock=now
        )
        deliverer = Deliverer(self.database, self.platform, self.board, self.config, clock=now)
        self.rescuer = Rescuer(self.database, self.blobs, self.config, clock=now)
        herald = Herald(self.database, self.platform, self.config, clock=now)
        return [
            self.platform.run(), dispatcher.run(), deliverer.run(), self.board.run(), herald.run(),
            self._rescue(),
        ]  # fmt: skip

    async def _rescue(self) -> None:
        while True:
            await self.rescuer.round()
            await asyncio.sleep(0.2)

    async def end(self) -> None:
        """The process stops as it does on SIGTERM."""
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self.database.close()

    async def restart(self, **changes: Any) -> Life:
        await self.end()
        kept = {"url": self.url, "folder": self.folder, "server": self.server, "environ": self.environ}
        return await Life(**(kept | changes)).begin()

    async def jobs(self) -> list[Job]:
        return sorted(await self.database.read(jobs.recent, limit=1000), key=lambda job: job.id)

    async def settled(self, count: int = 1, *, seconds: float = 10) -> None:
        """Waits until so many jobs are over and nothing waits to be delivered; then the books must be right."""
        await eventually(lambda: self._is_settled(count), seconds)
        assert await self.database.read(ledger.check) == []

    async def _is_settled(self, count: int) -> bool:
        found = await self.jobs()
        waiting, _ = await self.database.read(deliveries.lag)
        return len(found) >= count and waiting == 0 and all(each.state in jobs.TERMINAL for each in found)

    def person(self, number: int = 501, **fields: Any) -> Person:
        return Person(self.server, number, **fields)


async def eventually(ready: Callable[[], Any], seconds: float = 8) -> None:
    async with asyncio.timeout(seconds):
        while not await ready():
            await asyncio.sleep(0.02)

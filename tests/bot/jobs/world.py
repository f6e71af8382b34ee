"""A whole pipeline in one process over a real database and real blobs; only the devices and the chat are scripted.

Every boundary between two steps (before and after each transaction, blob, engine event and delivery) can be
made the last thing that this process ever does: see `Fuse`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bot import settings
from bot.buttons import Buttons
from bot.chat import Address, Card
from bot.config import Config
from bot.jobs import submit
from bot.jobs.abilities import Abilities
from bot.jobs.board import Board
from bot.jobs.cards import Cards
from bot.jobs.deliverer import Deliverer
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.progress import Reporter
from bot.jobs.rescuer import Rescuer
from bot.jobs.submit import Ask, Submitted
from bot.signing import Signer
from generators.device import DeviceStatus
from generators.messages import Accepted, Cancelled, Event, Failed, Progress, Result, Token
from generators.requests import Artifact, Request, TextToImage, pieces
from storage import accounts, deliveries, flows, jobs, ledger
from storage.accounts import Identity
from storage.blobs import Blobs, open_blobs
from storage.database import Database, connect
from storage.jobs import Job

KEY = b"k" * 32
PNG = b"\x89PNG not really"


class Killed(BaseException):
    """The process is dead: nothing that it does from now on has any effect."""


class Fuse:
    """Burns at every boundary and kills at the `limit`-th; 0 never kills."""

    def __init__(self, limit: int = 0) -> None:
        self.limit, self.burnt, self.dead = limit, 0, False

    def burn(self) -> None:
        self.burnt += 1
        if self.dead or (self.limit and self.burnt >= self.limit):
            self.dead = True
            raise Killed


class FusedDatabase(Database):
    """A real database whose caller may die just before or just after a transaction."""

    def __init__(self, real: Database, fuse: Fuse) -> None:
        self._real, self._fuse, self.signals = real, fuse, real.signals

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self._fuse.burn()
        value = await self._real.run(function, *args, **kwargs)
        self._fuse.burn()
        return value

    async def read(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return await self._real.read(function, *args, **kwargs)

    async def schema(self, function: Any) -> Any:
        return await self._real.schema(function)

    async def close(self) -> None:
        await self._real.close()


class FusedBlobs(Blobs):
    def __init__(self, real: Blobs, fuse: Fuse) -> None:
        super().__init__(real._store)
        self._fuse = fuse

    async def put(self, key: str, data: bytes) -> None:
        self._fuse.burn()
        await super().put(key, data)
        self._fuse.burn()


class ScriptedEngine:
    """Plays `script` for each attempt; the default makes one picture. A hung attempt waits for its cancel."""

    def __init__(self, fuse: Fuse, *, width: int = 4) -> None:
        self.fuse, self.width = fuse, width
        self.submitted: list[str] = []
        self.how: list[dict[str, Any]] = []  # each was to be run
        self.script: Callable[[str, Request], list[Event | None]] = picture
        self._cancels: dict[str, asyncio.Event] = {}
        self._pieces: dict[str, int] = {}

    def room(self) -> int:
        return max(0, self.width - sum(self._pieces.values()))

    def warm(self) -> frozenset[str]:
        return frozenset({"tiny"})

    def devices(self) -> list[DeviceStatus]:
        return [DeviceStatus(device="cpu", name="scripted", state="ready", resident={}, running=0, waiting=0,
                             memory_bytes=0, restarts=0)]  # fmt: skip

    def submit(self, job: str, request: Request, inputs: dict[str, bytes], **how: Any) -> Any:
        self.submitted.append(job)
        self.how.append(how)
        self._cancels[job], self._pieces[job] = asyncio.Event(), pieces(request)
        return self._play(job, request)

    def cancel(self, job: str) -> None:
        if job in self._cancels:
            self._cancels[job].set()

    async def _play(self, job: str, request: Request) -> AsyncIterator[Event]:
        try:
            for event in self.script(job, request):
                if event is None:
                    await self._cancels[job].wait()
                if self._cancels[job].is_set():
                    yield Cancelled(job=job, share=0.5, device_seconds=0.1)
                    return
                self.fuse.burn()
                assert event is not None
                yield event
        finally:
            del self._cancels[job], self._pieces[job]


def picture(job: str, request: Request) -> list[Event | None]:
    made = Artifact(media_type="image/png", data=PNG, width=128, height=128, seed=1)
    return [
        Accepted(job=job),
        Progress(job=job, step=0, steps=2),
        Progress(job=job, step=1, steps=2, preview=b"jpeg"),
        Result(job=job, artifacts=(made,), device_seconds=0.2),
    ]


def hurries(job: str, request: Request) -> list[Event | None]:
    """Does not read to the end."""
    *before, made = picture(job, request)
    assert isinstance(made, Result)
    return [*before, msgspec.structs.replace(made, unread="in a blue bowl" + " and more" * 20)]


def hangs(job: str, request: Request) -> list[Event | None]:
    return [Accepted(job=job), Progress(job=job, step=1, steps=2), None]


def fails(code: Any) -> Callable[[str, Request], list[Event | None]]:
    return lambda job, request: [Accepted(job=job), Failed(job=job, code=code, message="scripted")]


def words(job: str, request: Request) -> list[Event | None]:
    made = Artifact(media_type="text/plain", data=b"Hello you")
    return [Accepted(job=job), Token(job=job, text="Hello"), Token(job=job, text=" you"),
            Result(job=job, artifacts=(made,), device_seconds=0.2)]  # fmt: skip


class Chat:
    """A platform that remembers what it was told."""

    name = "test"

    def __init__(self, fuse: Fuse, delivered: list[Card], shown: list[Card]) -> None:
        self._fuse, self.delivered, self.shown = fuse, delivered, shown
        self.told: list[str] = []
        self.refuse: Exception | None = None

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def show(self, account: int, address: Address, card: Card) -> bool:
        self.shown.append(card)
        return True

    async def deliver(self, account: int, address: Address, card: Card) -> str:
        if self.refuse is not None:
            raise self.refuse
        self._fuse.burn()
        self.delivered.append(card)
        self._fuse.burn()
        return f"message-{card.job}"

    async def tell(self, account: int, person: str, text: str) -> None:
        self.told.append(text)


class World:
    """One life of the process. `delivered` and `shown` outlive it, as the chat itself would."""

    def __init__(
        self, database: Database, folder: Path, config: Config, fuse: Fuse, delivered: list[Card]
    ) -> None:
        self.fuse, self.config = fuse, config
        self.real = database
        self.database: Database = FusedDatabase(database, fuse)
        self.blobs = FusedBlobs(open_blobs(str(folder / "blobs")), fuse)
        self.engine = ScriptedEngine(fuse)
        self.chat = Chat(fuse, delivered, [])
        self.abilities = Abilities(config.models)
        cards = Cards(config, Buttons(Signer(KEY), lifetime_seconds=3600), self.abilities)
        self.board = Board(self.database, self.blobs, cards, clock=now)
        self.board.add(self.chat)
        reporter = Reporter(self.database, hear=self.board.hear, shared=False)
        self.dispatcher = Dispatcher(
            self.database, self.blobs, self.engine, reporter, config, owner="me", clock=now
        )
        self.deliverer = Deliverer(self.database, self.chat, self.board, config, clock=now)
        self.rescuer = Rescuer(database, self.blobs, config, clock=now)  # its rounds are single transactions

    async def person(self, name: str = "ann") -> int:
        return await self.real.run(accounts.resolve, Identity(platform="test", external_id=name), now())

    async def submit(
        self, account: int, key: str = "event", request: Request | None = None, **ask: Any
    ) -> Submitted:
        wanted = Ask(
            key=key,
            account=account,
            words="a red apple",
            request=request or apple(),
            **{"address": Address(platform="test")} | ask,
        )
        return await self.database.run(submit.submit, self.config, wanted, now())

    async def live(self, until: Callable[[], Any]) -> None:
        """Runs everything until `until` (a coroutine function) says so, or the fuse kills it."""
        with only_killed():
            async with asyncio.TaskGroup() as group:
                for part in (self.dispatcher.run(), self.deliverer.run(), self.board.run(), self._rescue()):
                    group.create_task(part)
                async with asyncio.timeout(30):
                    while not await until():
                        if self.fuse.dead:
                            raise Killed
                        await asyncio.sleep(0.01)
                raise Killed

    async def _rescue(self) -> None:
        while True:
            await self.rescuer.round()
            await asyncio.sleep(0.05)

    async def restart(self) -> None:
        """What a new process that alone owns the database does first."""
        await self.real.run(jobs.all_lost)
        await self.real.run(deliveries.release_all, "test")

    async def job(self, job: int) -> Job:
        found = await self.real.read(jobs.get, job)
        assert found is not None
        return found

    async def delivered(self, job: int) -> bool:
        found = await self.job(job)
        waiting, _ = await self.real.read(deliveries.lag)
        return found.state in jobs.TERMINAL and waiting == 0

    async def check(self) -> None:
        """The invariants that hold at every moment."""
        assert await self.real.read(ledger.check) == []
        books = await self.real.read(ledger.balance_of_books)
        assert sum(books.values()) == 0


@contextmanager
def only_killed() -> Iterator[None]:
    """Lets a killed life end quietly; anything else that ended it is raised."""
    try:
        yield
    except Killed:
        return
    except BaseExceptionGroup as group:
        if (rest := group.split(Killed)[1]) is not None:
            raise rest from None


def now() -> datetime:
    return datetime.now(UTC)


def apple(**changes: Any) -> TextToImage:
    request: dict[str, Any] = {
        "model": "tiny", "prompt": "a red apple", "width": 128, "height": 128, "steps": 20, "guidance": 4.0, "seed": 1,
    }  # fmt: skip
    return TextToImage(**(request | changes))


@asynccontextmanager
async def world(
    url: str, folder: Path, *, fuse: Fuse | None = None, delivered: list[Card] | None = None, **environ: str
) -> AsyncIterator[World]:
    config = settings.load(None, {"ATELIER_RETRY_BASE": "0s", **environ})
    database = connect(url)
    try:
        await database.run(flows.define_tiers, submit.tier_weights(config))
        yield World(database, folder, config, fuse or Fuse(), delivered if delivered is not None else [])
    finally:
        await database.close()

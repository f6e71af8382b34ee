"""The ways to a person: where a message is, which tokens still open it, who writes to it.

A `Way` travels in the job's address; interaction tokens do not: they are in memory while this process lives and
in their own table, erased when they expire, for the next. One `Writer` a job keeps its message in sequence.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

import msgspec

from bot.chat import Address
from bot.platforms.discord.wire import FILE_BYTES_MAX
from storage import jobs, places
from storage.database import Database, Session

NAME = "discord"
TOKEN_SECONDS = 15 * 60  # as they live; whether one still does is Discord's to say, not a clock's
FOUND_SECONDS = 60.0  # how long a kept one is believed before it is looked up again
KEPT_MAX = 20_000


class Way(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`Address.route`, typed. All of it is text there, so each field converts from text."""

    channel: str = ""
    application: str = ""
    message: str = ""  # the one that shows the job
    asked: str = ""  # the person's own message, when there was one
    limit: int = FILE_BYTES_MAX  # bytes of a file, as the interaction said
    may: int = 0  # what the bot is allowed in the channel; 0: unknown
    bot: bool = False  # whether the bot itself may speak there
    nsfw: bool = False  # an age-restricted channel
    parent: str = ""  # of a thread
    direct: bool = False  # a chat of the person and the bot alone
    pressed: str = ""  # channel/message of the button that started it and rests until it is over

    def route(self) -> dict[str, str]:
        fields: dict[str, object] = msgspec.to_builtins(self)
        return {name: str(int(value) if isinstance(value, bool) else value) for name, value in fields.items()}


def way_of(address: Address) -> Way:
    """What an older version wrote and cannot be read counts as no way."""
    try:
        return msgspec.convert(address.route, Way, strict=False)
    except msgspec.ValidationError:
        return Way()


def on_way(address: Address, way: Way) -> Address:
    return msgspec.structs.replace(address, route=way.route())


@dataclass
class Writer:
    """A job's message: one edit at a time, none after its result."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    way: Way | None = None  # where it went after the job was submitted
    drawn_at: float = 0.0
    closed: bool = False
    gone: bool = False


class Writers:
    def __init__(self) -> None:
        self._kept: OrderedDict[int, Writer] = OrderedDict()

    def of(self, job: int) -> Writer:
        found = self._kept.setdefault(job, Writer())
        self._kept.move_to_end(job)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return found


class Tokens:
    """Interaction tokens by where they lead: a message of their own, or the channel they came from."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._kept: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def remember(self, person: str, token: str, *where: str) -> None:
        """For this process: the newest replaces the one before."""
        for place in filter(None, where):
            self._kept[place, person] = (token, self._clock() + TOKEN_SECONDS)
            self._kept.move_to_end((place, person))
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    async def keep(self, person: str, token: str, *where: str) -> None:
        """For the next process too."""
        self.remember(person, token, *where)
        await self._database.run(_keep, person, token, tuple(filter(None, where)))

    def has(self, person: str, where: str) -> str:
        """Like `find`, as far as this process knows."""
        token, until = self._kept.get((where, person), ("", self._clock()))
        return token if until > self._clock() else ""

    async def find(self, person: str, where: str) -> str:
        """One that still works, or ""."""
        if not where or not person:
            return ""
        now = self._clock()
        kept = self._kept.get((where, person))
        if kept is not None and kept[1] > now:
            return kept[0]
        found = await self._database.read(places.token, NAME, where, person)
        if found:
            self._kept[where, person] = (found, now + FOUND_SECONDS)
        return found or ""

    def forget(self, person: str, where: str) -> None:
        """Discord does not take it any more."""
        self._kept[where, person] = ("", inf)


async def move(database: Database, job: int, address: Address) -> None:
    """The job's message is elsewhere now."""
    await database.run(jobs.set_address, job, msgspec.json.encode(address))


def _keep(session: Session, person: str, token: str, where: tuple[str, ...]) -> None:
    for place in where:
        places.keep_token(session, NAME, place, person, token, seconds=TOKEN_SECONDS)

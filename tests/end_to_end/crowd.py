"""A scripted crowd on both fakes: what people do with a bot, and the trouble that befalls the bot meanwhile.

Who does what and when comes from one seeded generator; how it interleaves with the bot does not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from bot.buttons import Press
from bot.chat import Action
from tests.bot.platforms.telegram.life import png
from tests.end_to_end.process import Instance
from tests.fakes.discord.person import Person as DiscordPerson
from tests.fakes.discord.person import person
from tests.fakes.discord.server import FakeDiscord
from tests.fakes.discord.state import BOT, Channel, walk
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram import Person as TelegramPerson

Message = dict[str, Any]
Read = Callable[[str], Press | None]
THINGS = ("a fox", "a whale", "a red apple", "a rocket", "a ghost", "a cactus", "a guitar", "a pizza")
WRONG = (
    "a fox --stepz 4",
    "a fox --steps 900",
    "a fox --size 9x9x9",
    "a fox --model nobody",
    "a fox -n 77",
    "--ar 1:1",
)
SLOW = "--steps 30 -n 2"
CHANNELS, GROUPS = 5, 12
PICTURES = tuple(png(colour) for colour in ("blue", "green"))
DEEDS = {
    "make": 27, "press": 23, "private": 10, "wrong": 10, "ask": 9, "slow": 5, "answer": 5, "send": 3, "album": 3,
    "elsewhere": 3, "write": 2,
}  # fmt: skip
"""How often each is done in a hundred times."""
LAST_SEEN = 6  # people press what is at the bottom of the chat
ASKED_SECONDS = 12.0  # a request is on its way to its answer no longer than this


class Member(Protocol):
    """One person, on whichever platform. What gets no answer is given up, as people do."""

    async def make(self, words: str, *, private: bool = False) -> None: ...
    async def write(self, words: str) -> None: ...
    async def send(self, words: str, pictures: Sequence[bytes]) -> None: ...
    async def elsewhere(self, words: str) -> None: ...
    async def ask(self, command: str) -> None: ...
    async def press(self, chance: random.Random) -> Action | None: ...
    async def answer(self, words: str, chance: random.Random) -> None: ...


@dataclass
class OnDiscord:
    who: DiscordPerson
    channels: Sequence[Channel]
    read: Read
    guest: Channel
    listings: list[Any] = field(default_factory=list)  # answers to /jobs, which show cards a second time
    turn: int = 0

    async def make(self, words: str, *, private: bool = False) -> None:
        options = {"private": True} if private else {}
        await self.who.command(self._where(), "imagine", prompt=words, **options)

    async def write(self, words: str) -> None:
        await self.who.command(self._where(), "write", prompt=words)

    async def send(self, words: str, pictures: Sequence[bytes]) -> None:
        """A command takes one picture."""
        await self.who.command(self._where(), "imagine", prompt=words, picture=pictures[0])

    async def elsewhere(self, words: str) -> None:
        """Where the app is the person's own and the bot is not."""
        await self.who.command(self.guest, "imagine", prompt=words)

    async def ask(self, command: str) -> None:
        sent = await self.who.command(self._where(), command)
        self.listings += [sent] if command == "jobs" else []

    async def press(self, chance: random.Random) -> Action | None:
        found = [each for channel in self.channels for each in self.who.sees(channel)[-LAST_SEEN:]]
        choice = _button(found, discord_buttons, self.read, chance)
        if choice is None:
            return None
        message, button, action = choice
        asked = await self.who.press(message, button=button)
        if action is Action.EDIT and asked.answer and asked.answer["type"] == 9:
            await self.who.submit(asked, "a blue whale --steps 2")
        return action

    async def answer(self, words: str, chance: random.Random) -> None:
        """In a server by mention, else in plain words."""
        channel = self._where()
        message = await self.who.write(channel, f"<@{BOT}> {words}" if channel.guild else words)
        message["asked_at"] = time.monotonic()

    def _where(self) -> Channel:
        self.turn += 1
        return self.channels[self.turn % len(self.channels)]


@dataclass
class OnTelegram:
    who: TelegramPerson
    groups: Sequence[TelegramPerson]  # the same person, there
    read: Read
    turn: int = 0

    async def make(self, words: str, *, private: bool = False) -> None:
        await self._where().say(f"/imagine {words}{' --private' if private else ''}")

    async def write(self, words: str) -> None:
        await self._where().say(f"/write {words}")

    async def send(self, words: str, pictures: Sequence[bytes]) -> None:
        """Several are an album."""
        at, caption = self._where(), f"/imagine {words}"
        if len(pictures) > 1:
            await at.album(list(pictures), caption)
        else:
            await at.photo(pictures[0], caption)

    async def elsewhere(self, words: str) -> None:
        """Inline, in a chat that the bot does not see."""
        [offer] = (await self.who.type_inline(words))["results"]
        await self.who.choose(offer["id"], words)

    async def ask(self, command: str) -> None:
        await self.who.say(f"/{command}")

    async def press(self, chance: random.Random) -> Action | None:
        places = [self.who, *self.groups]
        found = [each for place in places for each in place.seen[-LAST_SEEN:]]
        choice = _button(found, telegram_buttons, self.read, chance)
        if choice is None:
            return None
        message, button, action = choice
        at = next(place for place in places if place.at == message["chat"]["id"])
        await at.press_data(message, button, seconds=6)
        if action is Action.EDIT and (asking := [each for each in at.seen if "asks" in each]):
            await at.say("a blue whale --steps 2", reply=asking[-1])
        return action

    async def answer(self, words: str, chance: random.Random) -> None:
        """To a result: an edit of it. Alone with the bot: plain words."""
        at = self._where()
        results = [each for each in at.seen if "photo" in each][-LAST_SEEN:]
        if results:
            await at.say(words, reply=chance.choice(results))
        else:
            await self.who.say(words)

    def _where(self) -> TelegramPerson:
        self.turn += 1
        places = [self.who, *self.groups]
        return places[self.turn % len(places)]


def discord_buttons(message: Message) -> Iterator[str]:
    for each in walk(message.get("components")):
        if each.get("type") == 2 and "custom_id" in each:
            yield each["custom_id"]


def telegram_buttons(message: Message) -> Iterator[str]:
    for row in message.get("reply_markup", {}).get("inline_keyboard", []):
        yield from (each["callback_data"] for each in row if "callback_data" in each)


def _button(
    messages: Sequence[Message],
    buttons: Callable[[Message], Iterator[str]],
    read: Read,
    chance: random.Random,
) -> tuple[Message, str, Action] | None:
    found = [
        (message, button, press.action)
        for message in messages
        for button in buttons(message)
        if (press := read(button)) is not None
    ]
    return chance.choice(found) if found else None


@dataclass
class Crowd:
    discord: FakeDiscord
    telegram: FakeTelegram
    chance: random.Random
    read: Read
    did: Counter[str] = field(default_factory=Counter)
    members: list[Member] = field(default_factory=list)
    secret: set[str] = field(default_factory=set)  # the numbers of what was asked for in private
    _number: int = 0
    _deck: list[str] = field(default_factory=list)

    def gather(self, people: int) -> None:
        """Half of them on each platform, in two places each; every fifth reads Chinese."""
        channels = [self.discord.channel(name=f"gen-{number}") for number in range(CHANNELS)]
        for number in range(people):
            chinese = number % 10 in {4, 5}
            if number % 2 == 0:
                one = person(self.discord, f"dis-{number}", locale="zh-CN" if chinese else "en-US")
                places = (self.chance.choice(channels), one.direct())
                guest = self.discord.channel(guest=True)
                self.members.append(OnDiscord(one, places, self.read, guest))
            else:
                two = TelegramPerson(
                    self.telegram, 5000 + number, f"tel-{number}", "zh-hans" if chinese else "en"
                )
                group = two.into(-1000 - self.chance.randrange(GROUPS))
                self.members.append(OnTelegram(two, (group,), self.read))

    async def live(self, seconds: float, actions: int) -> None:
        """So many actions, at random moments of the time, by whoever comes."""
        plan = sorted(self.chance.uniform(0, seconds) for _ in range(actions))
        order = [self.chance.choice(self.members) for _ in plan[len(self.members) :]]
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for at, member in zip(plan, [*self.members, *order], strict=False):
                await asyncio.sleep(max(0.0, began + at - time.monotonic()))
                group.create_task(self._guarded(member))

    async def _guarded(self, member: Member) -> None:
        with suppress(TimeoutError):  # nobody answers: it is down; what was asked for is judged at the end
            await self._act(member)

    def _deal(self) -> str:
        """The next deed, of a shuffled deck: however short the crowd's life is, all are done."""
        if not self._deck:
            self._deck = [deed for deed, count in DEEDS.items() for _ in range(count)]
            self.chance.shuffle(self._deck)
        return self._deck.pop()

    async def _act(self, member: Member) -> None:
        self._number += 1
        words = f"{self.chance.choice(THINGS)} q{self._number}"
        kind = self._deal()
        self.did[kind] += 1
        match kind:
            case "write":
                await member.write(f"{words} --length 10")
            case "send" | "album":
                await member.send(f"{words} --steps 4", PICTURES[: 1 + (kind == "album")])
            case "elsewhere":
                await member.elsewhere(f"{words} --steps 2")
            case "private":
                self.secret.add(words.rpartition(" ")[2])
                await member.make(f"{words} --steps 2", private=True)
            case "slow":
                await member.make(f"{words} {SLOW}")
            case "wrong":
                await member.make(self.chance.choice(WRONG))
            case "ask":
                await member.ask(self.chance.choice(("jobs", "balance", "help")))
            case "press":
                pressed = await member.press(self.chance)
                self.did[f"press {pressed.name.lower()}" if pressed else "make instead"] += 1
                if pressed is None:
                    await member.make(f"{words} --steps 2")
            case "answer":
                await member.answer(f"{words} --steps 2", self.chance)
            case _:
                await member.make(f"{words} --steps 2")


@dataclass
class Trouble:
    """What goes wrong, when; `deaf`: spans of time in which nobody may have heard a person on Discord."""

    instance: Instance
    discord: FakeDiscord
    telegram: FakeTelegram
    chance: random.Random
    crashes: list[tuple[float, float]] = field(default_factory=list)  # from its end to the next one's start
    deaf: list[tuple[float, float]] = field(default_factory=list)

    def is_deaf(self, at: float) -> bool:
        return any(begin <= at <= end for begin, end in self.deaf)

    def crashed_within(self, seconds: float, at: float) -> bool:
        """Whether the bot ended within so many seconds after this moment."""
        return any(begin - seconds <= at <= end for begin, end in self.crashes)

    async def befall(self, seconds: float) -> None:
        """The last crash leaves time enough for what it held: leases run for a minute."""
        plan: Sequence[tuple[float, Callable[[], Awaitable[None]]]] = (
            (0.08, self.flood), (0.14, self.kill), (0.30, self.break_answers), (0.38, self.drop_gateway),
            (0.46, self.stop), (0.60, self.kill), (0.74, self.flood), (0.80, self.reconnect),
            (0.86, self.break_answers), (0.92, self.invalidate),
        )  # fmt: skip
        began = time.monotonic()
        for share, happens in plan:
            await asyncio.sleep(max(0.0, began + share * seconds - time.monotonic()))
            await happens()

    async def kill(self) -> None:
        await self._away(lambda: asyncio.to_thread(self._restarted, self.instance.kill))

    async def stop(self) -> None:
        await self._away(lambda: asyncio.to_thread(self._restarted, self.instance.terminate))

    async def drop_gateway(self) -> None:
        await self._away(self.discord.gateway.drop)

    async def reconnect(self) -> None:
        await self._away(self.discord.gateway.reconnect)

    async def invalidate(self) -> None:
        await self._away(self.discord.gateway.invalidate)

    async def flood(self) -> None:
        """429 with its wait, short and long, on what makes and what changes messages."""
        for method, fragment in (("PATCH", "/webhooks/"), ("POST", "/messages"), ("PATCH", "/messages/")):
            self.discord.fail(method, fragment, 429, retry_after=2.0, times=2)
            self.discord.fail(method, fragment, 429, retry_after=6.0)
        for method in ("sendMessage", "editMessageMedia", "sendPhoto", "editMessageText"):
            self.telegram.fail(method, 429, "Too Many Requests: retry after 3", times=2, retry_after=3)

    async def break_answers(self) -> None:
        """5xx, and connections that break before and after the request had its effect."""
        for method, fragment in (("PATCH", "/webhooks/"), ("POST", "/messages"), ("POST", "/callback")):
            self.discord.fail(method, fragment, drop="before")
            self.discord.fail(method, fragment, drop="after")
            if fragment != "/callback":
                self.discord.fail(method, fragment, 502)
        for method in ("sendMessage", "editMessageMedia", "sendPhoto", "getUpdates"):
            self.telegram.fail(method, 502, "Bad Gateway")
            self.telegram.drop(method)
        self.telegram.drop("sendPhoto", after=True)
        self.telegram.drop("editMessageMedia", after=True)

    async def _away(self, what: Callable[[], Awaitable[None]]) -> None:
        begun = time.monotonic()
        self.discord.gateway.ready.clear()
        await what()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.discord.gateway.ready.wait(), 30)
        self.deaf.append((begun - ASKED_SECONDS, time.monotonic() + 1))

    def _restarted(self, end: Callable[[], None]) -> None:
        begun = time.monotonic()
        end()
        self.instance.start()
        self.crashes.append((begun, time.monotonic()))

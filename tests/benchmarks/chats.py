"""What both chats cost: CPU of one command, first answers at fifty commands a second, memory of ten thousand chats.

The bot is a process of its own with the role `chat` over SQLite, and this one plays Discord, Telegram and the
people, without checking requests against the specifications, which costs more than the bot. No device takes the
jobs, so they stay in line.

`cost` counts the CPU of the bot's whole process from one command's socket to its committed job and first answer,
in a busy bot (eight people wait at a time) and one after the other (`alone`); nothing is redrawn there, as that
depends on the line's length. `load` is the whole bot in an open loop: commands come at their time, whether or not
the ones before are answered, from people who ask once each. `idle` lets each of so many chats ask once. In `cost`
and `idle` the bot's pace towards Telegram (30 messages a second) is lifted.

    python -m tests.benchmarks.chats [--commands 400] [--seconds 20] [--chats 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import psutil
import structlog

from bot import bootstrap, settings
from bot.jobs import board
from bot.platforms.pacing import Rate
from bot.platforms.telegram import wire
from tests.benchmarks.report import Figures, last_line, percentile, table
from tests.fakes.discord import validate as discord_validate
from tests.fakes.discord.person import Person as DiscordPerson
from tests.fakes.discord.person import person
from tests.fakes.discord.server import FakeDiscord
from tests.fakes.discord.state import LOADING
from tests.fakes.telegram import TOKEN, FakeTelegram, until
from tests.fakes.telegram import Person as TelegramPerson
from tests.fakes.telegram import validate as telegram_validate

PEOPLE = 200  # on each platform, known to the bot before anything is measured
QUIET, UNPACED = "quiet", "unpaced"  # how the bot is changed for a measurement
COMMANDS_PER_SECOND = 50
ANSWER_SECONDS_MAX = 30.0
WATCH_SECONDS = 0.005
BUSY = 8  # people who wait for their answers at the same time
CPU_MAX_MS, ANSWER_P99_MAX_MS, IDLE_MAX_MB = 5.0, 1000.0, 100.0
SETTINGS = {
    "ATELIER_WEB_ENABLED": "false", "ATELIER_BUDGET_FREE_TOTAL": "0", "ATELIER_BUDGET_FREE_PER_PLACE": "0",
    "ATELIER_PLANS_FREE_CREDITS_DAY": "10000", "ATELIER_PLANS_FREE_PER_MINUTE": "10000",
    "ATELIER_PLANS_FREE_WAITING": "10000", "ATELIER_TELEGRAM_TOKEN": TOKEN,
}  # fmt: skip


class Asker(Protocol):
    """Somebody who sends one command; returns the seconds until the first sign and until the answer itself."""

    async def ask(self, command: str, words: str = "") -> tuple[float, float]: ...


class OnDiscord:
    """In a server's channel. The first sign is "thinking …"."""

    def __init__(self, who: DiscordPerson) -> None:
        self._who, self._channel = who, who.fake.channel()

    async def ask(self, command: str, words: str = "") -> tuple[float, float]:
        fake, began = self._who.fake, time.perf_counter()
        options = {"prompt": words} if words else {}
        sent = await self._who.command(self._channel, command, wait=False, **options)
        await _until(lambda: sent.answer is not None)
        first = time.perf_counter() - began
        await _until(lambda: not fake.messages[sent.original]["flags"] & LOADING)
        return first, time.perf_counter() - began


class OnTelegram:
    """Alone with the bot. The first sign is the answer."""

    def __init__(self, who: TelegramPerson) -> None:
        self._who = who

    async def ask(self, command: str, words: str = "") -> tuple[float, float]:
        seen, began = len(self._who.seen), time.perf_counter()
        await self._who.say(f"/{command} {words}".strip())
        await _until(lambda: len(self._who.seen) > seen)
        return (answered := time.perf_counter() - began), answered


class Site:
    """Both platforms, the people there, and the bot's process."""

    def __init__(self, discord: FakeDiscord, telegram: FakeTelegram, process: psutil.Process) -> None:
        self.discord, self.telegram, self._process = discord, telegram, process
        self._telegram_ids = 10_000

    def people(self, count: int) -> tuple[list[Asker], list[Asker]]:
        first, self._telegram_ids = self._telegram_ids, self._telegram_ids + count
        return (
            [OnDiscord(person(self.discord, f"p{number}")) for number in range(count)],
            [OnTelegram(TelegramPerson(self.telegram, first + number)) for number in range(count)],
        )

    def cpu_seconds(self) -> float:
        spent = self._process.cpu_times()
        return spent.user + spent.system

    def memory_bytes(self) -> int:
        return self._process.memory_info().rss


@asynccontextmanager
async def site(home: Path, how: str = "") -> AsyncIterator[Site]:
    discord, telegram = FakeDiscord(), FakeTelegram()
    discord.gateway.heartbeat_ms = 41_250
    await discord.start()
    await telegram.start()
    environ = {**os.environ, **SETTINGS, **discord.environ, "ATELIER_HOME": str(home)}
    environ["ATELIER_TELEGRAM_API_BASE"] = telegram.url
    arguments = [sys.executable, "-m", "tests.benchmarks.chats", "--serve", f"--how={how}"]
    process = subprocess.Popen(arguments, env=environ, stdin=subprocess.DEVNULL)
    try:
        await asyncio.wait_for(discord.gateway.ready.wait(), 30)
        await until(lambda: telegram._poll, "Telegram is polled", 30)
        yield Site(discord, telegram, psutil.Process(process.pid))
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
        await discord.stop()
        await telegram.stop()


async def _until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while not ready():
            await asyncio.sleep(WATCH_SECONDS)


async def cost(place: Site, people: Sequence[Asker], commands: int, *, together: int) -> float:
    """Milliseconds of CPU a command, while so many people at a time wait for their answers."""
    before = place.cpu_seconds()
    await all_ask(people, commands, "imagine", "a red apple", together=together)
    return (place.cpu_seconds() - before) / commands * 1e3


async def all_ask(
    people: Sequence[Asker], commands: int, command: str, words: str = "", *, together: int = 16
) -> None:
    numbers = iter(range(commands))

    async def several() -> None:
        for number in numbers:
            await people[number % len(people)].ask(command, words)

    async with asyncio.TaskGroup() as group:
        for _ in range(together):
            group.create_task(several())


async def load(sides: Sequence[Sequence[Asker]], seconds: float) -> list[list[tuple[float, float]]]:
    """Each side's answers, while commands come at the same pace to all."""
    answers: list[list[tuple[float, float]]] = [[] for _ in sides]

    async def one(side: int, number: int) -> None:
        asker = sides[side][number % len(sides[side])]
        answers[side].append(await asker.ask("imagine", f"a whale {number}"))

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(round(seconds * COMMANDS_PER_SECOND)):
            await asyncio.sleep(max(0.0, began + number / COMMANDS_PER_SECOND - time.perf_counter()))
            group.create_task(one(number % len(sides), number // len(sides)))
    return answers


async def each_asks_once(people: Sequence[Asker], command: str = "balance") -> None:
    await all_ask(people, len(people), command)


async def own_cost(home: Path, count: int) -> Figures:
    async with site(home, QUIET) as place:
        discord, telegram = place.people(PEOPLE)
        await each_asks_once([*discord, *telegram])
        return {
            "discord_command_cpu_ms": await cost(place, discord, count, together=BUSY),
            "telegram_command_cpu_ms": await cost(place, telegram, count, together=BUSY),
            "discord_command_alone_cpu_ms": await cost(place, discord, count // 2, together=1),
            "telegram_command_alone_cpu_ms": await cost(place, telegram, count // 2, together=1),
        }


async def many_at_once(home: Path, seconds: float) -> Figures:
    async with site(home) as place:
        sides = place.people(round(seconds * COMMANDS_PER_SECOND / 2))
        await each_asks_once([asker for side in sides for asker in side[:PEOPLE]])
        await asyncio.sleep(1)
        before, began = place.cpu_seconds(), time.perf_counter()
        on_discord, on_telegram = await load(sides, seconds)
        figures: Figures = {
            "load_commands_per_second": COMMANDS_PER_SECOND,
            "load_cpu_share": (place.cpu_seconds() - before) / (time.perf_counter() - began),
        }
    signs = [first for first, _ in (*on_discord, *on_telegram)]
    for name, samples in (
        ("first_answer", signs),
        ("discord_card", [answer for _, answer in on_discord]),
        ("telegram_status", [answer for _, answer in on_telegram]),
    ):
        figures |= {f"{name}_p{share}_ms": percentile(samples, share) * 1e3 for share in (50, 99)}
    return figures


async def idle(home: Path, chats: int) -> Figures:
    async with site(home, UNPACED) as place:
        discord, telegram = place.people(PEOPLE)
        await each_asks_once([*discord, *telegram])
        before = place.memory_bytes()
        discord, telegram = place.people(chats // 2)
        began = time.perf_counter()
        await each_asks_once(
            [asker for both in zip(discord, telegram, strict=True) for asker in both], "balance"
        )
        took = time.perf_counter() - began
        await asyncio.sleep(1)
        return {
            "idle_chats": chats,
            "idle_chats_added_mb": (place.memory_bytes() - before) / 2**20,
            "idle_chats_per_second": chats / took,
        }


async def serve(how: str) -> None:
    """The bot, without devices: what `--role chat` is, which needs PostgreSQL only to have company."""
    if how in {QUIET, UNPACED}:
        wire.OVERALL = Rate(100_000, 100_000)
    if how == QUIET:
        board.WATCHED_MAX = 0
    config = settings.load(None, dict(os.environ))
    async with bootstrap.storage_of(config, alone=True) as (database, blobs):
        await bootstrap.Instance(config, ("chat",), database, blobs).run(bootstrap._stop_signal())


def play(work: Callable[[Path], Awaitable[Figures]]) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(work(Path(folder)))  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--chats", type=int, default=10_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--how", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if args.serve:
        asyncio.run(serve(args.how))
        return
    discord_validate.spec = telegram_validate.specification = lambda: None  # type: ignore[assignment]
    figures = play(lambda home: own_cost(home, args.commands))
    figures |= play(lambda home: many_at_once(home, args.seconds))
    figures |= play(lambda home: idle(home, args.chats))
    table("One command, fifty a second, ten thousand idle chats", ("", "figure"), [*figures.items()])  # type: ignore[arg-type]
    cpu = max(float(figures["discord_command_cpu_ms"]), float(figures["telegram_command_cpu_ms"]))
    late = max(
        float(figures[f"{name}_p99_ms"]) for name in ("first_answer", "discord_card", "telegram_status")
    )
    figures["ok"] = (
        cpu < CPU_MAX_MS and late < ANSWER_P99_MAX_MS and float(figures["idle_chats_added_mb"]) < IDLE_MAX_MB
    )
    last_line(figures)


if __name__ == "__main__":
    main()

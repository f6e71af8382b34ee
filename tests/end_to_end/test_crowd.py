"""Two hundred people on Discord and Telegram at once, and the bot restarted, flooded and cut off meanwhile.

At the end each accepted request has one result, or one sentence instead, where its person sees it, and the books
are right. CROWD_SECONDS (25) and CROWD_ACTIONS (250) make it longer; CROWD_SEED repeats what people do.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator

import pytest

from bot import bootstrap
from bot.buttons import Buttons
from tests.end_to_end import crowd_checks
from tests.end_to_end.aftermath import all_over
from tests.end_to_end.conftest import MakeInstance
from tests.end_to_end.crowd import DEEDS, Crowd, Trouble
from tests.end_to_end.process import Instance, check_books
from tests.fakes.discord import validate as discord_validate
from tests.fakes.discord.server import FakeDiscord
from tests.fakes.telegram import TOKEN, FakeTelegram, until
from tests.fakes.telegram import validate as telegram_validate

PEOPLE = 200
SECONDS = float(os.environ.get("CROWD_SECONDS", "25"))
ACTIONS = int(os.environ.get("CROWD_ACTIONS") or 10 * SECONDS)
SEED = int(os.environ.get("CROWD_SEED", "2026"))
GENEROUS = {
    "ATELIER_PLANS_FREE_CREDITS_DAY": "200", "ATELIER_PLANS_FREE_PER_MINUTE": "10",
    "ATELIER_PLANS_FREE_WAITING": "3", "ATELIER_RETRY_BASE": "0s", "ATELIER_TIMEOUTS_LEASE": "3s",
}  # fmt: skip
BROKEN = (
    "discord.event_broken", "discord.broken", "discord.progress_broken", "discord.malformed", "platform.broken",
    "telegram.update_broken", "telegram.answer_broken",
)  # fmt: skip
Fakes = tuple[FakeDiscord, FakeTelegram]


@pytest.fixture
async def fakes() -> AsyncIterator[Fakes]:
    """Every request that they saw was what the platforms' own specifications allow."""
    discord, telegram = FakeDiscord(), FakeTelegram()
    discord.gateway.heartbeat_ms = 41_250
    await discord.start()
    await telegram.start()
    before = discord_validate.checked, telegram_validate.checked
    yield discord, telegram
    await discord.stop()
    await telegram.stop()
    print(f"requests checked: {discord_validate.checked - before[0]} of Discord's, "
          f"{telegram_validate.checked - before[1]} of Telegram's")  # fmt: skip
    assert discord.problems == []
    assert telegram.problems == []


def environ(discord: FakeDiscord, telegram: FakeTelegram, *, hook: bool) -> dict[str, str]:
    pushed = {
        "ATELIER_TELEGRAM_WEBHOOK_URL": "https://atelier.example/hooks/telegram",
        "ATELIER_TELEGRAM_WEBHOOK_SECRET": "s3cret",
    }
    return {
        **GENEROUS, **discord.environ, "ATELIER_TELEGRAM_TOKEN": TOKEN, "ATELIER_TELEGRAM_API_BASE": telegram.url,
        "ATELIER_TELEGRAM_VAULT_CHAT": str(crowd_checks.VAULT), **(pushed if hook else {}),
    }  # fmt: skip


async def begin(instance: Instance, discord: FakeDiscord, telegram: FakeTelegram) -> None:
    await asyncio.to_thread(instance.start)
    await asyncio.wait_for(discord.gateway.ready.wait(), 20)
    await until(lambda: telegram._poll or telegram.hook, "Telegram is heard", 20)


async def test_a_crowd_gets_one_answer_each(
    database_url: str, make_instance: MakeInstance, fakes: Fakes
) -> None:
    discord, telegram = fakes
    hook = database_url.startswith("postgresql")  # updates are pushed there, and polled for on SQLite
    instance: Instance = make_instance(database_url=database_url, **environ(*fakes, hook=hook))
    telegram.hook_at = f"{instance.url}/hooks/telegram" if hook else ""
    await begin(instance, *fakes)
    read = Buttons(bootstrap.signer_of(instance.config), lifetime_seconds=30 * 86400)
    crowd = Crowd(discord, telegram, random.Random(SEED), lambda button: read.read(button, now=0))
    crowd.gather(PEOPLE)
    trouble = Trouble(instance, discord, telegram, random.Random(SEED + 1))
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(trouble.befall(SECONDS))
        group.create_task(crowd.live(SECONDS, ACTIONS))
    await until(lambda: not telegram.updates, "all updates are confirmed", 90)
    async with instance.database() as database:
        await all_over(database, instance)
        settled = time.monotonic() - began
        await asyncio.sleep(2)  # last answers that are words only
        found = await crowd_checks.check(crowd, trouble, database)
        await check_books(database)
    print(f"\n{database_url.split(':')[0]}: {PEOPLE} people, {ACTIONS} actions in {SECONDS:.0f} s, settled after "
          f"{settled:.0f} s, {len(trouble.crashes)} restarts; {dict(crowd.did)}; {dict(found.counts)}")  # fmt: skip
    assert found.wrong == []
    assert crowd.did.keys() >= DEEDS.keys()  # whatever people do, somebody did
    assert len(trouble.crashes) == 3
    assert [line for line in instance.log().splitlines() if any(word in line for word in BROKEN)] == []

"""The whole bot behind the real platform: from a typed command to a picture with buttons, on both databases."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from bot.jobs import roster
from bot.jobs.deliverer import Deliverer
from bot.jobs.ending import address_of
from bot.payments.discord_sku import DiscordSku
from bot.payments.inbox import Inbox
from bot.payments.shop import Shop
from bot.platforms.discord import delivery
from bot.platforms.discord.client import DiscordPlatform
from bot.platforms.discord.rest import Rest
from bot.platforms.discord.storefront import ShopNews, Storefront
from storage import accounts, deliveries, jobs, ledger
from tests.bot.commands.stage import Stage, stage
from tests.bot.jobs.test_roster import Devices, serving
from tests.bot.jobs.world import fails, hangs, now
from tests.bot.jobs.world import words as writes
from tests.fakes.discord.person import Person, person
from tests.fakes.discord.server import FakeDiscord
from tests.fakes.discord.shop import AVAILABLE, GUILD_SUBSCRIPTION, SUBSCRIPTION
from tests.fakes.discord.state import EPHEMERAL, GUILD, MANAGER, Channel, buttons, gallery, skus, words


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are seen sooner than people would want."""
    monkeypatch.setattr(delivery, "EDIT_SECONDS", 0.1)


def platform_of(made: Stage) -> DiscordPlatform:
    inbox, rest = Inbox(made.world.database, made.config, clock=now), Rest()
    provider = DiscordSku(made.config, Storefront(rest), clock=now)
    shop = Shop(made.world.database, made.config, [provider], clock=now)
    return DiscordPlatform(
        made.but(shop=shop).service, made.config, made.world.database, made.context.places, made.buttons, clock=now,
        rest=rest, shop=ShopNews(inbox, provider),
    )  # fmt: skip


@asynccontextmanager
async def life(url: str, folder: Path, fake: FakeDiscord, **environ: str) -> AsyncIterator[Stage]:
    """One life of the bot, with Discord as its chat."""
    async with stage(url, folder, ATELIER_HOME=str(folder), **fake.environ, **environ) as made:
        database, board = made.world.database, made.world.board
        await database.run(jobs.all_lost)
        await database.run(deliveries.release_all, "discord")
        platform = made.platform = platform_of(made)  # type: ignore[attr-defined]
        board.add(platform)
        deliverer = Deliverer(database, platform, board, made.config, clock=now)
        running = [asyncio.create_task(platform.run()), asyncio.create_task(deliverer.run())]
        await asyncio.wait_for(platform.ready.wait(), 10)
        try:
            yield made
        finally:
            for task in running:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def crowd(fake: FakeDiscord) -> tuple[Channel, Person, Person]:
    return fake.channel(), person(fake, "ann"), person(fake, "bob")


async def finished(fake: FakeDiscord, who: Person, channel: Channel, count: int = 1) -> list[dict]:
    """The messages with pictures, once there are so many."""

    def found() -> list[dict]:
        made = [each for each in who.sees(channel) if gallery(each) and "Again" in buttons(each)]
        return made if len(made) >= count else []

    return await fake.until(found, 10)


async def test_imagine_then_its_buttons_then_an_answer(
    database_url: str, tmp_path: Path, fake: FakeDiscord
) -> None:
    channel, ann, bob = crowd(fake)
    async with life(database_url, tmp_path, fake):
        sent = await ann.command(channel, "imagine", prompt="a red apple", steps=10, seed=7)
        [message] = await finished(fake, ann, channel)
        assert message["id"] == sent.original
        assert "Made with AI" in words(message)
        await bob.press(message, "Again")
        await finished(fake, ann, channel, 2)
        edit = await ann.press(message, "Edit")
        assert edit.answer
        assert edit.answer["data"]["components"][0]["component"]["value"] == "a red apple --steps 10 --seed 7"
        await ann.press(message, "Details")
        assert (await ann.reads(channel, "Receipt"))["flags"] & EPHEMERAL
        await ann.command(channel, "write", prompt="a poem")
        await ann.command(channel, "imagine", prompt="a red apple --stepz 4")
        assert (await ann.reads(channel, "--steps"))["flags"] & EPHEMERAL
        await ann.press(message, "Delete")
        await fake.until(lambda: message["id"] not in fake.messages)


async def credits(made: Stage, owner: accounts.Identity) -> int:
    """What the owner may spend, once that is anything."""
    async with asyncio.timeout(5):
        while True:
            account = await made.world.database.run(accounts.resolve, owner, now())
            live = await made.world.database.read(ledger.lots, account, now())
            if left := sum(lot.remaining for lot in live):
                return left
            await asyncio.sleep(0.01)


async def test_a_servers_subscription_pays_for_its_members(
    database_url: str, tmp_path: Path, fake: FakeDiscord
) -> None:
    channel, ann, bob = crowd(fake)
    fake.shop.clock = now
    sku = fake.shop.sku(SUBSCRIPTION, flags=AVAILABLE | GUILD_SUBSCRIPTION)
    async with life(database_url, tmp_path, fake, ATELIER_PLANS_SERVER_DISCORD_SKU=sku) as made:
        await fake.shop.subscribes(bob.id, sku, guild=GUILD)
        wallet, month = accounts.place("discord", GUILD), made.config.plans["server"].credits_month
        assert await credits(made, wallet) == month
        await ann.command(channel, "imagine", prompt="a red apple")
        await finished(fake, ann, channel)
        assert await credits(made, wallet) == month - 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_plans_and_refusals_lead_into_discords_shop_and_back(
    database_url: str, tmp_path: Path, fake: FakeDiscord
) -> None:
    channel, ann, bob = crowd(fake)
    bob.may = MANAGER
    fake.shop.clock = now
    basic, server = (fake.shop.sku(SUBSCRIPTION, flags=AVAILABLE | more) for more in (0, GUILD_SUBSCRIPTION))
    environ = {"ATELIER_PLANS_BASIC_DISCORD_SKU": basic, "ATELIER_PLANS_SERVER_DISCORD_SKU": server}
    async with life(database_url, tmp_path, fake, **environ, ATELIER_PLANS_FREE_CREDITS_DAY="0") as made:
        await bob.command(channel, "plans")
        assert skus(await bob.reads(channel, "Server")) == [basic, server]
        await ann.command(channel, "imagine", prompt="a red apple")
        refused = await fake.until(lambda: next((each for each in ann.sees(channel) if skus(each)), None))
        [offered] = skus(refused)
        await fake.shop.subscribes(ann.id, offered)
        assert await credits(made, accounts.Identity(platform="discord", external_id=ann.id))
        await ann.command(channel, "imagine", prompt="a red apple")
        await finished(fake, ann, channel)


async def test_a_text_streams_and_arrives(database_url: str, tmp_path: Path, fake: FakeDiscord) -> None:
    channel, ann, _ = crowd(fake)
    async with life(database_url, tmp_path, fake) as made:
        made.world.engine.script = writes
        await ann.command(channel, "write", prompt="a greeting", tone="warm and kind")
        message = await ann.reads(channel, "Hello you", 10)
        await ann.reads(channel, "Made with AI", 10)
        assert message["flags"] & EPHEMERAL == 0


async def test_a_restart_in_between_is_invisible(
    database_url: str, tmp_path: Path, fake: FakeDiscord
) -> None:
    channel, ann, _ = crowd(fake)
    async with life(database_url, tmp_path, fake) as made:
        made.world.engine.script = hangs
        sent = await ann.command(channel, "imagine", prompt="a red apple")
        private = await ann.command(channel, "imagine", prompt="a red secret", private=True)
        await ann.reads(channel, "Step", 10)
    async with life(database_url, tmp_path, fake):
        messages = await finished(fake, ann, channel, 2)
        assert {each["id"] for each in messages} == {sent.original, private.original}


async def test_an_expired_token_ends_in_a_message_of_the_channel(
    database_url: str, tmp_path: Path, fake: FakeDiscord
) -> None:
    channel, ann, bob = crowd(fake)
    async with life(database_url, tmp_path, fake) as made:
        made.world.engine.script = hangs
        sent = await ann.command(channel, "imagine", prompt="a red apple")
        await ann.reads(channel, "Step", 10)
    fake.expire()
    fake.messages.pop(sent.original)
    async with life(database_url, tmp_path, fake):
        [message] = await finished(fake, bob, channel)
        assert message["id"] != sent.original


async def test_a_private_result_is_never_the_channels(
    database_url: str, tmp_path: Path, fake: FakeDiscord
) -> None:
    channel, ann, bob = crowd(fake)
    fake.closed_to_bot.add(ann.id)
    async with life(database_url, tmp_path, fake) as made:
        made.world.engine.script = hangs
        await ann.command(channel, "imagine", prompt="a red apple", private=True)
        await ann.reads(channel, "Step", 10)
    fake.expire()
    async with life(database_url, tmp_path, fake) as made:
        [job] = await made.world.real.read(jobs.recent, limit=10)
        async with asyncio.timeout(10):
            while not await made.world.real.read(deliveries.undelivered, job.account):
                await asyncio.sleep(0.05)
        assert bob.sees(channel) == []
        await ann.command(channel, "jobs")
        [message] = await finished(fake, ann, channel)
        assert message["flags"] & EPHEMERAL
    assert bob.sees(channel) == []


async def test_a_failure_names_the_way_out(database_url: str, tmp_path: Path, fake: FakeDiscord) -> None:
    channel, ann, _ = crowd(fake)
    async with life(database_url, tmp_path, fake) as made:
        made.world.engine.script = fails("out_of_memory")
        await ann.command(channel, "imagine", prompt="a red apple")
        message = await ann.reads(channel, "smaller size", 20)
        assert list(buttons(message)) == ["Again", "Edit", "Delete"]


async def test_an_admin_sees_drains_and_resumes_a_device_and_ends_a_job(
    database_url: str, tmp_path: Path, fake: FakeDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "LOOK_SECONDS", 0.05)
    channel, ann, bob = crowd(fake)
    owner = {"ATELIER_ADMINS_OWNER": f"discord:{ann.id}"}
    pool = Devices("gpu")
    async with life(database_url, tmp_path, fake, **owner) as made, serving(made.world.real, pool, "me"):
        made.world.engine.script = hangs
        await bob.command(channel, "imagine", prompt="a secret apple")
        await bob.reads(channel, "Step", 10)
        await ann.command(channel, "admin", command="pool")
        listed = await ann.reads(channel, "gpu**: ready")
        assert "**free**: queue · 1 · 0" in words(listed)
        assert listed["flags"] & EPHEMERAL
        for wish, answer, state in (
            ("drain", "takes no more jobs", "drained"), ("resume", "takes jobs again", "starting"),
        ):  # fmt: skip
            await ann.command(channel, "admin", command=f"pool {wish} gpu")
            await ann.reads(channel, answer)
            await fake.until(lambda state=state: pool.states["gpu"] == state)
        await bob.command(channel, "admin", command="pool drain gpu")
        await bob.reads(channel, "This is for the admins")
        [job] = await made.world.real.read(jobs.recent, limit=9)
        await ann.command(channel, "admin", command=f"pool cancel {job.id}")
        await ann.reads(channel, f"Job #{job.id} is being cancelled")
        await bob.reads(channel, "Cancelled", 10)
    assert pool.states == {"gpu": "starting"}


async def test_cancelled_in_the_chat(database_url: str, tmp_path: Path, fake: FakeDiscord) -> None:
    channel, ann, bob = crowd(fake)
    async with life(database_url, tmp_path, fake) as made:
        made.world.engine.script = hangs
        await ann.command(channel, "imagine", prompt="a red apple")
        message = await ann.reads(channel, "Step", 10)
        await bob.press(message, "Cancel")
        await bob.reads(channel, "somebody else")
        await ann.press(message, "Cancel")
        await ann.reads(channel, "Cancelled", 10)


async def test_a_slower_process_draws_no_old_progress_over_a_result(
    database_url: str, tmp_path: Path, fake: FakeDiscord
) -> None:
    """Where shards are shared out, whoever draws looks afterwards whether the job is over."""
    channel, ann, _ = crowd(fake)
    async with life(database_url, tmp_path, fake, ATELIER_DISCORD_SHARDS="0-0/1") as made:
        await ann.command(channel, "imagine", prompt="a red apple")
        [message] = await finished(fake, ann, channel)
        [job] = await made.world.real.read(jobs.recent, limit=10)
        card = await made.world.board.card(job)
        other = platform_of(made)
        other._rest.gateway = made.platform._rest.gateway  # type: ignore[attr-defined]
        edits = message["edits"]
        old = msgspec.structs.replace(card, state="running", pictures=(), fraction=0.5)
        assert await other.show(job.account, address_of(job), old)
        await fake.until(lambda: message["edits"] == edits + 2)
        assert gallery(message)


@pytest.mark.parametrize("adult", ["refuse", "allow"])
async def test_adult_words_are_the_operators_to_allow_and_the_channels_to_veil(
    sqlite_template: Path, tmp_path: Path, fake: FakeDiscord, adult: str
) -> None:
    _, ann, _ = crowd(fake)
    channels = [fake.channel(nsfw=True), fake.channel()]
    shutil.copy(sqlite_template, tmp_path / "a.db")
    url = f"sqlite:///{tmp_path / 'a.db'}"
    async with life(url, tmp_path, fake, ATELIER_SAFETY_ADULT=adult):
        for channel in channels:
            await ann.command(channel, "imagine", prompt="a naked statue")
        if adult == "refuse":  # an age-restricted channel changes nothing
            for channel in channels:
                assert (await ann.reads(channel, "Adult content is off"))["flags"] & EPHEMERAL
            return
        bare, veiled = [(await finished(fake, ann, channel))[0] for channel in channels]
        assert "spoiler" not in gallery(bare)[0]
        assert gallery(veiled)[0]["spoiler"] is True

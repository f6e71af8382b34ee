"""Discord's shop from a press of a premium button to credits: the real platform and provider on the fake Discord."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from bot import checkup, settings
from bot.buttons import Buttons
from bot.chat import Action, Button, Reply
from bot.checkup import Ward
from bot.config import Config
from bot.jobs import allowances, entitlement, wallets
from bot.payments.cashier import Cashier
from bot.payments.discord_sku import NAME, DiscordSku
from bot.payments.inbox import Inbox
from bot.payments.shop import Shop
from bot.places import Places
from bot.platforms.discord import rest as wire
from bot.platforms.discord.client import DiscordPlatform
from bot.platforms.discord.rest import Rest
from bot.platforms.discord.storefront import ShopNews, Storefront
from bot.signing import Signer
from storage import accounts, entitlements, errands, ledger, notices, payments
from storage.accounts import Identity
from storage.database import Database, connect
from tests.bot.jobs.world import KEY
from tests.bot.platforms.discord.scripted import ScriptedChat
from tests.fakes.discord.person import Person, person
from tests.fakes.discord.server import FakeDiscord
from tests.fakes.discord.shop import (
    AVAILABLE,
    CONSUMABLE,
    DEVELOPER_GIFT,
    DURABLE,
    GUILD_SUBSCRIPTION,
    SUBSCRIPTION,
    TEST_MODE,
)
from tests.fakes.discord.state import APPLICATION, GUILD, links, skus

DAY = timedelta(days=1)
SMALL, BASIC, PRO, SERVER = 500, 1500, 5000, 8000  # credits of the products in config.toml


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Discord fails to answer is asked again at once."""
    monkeypatch.setattr(wire, "AWAY_SECONDS", 0.01)


class Counted(ShopNews):
    """Says how many of the gateway's events have been looked into."""

    done = 0

    async def hear(self, kind: str, event: dict[str, Any]) -> None:
        try:
            await super().hear(kind, event)
        finally:
            self.done += 1


class Market:
    """A bot that sells on Discord, over a real database. `at` moves everybody's clock."""

    def __init__(self, fake: FakeDiscord, database: Database, folder: Path) -> None:
        self.fake, self.database = fake, database
        self.at = (
            datetime.now(UTC).replace(microsecond=0) - 100 * DAY
        )  # all that happens is past for the database
        fake.shop.clock = self.clock
        sell = fake.shop.sku
        self.small, self.durable = sell(CONSUMABLE), sell(DURABLE)
        self.basic, self.pro = sell(SUBSCRIPTION), sell(SUBSCRIPTION)
        self.server = sell(SUBSCRIPTION, flags=AVAILABLE | GUILD_SUBSCRIPTION)
        self.environ = fake.environ | {"ATELIER_HOME": str(folder)}
        self.config = settings.load(None, self.environ)
        self.config = self.selling(
            {"basic": self.basic, "pro": self.pro, "server": self.server}, {"small": self.small}
        )
        self.ann, self.bob = person(fake, "ann"), person(fake, "bob")
        self.channel = fake.channel()

    def clock(self) -> datetime:
        return self.at

    def selling(self, plans: dict[str, str], packs: dict[str, str]) -> Config:
        """The configuration with these SKUs."""

        def sold(table: dict[str, Any], named: dict[str, str]) -> dict[str, Any]:
            return {
                name: msgspec.structs.replace(each, discord_sku=named.get(name, ""))
                for name, each in table.items()
            }

        return msgspec.structs.replace(
            self.config, plans=sold(self.config.plans, plans), packs=sold(self.config.packs, packs)
        )

    async def start(self) -> None:
        """A new process over the same database."""
        inbox, rest = Inbox(self.database, self.config, clock=self.clock), Rest()
        self.provider = DiscordSku(self.config, Storefront(rest), clock=self.clock)
        self.cashier = Cashier(self.database, inbox, [self.provider], clock=self.clock)
        self.shop = Shop(self.database, self.config, [self.provider], clock=self.clock)
        self.chat = ScriptedChat(Buttons(Signer(KEY), lifetime_seconds=3600))
        self.news = Counted(inbox, self.provider)
        self.platform = DiscordPlatform(
            self.chat, self.config, self.database, Places(self.database), self.chat.buttons, clock=self.clock,
            rest=rest, shop=self.news,
        )  # fmt: skip
        self.fake.gateway.told = 0
        self._task = asyncio.create_task(self.platform.run())
        await asyncio.wait_for(self.platform.ready.wait(), 10)

    async def stop(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def settle(self) -> None:
        """Waits until all that was told has been heard and applied."""
        await self.fake.until(
            lambda: self.news.done == self.fake.gateway.told and not self.platform._tasks, 30
        )

    async def account(self, who: Person | str) -> int:
        """A person's, or the wallet of the server."""
        identity = (
            accounts.place(NAME, who) if isinstance(who, str) else Identity(platform=NAME, external_id=who.id)
        )
        return await self.database.run(accounts.resolve, identity, self.at)

    async def credits(self, who: Person | str) -> int:
        live = await self.database.read(ledger.lots, await self.account(who), self.at)
        assert await self.database.read(ledger.check) == []
        return sum(lot.remaining for lot in live)

    async def plan(self, who: Person | str) -> str:
        number = await self.account(who)
        await self.database.run(entitlement.derive_due, self.config, self.at)
        found = await self.database.read(accounts.get, number)
        assert found is not None
        return wallets.plan_of(self.config, found)[0]

    async def paid(self, who: Person | str) -> list[payments.Payment]:
        return await self.database.read(payments.of_account, await self.account(who))

    async def scan(self) -> list[str]:
        """What the hourly comparison finds."""
        report = await self.cashier.reconcile(NAME)
        return [each.what for each in report.differences] if report else ["away"]

    async def after(self, days: float) -> None:
        self.at += timedelta(days=days)


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    made = FakeDiscord()
    await made.start()
    yield made
    await made.stop()
    assert made.problems == []


async def market_on(fake: FakeDiscord, url: str, folder: Path) -> AsyncIterator[Market]:
    database = connect(url)
    made = Market(fake, database, folder)
    await made.start()
    yield made
    await made.stop()
    await database.close()


@pytest.fixture
async def market(fake: FakeDiscord, sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Market]:
    shutil.copy(sqlite_template, tmp_path / "a.db")
    async for made in market_on(fake, f"sqlite:///{tmp_path / 'a.db'}", tmp_path):
        yield made


@pytest.fixture
async def on_both(fake: FakeDiscord, database_url: str, tmp_path: Path) -> AsyncIterator[Market]:
    async for made in market_on(fake, database_url, tmp_path):
        yield made


# --- what is bought once ----------------------------------------------------------------------------------


async def test_a_pack_is_bought_by_its_button_credited_once_and_consumed(on_both: Market) -> None:
    market = on_both
    [way] = [each for each in market.shop.ways(NAME) if each.product.id == "pack:small"]
    ann = await market.account(market.ann)
    offer = await market.shop.sell(way, buyer=ann, account=ann, locale="en")
    button = Button(id="b", action=Action.BUY, label="Buy", sku=offer.sku)
    market.chat.next_reply = Reply(text="Nothing left today.", buttons=(button,), refused=True)
    await market.ann.command(market.channel, "imagine", prompt="a red apple")
    refused = await market.ann.reads(market.channel, "Nothing left today.")
    [pressed] = skus(refused)
    held = await market.fake.shop.buys(market.ann.id, pressed)
    await market.settle()
    assert await market.credits(market.ann) == SMALL
    await market.cashier.errands()
    await market.settle()
    assert market.fake.shop.consumed == [held["id"]]
    [paid] = await market.paid(market.ann)
    assert (paid.amount, paid.currency, paid.test, paid.flag) == (199, "usd", False, "")
    [told] = await market.database.run(notices.claim, NAME, lease_seconds=60)
    assert (told.message, told.person) == ("notice-paid-pack", market.ann.id)
    assert await market.scan() == []
    await market.fake.shop.buys(market.ann.id, pressed)
    await market.settle()
    assert await market.credits(market.ann) == 2 * SMALL


async def test_a_purchase_is_consumed_however_often_that_fails_first(market: Market) -> None:
    held = await market.fake.shop.buys(market.ann.id, market.small)
    await market.settle()
    market.fake.fail("POST", "/consume", 503, times=3)  # as often as one try asks
    await market.cashier.errands()
    assert market.fake.shop.consumed == []
    [(errand, _)] = await market.database.run(errands.stuck)
    await market.database.run(errands.later, errand.id, 0, "")
    await market.cashier.errands()
    await market.settle()
    assert market.fake.shop.consumed == [held["id"]]
    assert await market.credits(market.ann) == SMALL


async def test_what_is_consumed_already_is_done(market: Market) -> None:
    await market.fake.shop.buys(market.ann.id, market.small)
    await market.settle()
    market.fake.fail("POST", "/consume", drop="after", times=1)  # we never learn that it worked
    await market.cashier.errands()
    assert await market.database.read(errands.stuck) == []
    assert len(market.fake.shop.consumed) == 1


async def test_a_durable_item_gives_its_credits_once_and_is_never_consumed(market: Market) -> None:
    market.config = market.selling({}, {"large": market.durable})
    await market.restart()
    await market.fake.shop.buys(market.ann.id, market.durable)
    await market.settle()
    await market.scan()
    await market.cashier.errands()
    assert await market.credits(market.ann) == 3000
    assert market.fake.calls("POST", "/consume") == []


async def test_a_refund_takes_the_credits_back_and_spent_ones_are_owed(market: Market) -> None:
    held = await market.fake.shop.buys(market.ann.id, market.small)
    await market.settle()
    await market.fake.shop.refunds(held)
    await market.settle()
    assert await market.credits(market.ann) == 0
    [paid] = await market.paid(market.ann)
    assert paid.refunded == paid.amount
    assert await market.scan() == []


async def test_test_purchases_give_credits_and_are_no_revenue(market: Market) -> None:
    await market.fake.shop.buys(market.ann.id, market.small, kind=TEST_MODE)
    await market.settle()
    assert await market.credits(market.ann) == SMALL
    assert await market.database.read(payments.revenue, market.at - 100 * DAY) == []


async def test_a_gift_of_the_developers_gives_credits_and_cost_nothing(market: Market) -> None:
    await market.fake.shop.buys(market.ann.id, market.small, kind=DEVELOPER_GIFT)
    await market.settle()
    [paid] = await market.paid(market.ann)
    assert (await market.credits(market.ann), paid.amount, paid.flag) == (SMALL, 0, "")


async def test_another_price_in_the_configuration_changes_nothing_that_was_paid(market: Market) -> None:
    await market.fake.shop.buys(market.ann.id, market.small)
    await market.settle()
    dearer = {
        name: msgspec.structs.replace(each, price={"usd": 299}) for name, each in market.config.packs.items()
    }
    market.config = msgspec.structs.replace(market.config, packs=dearer)
    await market.restart()
    assert await market.scan() == []
    assert [each.amount for each in await market.paid(market.ann)] == [199]


async def test_a_sku_that_nobody_configured_is_kept_flagged_and_given_once_it_is_configured(
    market: Market,
) -> None:
    config = market.config
    market.config = market.selling({"basic": market.basic}, {})
    await market.restart()
    await market.fake.shop.buys(market.ann.id, market.small)
    await market.settle()
    await market.scan()
    [flagged] = await market.database.read(payments.flagged)
    assert (flagged.flag, flagged.product) == ("unknown_product", f"sku:{market.small}")
    await market.cashier.errands()
    assert market.fake.shop.consumed == []
    market.config = config
    await market.restart()
    assert await market.scan() == ["missed"]
    assert await market.credits(market.ann) == SMALL
    assert await market.database.read(payments.flagged) == []
    await market.cashier.errands()
    assert len(market.fake.shop.consumed) == 1


async def test_refunds_and_cancellations_are_not_ours_to_make(market: Market) -> None:
    for kind in ("refund", "cancel"):
        await market.database.run(errands.send, market.at, key=kind, provider=NAME, kind=kind, target="1")  # type: ignore[arg-type]
    await market.cashier.errands()
    said = [error for _, error in await market.database.read(errands.stuck)]
    assert "support.discord.com" in said[0]
    assert "User Settings" in said[1]


# --- subscriptions ----------------------------------------------------------------------------------------


async def test_a_subscription_renews_is_cancelled_and_ends_with_its_entitlement(on_both: Market) -> None:
    market, shop = on_both, on_both.fake.shop
    bought = await shop.subscribes(market.ann.id, market.basic)
    await market.settle()
    assert (await market.plan(market.ann), await market.credits(market.ann)) == ("basic", BASIC)
    await market.after(30)
    await shop.renews(bought)
    await market.settle()
    assert await market.credits(market.ann) == 2 * BASIC  # last month's roll over for a month
    assert len(await market.paid(market.ann)) == 2
    await shop.cancels(bought)
    await market.after(29)
    await market.settle()
    [right] = await market.database.read(entitlements.of_account, await market.account(market.ann))
    assert (await market.plan(market.ann), right.renews) == ("basic", False)
    await market.after(1)
    await shop.ends(bought)
    await market.settle()
    assert await market.plan(market.ann) == "free"
    await market.after(1)
    assert await market.scan() == []  # nothing is news twice


async def test_access_lasts_as_long_as_the_entitlement_whatever_the_subscription_says(market: Market) -> None:
    bought = await market.fake.shop.subscribes(market.ann.id, market.basic)
    await market.fake.shop.cancels(bought)
    await market.settle()
    await market.after(45)
    await market.scan()
    assert await market.plan(market.ann) == "basic"
    account = await market.database.read(accounts.get, await market.account(market.ann))
    assert account is not None
    plan = market.config.plans["basic"]
    assert (
        allowances.due(account, plan, market.config.abuse, now=market.at) == []
    )  # no month that nobody paid for


async def test_an_upgrade_gives_what_the_higher_tier_gives_more(market: Market) -> None:
    bought = await market.fake.shop.subscribes(market.ann.id, market.basic)
    await market.settle()
    await market.after(10)
    await market.fake.shop.changes(bought, market.pro)
    await market.settle()
    assert (await market.plan(market.ann), await market.credits(market.ann)) == ("pro", PRO)
    assert [each.amount for each in await market.paid(market.ann)] == [1199 - 499, 499]
    await market.after(30)
    await market.fake.shop.renews(bought)
    await market.settle()
    assert (await market.paid(market.ann))[0].amount == 1199


async def test_a_lower_tier_is_paid_whole_once_the_higher_one_is_over(market: Market) -> None:
    bought = await market.fake.shop.subscribes(market.ann.id, market.pro)
    await market.settle()
    await market.after(30)
    await market.fake.shop.changes(bought, market.basic)
    await market.settle()
    assert await market.plan(market.ann) == "basic"
    assert [each.amount for each in await market.paid(market.ann)] == [499, 1199]


async def test_a_servers_subscription_fills_the_servers_wallet(market: Market) -> None:
    await market.fake.shop.subscribes(market.bob.id, market.server, guild=GUILD)
    await market.settle()
    assert (await market.plan(GUILD), await market.credits(GUILD)) == ("server", SERVER)
    assert (await market.plan(market.bob), await market.credits(market.bob)) == ("free", 0)
    assert await market.database.run(notices.claim, NAME, lease_seconds=60) == []  # a server reads no letters


async def test_a_refunded_subscription_ends_at_once(market: Market) -> None:
    bought = await market.fake.shop.subscribes(market.ann.id, market.basic)
    await market.settle()
    await market.fake.shop.refunds(market.fake.shop.held_by(bought))
    await market.settle()
    assert (await market.plan(market.ann), await market.credits(market.ann)) == ("free", 0)


async def test_a_test_entitlement_gives_the_plan_until_it_is_deleted(market: Market) -> None:
    path = f"{market.fake.base}/api/v10/applications/{APPLICATION}/entitlements"
    body = {"sku_id": market.basic, "owner_id": market.ann.id, "owner_type": 2}
    async with aiohttp.ClientSession() as developer, developer.post(path, json=body) as answer:
        made = await answer.json()
    await market.settle()
    assert (await market.plan(market.ann), await market.credits(market.ann)) == ("basic", BASIC)
    await market.after(31)
    await market.scan()
    assert await market.credits(market.ann) == 2 * BASIC
    assert await market.database.read(payments.revenue, market.at - 100 * DAY) == []
    async with aiohttp.ClientSession() as developer, developer.delete(f"{path}/{made['id']}"):
        pass
    await market.settle()
    assert await market.plan(market.ann) == "free"


# --- whatever is told, late, twice or never ----------------------------------------------------------------


async def test_twenty_times_in_any_order_with_a_restart_and_a_scan_in_between(market: Market) -> None:
    shop = market.fake.shop
    with shop.unheard():
        pack = await shop.buys(market.ann.id, market.small)
        refunded = await shop.buys(market.ann.id, market.small)
        await shop.refunds(refunded)
        bought = await shop.subscribes(market.ann.id, market.basic)
        await market.after(30)
        await shop.renews(bought)
        await market.after(5)
        await shop.changes(bought, market.pro)
    for batch in _shuffled(shop.told, copies=20, parts=2):
        for kind, event in batch:
            await market.fake.gateway.dispatch(kind, event)
        await market.settle()
        await market.scan()
        await market.restart()
    assert await market.plan(market.ann) == "pro"
    months = {f"{each.amount}" for each in await market.paid(market.ann) if each.subscription}
    assert months == {"499", "700"}
    assert len(await market.paid(market.ann)) == 5  # two packs, two months, one upgrade
    assert await market.credits(market.ann) == SMALL + 2 * BASIC + PRO - BASIC
    await market.cashier.errands()
    await market.settle()
    assert shop.consumed == [pack["id"]]
    assert await market.scan() == []


def _shuffled(told: list[tuple[str, Any]], *, copies: int, parts: int) -> list[list[tuple[str, Any]]]:
    everything = list(told) * copies
    random.Random(5).shuffle(everything)
    size = -(-len(everything) // parts)
    return [everything[start : start + size] for start in range(0, len(everything), size)]


async def test_what_nobody_told_is_found_by_the_scan(market: Market) -> None:
    with market.fake.shop.unheard():
        await market.fake.shop.subscribes(market.ann.id, market.basic)
        for _ in range(101):  # more than a page
            held = await market.fake.shop.buys(market.bob.id, market.small, kind=TEST_MODE)
    assert set(await market.scan()) == {"missed"}
    assert (await market.plan(market.ann), await market.credits(market.bob)) == ("basic", 101 * SMALL)
    with market.fake.shop.unheard():
        await market.fake.shop.refunds(held)
    assert await market.scan() == ["missed"]
    assert await market.credits(market.bob) == 100 * SMALL


async def test_the_scan_begins_once_discord_is_there_and_comes_again_each_hour(market: Market) -> None:
    with market.fake.shop.unheard():
        await market.fake.shop.buys(market.ann.id, market.small)
    market.fake.fail("GET", "/entitlements", 503, times=3)
    await market.cashier.reconcile_all()
    assert await market.credits(market.ann) == 0
    await market.cashier.reconcile_all()
    assert await market.credits(market.ann) == SMALL
    scans = len(market.fake.calls("GET", "/entitlements"))
    await market.cashier.reconcile_all()
    assert len(market.fake.calls("GET", "/entitlements")) == scans
    await market.after(1 / 24)
    await market.cashier.reconcile_all()
    assert len(market.fake.calls("GET", "/entitlements")) > scans


@pytest.mark.parametrize("failing", ["/entitlements", "/subscriptions", "/skus"])
async def test_a_scan_that_fails_takes_nothing_away(market: Market, failing: str) -> None:
    await market.fake.shop.subscribes(market.ann.id, market.basic)
    await market.settle()
    await market.restart()
    market.fake.fail("GET", failing, 503, times=1000)
    assert await market.scan() == ["away"]
    assert (await market.plan(market.ann), await market.credits(market.ann)) == ("basic", BASIC)


async def test_news_that_cannot_be_looked_into_now_waits(market: Market) -> None:
    market.fake.fail("GET", "/entitlements", 503, times=3)
    await market.fake.shop.buys(market.ann.id, market.small)
    await market.settle()
    assert await market.credits(market.ann) == 0
    await market.cashier.letters()
    assert await market.credits(market.ann) == SMALL


async def test_an_interaction_tells_of_what_nobody_told(market: Market) -> None:
    with market.fake.shop.unheard():
        await market.fake.shop.subscribes(market.ann.id, market.basic)
    for _ in range(2):
        await market.ann.command(market.channel, "balance")
        await market.settle()
    assert await market.plan(market.ann) == "basic"
    listed = [path for _, path, _ in market.fake.requests if path.endswith("/entitlements")]
    assert len(listed) == 1  # what is known costs nothing


# --- whether the shop is set up -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plans", "packs", "wrong"),
    [
        ({"basic": "basic", "server": "server"}, {"small": "small", "large": "durable"}, ""),
        ({"basic": "server"}, {}, "plan:basic must be a user subscription"),
        ({"server": "pro"}, {}, "plan:server must be a guild subscription"),
        ({}, {"small": "pro"}, "pack:small must be a consumable"),
        ({}, {"small": "hidden"}, "pack:small is not published"),
        ({"pro": "nothing"}, {}, "plan:pro is not in this application's shop"),
    ],
)
async def test_the_doctor_compares_the_skus_with_the_shop(
    market: Market, plans: dict[str, str], packs: dict[str, str], wrong: str
) -> None:
    known = vars(market) | {"hidden": market.fake.shop.sku(CONSUMABLE, flags=0), "nothing": "1"}
    config = market.selling(*({name: known[sku] for name, sku in each.items()} for each in (plans, packs)))
    ward = Ward(config=config, database=None, now=market.at)
    finding = await checkup._finding("discord shop", checkup.CHECKS["discord shop"], ward)
    assert finding.state == ("failed" if wrong else "ok"), finding
    assert wrong in finding.fix


# --- what is drawn ----------------------------------------------------------------------------------------


async def test_a_sku_that_discord_does_not_sell_costs_its_button_not_the_words(market: Market) -> None:
    market.chat.next_reply = Reply(
        text="Two ways to pay.",
        buttons=(
            Button(id="a", action=Action.BUY, label="Discord", sku="1"),
            Button(id="b", action=Action.BUY, label="Card", url="https://checkout.example/1"),
        ),
    )
    market.fake.fail("PATCH", "/messages/@original", 400, code=50035)
    await market.ann.command(market.channel, "balance")
    shown = await market.ann.reads(market.channel, "Two ways to pay.")
    assert (skus(shown), links(shown)) == ([], ["https://checkout.example/1"])

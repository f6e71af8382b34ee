"""Buying: plans, orders, receipts, codes, gifts, invitations and joining accounts, as people meet them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec
import pytest

from bot.chat import Action, Locale
from bot.config import Config, Referral
from bot.payments.events import AnyEvent, Money, Paid
from bot.payments.inbox import Inbox
from bot.payments.products import Product
from bot.payments.provider import Offer, ProviderAway
from bot.payments.shop import Shop
from storage import accounts, ledger, payments, promos
from storage.accounts import Identity
from storage.errands import Errand, Letter
from storage.payments import Order
from storage.promos import Promo
from tests.bot.commands.stage import Stage
from tests.bot.jobs.world import now


class Till:
    """A provider that takes any money: what the shop needs of one, scripted."""

    name, own_only = "paper", False

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.away = False

    def sells_on(self, platform: str) -> bool:
        return True

    def price(self, product: Product) -> Money | None:
        return product.money("usd")

    async def offer(self, order: Order, product: Product, *, locale: Locale) -> Offer:
        if self.away:
            raise ProviderAway("closed")
        self.orders.append(order)
        return Offer(url=f"https://pay.example/{order.token}")

    async def read(self, letter: Letter) -> list[AnyEvent]:
        return []

    async def run(self, errand: Errand) -> list[AnyEvent]:
        return []

    async def movements(self, since: datetime) -> AsyncIterator[AnyEvent]:
        for none in ():
            yield none


class Counter:
    """A stage with a shop, and money that comes for its orders."""

    def __init__(self, stage: Stage) -> None:
        config: Config = msgspec.structs.replace(stage.config, referral=Referral(credits=50, newcomer_days=7))
        self.till = Till()
        database = stage.world.real
        self.stage = stage.but(config=config, shop=Shop(database, config, [self.till], clock=now))
        self.inbox = Inbox(database, config, clock=now)
        self.database = database
        self._paid = 0

    async def say(self, command: str, text: str = "", **more: Any) -> Any:
        return await self.stage.say(command, text, **more)

    async def pay(self, *, test: bool = False) -> None:
        order = self.till.orders[-1]
        self._paid += 1
        money = Money(order.amount, order.currency)
        paid = Paid(
            provider="paper", at=now(), payment=f"p{self._paid}", money=money, order=order.token, test=test
        )
        await self.inbox.apply([paid])

    async def left(self, by: str) -> int:
        return (await self.say("balance", by=by)).left


@pytest.fixture
async def counter(play: Stage) -> Counter:
    return Counter(play)


async def test_plans_shows_all_prices_side_by_side_and_orders_nothing(counter: Counter) -> None:
    reply = await counter.say("plans")
    assert "4.99 USD" in reply.text
    assert "500" in reply.text
    assert [button.label for button in reply.buttons] == [
        "Basic · 4.99 USD", "Pro · 11.99 USD", "500 credits · 1.99 USD", "3,000 credits · 9.99 USD",
    ]  # fmt: skip
    assert counter.till.orders == []


async def test_a_button_of_plans_leads_to_where_it_is_paid_and_the_credits_arrive(counter: Counter) -> None:
    before = await counter.left("ann")
    reply = await counter.say("plans")
    offer = await counter.stage.press(reply.buttons[2].id)
    assert offer.buttons[0].url.startswith("https://pay.example/")
    assert "1.99 USD" in offer.text
    await counter.pay()
    assert await counter.left("ann") == before + 500
    assert "1.99 USD" in (await counter.say("receipts")).text


async def test_buy_takes_a_name_and_suggests_the_nearest(counter: Counter) -> None:
    assert (await counter.say("buy", "smal")).text.count("small") >= 1
    assert counter.till.orders == []
    await counter.say("buy", "small")
    assert [order.product for order in counter.till.orders] == ["pack:small"]


async def test_who_has_no_credits_left_is_offered_some(counter: Counter) -> None:
    await counter.left("ann")
    account = await counter.stage.world.person("ann")
    await counter.database.run(ledger.take, account, 10**6, now(), key="all", reason="spent")
    refused = await counter.say("imagine", "a red apple")
    assert refused.refused
    assert [button.action for button in refused.buttons] == [Action.BUY] * 3


async def test_a_provider_that_is_away_is_a_sentence_and_nothing_is_charged(counter: Counter) -> None:
    counter.till.away = True
    reply = await counter.say("buy", "small")
    assert reply.refused
    assert await counter.database.read(payments.flagged) == []


async def test_a_plan_that_was_bought_is_in_force_at_once(counter: Counter) -> None:
    await counter.say("buy", "basic")
    await counter.pay()
    assert "Basic" in (await counter.say("plans")).text.splitlines()[0]


async def test_a_promo_code_counts_once_a_person_and_so_many_times_in_all(counter: Counter) -> None:
    await counter.database.run(promos.add, Promo(code="SPRING", credits=25, uses_max=2), "cli")
    before = await counter.left("ann")
    assert not (await counter.say("redeem", "spring")).refused
    assert (await counter.say("redeem", "SPRING")).refused
    assert await counter.left("ann") == before + 25
    assert not (await counter.say("redeem", "SPRING", by="bob")).refused
    assert (await counter.say("redeem", "SPRING", by="eve")).refused


async def test_codes_cannot_be_guessed(counter: Counter) -> None:
    replies = [await counter.say("redeem", f"CODE{number}") for number in range(11)]
    assert replies[0].text != replies[-1].text


async def test_both_get_credits_when_somebody_who_was_invited_buys(counter: Counter) -> None:
    ann, bob = await counter.left("ann"), await counter.left("bob")
    code = (await counter.say("refer")).text.split("`")[1]
    assert (await counter.say("redeem", code)).refused  # one's own
    assert not (await counter.say("redeem", code, by="bob")).refused
    assert (await counter.left("ann"), await counter.left("bob")) == (ann, bob)
    await counter.say("buy", "small", by="bob")
    await counter.pay()
    assert (await counter.left("ann"), await counter.left("bob")) == (ann + 50, bob + 550)


async def test_test_money_rewards_nobody(counter: Counter) -> None:
    ann = await counter.left("ann")
    code = (await counter.say("refer")).text.split("`")[1]
    await counter.say("redeem", code, by="bob")
    await counter.say("buy", "small", by="bob")
    await counter.pay(test=True)
    assert await counter.left("ann") == ann


async def test_a_gift_is_paid_by_one_and_had_by_the_other(counter: Counter) -> None:
    ann, bob = await counter.left("ann"), await counter.left("bob")
    await counter.say("gift", "test:bob small")
    await counter.pay()
    assert (await counter.left("ann"), await counter.left("bob")) == (ann, bob + 500)


async def test_a_gift_for_nobody_is_refused(counter: Counter) -> None:
    assert (await counter.say("gift", "test:nobody small")).refused
    assert (await counter.say("gift", "")).refused
    assert counter.till.orders == []


async def test_a_code_joins_two_accounts_once(counter: Counter) -> None:
    await counter.say("buy", "small")
    await counter.pay()
    ann, bob = await counter.left("ann"), await counter.left("bob")
    code = (await counter.say("link")).text.split("link ")[1].split("`")[0]
    assert not (await counter.say("link", code, by="bob")).refused
    assert (await counter.say("link", code, by="eve")).refused
    assert await counter.left("ann") == await counter.left("bob")
    assert max(ann, bob) <= await counter.left("ann") <= ann + bob
    found = [
        await counter.database.read(accounts.find, Identity(platform="test", external_id=who))
        for who in ("ann", "bob")
    ]
    assert found[0] == found[1]


async def test_a_code_that_comes_again_is_answered_as_it_was(counter: Counter) -> None:
    code = (await counter.say("link")).text.split("link ")[1].split("`")[0]
    answers = [await counter.say("link", code, by="bob", event="the same") for _ in range(2)]
    assert not answers[1].refused
    assert answers[0] == answers[1]


async def test_a_forged_code_joins_nothing(counter: Counter) -> None:
    assert (await counter.say("link", "1-aaaa.zzzzzz.bbbbbbbbbbbbbbbb")).refused


async def test_everything_answers_in_chinese(counter: Counter) -> None:
    for command, text in (
        ("plans", ""),
        ("buy", "nothing"),
        ("receipts", ""),
        ("redeem", "x"),
        ("gift", ""),
        ("link", ""),
    ):
        reply = await counter.say(command, text, locale="zh")
        assert any("\u4e00" <= letter <= "\u9fff" for letter in reply.text), command

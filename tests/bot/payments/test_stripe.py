"""Stripe, end to end: the page's offer, Checkout, webhooks on our server, the ledger. The SDK is the real one."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.jobs.refusals import Refusal
from bot.office import Office
from bot.operations import Actor
from bot.payments import products
from storage import accounts, errands, payments
from storage.database import Database, connect
from tests.bot.payments.stripe_world import Market, trading
from tests.fakes.stripe.books import NotAllowed
from tests.fakes.stripe.server import signed

DAY = 86400


@pytest.fixture
async def market(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Market]:
    path = tmp_path / "a.db"
    shutil.copy(sqlite_template, path)
    database = connect(f"sqlite:///{path}")
    async with trading(database) as made:
        yield made
    await database.close()


# --- the whole way, on both databases ---------------------------------------------------------------------


async def test_buying_subscribing_renewing_refunding(database: Database) -> None:
    async with trading(database) as market:
        ann, bob = await market.person("ann"), await market.person("bob")
        pack = market.books.pay(await market.buy(ann, "pack:small"))
        await market.deliver()
        assert await market.stands(ann) == ("free", 500)
        subscription = await market.subscribed(bob)
        assert await market.stands(bob) == ("basic", 1500)
        market.books.renew(subscription)
        await market.deliver()
        assert await market.stands(bob) == ("basic", 3000)
        await market.errand("refund", pack["payment_intent"])
        assert await market.stands(ann) == ("free", 0)
        await market.deliver()
        assert (await market.reconcile()).differences == ()


# --- packs ------------------------------------------------------------------------------------------------


async def test_a_pack_is_offered_where_stripe_may_be_offered(market: Market) -> None:
    sold = {
        platform: {way.product.id for way in market.shop.ways(platform)} for platform in ("web", "discord")
    }
    assert sold["web"] == sold["discord"] == {"plan:basic", "plan:pro", "pack:small", "pack:large"}
    assert market.shop.ways("telegram") == []


async def test_a_pack_s_order_travels_with_its_session_and_its_payment(market: Market) -> None:
    url = await market.buy(await market.person("ann"), "pack:small")
    session = market.books.get(url.rpartition("/")[2])
    token = session["client_reference_id"]
    assert (await market.do(payments.order, token)).product == "pack:small"
    assert session["metadata"] == session["payment_intent_data"]["metadata"] == {"atelier_order": token}
    assert (session["amount_total"], session["currency"]) == (199, "usd")
    assert session["success_url"] == market.page + "/paid"
    assert market.books.get("atelier_pack_small")["name"] == "500 credits"


async def test_the_operator_s_currency_is_asked_where_a_product_has_it(
    sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "a.db")
    database = connect(f"sqlite:///{tmp_path / 'a.db'}")
    prices = {"ATELIER_PAYMENTS_CURRENCY": "jpy", "ATELIER_PACKS_SMALL_PRICE": '{"jpy": 300, "usd": 199}'}
    async with trading(database, **prices) as market:
        ann = await market.person("ann")
        session = market.books.pay(await market.buy(ann, "pack:small"))
        assert (session["amount_total"], session["currency"]) == (300, "jpy")
        await market.deliver()
        assert await market.credits(ann) == 500
        large = market.books.get((await market.buy(ann, "pack:large")).rpartition("/")[2])
        assert large["currency"] == "usd"
    await database.close()


async def test_money_that_comes_days_later_gives_its_credits_then(market: Market) -> None:
    ann = await market.person("ann")
    session = market.books.pay(await market.buy(ann, "pack:small"), delayed=True)
    await market.deliver()
    assert await market.credits(ann) == 0
    market.books.now += 4 * DAY  # the order lapsed long ago
    market.books.clear(session, succeeds=True)
    await market.deliver()
    assert await market.credits(ann) == 500
    assert await market.flags() == []


async def test_money_that_does_not_come_gives_nothing(market: Market) -> None:
    ann = await market.person("ann")
    session = market.books.pay(await market.buy(ann, "pack:small"), delayed=True)
    market.books.clear(session, succeeds=False)
    await market.deliver()
    assert await market.credits(ann) == 0
    assert await market.do(errands.unapplied) == []
    assert await market.told() == ["notice-failed-order"]


async def test_an_order_that_is_paid_twice_is_given_once_and_flagged(market: Market) -> None:
    ann = await market.person("ann")
    session = market.books.pay(await market.buy(ann, "pack:small"))
    with pytest.raises(NotAllowed):
        market.books.pay(session["url"])
    market.books.charge(199, "usd", session["payment_intent_data"]["metadata"])  # by hand, in the dashboard
    await market.deliver()
    await market.reconcile()
    assert await market.credits(ann) == 500
    assert await market.flags() == ["paid_twice"]


@pytest.mark.parametrize("change", [{"amount": 1}, {"currency": "eur"}])
async def test_another_amount_or_currency_is_kept_for_an_admin(
    market: Market, change: dict[str, Any]
) -> None:
    ann = await market.person("ann")
    session = market.books.pay(await market.buy(ann, "pack:small"))
    charge = market.books.get(market.books.get(session["payment_intent"])["latest_charge"])
    charge.update(change)
    await market.deliver()
    assert await market.credits(ann) == 0
    assert await market.flags() == ["wrong_amount"]


async def test_money_for_what_nobody_sells_any_more_is_kept_for_an_admin(market: Market) -> None:
    subscription = await market.subscribed(await market.person("ann"))
    market.books.get(subscription["id"])["items"]["data"][0]["price"]["product"] = "prod_gone"
    market.books.renew(subscription)
    await market.deliver()
    assert await market.flags() == ["unknown_product"]


async def test_money_for_a_banned_person_is_kept_for_an_admin(market: Market) -> None:
    ann = await market.person("ann")
    market.books.pay(await market.buy(ann, "pack:small"))
    await market.do(accounts.set_ban, ann, "spam")
    await market.deliver()
    assert await market.flags() == ["banned"]


async def test_money_with_an_order_that_was_lost_is_kept_for_an_admin(market: Market) -> None:
    session = market.books.pay(await market.buy(await market.person("ann"), "pack:small"))
    session["client_reference_id"] = "lost"
    await market.deliver()
    assert await market.flags() == ["unknown_payer"]


# --- plans ------------------------------------------------------------------------------------------------


async def test_an_upgrade_takes_effect_at_once_and_gives_the_difference(market: Market) -> None:
    ann = await market.person("ann")
    subscription = await market.subscribed(ann)
    market.books.now += 10 * DAY
    market.books.confirm(await market.buy(ann, "plan:pro"))
    await market.deliver()
    assert await market.stands(ann) == ("pro", 5000)
    market.books.renew(subscription)
    await market.deliver()
    assert await market.stands(ann) == ("pro", 10_000)


async def test_a_downgrade_waits_for_the_period_s_end(market: Market) -> None:
    ann = await market.person("ann")
    subscription = await market.subscribed(ann, "plan:pro")
    market.books.confirm(await market.buy(ann, "plan:basic"))
    await market.deliver()
    assert await market.stands(ann) == ("pro", 5000)
    market.books.renew(subscription)
    await market.deliver()
    assert await market.stands(ann) == ("basic", 6500)
    assert await market.flags() == []


async def test_buying_another_plan_leads_to_the_portal_and_makes_no_second_subscription(
    market: Market,
) -> None:
    ann = await market.person("ann")
    await market.subscribed(ann)
    assert (await market.buy(ann, "plan:pro")).startswith("https://portal.")
    assert (await market.buy(ann, "pack:small")).startswith("https://checkout.")


async def test_a_cancelled_plan_lasts_to_its_end_unless_it_is_resumed(market: Market) -> None:
    ann = await market.person("ann")
    subscription = await market.subscribed(ann)
    market.books.stop(subscription)
    await market.deliver()
    assert not (await market.right(ann)).renews
    await market.errand("resume", subscription["id"])
    assert (await market.right(ann)).renews
    await market.errand("cancel", subscription["id"])
    assert subscription["cancel_at_period_end"]
    assert (await market.right(ann)).renews is False
    assert await market.plan(ann) == "basic"
    market.books.renew(subscription)
    await market.deliver()
    assert await market.plan(ann) == "free"


async def test_a_subscription_that_stripe_ends_at_once_ends(market: Market) -> None:
    ann = await market.person("ann")
    market.books.stop(await market.subscribed(ann), at_once=True)
    await market.deliver()
    assert await market.plan(ann) == "free"


async def test_a_payer_is_told_once_that_a_renewal_failed(market: Market) -> None:
    subscription = await market.subscribed(await market.person("ann"))
    invoice = market.books.renew(subscription, pays=False)
    market.books._tell("invoice.payment_failed", invoice)  # tried again in vain
    await market.deliver()
    assert await market.told() == ["notice-paid-plan", "notice-failed-renewal"]


async def test_a_plan_that_is_given_lasts_one_period_and_is_no_subscription(market: Market) -> None:
    ann, bob = await market.person("ann"), await market.person("bob")
    session = market.books.pay(await market.buy(ann, "plan:basic", receiver=bob))
    assert (session["mode"], session["amount_total"]) == ("payment", 499)
    await market.deliver()
    assert await market.stands(bob) == ("basic", 1500)
    market.books.now += 31 * DAY
    assert await market.plan(bob) == "free"


async def test_the_payer_alone_finds_the_page_of_a_subscription(market: Market) -> None:
    ann, bob = await market.person("ann"), await market.person("bob")
    subscription = await market.subscribed(ann)
    (running,) = await market.shop.subscriptions(ann, "web")
    assert running.right.external_id == subscription["id"]
    assert market.books.get(running.url.rpartition("/")[2])["customer"] == subscription["customer"]
    (elsewhere,) = await market.shop.subscriptions(ann, "telegram")
    assert elsewhere.url == ""
    assert await market.shop.subscriptions(bob, "web") == []


async def test_an_unpaid_renewal_goes_on_through_the_grace_period_and_is_made_up_for(market: Market) -> None:
    ann = await market.person("ann")
    subscription = await market.subscribed(ann)
    invoice = market.books.renew(subscription, pays=False)
    await market.deliver()
    market.books.now += 2 * DAY
    assert await market.stands(ann) == ("basic", 1500)
    market.books.now += 2 * DAY
    assert await market.plan(ann) == "free"
    assert invoice
    subscription["status"] = "active"
    market.books.settle(invoice)
    await market.deliver()
    assert await market.stands(ann) == ("basic", 3000)


async def test_a_renewal_does_not_count_before_it_is_paid(market: Market) -> None:
    ann = await market.person("ann")
    subscription = await market.subscribed(ann)
    until = (await market.right(ann)).until
    market.books.renew(subscription, pays=False)
    await market.deliver()
    assert (await market.right(ann)).until == until


# --- refunds and disputes ---------------------------------------------------------------------------------


async def test_a_refund_is_sent_once_whatever_becomes_of_the_answer(market: Market) -> None:
    ann = await market.person("ann")
    intent = market.books.pay(await market.buy(ann, "pack:small"))["payment_intent"]
    await market.deliver()
    await market.do(
        errands.send, market.now(), key="r", provider="stripe", kind="refund", target=intent, amount=100
    )
    (first,) = await market.do(errands.claim, "stripe", lease_seconds=0)
    await market.provider.run(first)  # and then we die
    market.fake._answered.clear()  # more than a day later
    await market.cashier.errands()
    assert market.books.get(market.books.get(intent)["latest_charge"])["amount_refunded"] == 100
    assert await market.credits(ann) == 500 - 500 * 100 // 199


async def test_a_refund_from_stripe_s_side_takes_credits_back(market: Market) -> None:
    ann = await market.person("ann")
    intent = market.books.pay(await market.buy(ann, "pack:small"))["payment_intent"]
    market.books.refund(intent, 60)
    market.books.refund(intent, 60)
    await market.deliver()
    assert await market.credits(ann) == 500 - 500 * 120 // 199


async def test_what_was_refunded_already_is_no_trouble(market: Market) -> None:
    ann = await market.person("ann")
    intent = market.books.pay(await market.buy(ann, "pack:small"))["payment_intent"]
    await market.deliver()
    market.books.refund(intent)
    await market.errand("refund", intent)
    assert await market.credits(ann) == 0
    assert await market.do(errands.stuck) == []


async def test_a_refund_that_fails_later_gives_the_credits_again_and_can_be_made_anew(market: Market) -> None:
    ann = await market.person("ann")
    market.books.pay(await market.buy(ann, "pack:small"))
    await market.deliver()
    (payment,) = await market.payments(ann)
    office = Office(market.database, market.config, clock=market.now)
    for event in ("first", "second"):
        await office.refund(payment.id, actor=Actor(name="web:owner", event=event))
        await market.cashier.errands()
        await market.deliver()
        assert await market.credits(ann) == 0
        market.books.bounce(market.books.all("refund")[0])
        await market.deliver()
        assert await market.credits(ann) == 500
    assert await market.told() == [
        "notice-paid-pack",
        *("notice-refunded", "notice-refund-failed", "notice-refund-failed-admin") * 2,
    ]


async def test_a_refund_that_failed_unheard_is_found(market: Market) -> None:
    ann = await market.person("ann")
    intent = market.books.pay(await market.buy(ann, "pack:small"))["payment_intent"]
    refund = market.books.refund(intent)
    await market.deliver()
    market.books.now += 20 * DAY
    market.books.bounce(refund)
    assert market.fake.unsent  # and lost
    (missed,) = (await market.reconcile()).differences
    assert (missed.what, missed.payment) == ("missed", intent)
    assert await market.credits(ann) == 500
    assert (await market.reconcile()).differences == ()


async def test_what_stripe_refuses_for_good_is_kept_for_an_admin(market: Market) -> None:
    await market.errand("refund", "pi_unknown")
    ((errand, why),) = await market.do(errands.stuck)
    assert (errand.target, why) == ("pi_unknown", "Stripe refuses: resource_missing")


async def test_a_month_s_refund_ends_the_plan(market: Market) -> None:
    ann = await market.person("ann")
    await market.subscribed(ann)
    (month,) = await market.payments(ann)
    await market.errand("refund", month.external_id)
    assert await market.stands(ann) == ("free", 0)


@pytest.mark.parametrize(("outcome", "left"), [("won", 500), ("lost", 0)])
async def test_a_dispute_takes_the_credits_until_it_is_won(market: Market, outcome: str, left: int) -> None:
    ann = await market.person("ann")
    intent = market.books.pay(await market.buy(ann, "pack:small"))["payment_intent"]
    dispute = market.books.dispute(intent)
    await market.deliver()
    assert await market.credits(ann) == 0
    market.books.decide(dispute, outcome)
    await market.deliver()
    assert await market.credits(ann) == left


async def test_a_bank_s_mere_question_takes_nothing(market: Market) -> None:
    ann = await market.person("ann")
    intent = market.books.pay(await market.buy(ann, "pack:small"))["payment_intent"]
    market.books.dispute(intent, "warning_needs_response")
    await market.deliver()
    assert await market.credits(ann) == 500


# --- webhooks ---------------------------------------------------------------------------------------------


async def test_each_webhook_twenty_times_in_any_order_is_as_once_in_order(
    market: Market, tmp_path: Path
) -> None:
    people = await market.person("ann"), await market.person("bob")
    events = await _a_long_story(market, *people)
    twins = [tmp_path / f"{number}.db" for number in range(3)]
    for twin in twins:
        sqlite3.connect(tmp_path / "a.db").backup(sqlite3.connect(twin))
    await market.deliver(events)
    expected = await market.snapshot(*people)
    for seed, twin in enumerate(twins):
        assert await _told_shuffled(market, twin, events, random.Random(seed), people) == expected


async def _a_long_story(market: Market, ann: int, bob: int) -> list[dict[str, Any]]:
    """Ann subscribes, upgrades, renews, cancels; Bob buys, disputes, wins, is refunded a part."""
    books = market.books
    subscription = books.get(books.pay(await market.buy(ann, "plan:basic"))["subscription"])
    intent = books.pay(await market.buy(bob, "pack:small"))["payment_intent"]
    later = books.pay(await market.buy(bob, "pack:large"), delayed=True)
    books.now += 5 * DAY
    pro = products.known(market.config, "plan:pro")
    assert pro
    books.confirm((await market.provider.change(subscription["id"], pro)).url)
    books.clear(later, succeeds=True)
    dispute = books.dispute(intent)
    books.renew(subscription)
    books.decide(dispute, "won")
    refund = books.refund(intent, 50)
    books.refund(intent, 30)
    books.bounce(refund)
    books.stop(subscription)
    return market.fake.unsent


async def _told_shuffled(
    market: Market, path: Path, events: list[dict[str, Any]], chance: random.Random, people: tuple[int, ...]
) -> Any:
    database = connect(f"sqlite:///{path}")
    async with trading(database, fake=market.fake) as twin:
        copies = events * 20
        chance.shuffle(copies)
        slots = asyncio.Semaphore(8)
        async with asyncio.TaskGroup() as group:
            for event in copies:
                group.create_task(_post(twin, event, slots))
        await twin.opened()
        found = await twin.snapshot(*people)
    await database.close()
    return found


async def _post(market: Market, event: dict[str, Any], slots: asyncio.Semaphore) -> None:
    async with slots:
        assert await market.fake.post(market.hook, event) == 200


async def test_a_forged_or_stale_signature_is_refused_and_nothing_is_kept(market: Market) -> None:
    ann = await market.person("ann")
    market.books.pay(await market.buy(ann, "pack:small"))
    (event,) = market.fake.unsent
    body = json.dumps(event)
    good = signed(body)
    assert await market.fake.post(market.hook, event, secret="whsec_other") == 400
    assert await market.fake.post(market.hook, event, age_seconds=301) == 400
    for signature in ("", "t=1", "v1=é", good[:-1], good.replace("v1", "v0")):
        assert await market.fake.post_raw(market.hook, body, signature) == 400
    assert await market.fake.post_raw(market.hook, body + " ", good) == 400
    assert await market.fake.post_raw(market.hook, "no json", signed("no json")) == 400
    assert await market.fake.post_raw(market.hook, "x" * 600_000, good) == 413
    assert await market.do(errands.unapplied) == []
    assert await market.credits(ann) == 0
    assert await market.fake.post(market.hook, event, age_seconds=290) == 200


async def test_what_belongs_to_another_business_of_the_account_is_passed_over(market: Market) -> None:
    intent = market.books.charge(900, "usd", {})
    market.books.dispute(intent["id"], "warning_needs_response")
    await market.deliver()
    assert await market.flags() == []
    assert (await market.reconcile()).differences == ()


async def test_people_come_back_to_words_about_what_happens_next(market: Market) -> None:
    for path, words in (("/paid", "as soon as"), ("/unpaid", "nothing was charged")):
        async with aiohttp.ClientSession() as session, session.get(market.page + path) as response:
            assert response.status == 200
            assert words in (await response.text()).lower()


async def test_letters_hold_ids_and_a_time_alone(market: Market) -> None:
    session = market.books.pay(await market.buy(await market.person("ann"), "pack:small"))
    (event,) = market.fake.unsent
    await market.deliver([event])
    letter = await market.do(errands.letter, 1)
    assert json.loads(letter.body) == {
        "type": "checkout.session.completed", "object": session["id"], "created": event["created"],
    }  # fmt: skip


# --- outages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 503, 401])
async def test_nothing_is_offered_while_stripe_is_away(market: Market, status: int) -> None:
    ann = await market.person("ann")
    market.fake.down = status
    with pytest.raises(Refusal) as refused:
        await market.buy(ann, "pack:small")
    assert refused.value.message == "refused-provider-away"


async def test_news_that_comes_while_the_api_is_away_waits(market: Market) -> None:
    ann = await market.person("ann")
    market.books.pay(await market.buy(ann, "pack:small"))
    market.fake.down = 503
    await market.deliver()
    assert await market.credits(ann) == 0
    market.fake.down = 0
    await market.cashier.letters()
    assert await market.credits(ann) == 500


async def test_a_day_without_webhooks_is_made_up_for(market: Market) -> None:
    ann, bob = await market.person("ann"), await market.person("bob")
    subscription = await market.subscribed(bob)
    intent = market.books.pay(await market.buy(ann, "pack:small"))["payment_intent"]
    market.books.pay(await market.buy(ann, "pack:large"))
    market.books.refund(intent)
    market.books.confirm(await market.buy(bob, "plan:pro"))
    market.books.stop(subscription)
    market.books.now += DAY
    assert market.fake.unsent  # and lost
    market.fake.down = 503
    assert await market.cashier.reconcile("stripe") is None
    assert await market.credits(ann) == 0
    market.fake.down = 0
    report = await market.reconcile()
    assert {each.what for each in report.differences} == {"missed"}
    assert await market.credits(ann) == 3000
    assert await market.stands(bob) == ("pro", 5000)
    assert not (await market.right(bob)).renews
    assert (await market.reconcile()).differences == ()


async def test_more_than_a_page_is_reconciled(market: Market) -> None:
    ann = await market.person("ann")
    url = await market.buy(ann, "pack:small")
    session = market.books.pay(url)
    for _ in range(104):
        intent = market.books.charge(199, "usd", session["metadata"])
    market.books.refund(intent["id"])
    report = await market.reconcile()
    assert report.seen == 106


async def test_a_payment_that_stripe_does_not_know_is_told(market: Market) -> None:
    ann = await market.person("ann")
    session = market.books.pay(await market.buy(ann, "pack:small"))
    await market.deliver()
    del market.books.objects[market.books.get(session["payment_intent"])["latest_charge"]]
    (difference,) = (await market.reconcile()).differences
    assert (difference.what, difference.payment) == ("only_ours", session["payment_intent"])

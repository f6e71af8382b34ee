"""Buying with Telegram Stars, from the command to the credits, and whatever may go wrong on that way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from bot.platforms.telegram import stars
from storage import accounts, entitlements, errands, ledger, payments
from storage.accounts import Identity
from storage.database import DatabaseUnavailable
from storage.payments import Payment
from tests.bot.jobs.world import now
from tests.bot.platforms.telegram.conftest import Lives, site
from tests.bot.platforms.telegram.life import Life, eventually
from tests.fakes.telegram import Buyer, FakeTelegram, Refused, until
from tests.fakes.telegram.stars import Bill
from tests.fakes.telegram.stars import paid as bill_paid

GROUP = -100500
SMALL, BASIC, SERVER = 500, 1500, 8000  # credits
MONTH_NEARLY = 30 * 86400 - 3600  # seconds: a renewal is charged a little before the month's end


@pytest.fixture
def ann(server: FakeTelegram) -> Buyer:
    return Buyer(server, 501)


@pytest.fixture
def bob(server: FakeTelegram) -> Buyer:
    return Buyer(server, 502, "Bob")


@pytest.fixture
async def both(database_url: str, tmp_path: Path, server: FakeTelegram) -> AsyncIterator[Lives]:
    """Lives on each of the databases."""
    made = Lives(database_url, tmp_path, server)
    yield made
    if made.now is not None:
        await made.now.end()


async def account(life: Life, person: Buyer) -> int:
    found = await life.database.read(accounts.find, Identity(platform="telegram", external_id=str(person.id)))
    assert found is not None
    return found


async def bought(life: Life, account: int) -> int:
    """Credits of packs and plans, without the daily ones."""
    found = await life.database.read(ledger.lots, account, now())
    return sum(lot.remaining for lot in found if lot.kind in ("pack", "monthly"))


async def has(life: Life, person: Buyer, credits: int) -> None:
    number = await account(life, person)
    await eventually(lambda: _has(life, number, credits))
    assert await life.database.read(ledger.check) == []


async def _has(life: Life, account: int, credits: int) -> bool:
    return await bought(life, account) == credits


async def plan(life: Life, person: Buyer) -> str:
    found = await life.database.read(accounts.get, await account(life, person))
    assert found is not None
    return found.plan


async def paid(life: Life, person: Buyer) -> list[Payment]:
    return await life.database.read(payments.of_account, await account(life, person))


async def bill_for(person: Buyer, what: str) -> Bill:
    await person.say(f"/buy {what}")
    return await (person.link() if what in ("basic", "pro", "server") else person.bill())


# --- packs ------------------------------------------------------------------------------------------------


async def test_a_pack_is_billed_paid_and_credited(both: Lives, ann: Buyer, server: FakeTelegram) -> None:
    life = await both.begin()
    bill = await bill_for(ann, "small")
    assert (bill.stars, bill.period, len(bill.payload) <= 128) == (150, 0, True)
    assert "500 credits" in bill.description
    await ann.pay(bill)
    await ann.sees("Thank you", "500")
    await has(life, ann, SMALL)
    [payment] = await paid(life, ann)
    assert (payment.amount, payment.currency, payment.payer, payment.test) == (150, "xtr", "501", False)
    assert server.problems == []


async def test_the_prices_are_shown_before_and_a_button_leads_to_the_bill(life: Life, ann: Buyer) -> None:
    await ann.say("/plans")
    shown = await ann.sees("150 Stars", "350 Stars")
    await ann.press(shown, "500 credits · 150 Stars")
    assert (await ann.bill()).stars == 150


async def test_a_forwarded_bill_leads_back_to_the_bot(life: Life, ann: Buyer) -> None:
    await ann.say("/buy small")
    await ann.bill()
    assert ann.last["invoice"]["start_parameter"] == "buy"


async def test_what_a_group_sees_of_a_purchase_is_nothing(life: Life, ann: Buyer) -> None:
    await ann.into(GROUP).say("/buy@atelier_bot small")
    assert (await ann.bill()).stars == 150
    assert ann.into(GROUP).seen == []


async def test_a_payment_told_again_and_again_is_credited_once(
    lives: Lives, ann: Buyer, server: FakeTelegram
) -> None:
    life = await lives.begin()
    bill = await bill_for(ann, "small")
    charge = await ann.pay(bill)
    for _ in range(5):
        await ann.tells(bill, charge)
    life = await lives.restart()
    await ann.tells(bill, charge)
    await ann.is_heard()
    await has(life, ann, SMALL)
    assert len(await paid(life, ann)) == 1


async def test_a_bill_paid_after_it_lapsed_is_honoured(
    lives: Lives, ann: Buyer, server: FakeTelegram
) -> None:
    """The charge was allowed in time, its message comes a day late."""
    life = await lives.begin()
    bill = await bill_for(ann, "small")
    charge = await ann.pay(bill, told=False)
    life = await lives.restart(ahead=timedelta(days=1))
    await ann.tells(bill, charge)
    await has(life, ann, SMALL)


# --- the word before a charge -----------------------------------------------------------------------------


async def test_a_bill_that_is_too_old_is_not_charged(lives: Lives, ann: Buyer) -> None:
    await lives.begin()
    bill = await bill_for(ann, "small")
    await lives.restart(ahead=timedelta(hours=2))
    with pytest.raises(Refused, match="too old"):
        await ann.pay(bill)


async def test_what_is_not_sold_any_more_is_not_charged(lives: Lives, ann: Buyer) -> None:
    await lives.begin()
    bill = await bill_for(ann, "small")
    await lives.restart(environ={"ATELIER_PACKS_SMALL_PRICE": "{}"})
    with pytest.raises(Refused, match="no longer sold"):
        await ann.pay(bill)


async def test_another_price_and_a_bill_of_nobody_are_not_charged(life: Life, ann: Buyer) -> None:
    bill = await bill_for(ann, "small")
    with pytest.raises(Refused, match="price has changed"):
        await ann.asks(bill, total_amount=1)
    with pytest.raises(Refused, match="price has changed"):
        await ann.asks(bill, currency="USD")
    for payload in ("", "forged", "x" * 128):
        with pytest.raises(Refused, match="not known"):
            await ann.asks(bill, invoice_payload=payload)


async def test_nobody_pays_a_bill_of_somebody_else(life: Life, ann: Buyer, bob: Buyer) -> None:
    bill = await bill_for(ann, "small")
    with pytest.raises(Refused, match="somebody else"):
        await bob.pay(bill)


async def test_a_banned_person_is_not_charged_and_reads_it_in_their_language(
    life: Life, server: FakeTelegram
) -> None:
    li = Buyer(server, 503, "Li", "zh-hans")
    bill = await bill_for(li, "small")
    await life.database.run(accounts.set_ban, await account(life, li), "fraud")
    with pytest.raises(Refused, match="没有扣款"):
        await li.pay(bill)


async def test_a_pack_is_not_charged_twice(life: Life, ann: Buyer) -> None:
    bill = await bill_for(ann, "small")
    await ann.pay(bill)
    await has(life, ann, SMALL)
    with pytest.raises(Refused, match="paid already"):
        await ann.pay(bill)


async def test_without_a_database_nothing_is_charged_and_the_answer_is_kind(
    life: Life, ann: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = await bill_for(ann, "small")
    monkeypatch.setattr(stars, "DECIDE_SECONDS", 0.2)
    for away in (_hangs, _fails):
        monkeypatch.setattr(life.database, "read", away)
        with pytest.raises(Refused, match="try again in a minute"):
            await ann.pay(bill)
    monkeypatch.undo()
    await ann.pay(bill)
    await has(life, ann, SMALL)


async def _hangs(*_: object, **__: object) -> None:
    await asyncio.sleep(60)


async def _fails(*_: object, **__: object) -> None:
    raise DatabaseUnavailable("the server is away")


async def test_the_answer_does_not_wait_for_anything_else(
    life: Life, ann: Buyer, server: FakeTelegram
) -> None:
    """The chat's budget is used up, the API asks to wait, and answers are lost: there are ten seconds all the same."""
    bill = await bill_for(ann, "small")
    server.fail("sendMessage", 429, "Too Many Requests: retry after 60", times=9, retry_after=60)
    server.drop("answerPreCheckoutQuery")
    for number in range(12):
        await ann.say(f"/jobs {number}")
    await ann.asks(bill)


async def test_what_telegram_asks_of_bots_that_sell_is_answered_and_in_the_menus(
    life: Life, ann: Buyer, server: FakeTelegram
) -> None:
    await ann.say("/paysupport")
    await ann.sees("Questions about a payment")
    await ann.say("/terms")
    await ann.sees("renews until you cancel")
    await until(lambda: len(server.menus) == 6)
    for menu in server.menus.values():
        assert {"paysupport", "terms", "privacy"} <= {each["command"] for each in menu}


# --- troubles ---------------------------------------------------------------------------------------------


async def test_a_crash_after_the_letter_was_kept_credits_at_the_next_look(
    lives: Lives, ann: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the update's confirmation and the credit's commit."""
    life = await lives.begin()
    bill = await bill_for(ann, "small")
    monkeypatch.setattr(life.inbox, "open", _dies)
    await ann.pay(bill)
    await ann.is_heard()
    life = await lives.restart()
    assert await bought(life, await account(life, ann)) == 0
    await life.cashier.letters()
    await has(life, ann, SMALL)


async def _dies(*_: object) -> bool:
    raise RuntimeError("the process died here")


async def test_an_update_is_confirmed_only_once_its_letter_is_durable(
    lives: Lives, ann: Buyer, server: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = await lives.begin()
    bill = await bill_for(ann, "small")
    kept: list[str] = []

    async def never(*words: object) -> object:
        kept.append(str(words))
        return await asyncio.sleep(60)

    monkeypatch.setattr(life.inbox, "keep", never)
    await ann.pay(bill)
    await until(lambda: bool(kept), "the payment is heard")
    life = await lives.restart()
    await has(life, ann, SMALL)


async def test_a_pushed_payment_is_taken_only_once_it_is_durable(
    lives: Lives, ann: Buyer, server: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is kept, the same update is sent back to come again: we may yet die."""
    async with site() as (_, mounted, url):
        hook = url.replace("http://127.0.0.1", "https://127.0.0.1")
        environ = {"ATELIER_TELEGRAM_WEBHOOK_URL": hook, "ATELIER_TELEGRAM_WEBHOOK_SECRET": "s3cret"}
        life = await lives.begin(environ=environ)
        mounted.append(life)
        await until(lambda: server.hook is not None, "the webhook is set")
        server.hook_at = url
        bill = await bill_for(ann, "small")
        charge = await ann.pay(bill, told=False)
        heard, goes_on, keep = asyncio.Event(), asyncio.Event(), life.inbox.keep

        async def slowly(*words: object) -> object:
            heard.set()
            await goes_on.wait()
            return await keep(*words)  # type: ignore[arg-type]

        monkeypatch.setattr(life.inbox, "keep", slowly)
        told = {"successful_payment": bill_paid(bill, charge), "message_id": 9, "date": int(time.time()),
                "chat": server.chat(ann.id).json(), "from": ann.json()}  # fmt: skip
        body = json.dumps({"update_id": 7, "message": told})

        async def push() -> int:
            headers = {"X-Telegram-Bot-Api-Secret-Token": "s3cret"}
            async with session.post(url, data=body, headers=headers) as response:
                return response.status

        async with aiohttp.ClientSession() as session:
            first = asyncio.create_task(push())
            await heard.wait()
            assert await push() == 503
            goes_on.set()
            assert await first == 200
            assert await push() == 200
        await has(life, ann, SMALL)


async def test_what_telegram_never_told_is_found_by_reconciliation(
    lives: Lives, ann: Buyer, server: FakeTelegram
) -> None:
    life = await lives.begin()
    await ann.pay(await bill_for(ann, "small"), told=False)
    others_pay(server, 120, at=int(time.time()))  # over two pages
    await ann.pay(await bill_for(ann, "basic"), told=False)
    server.fail("getStarTransactions", 500, "Internal Server Error")
    assert await life.cashier.reconcile("stars") is None
    report = await life.cashier.reconcile("stars")
    assert report is not None
    missed = [each for each in report.differences if each.payment.endswith("_501")]
    assert [each.what for each in missed] == ["missed", "missed"]
    await has(life, ann, SMALL + BASIC)
    assert await plan(life, ann) == "basic"
    again = await life.cashier.reconcile("stars")
    assert again is not None
    assert again.differences == ()


async def test_reconciliation_does_not_read_what_was_settled_long_ago(
    life: Life, ann: Buyer, server: FakeTelegram
) -> None:
    others_pay(server, 10_000, at=1)
    await ann.pay(await bill_for(ann, "small"), told=False)
    server.calls.clear()
    report = await life.cashier.reconcile("stars")
    assert report is not None
    assert (report.seen, [each.what for each in report.differences]) == (1, ["missed"])
    assert len(server.called("getStarTransactions")) < 20


def others_pay(server: FakeTelegram, times: int, *, at: int) -> None:
    for _ in range(times):
        server.charge(Bill("elsewhere", 5, "", ""), {"id": 9, "is_bot": False, "first_name": "X"}, at=at)


# --- refunds ----------------------------------------------------------------------------------------------


async def refund(life: Life, charge: str, *, amount: int = 0) -> None:
    await life.database.run(
        errands.send, now(), key=f"refund:{charge}:{amount}", provider="stars", kind="refund",
        target=charge, amount=amount,
    )  # fmt: skip
    await life.cashier.errands()


async def test_an_admins_refund_returns_the_stars_and_takes_the_credits(
    both: Lives, ann: Buyer, bob: Buyer, server: FakeTelegram
) -> None:
    life = await both.begin(environ={"ATELIER_ADMINS_OWNER": "telegram:502"})
    charge = await ann.pay(await bill_for(ann, "small"))
    await has(life, ann, SMALL)
    [payment] = await paid(life, ann)
    await bob.say(f"/admin refund {payment.id} yes it was a mistake")
    await until(lambda: len(bob.seen) == 1, "an answer")
    server.drop("refundStarPayment", after=True)  # done, but we do not hear of it
    await life.cashier.errands()
    assert charge in server.stars.refunded
    await life.database.run(_due_now)
    await life.cashier.errands()
    await has(life, ann, 0)
    await ann.sees("returned")
    [payment] = await paid(life, ann)
    assert payment.refunded == 150
    report = await life.cashier.reconcile("stars")
    assert report is not None
    assert report.differences == ()


def _due_now(session: object) -> None:
    from sqlalchemy import update
    from sqlalchemy.orm import Session

    from storage.payment_tables import ErrandRow

    assert isinstance(session, Session)
    session.execute(update(ErrandRow).values(due_at=now() - timedelta(minutes=1)))


async def test_a_part_of_a_payment_is_not_returned(life: Life, ann: Buyer, server: FakeTelegram) -> None:
    charge = await ann.pay(await bill_for(ann, "small"))
    await has(life, ann, SMALL)
    await refund(life, charge, amount=10)
    [(_, reason)] = await life.database.read(errands.stuck)
    assert "as a whole" in reason
    assert server.stars.refunded == set()
    await refund(life, "unknown")
    assert len(await life.database.read(errands.stuck)) == 2


async def test_a_refund_by_telegram_takes_the_credits_even_where_it_is_told_first(
    life: Life, ann: Buyer
) -> None:
    bill = await bill_for(ann, "small")
    charge = await ann.pay(bill, told=False)
    await ann.is_refunded(charge)
    await ann.is_heard()
    await ann.tells(bill, charge)
    await ann.is_heard()
    await has(life, ann, 0)
    [payment] = await paid(life, ann)
    assert payment.refunded == 150


async def test_an_untold_refund_is_found_though_it_has_its_payments_id(life: Life, ann: Buyer) -> None:
    charge = await ann.pay(await bill_for(ann, "small"))
    await has(life, ann, SMALL)
    await ann.is_refunded(charge, told=False)
    report = await life.cashier.reconcile("stars")
    assert report is not None
    assert [each.sentence.split(" of ")[0] for each in report.differences] == ["A refund"]
    await has(life, ann, 0)


# --- subscriptions ----------------------------------------------------------------------------------------


async def test_a_plan_is_subscribed_renewed_cancelled_and_enabled_again(
    both: Lives, ann: Buyer, server: FakeTelegram
) -> None:
    life = await both.begin()
    bill = await bill_for(ann, "basic")
    assert (bill.stars, bill.period) == (350, 2592000)
    await ann.pay(bill, ago=MONTH_NEARLY)
    await ann.sees("Thank you")
    await has(life, ann, BASIC)
    assert await plan(life, ann) == "basic"
    first = await right(life, ann, bill)
    assert first.renews
    await ann.renews(bill)
    await has(life, ann, 2 * BASIC)
    renewed = await right(life, ann, bill)
    assert renewed.until is not None
    assert first.until is not None
    assert renewed.until - first.until == timedelta(days=30)
    for state in ("canceled", "active", "failed"):
        await ann.changes(bill, state)
        await ann.is_heard()
        assert (await right(life, ann, bill)).renews == (state != "canceled")
    await ann.sees("could not be renewed")
    assert await plan(life, ann) == "basic"


async def right(life: Life, person: Buyer, bill: Bill) -> entitlements.Entitlement:
    found = await life.database.read(entitlements.find, "stars", bill.payload)
    assert found is not None
    return found


async def test_news_of_a_subscription_in_any_order_come_to_the_same(life: Life, ann: Buyer) -> None:
    bill = await bill_for(ann, "basic")
    charge = await ann.pay(bill, told=False, ago=MONTH_NEARLY)
    renewal = await ann.renews(bill, told=False)
    end, start = ann.subscription(bill).until, int(time.time()) - MONTH_NEARLY
    for number, until_, date in (
        (renewal, end, None),
        (charge, end - bill.period, start),
        (renewal, end, None),
    ):
        await ann.tells(bill, number, date=date, subscription_expiration_date=until_, is_recurring=True)
        await ann.is_heard()
    await has(life, ann, 2 * BASIC)
    found = await right(life, ann, bill)
    assert found.until is not None
    assert int(found.until.timestamp()) == end


async def test_we_cancel_a_renewal_and_let_the_person_renew_again(
    life: Life, ann: Buyer, server: FakeTelegram
) -> None:
    bill = await bill_for(ann, "basic")
    await ann.pay(bill, ago=MONTH_NEARLY)
    await has(life, ann, BASIC)
    await ann.renews(bill)
    await has(life, ann, 2 * BASIC)
    for kind in ("cancel", "resume"):
        await life.database.run(
            errands.send, now(), key=kind, provider="stars", kind=kind, target=bill.payload
        )
        await life.cashier.errands()
        assert ann.subscription(bill).by_bot == (kind == "cancel")
        assert not (await right(life, ann, bill)).renews
    await ann.changes(bill, "active")
    await ann.is_heard()
    assert (await right(life, ann, bill)).renews


async def test_a_month_that_goes_back_ends_plan_and_renewal(
    life: Life, ann: Buyer, server: FakeTelegram
) -> None:
    bill = await bill_for(ann, "basic")
    charge = await ann.pay(bill)
    await has(life, ann, BASIC)
    await refund(life, charge)
    await has(life, ann, 0)
    assert await plan(life, ann) == "free"
    assert ann.subscription(bill).state == "canceled"


async def test_a_subscription_that_runs_is_not_charged_again_one_that_is_over_is(
    lives: Lives, ann: Buyer
) -> None:
    life = await lives.begin()
    bill = await bill_for(ann, "basic")
    await ann.pay(bill)
    await has(life, ann, BASIC)
    with pytest.raises(Refused, match="paid already"):
        await ann.asks(bill)
    await lives.restart(ahead=timedelta(days=31))
    await ann.asks(bill)


@pytest.mark.parametrize("words", ["plans", "buy server"])
async def test_a_group_gets_a_plan_for_its_members(
    life: Life, ann: Buyer, server: FakeTelegram, words: str
) -> None:
    """Also from the buttons under `plans`, which are shown in private."""
    server.chat(GROUP).admins.add(ann.id)
    server.chat(GROUP).title = "The **Owls**"
    command, _, name = words.partition(" ")
    await ann.into(GROUP).say(f"/{command}@atelier_bot {name}")
    if not name:
        await ann.press(await ann.sees("Server, 1400 Stars", "for The Owls"), "Server · 1400 Stars")
    await ann.sees("Server for 1400 Stars", "the wallet of The Owls")
    bill = await ann.link()
    await ann.pay(bill)
    wallet = await life.database.read(accounts.find, accounts.place("telegram", str(GROUP)))
    assert wallet is not None
    await eventually(lambda: _has(life, wallet, SERVER))
    await ann.sees("Thank you", "Server")
    assert await bought(life, await account(life, ann)) == 0
    [payment] = await life.database.read(payments.of_account, wallet)
    await refund(life, payment.external_id)  # to whoever paid
    await eventually(lambda: _has(life, wallet, 0))
    assert server.stars.refunded == {payment.external_id}


async def test_who_does_not_manage_the_group_is_not_offered_its_plan(life: Life, ann: Buyer) -> None:
    await ann.into(GROUP).say("/plans@atelier_bot")
    assert "Server" not in (await ann.sees("Basic"))["text"]
    await ann.into(GROUP).say("/buy@atelier_bot server")
    await ann.into(GROUP).sees("not sold here")


async def test_money_for_nothing_known_is_kept_for_an_admin(life: Life, ann: Buyer) -> None:
    await ann.say("/jobs")
    charge = await ann.pay_unasked(Bill("no order of ours", 77, "", ""))
    await eventually(lambda: _flagged(life, charge))


async def _flagged(life: Life, charge: str) -> bool:
    found = await life.database.read(payments.flagged)
    return [(each.external_id, each.amount, each.flag) for each in found] == [(charge, 77, "unknown_product")]


async def test_payments_of_telegrams_test_servers_are_no_revenue(lives: Lives, ann: Buyer) -> None:
    life = await lives.begin(environ={"ATELIER_TELEGRAM_TEST_ENVIRONMENT": "true"})
    await ann.pay(await bill_for(ann, "small"))
    await has(life, ann, SMALL)
    assert await life.database.read(payments.revenue, now() - timedelta(days=1)) == []

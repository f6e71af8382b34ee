"""The till: each event has its effect once, whatever comes twice, late, in another order, or does not fit."""

from __future__ import annotations

import pytest

from bot.jobs import entitlement
from bot.payments import products
from bot.payments import till as counter
from bot.payments.events import Money, Period
from bot.payments.till import Unmatched
from storage import accounts, errands, ledger, payments
from storage.database import Database
from storage.entitlements import News
from tests.bot.payments.till_world import (
    DAY,
    MONTH,
    NOON,
    USD_BASIC,
    USD_SMALL,
    Till,
    disputes,
    pays,
    refunds,
    stands,
    subscribes,
)


@pytest.fixture
async def till(database: Database) -> Till:
    return Till(database)


# --- packs ------------------------------------------------------------------------------------------------


async def test_a_pack_gives_its_credits_once_however_often_the_news_comes(till: Till) -> None:
    ann = await till.person("ann")
    first, *again = await till.apply(*[pays("ann", "p1")] * 3)
    assert first.new
    assert not any(each.new for each in again)
    assert await till.credits(ann) == 500


async def test_two_payments_give_two_packs(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(pays("ann", "p1"), pays("ann", "p2"))
    assert await till.credits(ann) == 1000


async def test_a_stranger_who_pays_gets_an_account(till: Till) -> None:
    outcome = await till.one(pays("new", "p1"))
    assert outcome.account is not None
    assert await till.credits(outcome.account) == 500


async def test_an_order_says_who_gets_it(till: Till) -> None:
    ann, bob = await till.person("ann"), await till.person("bob")
    token = await till.order(bob, "pack:small", USD_SMALL)
    await till.one(pays("ann", "p1", order=token))
    assert (await till.credits(ann), await till.credits(bob)) == (0, 500)


async def test_an_order_that_lapsed_is_honoured_when_its_money_comes(till: Till) -> None:
    ann = await till.person("ann")
    token = await till.order(ann, "pack:small", USD_SMALL)
    till.at = NOON + 2 * DAY
    assert (await till.one(pays("ann", "p1", at=till.at, order=token))).flag is None
    assert await till.credits(ann) == 500


@pytest.mark.parametrize("money", [Money(1, "usd"), Money(199, "eur_"), Money(199, "xtr"), Money(0, "usd")])
async def test_money_of_another_amount_or_currency_is_kept_and_flagged(till: Till, money: Money) -> None:
    ann = await till.person("ann")
    outcome = await till.one(pays("ann", "p1", money=money))
    assert outcome.flag == "wrong_amount"
    assert await till.credits(ann) == 0
    (kept,) = await till.do(payments.flagged)
    assert (kept.amount, kept.currency, kept.account) == (money.amount, money.currency, ann)


async def test_money_for_something_unknown_is_kept_and_flagged(till: Till) -> None:
    assert (await till.one(pays("ann", "p1", "pack:gone"))).flag == "unknown_product"


async def test_the_second_payment_of_one_order_is_flagged(till: Till) -> None:
    ann = await till.person("ann")
    token = await till.order(ann, "pack:small", USD_SMALL)
    first, second = await till.apply(pays("ann", "p1", order=token), pays("ann", "p2", order=token))
    assert (first.flag, second.flag) == (None, "paid_twice")
    assert await till.credits(ann) == 500


async def test_another_provider_cannot_pay_an_order(till: Till) -> None:
    ann = await till.person("ann")
    token = await till.order(ann, "pack:small", USD_SMALL, provider="stars")
    assert (await till.one(pays("ann", "p1", order=token))).flag == "other_provider"


async def test_a_banned_person_gets_nothing_but_the_money_is_not_dropped(till: Till) -> None:
    ann = await till.person("ann")
    await till.do(accounts.set_ban, ann, "spam")
    assert (await till.one(pays("ann", "p1"))).flag == "banned"
    assert await till.credits(ann) == 0


async def test_an_admin_settles_what_was_flagged(till: Till) -> None:

    ann = await till.person("ann")
    outcome = await till.one(pays("ann", "p1", "pack:gone"))
    payment = await till.do(payments.get, outcome.payment)
    small = products.known(till.config, "pack:small")
    for _ in range(2):
        await till.do(counter.settle, till.config, payment, ann, small, till.at)
    assert await till.credits(ann) == 500
    assert await till.do(payments.flagged) == []


async def test_a_consumable_is_consumed_by_an_errand_of_the_same_transaction(till: Till) -> None:
    for _ in range(2):
        await till.one(pays("ann", "p1", consume=True))
    (errand,) = await till.do(errands.claim, "stripe", lease_seconds=60)
    assert (errand.kind, errand.target) == ("consume", "p1")


async def test_what_an_admin_has_to_look_at_is_not_consumed_until_it_is_given(till: Till) -> None:
    ann = await till.person("ann")
    await till.do(accounts.set_ban, ann, "spam")
    await till.one(pays("ann", "p1", consume=True))
    assert await till.do(errands.claim, "stripe", lease_seconds=60) == []
    [flagged] = await till.do(payments.flagged)
    small = products.known(till.config, "pack:small")
    await till.do(counter.settle, till.config, flagged, ann, small, till.at)
    await till.one(pays("ann", "p1", consume=True))
    [errand] = await till.do(errands.claim, "stripe", lease_seconds=60)
    assert errand.kind == "consume"


# --- refunds and disputes ---------------------------------------------------------------------------------


async def test_a_refund_takes_the_credits_back_once(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(pays("ann", "p1"), *[refunds("p1")] * 3)
    assert await till.credits(ann) == 0


async def test_partial_refunds_take_a_share_each(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(pays("ann", "p1"), refunds("p1", 100), refunds("p1", 50), refunds("p1", 150))
    assert await till.credits(ann) == 500 - 500 * 150 // 199


async def test_a_refund_after_spending_is_a_debt_that_the_next_grant_repays(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(pays("ann", "p1"))
    await till.spend(ann, 300)
    await till.apply(refunds("p1"))
    assert await till.credits(ann) == 0
    await till.apply(pays("ann", "p2"))
    assert await till.credits(ann) == 200


async def test_a_refund_may_come_before_its_payment(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(refunds("p1"), pays("ann", "p1"))
    assert await till.credits(ann) == 0


async def test_a_refund_that_fails_gives_the_credits_again_once(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(pays("ann", "p1"), refunds("p1"))
    failed = refunds("p1", 199, failed=199)
    (first, again, late) = await till.apply(failed, failed, refunds("p1", 199))
    assert (first.taken, again.new, late.new) == (-500, False, False)
    assert await till.credits(ann) == 500
    await till.apply(refunds("p1", 398, failed=199))  # the second attempt arrives
    assert await till.credits(ann) == 0


async def test_of_several_refunds_one_may_fail(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(
        pays("ann", "p1"), refunds("p1", 100), refunds("p1", 150), refunds("p1", 150, failed=100)
    )
    assert await till.credits(ann) == 500 - 500 * 50 // 199


async def test_a_debt_goes_with_the_refund_that_made_it(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(pays("ann", "p1"))
    await till.spend(ann, 300)
    await till.apply(refunds("p1"), refunds("p1", 199, failed=199))
    assert (await till.credits(ann), (await till.account(ann)).debt) == (200, 0)


async def test_a_refund_that_failed_may_be_heard_of_before_anything_else(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(refunds("p1", 199, failed=199), refunds("p1", 199), pays("ann", "p1"))
    assert await till.credits(ann) == 500


async def test_a_plan_comes_back_with_the_money_of_its_refund(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1"), refunds("p1", 499), refunds("p1", 499, failed=499))
    till.at = NOON + DAY
    assert (await till.plan(ann), await till.credits(ann)) == ("basic", 1500)


async def test_a_dispute_takes_the_credits_until_it_is_won(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(pays("ann", "p1"), disputes("p1", "open"))
    assert await till.credits(ann) == 0
    await till.apply(disputes("p1", "won"), disputes("p1", "won"), disputes("p1", "open"))
    assert await till.credits(ann) == 500


async def test_a_dispute_that_is_lost_is_lost(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(pays("ann", "p1"), disputes("p1", "open"), disputes("p1", "lost"), refunds("p1"))
    assert await till.credits(ann) == 0


# --- plans ------------------------------------------------------------------------------------------------


async def test_a_subscription_gives_the_plan_and_each_month_its_credits(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1"))
    assert (await till.plan(ann), await till.credits(ann)) == ("basic", 1500)
    till.at = NOON + MONTH
    await till.apply(subscribes("ann", "p2", month=1))
    assert (await till.plan(ann), await till.credits(ann)) == ("basic", 3000)  # the rest rolls over


async def test_what_is_left_of_a_month_rolls_over_for_so_many_days(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1"))
    till.at = NOON + MONTH + till.config.plans["basic"].rollover_days * DAY
    assert await till.credits(ann) == 0


async def test_a_plan_that_renews_goes_on_through_the_grace_period(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1"))
    till.at = NOON + MONTH + DAY
    assert await till.plan(ann) == "basic"
    till.at = NOON + MONTH + 4 * DAY
    assert await till.plan(ann) == "free"


async def test_a_cancelled_plan_lasts_to_the_end_of_what_was_paid(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1"), stands("ann", at=NOON + DAY, renews=False))
    till.at = NOON + MONTH - DAY
    assert await till.plan(ann) == "basic"
    till.at = NOON + MONTH
    assert await till.plan(ann) == "free"


async def test_older_news_of_a_subscription_is_passed_over(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(
        subscribes("ann", "p1"),
        stands("ann", at=NOON + 2 * DAY, renews=False),
        stands("ann", at=NOON + DAY, renews=True),
    )
    till.at = NOON + MONTH + DAY
    assert await till.plan(ann) == "free"


async def test_an_upgrade_gives_the_difference_at_once_and_once_a_period(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1"))
    for day, payment in ((1, "p2"), (3, "p3")):
        up = subscribes(
            "ann",
            payment,
            product="plan:pro",
            instead_of="plan:basic",
            money=Money(650, "usd"),
            at=NOON + day * DAY,
        )
        await till.apply(up, stands("ann", at=NOON + (day + 1) * DAY, plan="basic", renews=True))
    await till.apply(stands("ann", at=NOON + 5 * DAY, plan="pro", renews=True))
    till.at = NOON + 5 * DAY
    assert (await till.plan(ann), await till.credits(ann)) == ("pro", 5000)
    assert await till.do(payments.flagged) == []


async def test_a_month_after_an_upgrade_may_be_heard_of_before_the_order_was_paid(till: Till) -> None:
    ann = await till.person("ann")
    order = await till.order(ann, "plan:basic", USD_BASIC)
    second = subscribes("ann", "p2", month=1, order=order, product="plan:pro", money=Money(1199, "usd"))
    outcomes = await till.apply(second, subscribes("ann", "p1", order=order))
    assert [each.flag for each in outcomes] == [None, None]


async def test_money_for_no_month_gives_none(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1"))
    outcome = await till.one(subscribes("ann", "p2", period=None, money=Money(700, "usd")))
    assert outcome.flag is None
    assert await till.credits(ann) == 1500


async def test_a_year_gives_its_credits_month_by_month(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1", period=Period(NOON, NOON + 365 * DAY)))
    assert await till.credits(ann) == 1500
    till.at = NOON + MONTH + DAY
    await till.do(_refresh, till, ann)
    assert await till.credits(ann) == 3000


async def gift(till: Till, account: int, plan: str, days: int, key: str) -> None:
    until = till.at + days * DAY
    news = News(source="gift", external_id=key, plan=plan, since=till.at, until=until, at=till.at)
    await till.do(entitlement.give, till.config, account, news, till.at, key=key)


async def test_a_gift_of_days_gives_the_share_of_the_months_credits_that_they_are(till: Till) -> None:
    ann = await till.person("ann")
    for number in range(10):
        await gift(till, ann, "pro", 3, f"piece-{number}")
        assert (await till.plan(ann), await till.credits(ann)) == ("pro", 500 * (number + 1))
        till.at += 3 * DAY
    assert await till.plan(ann) == "free"
    await gift(till, ann, "pro", 30, "whole")
    assert await till.do(ledger.granted, "whole") == 5000


async def test_gifts_are_shares_too_for_a_group_beside_a_subscription_and_after_a_merge(till: Till) -> None:
    wallet = await till.do(accounts.resolve, accounts.place("discord", "1"), till.at)
    await gift(till, wallet, "server", 6, "for the group")
    assert (await till.plan(wallet), await till.credits(wallet)) == ("server", 1600)
    ann, bob = await till.person("ann"), await till.person("bob")
    await till.apply(subscribes("ann", "p1"))
    await gift(till, bob, "pro", 3, "bob's")
    await till.do(accounts.merge, bob, ann, till.at)
    assert await till.credits(ann) == 1500 + 500
    await gift(till, ann, "pro", 3, "after it")
    assert await till.credits(ann) == 1500 + 500 + 500
    till.at = NOON + MONTH
    await till.apply(subscribes("ann", "p2", month=1))
    assert await till.credits(ann) == 2500 + 1500  # a renewal that is paid for is whole


async def test_a_refunded_month_ends_the_plan_and_takes_its_credits(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1"), refunds("p1"))
    till.at = NOON + DAY
    assert (await till.plan(ann), await till.credits(ann)) == ("free", 0)


async def test_the_refund_of_an_older_month_leaves_the_present_one(till: Till) -> None:
    ann = await till.person("ann")
    await till.apply(subscribes("ann", "p1"), subscribes("ann", "p2", month=1), refunds("p1"))
    till.at = NOON + MONTH + DAY
    assert (await till.plan(ann), await till.credits(ann)) == ("basic", 1500)


async def test_the_better_of_two_plans_is_in_force_and_the_other_follows(till: Till) -> None:
    ann = await till.person("ann")
    pro = subscribes(
        "ann", "p1", subscription="sub-pro", product="plan:pro", money=Money(1199, "usd"), renews=False
    )
    await till.apply(pro, subscribes("ann", "p2"), subscribes("ann", "p3", month=1))
    assert await till.plan(ann) == "pro"
    till.at = NOON + MONTH + DAY
    assert await till.plan(ann) == "basic"


async def test_news_of_an_unknown_plan_is_not_applied(till: Till) -> None:
    with pytest.raises(Unmatched):
        await till.one(stands("ann", at=NOON, plan="gone"))


def _refresh(session: object, till: Till, account: int) -> None:
    from bot.jobs import submit
    from storage.database import Session

    assert isinstance(session, Session)
    found = accounts.lock(session, account)
    assert found is not None
    submit.refresh(session, till.config, found, "", till.at)
    assert ledger.check(session) == []

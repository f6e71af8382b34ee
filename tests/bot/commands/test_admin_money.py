"""Money in admins' hands: seen, given, taken back, settled, each with its audit row."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bot.config import Secrets
from bot.office import Office
from bot.operations import Actor
from bot.payments.cashier import Cashier
from bot.payments.events import AnyEvent, Money, Paid, Refunded
from bot.payments.pricelist import Done, dry_run
from generators.requests import TextToImage
from storage import errands, records
from storage.errands import Errand
from tests.bot.commands.stage import Open
from tests.bot.commands.test_buying import Counter, Till
from tests.bot.jobs.world import now

BOSS = Actor(name="cli:boss", event="e", reason="because")


class Obliging(Till):
    """A provider that does what it is asked."""

    async def run(self, errand: Errand) -> list[AnyEvent]:
        return [Refunded(provider="paper", at=now(), payment=errand.target, total=errand.amount)]


@pytest.fixture
async def counter(open_stage: Open) -> Counter:
    return Counter(await open_stage(ATELIER_ADMINS_OWNER="test:boss", ATELIER_ADMINS_SUPPORT="test:sue"))


async def admin(counter: Counter, text: str, by: str = "boss") -> Any:
    return await counter.say("admin", text, by=by)


async def bought(counter: Counter) -> None:
    await counter.say("buy", "small")
    await counter.pay()


async def test_a_refund_is_explained_before_it_is_done(counter: Counter) -> None:
    await bought(counter)
    before = await counter.left("ann")
    explained = await admin(counter, "refund 1")
    assert "1.99 USD" in explained.text
    assert await counter.database.run(errands.claim, "paper", lease_seconds=1) == []
    assert "1.99 USD" in (await admin(counter, "refund 1 yes asked for it")).text
    cashier = Cashier(counter.database, counter.inbox, [Obliging()], clock=now)
    await cashier.errands()
    assert await counter.left("ann") == before - 500
    assert (await admin(counter, "refund 1 yes")).refused


async def test_refunding_twice_asks_once(counter: Counter) -> None:
    await bought(counter)
    for _ in range(2):
        await admin(counter, "refund 1 yes")
    assert len(await counter.database.run(errands.claim, "paper", lease_seconds=1)) == 1


async def test_what_was_flagged_is_listed_and_settled(counter: Counter) -> None:
    stray = Paid(provider="paper", at=now(), payment="stray", money=Money(199, "usd"), product="pack:small")
    await counter.inbox.apply([stray])
    assert "unknown_payer" in (await admin(counter, "flagged")).text
    before = await counter.left("ann")
    assert not (await admin(counter, "settle 1 test:ann pack:small it was hers")).refused
    assert await counter.left("ann") == before + 500
    assert (await admin(counter, "settle 1 test:ann pack:small")).refused


async def test_roles_hold(counter: Counter) -> None:
    assert (await admin(counter, "refund 1", by="sue")).refused
    assert not (await admin(counter, "flagged", by="sue")).refused
    assert (await admin(counter, "flagged", by="ann")).refused


async def test_a_gift_of_days_and_limits_of_ones_own(counter: Counter) -> None:
    await counter.left("ann")
    assert not (await admin(counter, "gift test:ann pro 30 a thank you")).refused
    assert "Pro" in (await counter.say("plans")).text.splitlines()[0]
    assert (await admin(counter, "limit test:ann nonsense=1")).refused
    assert not (await admin(counter, "limit test:ann per_minute=1")).refused
    first, second = [await counter.say("imagine", "a red apple") for _ in range(2)]
    assert (first.refused, second.refused) == (False, True)
    await admin(counter, "limit test:ann none")


async def test_promo_codes_are_made_and_ended(counter: Counter) -> None:
    assert not (await admin(counter, "promo spring 25 30 5")).refused
    assert (await admin(counter, "promo spring 25 30 5")).refused
    assert not (await counter.say("redeem", "spring")).refused
    assert "1 of 5" in (await admin(counter, "promos")).text
    await admin(counter, "promo spring end")
    assert (await counter.say("redeem", "spring", by="bob")).refused


async def test_revenue_leaves_test_money_out(counter: Counter) -> None:
    await bought(counter)
    await counter.say("buy", "large")
    await counter.pay(test=True)
    assert "in all**: 1.99 USD" in (await admin(counter, "revenue")).text
    page = await counter.stage.context.operations.table("revenue")
    assert page.rows[-1] == ("in all", "", "", "", "1.99 USD")
    assert (await counter.stage.context.operations.table("revenue", page=1)).rows == ()
    assert (await counter.stage.context.operations.table("flagged")).rows == ()


async def test_each_change_has_its_audit_row(counter: Counter) -> None:
    await counter.left("ann")
    await admin(counter, "gift test:ann pro 30 a thank you")
    await admin(counter, "promo spring 25 30 5")
    found = await counter.database.read(records.audits)
    assert [(each.action, each.actor) for each in found] == [("promo", "test:boss"), ("gift", "test:boss")]
    assert found[-1].reason == "a thank you"


async def test_the_cashier_reconciles_when_asked_and_keeps_what_it_found(counter: Counter) -> None:
    secrets = Secrets(telegram_token="1:token")
    office = Office(counter.database, structs.replace(counter.stage.config, secrets=secrets), clock=now)
    await office.reconcile("stars", actor=BOSS)
    stars = Till()
    stars.name = "stars"
    await Cashier(counter.database, counter.inbox, [stars], clock=now).errands()
    (last, *_) = await counter.database.read(records.audits)
    assert (last.action, last.actor, last.details["differences"]) == ("reconciled", "cashier", [])


async def test_only_a_provider_that_is_set_up_can_be_reconciled(open_stage: Open) -> None:
    stage = await open_stage(
        ATELIER_ADMINS_OWNER="test:boss", ATELIER_DISCORD_TOKEN="d", ATELIER_TELEGRAM_TOKEN="t"
    )
    for name in ("paypal", "stripe"):
        reply = await stage.say("admin", f"reconcile {name}", by="boss")
        assert (reply.refused, reply.text) == (
            True, f"No provider “{name}” is set up here. There are: discord, stars."
        )  # fmt: skip
    assert not (await stage.say("admin", "reconcile discord", by="boss")).refused


async def test_where_no_provider_is_set_up_there_is_none_to_reconcile(counter: Counter) -> None:
    assert (await admin(counter, "reconcile stripe")).text.endswith("None is: their secrets are missing.")
    chinese = await counter.say("admin", "reconcile stripe", by="boss", locale="zh")
    assert chinese.text == "这里没有启用支付方“stripe”。尚未启用任何支付方：缺少它们的密钥。"


def test_a_price_list_is_tried_on_what_was_done() -> None:
    from bot import settings

    config = settings.load(None, {})
    request = TextToImage(model="tiny", prompt="", width=128, height=128, steps=20, guidance=4.0, seed=1)
    done = [Done(account=1, plan="free", model="tiny", request=request, paid=1, at=now()) for _ in range(50)]
    report = dry_run(done, config, {})
    assert (report.models[0].before, report.models[0].after, report.stopped, report.people) == (50, 40, 10, 1)
    assert dry_run(done, config, {1: 10}).stopped == 0

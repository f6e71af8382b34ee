"""Money in the background: news that waits, errands, reconciliation and notices, through crashes and outages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.chat import Locale, TryLater, Undeliverable
from bot.payments.cashier import Cashier
from bot.payments.events import AnyEvent, Money
from bot.payments.herald import Herald
from bot.payments.inbox import Inbox, decode, encode
from bot.payments.products import Product
from bot.payments.provider import ErrandHopeless, Offer, ProviderAway
from storage import errands, payments
from storage.database import Database
from storage.errands import Errand, Letter
from storage.payments import Order
from tests.bot.jobs.world import Fuse, FusedDatabase, Killed
from tests.bot.payments.till_world import DAY, NOON, Till, pays, refunds


class Paper:
    """A provider whose list and mood a test writes."""

    name, own_only = "stripe", False

    def __init__(self) -> None:
        self.list: list[AnyEvent] = []
        self.done: list[str] = []
        self.mood: Exception | None = None

    def sells_on(self, platform: str) -> bool:
        return True

    def price(self, product: Product) -> Money | None:
        return product.money("usd")

    async def offer(self, order: Order, product: Product, *, locale: Locale) -> Offer:
        return Offer(url="https://pay.example/")

    async def read(self, letter: Letter) -> list[AnyEvent]:
        self._answer()
        return decode(letter)

    async def run(self, errand: Errand) -> Sequence[AnyEvent]:
        self._answer()
        self.done.append(f"{errand.kind} {errand.target}")
        return [refunds(errand.target)] if errand.kind == "refund" else []

    async def movements(self, since: datetime) -> AsyncIterator[AnyEvent]:
        self._answer()
        for event in self.list:
            yield event

    def _answer(self) -> None:
        if self.mood is not None:
            raise self.mood


class Desk:
    """One life of the payment parts over one database."""

    def __init__(self, database: Database, paper: Paper, limit: int = 0) -> None:
        self.till, self.paper = Till(database), paper
        self.fused = FusedDatabase(database, Fuse(limit))
        self.inbox = Inbox(self.fused, self.till.config, clock=lambda: self.till.at)
        self.cashier = Cashier(self.fused, self.inbox, [paper], clock=lambda: self.till.at)

    async def hear(self, *events: AnyEvent, news: str = "n1") -> bool:
        letter = await self.inbox.keep("stripe", news, "test", encode(events))
        return await self.inbox.open(self.paper, letter)


@pytest.fixture
def paper() -> Paper:
    return Paper()


@pytest.fixture
def desk(database: Database, paper: Paper) -> Desk:
    return Desk(database, paper)


async def test_news_has_its_effect_once(desk: Desk) -> None:
    ann = await desk.till.person("ann")
    for _ in range(3):
        assert await desk.hear(pays("ann", "p1"))
    assert await desk.till.credits(ann) == 500


@pytest.mark.parametrize("limit", range(1, 6))
async def test_dying_at_any_boundary_loses_no_money_and_gives_none_twice(
    database: Database, paper: Paper, limit: int
) -> None:
    desk = Desk(database, paper, limit)
    ann = await desk.till.person("ann")
    try:
        await desk.hear(pays("ann", "p1"))
    except Killed:
        next_life = Desk(database, paper)
        await next_life.cashier.letters()
        await next_life.hear(pays("ann", "p1"))  # the provider delivers again what was not acknowledged
    assert await Desk(database, paper).till.credits(ann) == 500


async def test_news_that_cannot_be_read_now_is_applied_later(desk: Desk, paper: Paper) -> None:
    ann = await desk.till.person("ann")
    paper.mood = ProviderAway("closed")
    assert not await desk.hear(pays("ann", "p1"))
    (waiting,) = await desk.till.do(errands.unapplied)
    assert waiting.error == "closed"
    paper.mood = None
    await desk.cashier.letters()
    assert await desk.till.credits(ann) == 500
    assert await desk.till.do(errands.unapplied) == []


async def test_news_of_nonsense_is_kept_and_disturbs_nobody(desk: Desk) -> None:
    letter = await desk.inbox.keep("stripe", "n1", "test", b'{"not": "events"}')
    assert not await desk.inbox.open(desk.paper, letter)
    assert len(await desk.till.do(errands.unapplied)) == 1


async def test_news_that_never_fits_keeps_no_other_waiting(desk: Desk, paper: Paper) -> None:
    ann = await desk.till.person("ann")
    for number in range(60):
        await desk.inbox.keep("stripe", f"junk{number}", "test", b"{}")
    await desk.inbox.keep("stripe", "good", "test", encode([pays("ann", "p1")]))
    for _ in range(2):
        await desk.cashier.letters()
    assert await desk.till.credits(ann) == 500


async def test_an_errand_is_run_until_it_is_done(desk: Desk, paper: Paper) -> None:
    ann = await desk.till.person("ann")
    await desk.hear(pays("ann", "p1"))
    await desk.till.do(errands.send, NOON, key="r", provider="stripe", kind="refund", target="p1")
    paper.mood = ProviderAway("closed", seconds=0)
    await desk.cashier.errands()
    assert await desk.till.credits(ann) == 500
    paper.mood = None
    await desk.till.do(_due_now)
    await desk.cashier.errands()
    await desk.cashier.errands()
    assert paper.done == ["refund p1"]
    assert await desk.till.credits(ann) == 0


async def test_a_hopeless_errand_is_shown_and_not_tried_again(desk: Desk, paper: Paper) -> None:
    await desk.till.do(errands.send, NOON, key="r", provider="stripe", kind="refund", target="gone")
    paper.mood = ErrandHopeless("no such charge")
    await desk.cashier.errands()
    paper.mood = None
    await desk.cashier.errands()
    assert paper.done == []
    ((_, why),) = await desk.till.do(errands.stuck)
    assert why == "no such charge"


async def test_reconciling_applies_what_we_missed_and_explains_every_difference(
    desk: Desk, paper: Paper
) -> None:
    ann = await desk.till.person("ann")
    desk.till.at = NOON + 6 * DAY
    await desk.hear(pays("ann", "known"))
    await desk.hear(pays("ann", "ours", at=NOON + 5 * DAY), news="n2")
    paper.list = [pays("ann", "known"), pays("ann", "missed"), refunds("known")]
    report = await desk.cashier.reconcile("stripe")
    assert report is not None
    found = {(each.what, each.payment) for each in report.differences}
    assert found == {("missed", "missed"), ("missed", "known"), ("only_ours", "ours")}
    assert await desk.till.credits(ann) == 1000
    again = await desk.cashier.reconcile("stripe")
    assert again is not None
    assert {each.what for each in again.differences} == {"only_ours"}


async def test_a_provider_that_is_away_for_a_day_takes_nothing_from_anybody(desk: Desk, paper: Paper) -> None:
    ann = await desk.till.person("ann")
    await desk.hear(pays("ann", "p1"))
    paper.mood = ProviderAway("closed")
    desk.till.at = NOON + DAY
    assert await desk.cashier.reconcile("stripe") is None
    assert await desk.till.credits(ann) == 500


class Listener:
    """A platform that hears notices."""

    name = "web"

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.mood: Exception | None = None

    async def tell(self, account: int, person: str, text: str) -> None:
        if self.mood is not None:
            raise self.mood
        self.told.append((person, text))


def herald(desk: Desk, listener: Any) -> Herald:
    return Herald(desk.till.database, listener, desk.till.config, clock=lambda: desk.till.at)


async def test_a_person_is_thanked_once(desk: Desk) -> None:
    await desk.hear(pays("ann", "p1"), pays("ann", "p1"))
    listener = Listener()
    for _ in range(2):
        await herald(desk, listener).round()
    ((who, words),) = listener.told
    assert who == "ann"
    assert "500" in words


async def test_words_wait_for_a_closed_page_and_are_given_up_for_a_closed_door(desk: Desk) -> None:
    await desk.hear(pays("ann", "p1"))
    listener = Listener()
    listener.mood = TryLater(0)
    await herald(desk, listener).round()
    listener.mood = None
    await herald(desk, listener).round()
    assert len(listener.told) == 1
    await desk.hear(pays("ann", "p2"), news="n2")
    listener.mood = Undeliverable()
    await herald(desk, listener).round()
    listener.mood = None
    await herald(desk, listener).round()
    assert len(listener.told) == 1


async def test_flagged_money_is_in_the_list_for_admins(desk: Desk) -> None:
    await desk.hear(pays("ann", "p1", "pack:gone"))
    assert [each.flag for each in await desk.till.do(payments.flagged)] == ["unknown_product"]


def _due_now(session: Any) -> None:
    from sqlalchemy import update

    from storage.payment_tables import ErrandRow

    session.execute(update(ErrandRow).values(due_at=NOON - timedelta(days=1)))

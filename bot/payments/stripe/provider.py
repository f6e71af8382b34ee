"""`StripeProvider`: what the rest of the bot sees of Stripe. Webhooks go into the inbox and are opened soon after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from datetime import datetime

import msgspec

from bot.chat import Locale
from bot.config import Config
from bot.payments import products
from bot.payments.events import AnyEvent, Money
from bot.payments.inbox import Inbox
from bot.payments.products import Product
from bot.payments.provider import Offer, ProviderAway
from bot.payments.stripe import errands, reading, wire
from bot.payments.stripe.counter import Counter
from bot.payments.stripe.meaning import STRIPE
from bot.payments.stripe.shapes import Note
from bot.payments.stripe.wire import Refused, Wire
from storage.errands import Errand, Letter
from storage.payments import Order

KINDS = frozenset({
    "checkout.session.completed", "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed", "invoice.paid", "invoice.payment_failed",
    "customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted",
    "charge.refunded", "charge.refund.updated", "refund.failed", "charge.dispute.created",
    "charge.dispute.updated", "charge.dispute.closed",
})  # fmt: skip
"""The events that have a meaning here. Others, such as a Checkout that expired, change nothing."""
SOLD_ON = frozenset({"web", "discord"})
"""Telegram's terms let digital goods be sold for Stars only."""
OPENINGS_MAX = 4


class StripeProvider:
    name = STRIPE
    own_only = False

    def __init__(self, config: Config, inbox: Inbox, *, page: str, clock: Callable[[], datetime]) -> None:
        """`page` is the address at which people reach the page, without a slash at its end."""
        self._config, self._inbox, self._clock = config, inbox, clock
        self._wire = Wire(config.secrets.stripe_key, config.stripe.api_base)
        self._counter = Counter(config, self._wire, page)
        self._opening: set[asyncio.Task[bool]] = set()
        self._slots = asyncio.Semaphore(OPENINGS_MAX)

    async def close(self) -> None:
        """What was being opened stays in the inbox."""
        for task in self._opening:
            task.cancel()
        await self._wire.close()

    def sells_on(self, platform: str) -> bool:
        return platform in SOLD_ON

    def price(self, product: Product) -> Money | None:
        return self._counter.price(product)

    async def offer(self, order: Order, product: Product, *, locale: Locale) -> Offer:
        with _refused_is_away():
            return await self._counter.checkout(order, product, locale)

    async def change(self, subscription: str, product: Product) -> Offer:
        """A page that shows what a change to another plan costs, and makes it: upwards at once, downwards at the
        period's end."""
        with _refused_is_away():
            return await self._counter.change(subscription, product)

    async def manage(self, subscription: str) -> Offer:
        """The page where its payer cancels, resumes, changes plan or card, and finds invoices."""
        with _refused_is_away():
            return await self._counter.manage(subscription)

    async def hear(self, body: bytes, signature: str) -> None:
        """A webhook: durable when this returns, applied soon after. Raises Forged."""
        event = wire.verified(body, signature, self._config.secrets.stripe_webhook_secret)
        if event.type not in KINDS:
            return
        note = Note(type=event.type, object=event.data.object.id, created=event.created)
        letter = await self._inbox.keep(self.name, event.id, event.type, msgspec.json.encode(note))
        if not letter.applied:
            task = asyncio.create_task(self._open(letter))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, letter: Letter) -> bool:
        """What fails here stays in the inbox, where the cashier finds it."""
        async with self._slots:
            return await self._inbox.open(self, letter)

    async def read(self, letter: Letter) -> list[AnyEvent]:
        note = msgspec.json.decode(letter.body, type=Note)
        with _refused_is_away():
            return await reading.noted(self._wire, note, self._days)

    async def run(self, errand: Errand) -> list[AnyEvent]:
        return await errands.run(self._wire, errand, self._clock())

    async def movements(self, since: datetime) -> AsyncIterator[AnyEvent]:
        with _refused_is_away():
            async for events in reading.moved(self._wire, since, self._clock(), self._days):
                for event in events:
                    yield event

    def _days(self, plan: str) -> int:
        known = products.known(self._config, plan)
        return known.days if known else 30


@contextmanager
def _refused_is_away() -> Generator[None]:
    """Where there is nobody to tell why: an operator finds it in the dashboard, and it may be better later."""
    try:
        yield
    except Refused as refused:
        raise ProviderAway(str(refused)) from None

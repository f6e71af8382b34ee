"""Telegram Stars: packs by invoice, plans by a subscription's link. Knows no SDK, only `StarsApi`.

buy ──> `offer` ──> `objection`, asked before the charge ──> Telegram charges ──> `hear` ──> letter ──> till

All payments of a subscription carry its order's token, which therefore names it.
https://core.telegram.org/bots/payments-stars
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

import msgspec
import structlog

from bot.chat import Invoice, Locale
from bot.config import Config
from bot.payments import checkout, notices
from bot.payments.events import AnyEvent, Money, Paid, Period, Refunded, Subscribed
from bot.payments.inbox import Inbox, decode, encode
from bot.payments.products import STARS, Product
from bot.payments.provider import ErrandHopeless, Offer, ProviderAway
from bot.replies import say
from storage import entitlements, payments
from storage.accounts import Identity
from storage.database import Database, Session
from storage.errands import Errand, Letter
from storage.payments import Order, Payment

NAME = "stars"
PLATFORM = "telegram"
STARS_MAX = 25_000
"""Of one invoice: https://core.telegram.org/bots/api#sendinvoice"""
SUBSCRIPTION_STARS_MAX = 10_000
SUBSCRIPTION_DAYS = 30
"""The only period there is: https://core.telegram.org/bots/api#createinvoicelink"""
PERIOD = timedelta(days=SUBSCRIPTION_DAYS)
PAGE = 100  # transactions in one answer, Telegram's own limit

State = Literal["active", "canceled", "failed"]
log = structlog.get_logger(__name__)


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """Stars that moved between a person and us. A refund has the id of its payment."""

    id: str
    stars: int
    payload: str
    payer: Identity
    at: datetime
    until: datetime | None = None  # of the month that it pays for; None: no subscription
    is_refund: bool = False


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the bot's account; `sale` is None for what is no sale of ours."""

    at: datetime
    sale: Charge | None


class StarsRefused(Exception):
    """Telegram will not do this; the text is its word for why."""


class StarsApi(Protocol):
    """What is asked of Telegram. Each raises ProviderAway and StarsRefused."""

    async def link(self, invoice: Invoice) -> str:
        """Where the invoice can be paid."""
        ...

    async def refund(self, payer: str, charge: str) -> None: ...

    async def renew(self, payer: str, charge: str, *, cancelled: bool) -> None:
        """Ends the renewal of the subscription that began with this charge, or lets the person renew it again."""
        ...

    async def transactions(self, offset: int, limit: int) -> Sequence[Transaction]:
        """Some of all that ever moved, oldest first. Empty after the last."""
        ...


class TelegramStars:
    """A `Provider`. In Telegram's test environment, Stars are no revenue."""

    name = NAME
    own_only = False

    def __init__(
        self,
        api: StarsApi,
        inbox: Inbox,
        database: Database,
        config: Config,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._api, self._inbox, self._database = api, inbox, database
        self._config, self._clock = config, clock
        self._test = config.telegram.test_environment

    # --- selling

    def sells_on(self, platform: str) -> bool:
        return platform == PLATFORM

    def price(self, product: Product) -> Money | None:
        return None if unsellable(product) else product.money(STARS)

    async def offer(self, order: Order, product: Product, *, locale: Locale) -> Offer:
        message = f"stars-{product.kind}"
        invoice = Invoice(
            title=product.title,
            description=say(locale, message, credits=product.credits, days=product.days),
            payload=order.token,
            amount=order.amount,
            currency=order.currency,
            subscription_seconds=int(PERIOD.total_seconds()) if product.kind == "plan" else 0,
        )
        if product.kind == "pack":
            return Offer(invoice=invoice)
        try:
            return Offer(url=await self._api.link(invoice))
        except StarsRefused as refused:
            log.error("stars.no_link", product=product.id, reason=str(refused))
            raise ProviderAway(str(refused)) from refused

    async def objection(self, *, payload: str, money: Money, payer: Identity) -> str:
        """Why this may not be paid just now, as a message's id; empty if it may."""
        bill = checkout.Bill(provider=NAME, token=payload, money=money, payer=payer)
        return await self._database.read(checkout.objection, self._config, bill, self._clock())

    # --- news

    async def hear(self, charge: Charge) -> None:
        """A payment or refund that a message tells of: durable when it returns."""
        kind = "refund" if charge.is_refund else "payment"
        await self._keep(f"{kind}:{charge.id}", kind, self._event(charge))

    async def hear_renewal(self, update: int, payload: str, payer: Identity, state: State) -> None:
        """The person cancelled or re-enabled a renewal, or could not pay it: that one may still be paid later."""
        event = Subscribed(
            provider=NAME, at=self._clock(), subscription=payload, order=payload, payer=payer,
            renews=state != "canceled", test=self._test,
        )  # fmt: skip
        key = f"renewal:{update}:{payload}"[:200]
        await self._keep(key, state, event)
        if state == "failed":
            await self._database.run(self._tell_unpaid, key, payload, payer)

    def _tell_unpaid(self, session: Session, key: str, subscription: str, payer: Identity) -> None:
        right = entitlements.find(session, NAME, subscription)
        if right is not None:
            notices.of_unpaid(session, self._config, right, payer, self._clock(), key=key)

    async def read(self, letter: Letter) -> list[AnyEvent]:
        return decode(letter)

    async def _keep(self, key: str, kind: str, event: AnyEvent) -> None:
        letter = await self._inbox.keep(NAME, key, kind, encode([event]))
        await self._inbox.open(self, letter)

    def _event(self, charge: Charge) -> Paid | Refunded:
        if charge.is_refund:
            return Refunded(provider=NAME, at=charge.at, payment=charge.id)
        period = None
        if charge.until is not None:  # a renewal may come before the last month is over
            period = Period(min(charge.at, charge.until - PERIOD), charge.until)
        return Paid(
            provider=NAME, at=charge.at, payment=charge.id, money=Money(charge.stars, STARS),
            order=charge.payload, payer=charge.payer, subscription=charge.payload if period else "",
            period=period, renews=period is not None, test=self._test,
        )  # fmt: skip

    # --- errands

    async def run(self, errand: Errand) -> list[AnyEvent]:
        match errand.kind:
            case "refund":
                return await self._refund(errand)
            case "cancel":
                return await self._cancel(errand.target)
            case "resume":  # it renews once the person says so too: an update tells
                await self._renew(errand.target, cancelled=False)
                return []
            case _:
                raise ErrandHopeless(f"Telegram Stars know no {errand.kind}.")

    async def _refund(self, errand: Errand) -> list[AnyEvent]:
        """A subscription whose newest month goes back does not renew any more."""
        paid = await self._database.read(payments.find, NAME, errand.target)
        if paid is None or not paid.arrived:
            raise ErrandHopeless("No such payment is known here.")
        if errand.amount not in (0, paid.amount):
            raise ErrandHopeless("Telegram returns a payment as a whole: leave the amount out.")
        try:
            await self._api.refund(paid.payer or errand.person, paid.external_id)
        except StarsRefused as refused:
            if "CHARGE_ALREADY_REFUNDED" not in str(refused).upper():  # the SDK changes its letters
                raise ErrandHopeless(str(refused)) from refused
        found: list[AnyEvent] = [Refunded(provider=NAME, at=self._clock(), payment=paid.external_id)]
        return found + await self._cancel_with(paid)

    async def _cancel_with(self, paid: Payment) -> list[AnyEvent]:
        months = await self._months(paid.subscription)
        if not months or months[-1].id != paid.id:
            return []
        try:
            return await self._cancel(paid.subscription)
        except ErrandHopeless:
            return []  # it had ended before

    async def _cancel(self, subscription: str) -> list[AnyEvent]:
        await self._renew(subscription, cancelled=True)
        return [Subscribed(provider=NAME, at=self._clock(), subscription=subscription, test=self._test)]

    async def _renew(self, subscription: str, *, cancelled: bool) -> None:
        """Asks by the charge that it began with; by a later one where it had ended and began anew."""
        reason = "No payment of this subscription is known here."
        for month in await self._months(subscription):
            try:
                return await self._api.renew(month.payer, month.external_id, cancelled=cancelled)
            except StarsRefused as refused:
                reason = str(refused)
        raise ErrandHopeless(reason)

    async def _months(self, subscription: str) -> list[Payment]:
        if not subscription:
            return []
        return await self._database.read(payments.of_subscription, NAME, subscription)

    # --- reconciliation

    async def movements(self, since: datetime) -> AsyncIterator[AnyEvent]:
        offset = await self._start(since)
        while page := await self._page(offset):
            offset += len(page)
            for each in page:
                if each.sale is not None and each.at >= since:
                    yield self._event(each.sale)

    async def _start(self, since: datetime) -> int:
        """Where to begin: a page before the first transaction since then, or two. Telegram lists from the first ever
        on, so it is looked for by doubling and halving; nothing is remembered that another token would make wrong."""
        low, high = 0, PAGE
        while await self._is_older(high, since):
            low, high = high, 2 * high
        while high - low > PAGE:
            middle = (low + high) // 2
            low, high = (middle, high) if await self._is_older(middle, since) else (low, middle)
        return max(low - PAGE, 0)

    async def _is_older(self, offset: int, since: datetime) -> bool:
        return any(each.at < since for each in await self._page(offset, 1))

    async def _page(self, offset: int, limit: int = PAGE) -> Sequence[Transaction]:
        try:
            return await self._api.transactions(offset, limit)
        except StarsRefused as refused:
            raise ProviderAway(str(refused)) from refused


def unsellable(product: Product) -> str:
    """Why Telegram would not sell it for Stars; empty where it would, or where it has no such price."""
    if STARS in product.price and product.kind == "plan" and product.days != SUBSCRIPTION_DAYS:
        return f"lasts {product.days} days, and Telegram renews every {SUBSCRIPTION_DAYS}"
    return ""

"""Telegram Stars at the edge of the SDK: what the provider asks of the Bot API, and what updates tell it.

A query before a charge has to be answered within 10 s: it takes no part in any budget, has connections of its own
(`request.URGENT`), and is refused kindly where we cannot decide in time.
https://core.telegram.org/bots/payments-stars
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import structlog
from telegram import (
    Bot,
    LabeledPrice,
    Message,
    PreCheckoutQuery,
    RefundedPayment,
    StarTransaction,
    SuccessfulPayment,
    TransactionPartnerUser,
    Update,
    User,
)
from telegram.error import BadRequest, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError

from bot.chat import Invoice
from bot.payments.events import Money
from bot.payments.provider import ProviderAway
from bot.payments.telegram_stars import Charge, StarsRefused, State, TelegramStars, Transaction
from bot.platforms.telegram import markup, translate
from bot.platforms.telegram.wire import seconds_of
from bot.replies import say
from storage.accounts import Identity
from storage.database import DatabaseUnavailable

TITLE_UNITS_MAX, DESCRIPTION_UNITS_MAX = 32, 255  # https://core.telegram.org/bots/api#sendinvoice
DECIDE_SECONDS = 4.0
ANSWER_SECONDS = 9.0
TRY_SECONDS = 2.0
PAUSE_SECONDS = 0.2
TOKEN_SECONDS = 60.0
LOST_SECONDS = 30.0
STATES: tuple[State, ...] = ("active", "canceled", "failed")

log = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")


class BotStars:
    """A `StarsApi` over the SDK's client."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def link(self, invoice: Invoice) -> str:
        seconds = invoice.subscription_seconds or None
        return await self._ask(
            lambda: self._bot.create_invoice_link(**bill(invoice), subscription_period=seconds)
        )

    async def refund(self, payer: str, charge: str) -> None:
        await self._ask(lambda: self._bot.refund_star_payment(int(payer), charge))

    async def renew(self, payer: str, charge: str, *, cancelled: bool) -> None:
        await self._ask(lambda: self._bot.edit_user_star_subscription(int(payer), charge, cancelled))

    async def transactions(self, offset: int, limit: int) -> Sequence[Transaction]:
        found = await self._ask(lambda: self._bot.get_star_transactions(offset, limit))
        return [Transaction(at=each.date, sale=_sale(each)) for each in found.transactions]

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Raises ProviderAway and StarsRefused."""
        try:
            await self._bot.initialize()  # an errand may come before the platform has started
            return await call()
        except RetryAfter as flood:
            raise ProviderAway("Telegram asks to wait.", seconds=seconds_of(flood)) from None
        except InvalidToken:
            raise ProviderAway("Telegram does not know the token.", seconds=TOKEN_SECONDS) from None
        except (BadRequest, Forbidden) as error:
            raise StarsRefused(error.message) from None
        except TelegramError as error:
            raise ProviderAway(f"Telegram: {type(error).__name__}", seconds=LOST_SECONDS) from None


class Counter:
    """Takes money's updates to the provider. Its letters are durable before an update counts as handled."""

    def __init__(self, bot: Bot, stars: TelegramStars) -> None:
        self._bot, self._stars = bot, stars

    async def take(self, update: Update) -> bool:
        """Whether this update is about money; then all is done. Raises DatabaseUnavailable."""
        if update.pre_checkout_query is not None:
            await self._before(update.pre_checkout_query)
        elif update.message is not None and (charge := _told(update.message)):
            await self._stars.hear(charge)
        elif isinstance(renewal := update.api_kwargs.get("subscription"), dict):
            await self._renewal(update.update_id, cast("dict[str, Any]", renewal))
        else:
            return False
        return True

    async def _before(self, query: PreCheckoutQuery) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                objection = await self._objection(query)
                await self._answer(query, objection)
        except (TimeoutError, TelegramError) as error:  # it is not charged, and may be tried again
            log.warning("stars.checkout_unanswered", error=type(error).__name__)

    async def _objection(self, query: PreCheckoutQuery) -> str:
        payer = _identity(query.from_user)
        money = Money(query.total_amount, query.currency.lower())
        try:
            async with asyncio.timeout(DECIDE_SECONDS):
                return await self._stars.objection(payload=query.invoice_payload, money=money, payer=payer)
        except (DatabaseUnavailable, TimeoutError):
            return "checkout-away"
        except Exception as error:
            log.error("stars.checkout_broken", error=type(error).__name__)
            return "checkout-away"

    async def _answer(self, query: PreCheckoutQuery, objection: str) -> None:
        """Until it is answered or the time is over. Raises TelegramError where it is too late."""
        said = say(translate.person_of(query.from_user).locale, objection) if objection else None
        while True:
            try:
                await self._bot.answer_pre_checkout_query(
                    query.id, ok=said is None, error_message=said, read_timeout=TRY_SECONDS
                )
            except (BadRequest, Forbidden, InvalidToken):
                raise
            except (NetworkError, RetryAfter) as error:
                await asyncio.sleep(seconds_of(error) if isinstance(error, RetryAfter) else PAUSE_SECONDS)
            else:
                return

    async def _renewal(self, update: int, told: dict[str, Any]) -> None:
        """Of Bot API 10.2, which the SDK does not know: https://core.telegram.org/bots/api#botsubscriptionupdated"""
        user, state = User.de_json(told["user"], self._bot), told["state"]
        if state in STATES:
            await self._stars.hear_renewal(update, str(told["invoice_payload"]), _identity(user), state)


def bill(invoice: Invoice) -> dict[str, Any]:
    """What all ways to show an invoice in Stars take."""
    title = markup.shortened(invoice.title, TITLE_UNITS_MAX)
    return {
        "title": title,
        "description": markup.shortened(invoice.description, DESCRIPTION_UNITS_MAX),
        "payload": invoice.payload,
        "currency": invoice.currency.upper(),
        "prices": [LabeledPrice(title, invoice.amount)],
        "provider_token": "",
    }


def _told(message: Message) -> Charge | None:
    """What a service message says of a payment."""
    told: SuccessfulPayment | RefundedPayment | None = message.successful_payment or message.refunded_payment
    if told is None:
        return None
    return Charge(
        id=told.telegram_payment_charge_id,
        stars=told.total_amount,
        payload=told.invoice_payload,
        payer=_identity(message.from_user or User(message.chat.id, "", is_bot=False)),
        at=message.date,
        until=told.subscription_expiration_date if isinstance(told, SuccessfulPayment) else None,
        is_refund=isinstance(told, RefundedPayment),
    )


def _sale(told: StarTransaction) -> Charge | None:
    """Sales by invoice and their refunds; not withdrawals, gifts, advertisements, or media that others sell."""
    partner = told.source or told.receiver
    if not isinstance(partner, TransactionPartnerUser) or partner.transaction_type != "invoice_payment":
        return None
    return Charge(
        id=told.id,
        stars=told.amount,
        payload=partner.invoice_payload or "",
        payer=_identity(partner.user),
        at=told.date,
        until=_until(told.date, partner.subscription_period),
        is_refund=told.source is None,
    )


def _until(since: datetime, period: int | timedelta | None) -> datetime | None:
    """The SDK is between two types for it."""
    if not period:
        return None
    return since + (period if isinstance(period, timedelta) else timedelta(seconds=period))


def _identity(user: User) -> Identity:
    person = translate.person_of(user)
    return Identity(platform=person.platform, external_id=person.id, name=person.name, locale=person.locale)

"""Our payments against a provider's own list: each difference is explained, and what we missed is applied."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from bot.payments.events import AnyEvent, Disputed, Failed, Paid, Refunded, Subscribed
from bot.payments.inbox import Inbox
from bot.payments.provider import Provider
from bot.payments.till import Unmatched
from storage import payments
from storage.database import Database
from storage.payments import Payment

OVERLAP = timedelta(days=3)
"""Providers retry for as long, so a payment may reach us by itself well after it was made."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """`what` is a word for sorting, `sentence` for an admin's eyes."""

    what: str
    payment: str
    sentence: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    provider: str
    seen: int
    differences: tuple[Difference, ...]


class Reconciler:
    def __init__(self, database: Database, inbox: Inbox, *, clock: Callable[[], datetime]) -> None:
        self._database, self._inbox, self._clock = database, inbox, clock

    async def run(self, provider: Provider, since: datetime) -> Report:
        """Applies what we missed since then. Never takes anything away because the provider was silent.
        Raises ProviderAway."""
        found: list[Difference] = []
        listed: set[str] = set()
        seen = 0
        async for event in provider.movements(since):
            seen += 1
            listed.add(_payment_of(event))
            found += await self._apply(event)
        ours = await self._database.read(payments.since, provider.name, since + OVERLAP)
        found += [_only_ours(each) for each in ours if each.arrived and each.external_id not in listed]
        return Report(provider=provider.name, seen=seen, differences=tuple(found))

    async def _apply(self, event: AnyEvent) -> list[Difference]:
        try:
            (outcome,) = await self._inbox.apply([event])
        except Unmatched as error:
            return [Difference(what="unmatched", payment=_payment_of(event), sentence=str(error))]
        if outcome.new:
            return [Difference(what="missed", payment=_payment_of(event), sentence=_missed(event))]
        return await self._compare(event)

    async def _compare(self, event: AnyEvent) -> list[Difference]:
        """Known on both sides: do the amounts agree?"""
        if not isinstance(event, Paid) or event.listed:
            return []
        ours = await self._database.read(payments.find, event.provider, event.payment)
        if ours is None or (ours.amount, ours.currency) == (event.money.amount, event.money.currency):
            return []
        theirs = f"{event.money.amount} {event.money.currency}"
        sentence = f"{event.provider} says {theirs}, we have {ours.amount} {ours.currency}."
        return [Difference(what="amount", payment=event.payment, sentence=sentence)]


def _payment_of(event: AnyEvent) -> str:
    match event:
        case Subscribed():
            return event.subscription
        case Failed():
            return event.attempt
        case _:
            return event.payment


def _missed(event: AnyEvent) -> str:
    match event:
        case Paid():
            what = f"A payment of {event.money.amount} {event.money.currency}"
        case Refunded():
            what = "A refund"
        case Disputed():
            what = f"A dispute ({event.state})"
        case Subscribed():
            what = "A change of a subscription"
        case Failed():
            what = "A payment that failed"
    return f"{what} of {event.at:%Y-%m-%d %H:%M} had not reached us; it is applied now."


def _only_ours(payment: Payment) -> Difference:
    sentence = (
        f"We have a payment of {payment.amount} {payment.currency} that {payment.provider} does not list."
    )
    return Difference(what="only_ours", payment=payment.external_id, sentence=sentence)

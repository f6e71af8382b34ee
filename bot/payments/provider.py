"""The protocol that each payment provider speaks: one file each, listed in `bot.bootstrap`.

A provider offers ways to pay, turns its own messages into events, runs errands, and lists its money movements so
that they can be compared with ours. It never touches the ledger, and is never asked inside a transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec

from bot.chat import Invoice, Locale
from bot.config import Config
from bot.payments.events import AnyEvent, Money
from bot.payments.products import Product
from storage.errands import Errand, Letter
from storage.payments import Order


def set_up(config: Config) -> tuple[str, ...]:
    """The names of the providers whose secrets are there: those that this instance has."""
    known = config.secrets
    secrets = {"discord": known.discord_token, "stars": known.telegram_token, "stripe": known.stripe_key}
    return tuple(name for name, secret in secrets.items() if secret)


class ProviderAway(Exception):
    """The provider does not answer, or asks to wait: try again in `seconds`."""

    def __init__(self, message: str, *, seconds: float = 60.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Forged(Exception):
    """News that the provider did not sign, or too long ago."""


class ErrandHopeless(Exception):
    """The provider refuses for good; the text is its reason, for admins."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """How to pay for one order: a page to open, a button of Discord's shop, or an invoice of Telegram."""

    url: str = ""
    sku: str = ""
    invoice: Invoice | None = None


class Provider(Protocol):
    name: str
    own_only: bool  # the platform's own shop: who pays is who gets it, without an order of ours

    def sells_on(self, platform: str) -> bool:
        """Whether it may be offered there: the platforms' terms differ."""
        ...

    def price(self, product: Product) -> Money | None:
        """What it asks for the product; None: not sold here."""
        ...

    async def offer(self, order: Order, product: Product, *, locale: Locale) -> Offer:
        """A way to pay the order. Raises ProviderAway."""
        ...

    async def read(self, letter: Letter) -> list[AnyEvent]:
        """What a piece of news that came earlier means, as of now. Raises ProviderAway."""
        ...

    async def run(self, errand: Errand) -> list[AnyEvent]:
        """Does what the errand asks, once however often it is called; what is true after it.
        Raises ProviderAway and ErrandHopeless."""
        ...

    def movements(self, since: datetime) -> AsyncIterator[AnyEvent]:
        """All that is true at the provider and has changed after `since`, as events. Raises ProviderAway."""
        ...


@runtime_checkable
class Portal(Protocol):
    """A provider whose subscribers change, cancel and resume their plans on a page of its own."""

    async def change(self, subscription: str, product: Product) -> Offer:
        """The page that shows what a change to another plan costs, and makes it. Raises ProviderAway."""
        ...

    async def manage(self, subscription: str) -> Offer:
        """The page of all that its payer may do. It shows their invoices: for nobody else. Raises ProviderAway."""
        ...

"""The counter: what is sold to a person on a platform, by which providers, and an order for one of these."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from bot.chat import Locale
from bot.config import Config
from bot.jobs.refusals import Refusal
from bot.payments import products
from bot.payments.events import Money
from bot.payments.products import Product
from bot.payments.provider import Offer, Provider, ProviderAway
from storage import payments
from storage.database import Database, Session
from storage.payments import NewOrder, Order

TOKEN_BYTES = 16


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One product at one provider's price."""

    product: Product
    provider: str
    money: Money


class Shop:
    def __init__(
        self,
        database: Database,
        config: Config,
        providers: Sequence[Provider],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._config, self._clock = database, config, clock
        self._providers = {each.name: each for each in providers}

    def ways(self, platform: str, *, for_place: bool = False, as_gift: bool = False) -> list[Way]:
        """All that can be bought there, for oneself, the place or somebody else, in the configuration's order."""
        return [
            Way(product=product, provider=provider.name, money=money)
            for product in products.catalogue(self._config).values()
            if product.kind == "pack" or product.for_place == for_place
            for provider in self._providers.values()
            if provider.sells_on(platform) and not (as_gift and provider.own_only)
            if (money := provider.price(product)) is not None
        ]

    def sku(self, way: Way) -> str:
        """The button of Discord's shop for it; empty where an order comes first."""
        return way.product.discord_sku if self._providers[way.provider].own_only else ""

    async def sell(self, way: Way, *, buyer: int, account: int, locale: Locale) -> Offer:
        """Keeps the price in an order and asks the provider how to pay it. Raises Refusal."""
        order = await self._database.run(self._order, way, buyer, account)
        try:
            return await self._providers[way.provider].offer(order, way.product, locale=locale)
        except ProviderAway:
            raise Refusal("refused-provider-away") from None

    def _order(self, session: Session, way: Way, buyer: int, account: int) -> Order:
        now = self._clock()
        token = secrets.token_urlsafe(TOKEN_BYTES)
        new = NewOrder(
            token=token, buyer=buyer, account=account, provider=way.provider, product=way.product.id,
            amount=way.money.amount, currency=way.money.currency,
            expires_at=now + timedelta(seconds=self._config.payments.order),
        )  # fmt: skip
        payments.add_order(session, new, now)
        made = payments.order(session, token)
        assert made is not None
        return made

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
from bot.payments.provider import Offer, Portal, Provider, ProviderAway
from storage import entitlements, payments
from storage.database import Database, Session
from storage.entitlements import Entitlement
from storage.payments import NewOrder, Order

TOKEN_BYTES = 16


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One product at one provider's price."""

    product: Product
    provider: str
    money: Money


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that somebody pays for or has; `url` is where its payer manages it, if the provider has a
    page for that."""

    right: Entitlement
    url: str = ""


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
        """Keeps the price in an order and asks the provider how to pay it. A subscription that runs already is
        changed instead, where the provider has a page for that. Raises Refusal."""
        provider = self._providers[way.provider]
        try:
            if isinstance(provider, Portal) and way.product.kind == "plan":
                right = await self._database.read(self._running, way, buyer, account)
                if right is not None and right.plan == way.product.name:
                    return await provider.manage(right.external_id)
                if right is not None:
                    return await provider.change(right.external_id, way.product)
            order = await self._database.run(self._order, way, buyer, account)
            return await provider.offer(order, way.product, locale=locale)
        except ProviderAway:
            raise Refusal("refused-provider-away") from None

    async def subscriptions(self, person: int, platform: str) -> list[Running]:
        """All that run, with fresh addresses where the provider may sell. Raises Refusal."""
        found: list[Running] = []
        try:
            for right, pays in await self._database.read(self._rights, person):
                provider = self._providers[right.source]
                url = ""
                if isinstance(provider, Portal) and pays and provider.sells_on(platform):
                    url = (await provider.manage(right.external_id)).url
                found.append(Running(right=right, url=url))
        except ProviderAway:
            raise Refusal("refused-provider-away") from None
        return found

    def _rights(self, session: Session, person: int) -> list[tuple[Entitlement, bool]]:
        """What this person has from a provider or pays for, and whether they pay for it."""
        has = [each for each in entitlements.of_account(session, person) if each.source in self._providers]
        pays = [
            right
            for provider in self._providers
            for subscription in payments.paid_by(session, person, provider)
            if (right := entitlements.find(session, provider, subscription)) is not None
        ]
        both = {each.id: each for each in (*pays, *has)}
        paid = {each.id for each in pays}
        return [(each, number in paid) for number, each in both.items() if not self._is_over(each)]

    def _is_over(self, right: Entitlement) -> bool:
        unpaid_since = self._clock() - timedelta(seconds=self._config.payments.grace)
        return right.ended_at is not None or (right.until is not None and right.until <= unpaid_since)

    def _running(self, session: Session, way: Way, buyer: int, account: int) -> Entitlement | None:
        """What this buyer pays for with the same provider, for the same account."""
        for right, pays in self._rights(session, buyer):
            if pays and right.source == way.provider and right.account == account:
                return right
        return None

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

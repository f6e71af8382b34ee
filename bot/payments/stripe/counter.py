"""Where people pay: Checkout for an order, the portal for a subscription that runs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from bot.chat import Locale
from bot.config import Config
from bot.payments import products
from bot.payments.events import Money
from bot.payments.products import Product
from bot.payments.provider import Offer, ProviderAway
from bot.payments.stripe import reading
from bot.payments.stripe.shapes import ORDER, Price
from bot.payments.stripe.shelf import Shelf
from bot.payments.stripe.wire import Wire
from storage.payments import Order

if TYPE_CHECKING:
    from stripe.params.billing_portal import SessionCreateParams as PortalParams
    from stripe.params.checkout import SessionCreateParams

OPEN_MIN, OPEN_MAX = timedelta(minutes=31), timedelta(hours=23)
"""Checkout stays open from 30 minutes to 24 hours: https://docs.stripe.com/api/checkout/sessions/create."""


class Opened(msgspec.Struct, frozen=True):
    """A page of Stripe's that was made for one person."""

    url: str


class Counter:
    """All of it may raise ProviderAway and wire.Refused."""

    def __init__(self, config: Config, wire: Wire, page: str) -> None:
        self._config, self._wire, self._page = config, wire, page
        self._client, self._shelf = wire.client, Shelf(wire)

    def price(self, product: Product) -> Money | None:
        """In the configuration's currency, else in the first that the product has a price in."""
        known = [currency for currency in product.price if currency != products.STARS]
        first = self._config.payments.currency
        return product.money(first if first in known else known[0]) if known else None

    async def checkout(self, order: Order, product: Product, locale: Locale) -> Offer:
        params = self._common(order, locale)
        is_gift = order.buyer != order.account and not product.for_place
        if product.kind == "plan" and not is_gift:
            await self._subscribe(params, order, product)
        else:  # a plan that is given lasts one period
            await self._pay_once(params, order, product)
        made = self._client.checkout.sessions.create_async(
            params, {"idempotency_key": f"order:{order.token}"}
        )
        return Offer(url=(await self._wire.call(made, Opened)).url)

    async def change(self, subscription: str, product: Product) -> Offer:
        stands = await reading.subscription(self._wire, subscription)
        money = self.price(product)
        if money is None or not stands.items.data:
            raise ProviderAway("The plan has no price.")
        price = await self._shelf.price(product, money)
        return await self._portal(
            {
                "customer": stands.customer,
                "flow_data": {
                    "type": "subscription_update_confirm",
                    "subscription_update_confirm": {
                        "subscription": stands.id,
                        "items": [{"id": stands.items.data[0].id, "price": price.id, "quantity": 1}],
                    },
                    "after_completion": {
                        "type": "redirect",
                        "redirect": {"return_url": f"{self._page}/paid"},
                    },
                },
            }
        )

    async def manage(self, subscription: str) -> Offer:
        stands = await reading.subscription(self._wire, subscription)
        return await self._portal({"customer": stands.customer})

    async def _portal(self, params: PortalParams) -> Offer:
        params["configuration"] = await self._shelf.portal(await self._prices())
        params["return_url"] = f"{self._page}/"
        made = self._client.billing_portal.sessions.create_async(params)
        return Offer(url=(await self._wire.call(made, Opened)).url)

    async def _prices(self) -> list[Price]:
        plans = [each for each in products.catalogue(self._config).values() if each.kind == "plan"]
        asked = [(plan, money) for plan in plans if (money := self.price(plan)) is not None]
        return [await self._shelf.price(plan, money) for plan, money in asked]

    def _common(self, order: Order, locale: Locale) -> SessionCreateParams:
        until = min(max(order.expires_at, order.created_at + OPEN_MIN), order.created_at + OPEN_MAX)
        return {
            "client_reference_id": order.token,
            "metadata": {ORDER: order.token},
            "success_url": f"{self._page}/paid",
            "cancel_url": f"{self._page}/unpaid",
            "expires_at": int(until.timestamp()),
            "locale": locale,
        }

    async def _subscribe(self, params: SessionCreateParams, order: Order, product: Product) -> None:
        price = await self._shelf.price(product, Money(order.amount, order.currency))
        params["mode"] = "subscription"
        params["line_items"] = [{"price": price.id, "quantity": 1}]
        params["subscription_data"] = {"metadata": {ORDER: order.token}}

    async def _pay_once(self, params: SessionCreateParams, order: Order, product: Product) -> None:
        named = await self._shelf.product(product)
        params["mode"] = "payment"
        params["line_items"] = [
            {
                "price_data": {
                    "currency": order.currency, "unit_amount": order.amount, "product": named,
                },
                "quantity": 1,
            }
        ]  # fmt: skip
        params["payment_intent_data"] = {"metadata": {ORDER: order.token}}

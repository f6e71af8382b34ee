"""What Stripe keeps of our shop: a product each, a price for each plan, and what its customer portal may do.

Ids and lookup keys are made of what config.toml says, so that nothing has to be kept on our side; what is missing
there is made at first need. A new price in config.toml makes a new one there: who subscribed before keeps theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from bot.payments.events import Money
from bot.payments.products import Product
from bot.payments.stripe.meaning import product_id
from bot.payments.stripe.shapes import Named, Price
from bot.payments.stripe.wire import Refused, Wire

if TYPE_CHECKING:
    from stripe.params import PriceCreateParams
    from stripe.params.billing_portal import ConfigurationCreateParams

PORTAL = "atelier_portal"
"""The key of the metadata that tells which offers a portal's configuration was made for."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    metadata: dict[str, str] | None = None


class Shelf:
    def __init__(self, wire: Wire) -> None:
        self._wire, self._client = wire, wire.client
        self._products: set[tuple[str, str]] = set()
        self._prices: dict[str, Price] = {}
        self._portals: dict[str, str] = {}

    async def product(self, product: Product) -> str:
        """The product's id at Stripe, where it now has its title."""
        name = product_id(product.id)
        if (name, product.title) not in self._products:
            try:
                await self._wire.call(
                    self._client.products.update_async(name, {"name": product.title}), Named
                )
            except Refused as refused:
                if refused.code != "resource_missing":
                    raise
                made = self._client.products.create_async({"id": name, "name": product.title})
                await self._wire.call(made, Named)
            self._products.add((name, product.title))
        return name

    async def price(self, product: Product, money: Money) -> Price:
        """A plan's price for one period."""
        key = f"{product_id(product.id)}_{money.currency}_{money.amount}_{product.days}"
        if key not in self._prices:
            self._prices[key] = await self._found(key) or await self._made(key, product, money)
        return self._prices[key]

    async def portal(self, prices: Sequence[Price]) -> str:
        """The configuration under which people change among these plans, cancel, resume and see their invoices."""
        tag = hashlib.sha256(" ".join(price.id for price in prices).encode()).hexdigest()[:40]
        if tag not in self._portals:
            self._portals[tag] = await self._configured(tag) or await self._configure(tag, prices)
        return self._portals[tag]

    async def _found(self, key: str) -> Price | None:
        listed = self._client.prices.list_async({"lookup_keys": [key], "active": True})
        return await anext(self._wire.every(listed, Price), None)

    async def _made(self, key: str, product: Product, money: Money) -> Price:
        params: PriceCreateParams = {
            "product": await self.product(product),
            "currency": money.currency,
            "unit_amount": money.amount,
            "recurring": {"interval": "day", "interval_count": product.days},
            "lookup_key": key,
        }
        made = self._client.prices.create_async(params, {"idempotency_key": f"price:{key}"})
        return await self._wire.call(made, Price)

    async def _configured(self, tag: str) -> str | None:
        listed = self._client.billing_portal.configurations.list_async({"active": True, "limit": 100})
        async for each in self._wire.every(listed, Configuration):
            if (each.metadata or {}).get(PORTAL) == tag:
                return each.id
        return None

    async def _configure(self, tag: str, prices: Sequence[Price]) -> str:
        params: ConfigurationCreateParams = {
            "features": {
                "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
                "subscription_update": {
                    "enabled": True,
                    "default_allowed_updates": ["price"],
                    "products": [{"product": each.product, "prices": [each.id]} for each in prices],
                    "proration_behavior": "always_invoice",
                    "schedule_at_period_end": {"conditions": [{"type": "decreasing_item_amount"}]},
                },
                "payment_method_update": {"enabled": True},
                "invoice_history": {"enabled": True},
            },
            "metadata": {PORTAL: tag},
        }
        made = self._client.billing_portal.configurations.create_async(params)
        return (await self._wire.call(made, Named)).id

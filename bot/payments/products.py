"""What is for sale: plans by the period and packs of credits, as config.toml prices them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from bot.config import Config
from bot.payments.events import Money

Kind = Literal["plan", "pack"]
STARS = "xtr"
WHOLE = frozenset({
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf", "xtr",
})  # fmt: skip
"""Currencies without a smaller unit, as Stripe's documentation lists them, and Stars."""


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is `plan:NAME` or `pack:NAME`. `days`: of a period of the plan, or until the credits lapse."""

    id: str
    kind: Kind
    name: str
    title: str
    credits: int
    days: int
    price: Mapping[str, int]
    discord_sku: str = ""
    for_place: bool = False

    def money(self, currency: str) -> Money | None:
        amount = self.price.get(currency)
        return Money(amount, currency) if amount is not None else None


def catalogue(config: Config) -> dict[str, Product]:
    """Everything that has a price or a SKU, plans first, each kind in the configuration's order."""
    found = [_plan(config, name) for name in config.plans] + [_pack(config, name) for name in config.packs]
    return {each.id: each for each in found if each.price or each.discord_sku}


def known(config: Config, product: str) -> Product | None:
    """Also one that is no longer for sale: what was paid for is given."""
    kind, _, name = product.partition(":")
    if kind == "plan" and name in config.plans:
        return _plan(config, name)
    if kind == "pack" and name in config.packs:
        return _pack(config, name)
    return None


def of_sku(config: Config, sku: str) -> Product | None:
    """The product that Discord sells under this id."""
    return next((each for each in catalogue(config).values() if sku and each.discord_sku == sku), None)


def shown(money: Money) -> str:
    """`4.99 USD`, `350 Stars`, `500 JPY`."""
    if money.currency == STARS:
        return f"{money.amount} Stars"
    if money.currency in WHOLE:
        return f"{money.amount} {money.currency.upper()}"
    return f"{money.amount // 100}.{money.amount % 100:02d} {money.currency.upper()}"


def _plan(config: Config, name: str) -> Product:
    plan = config.plans[name]
    return Product(
        id=f"plan:{name}", kind="plan", name=name, title=plan.title or name, credits=plan.credits_month,
        days=plan.days, price=plan.price, discord_sku=plan.discord_sku, for_place=plan.for_place,
    )  # fmt: skip


def _pack(config: Config, name: str) -> Product:
    pack = config.packs[name]
    return Product(
        id=f"pack:{name}", kind="pack", name=name, title=pack.title or name, credits=pack.credits,
        days=pack.days, price=pack.price, discord_sku=pack.discord_sku,
    )  # fmt: skip

"""For `atelier doctor`: what our key may see, and whether webhooks lead to us. Changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from bot.config import Config
from bot.payments.provider import ProviderAway
from bot.payments.stripe.provider import KINDS
from bot.payments.stripe.shapes import Listed, Named
from bot.payments.stripe.wire import Refused, Wire

if TYPE_CHECKING:
    from stripe import ListObject

    Asked = Callable[[Any], Awaitable[ListObject[Any]]]


class Trouble(Exception):
    """What is wrong with the set-up, and its fix."""

    def __init__(self, said: str, fix: str) -> None:
        super().__init__(said)
        self.said, self.fix = said, fix


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    status: str = "enabled"
    enabled_events: list[str] = []


async def examine(config: Config, page: str) -> str:
    """In words. `page` is the page's address. Raises Trouble."""
    wire = Wire(config.secrets.stripe_key, config.stripe.api_base)
    try:
        for name, asked in _lists(wire):
            await _may_see(wire, name, asked)
        return await _webhook(wire, f"{page}/hooks/stripe")
    finally:
        await wire.close()


def _lists(wire: Wire) -> list[tuple[str, Asked]]:
    """By the names that permissions have in Stripe's dashboard."""
    client = wire.client
    return [
        ("Checkout Sessions", client.checkout.sessions.list_async),
        ("Products", client.products.list_async),
        ("Prices", client.prices.list_async),
        ("Customer portal", client.billing_portal.configurations.list_async),
        ("Subscriptions", client.subscriptions.list_async),
        ("Invoices", client.invoices.list_async),
        ("PaymentIntents", client.payment_intents.list_async),
        ("Charges and Refunds", client.charges.list_async),
        ("Disputes", client.disputes.list_async),
        ("Events", client.events.list_async),
        ("Webhook Endpoints", client.webhook_endpoints.list_async),
    ]


async def _may_see(wire: Wire, name: str, asked: Asked) -> None:
    try:
        await wire.call(asked({"limit": 1}), Listed[Named])
    except (ProviderAway, Refused) as error:
        raise Trouble(
            f"{name}: {error}", f"Give the restricted key its permission for {name}: see README.md, Stripe."
        ) from None


async def _webhook(wire: Wire, url: str) -> str:
    async for each in wire.every(wire.client.webhook_endpoints.list_async({"limit": 100}), Endpoint):
        if each.url != url:
            continue
        if missing := sorted(KINDS - set(each.enabled_events)) if each.enabled_events != ["*"] else []:
            raise Trouble(
                f"Stripe does not tell us of {', '.join(missing)}.",
                f"Add them to the webhook endpoint {url}.",
            )
        if each.status != "enabled":
            raise Trouble(f"The webhook endpoint {url} is {each.status}.", "Enable it in Stripe's dashboard.")
        return f"webhooks come to {url}"
    raise Trouble(
        f"No webhook endpoint of Stripe's leads to {url}.",
        "Make one, as README.md says, Stripe; or set web.public_url to the address that it has.",
    )

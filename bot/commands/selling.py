"""What the commands about buying share: what is sold here and for whom, buttons for it, and an order's reply."""

from __future__ import annotations

import zlib

from bot.chat import Button, Invocation, Reply
from bot.commands.context import Asking, Context
from bot.jobs.refusals import Refusal
from bot.payments.products import shown
from bot.payments.shop import Way
from storage import accounts
from storage.accounts import Identity
from storage.database import Session

OFFER_SECONDS = 30 * 86400


def ways(context: Context, invocation: Invocation, *, as_gift: bool = False) -> list[Way]:
    """All that the person may buy here: for themselves, and for the group where they manage it."""
    platform = invocation.address.platform
    own = context.shop.ways(platform, as_gift=as_gift)
    if as_gift or not manages_group(invocation):
        return own
    return [*own, *(way for way in context.shop.ways(platform, for_place=True) if way.product.for_place)]


def manages_group(invocation: Invocation) -> bool:
    return invocation.address.kind == "group" and invocation.may_moderate


def buttons(context: Context, offered: list[Way]) -> tuple[Button, ...]:
    """One a way. Discord's own shop opens at once, the others make an order first."""
    expires = int(context.clock().timestamp()) + OFFER_SECONDS
    return tuple(
        context.buttons.buy(subject(way), label(way), expires=expires, sku=context.shop.sku(way))
        for way in offered
    )


def label(way: Way) -> str:
    return f"{way.product.title} · {shown(way.money)}"


def subject(way: Way) -> int:
    """Names a way in a button, whatever else the configuration sells by then."""
    return zlib.crc32(f"{way.product.id} {way.provider}".encode())


async def sell(context: Context, asking: Asking, way: Way, *, receiver: int | None = None) -> Reply:
    """An order at the price that was shown, and how to pay it. Raises Refusal."""
    account = receiver if receiver is not None else await _receiver(context, asking, way)
    person = asking.invocation.person
    who = Identity(platform=person.platform, external_id=person.id, locale=asking.locale)
    await context.database.run(accounts.set_locale, who)
    offer = await context.shop.sell(way, buyer=asking.account, account=account, locale=asking.locale)
    text = asking.say("buy-how", product=way.product.title, price=shown(way.money))
    if offer.invoice is not None:
        return Reply(text=text, invoice=offer.invoice, only_for_requester=True)
    button = context.buttons.buy(
        subject(way),
        label(way),
        expires=int(context.clock().timestamp()) + OFFER_SECONDS,
        url=offer.url,
        sku=offer.sku,
    )
    return Reply(text=text, buttons=(button,), only_for_requester=True)


async def _receiver(context: Context, asking: Asking, way: Way) -> int:
    """The buyer, or the wallet of the group. Raises Refusal."""
    if not way.product.for_place:
        return asking.account
    if not manages_group(asking.invocation):
        raise Refusal("buy-only-managers", product=way.product.title)
    return await context.database.run(_wallet, context, asking)


def _wallet(session: Session, context: Context, asking: Asking) -> int:
    address = asking.invocation.address
    return accounts.resolve(session, accounts.place(address.platform, address.place), context.clock())

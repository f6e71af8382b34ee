"""What the commands about buying share: what is sold here and for whom, buttons for it, and an order's reply."""

from __future__ import annotations

import zlib
from datetime import datetime

import msgspec

from bot.chat import Button, Invocation, Reply
from bot.commands.context import Asking, Context
from bot.jobs.refusals import Refusal
from bot.payments.products import shown
from bot.payments.shop import Way
from storage import accounts
from storage.accounts import Identity
from storage.database import Session

OFFER_SECONDS = 30 * 86400
WAY_BITS = 32
GROUP_CHARACTERS_MAX = 60
NO_MARKUP = str.maketrans("", "", "*`\0")


def ways(context: Context, invocation: Invocation, *, as_gift: bool = False) -> list[Way]:
    """All that the person may buy here: for themselves, and for the group where they manage it."""
    platform = invocation.address.platform
    own = context.shop.ways(platform, as_gift=as_gift)
    if as_gift or not manages_group(invocation):
        return own
    return [*own, *(way for way in context.shop.ways(platform, for_place=True) if way.product.for_place)]


def manages_group(invocation: Invocation) -> bool:
    return invocation.address.kind == "group" and invocation.may_moderate


async def wallet(context: Context, invocation: Invocation) -> int:
    """That of the group, where the person manages it, called as the group is now; 0 elsewhere."""
    if not manages_group(invocation):
        return 0
    return await context.database.run(_wallet, invocation, context.clock())


def buttons(context: Context, offered: list[Way], *, wallet: int = 0) -> tuple[Button, ...]:
    """One a way. Discord's own shop opens at once, the others make an order first. They may be pressed in another
    chat: what is for a group names its wallet."""
    expires = int(context.clock().timestamp()) + OFFER_SECONDS
    return tuple(
        context.buttons.buy(
            subject(way, wallet if way.product.for_place else 0),
            label(way),
            expires=expires,
            sku=context.shop.sku(way),
        )
        for way in offered
    )


async def press(context: Context, asking: Asking, pressed: int) -> Reply:
    """One of these buttons. Raises Refusal for what is no longer sold."""
    platform, receiver = asking.invocation.address.platform, pressed >> WAY_BITS
    for way in (*context.shop.ways(platform), *context.shop.ways(platform, for_place=True)):
        if subject(way, receiver) == pressed:
            return await sell(context, asking, way, receiver=receiver or None)
    raise Refusal("buy-gone")


def label(way: Way) -> str:
    return f"{way.product.title} · {shown(way.money)}"


def subject(way: Way, wallet: int) -> int:
    """Names a way in a button, whatever else the configuration sells by then, and whose it will be; 0: the buyer's."""
    return wallet << WAY_BITS | zlib.crc32(f"{way.product.id} {way.provider}".encode())


async def sell(context: Context, asking: Asking, way: Way, *, receiver: int | None = None) -> Reply:
    """An order at the price that was shown, and how to pay it. Raises Refusal."""
    account = receiver if receiver is not None else await _receiver(context, asking, way)
    person = asking.invocation.person
    who = Identity(platform=person.platform, external_id=person.id, locale=asking.locale)
    await context.database.run(accounts.describe, who)
    offer = await context.shop.sell(way, buyer=asking.account, account=account, locale=asking.locale)
    text = asking.say("buy-how", product=way.product.title, price=shown(way.money))
    if way.product.for_place:
        group = (await context.database.read(accounts.identities, account))[0].name
        text = f"{text} {asking.say('buy-for-group', group=called(asking, group))}"
    if offer.invoice is not None:
        return Reply(text=text, invoice=offer.invoice, only_for_requester=True)
    button = context.buttons.buy(
        subject(way, 0),
        label(way),
        expires=int(context.clock().timestamp()) + OFFER_SECONDS,
        url=offer.url,
        sku=offer.sku,
    )
    return Reply(text=text, buttons=(button,), only_for_requester=True)


def called(asking: Asking, group: str) -> str:
    """A group's name in a sentence."""
    return f"**{plain}**" if (plain := _plain(group)) else asking.say("buy-this-group")


def _plain(name: str) -> str:
    """People choose it: it is no markup."""
    return " ".join(name.translate(NO_MARKUP).split())[:GROUP_CHARACTERS_MAX]


async def _receiver(context: Context, asking: Asking, way: Way) -> int:
    """The buyer, or the wallet of the group. Raises Refusal."""
    if not way.product.for_place:
        return asking.account
    if not (found := await wallet(context, asking.invocation)):
        raise Refusal("buy-only-managers", product=way.product.title, name=way.product.name)
    return found


def _wallet(session: Session, invocation: Invocation, now: datetime) -> int:
    place = accounts.place(invocation.address.platform, invocation.address.place)
    named = msgspec.structs.replace(place, name=_plain(invocation.group))
    found = accounts.resolve(session, named, now)
    if named.name:
        accounts.describe(session, named)
    return found

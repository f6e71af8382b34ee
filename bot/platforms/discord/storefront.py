"""Discord's shop over the platform's client: what the payment provider asks, and the news that the gateway brings.

gateway or interaction ──> `ShopNews` ──> a letter in the inbox ──> the provider asks `Storefront` what is true
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from bot.chat import TryLater
from bot.payments.discord_sku import NAME, Entitlement, Sku, Subscription, Tidings
from bot.payments.inbox import Inbox
from bot.payments.provider import Provider, ProviderAway
from bot.platforms.discord.rest import Refused, Rest, patiently
from storage.accounts import Identity, is_place

PAGE = 100  # Discord's largest
PAGES_MAX = 10_000
SEEN_MAX = 100_000
ENTITLEMENT_EVENTS = ("ENTITLEMENT_CREATE", "ENTITLEMENT_UPDATE", "ENTITLEMENT_DELETE")
SUBSCRIPTION_EVENTS = ("SUBSCRIPTION_CREATE", "SUBSCRIPTION_UPDATE", "SUBSCRIPTION_DELETE")

Event = dict[str, Any]
T = TypeVar("T", Sku, Entitlement, Subscription)


class Storefront:
    """The provider's `Storefront`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def skus(self) -> list[Sku]:
        return await self._list("/applications/{application_id}/skus", Sku, {})

    async def entitlements(self, *, owner: Identity | None = None) -> list[Entitlement]:
        query = {"exclude_deleted": "false", "exclude_ended": "false"} | _owner(owner)
        return await self._pages("/applications/{application_id}/entitlements", Entitlement, query)

    async def entitlement(self, entitlement: str) -> Entitlement | None:
        path = "/applications/{application_id}/entitlements/{entitlement_id}"
        try:
            found = await self._ask("GET", path, entitlement_id=entitlement)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise _away(refused) from None
        return _read(found, Entitlement)

    async def subscriptions(self, sku: str, user: str) -> list[Subscription]:
        query = {"user_id": user}
        return await self._pages("/skus/{sku_id}/subscriptions", Subscription, query, sku_id=sku)

    async def consume(self, entitlement: str) -> bool:
        path = "/applications/{application_id}/entitlements/{entitlement_id}/consume"
        try:
            await self._ask("POST", path, entitlement_id=entitlement)
        except Refused:
            return False
        return True

    async def _pages(self, path: str, kind: type[T], query: dict[str, str], **parameters: str) -> list[T]:
        """All pages, in the order of the ids. A failure on the way fails the whole: a part would be a lie."""
        found: dict[str, T] = {}
        for _ in range(PAGES_MAX):
            after = {"after": max(found, key=int)} if found else {}
            page = await self._list(path, kind, query | {"limit": str(PAGE)} | after, **parameters)
            found |= {each.id: each for each in page}
            if len(page) < PAGE:
                break
        return list(found.values())

    async def _list(self, path: str, kind: type[T], query: dict[str, str], **parameters: str) -> list[T]:
        try:
            answer = await self._ask("GET", path, query, **parameters)
        except Refused as refused:
            raise _away(refused) from None
        return [_read(each, kind) for each in answer]

    async def _ask(
        self, method: str, path: str, query: dict[str, str] | None = None, **parameters: str
    ) -> Any:
        """Raises Refused and ProviderAway."""
        try:
            return await patiently(lambda: self._rest.ask(method, path, query, **parameters))
        except TryLater as later:
            raise ProviderAway("Discord does not answer.", seconds=later.seconds) from None


class ShopNews:
    """Brings what the gateway tells to the inbox. What an interaction carries is news only if nobody told before."""

    def __init__(self, inbox: Inbox, provider: Provider) -> None:
        self._inbox, self._provider = inbox, provider
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def hear(self, kind: str, event: Event) -> None:
        """Raises msgspec.ValidationError for what we cannot read."""
        if kind in ENTITLEMENT_EVENTS:
            self._see([event])
        what = "entitlements" if kind in ENTITLEMENT_EVENTS else "subscriptions"
        await self._bring(kind, msgspec.convert({what: [event]}, Tidings))

    def unseen(self, held: Sequence[Event]) -> Sequence[Event]:
        """Those that nobody has told us of since the start; asking makes them known."""
        found = [each for each in held if each.get("id") not in self._seen] if held else held
        self._see(found)
        return found

    async def hear_of(self, held: Sequence[Event]) -> None:
        """Raises msgspec.ValidationError for what we cannot read."""
        await self._bring("INTERACTION", msgspec.convert({"entitlements": held}, Tidings))

    async def _bring(self, kind: str, tidings: Tidings) -> None:
        """Discord's news has no ids, and the same may be said twice and mean something: each is a letter."""
        letter = await self._inbox.keep(NAME, secrets.token_hex(16), kind, msgspec.json.encode(tidings))
        await self._inbox.open(self._provider, letter)

    def _see(self, held: Sequence[Event]) -> None:
        for each in held:
            self._seen[str(each.get("id"))] = None
        while len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)


def _owner(owner: Identity | None) -> dict[str, str]:
    if owner is None:
        return {}
    number = owner.external_id.rpartition(":")[2]
    return {"guild_id" if is_place(owner) else "user_id": number}


def _away(refused: Refused) -> ProviderAway:
    return ProviderAway(f"Discord refuses to tell ({refused}): are monetization and the SKUs set up?")


def _read(answer: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise ProviderAway(f"Discord's answer is not understood: {error}") from None

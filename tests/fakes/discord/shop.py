"""The fake's shop: what is sold, what people hold, their subscriptions; and what Discord tells of it, as it does.

Times are the test's: `clock` says when something is bought, renewed or ended.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.state import APPLICATION, ApiError

DURABLE, CONSUMABLE, SUBSCRIPTION = 2, 3, 5
PURCHASE, DEVELOPER_GIFT, TEST_MODE, APPLICATION_SUBSCRIPTION = 1, 3, 4, 8
AVAILABLE, GUILD_SUBSCRIPTION, USER_SUBSCRIPTION = 1 << 2, 1 << 7, 1 << 8
EPOCH_MS = 1_420_070_400_000
MONTH = timedelta(days=30)
Thing = dict[str, Any]


class Shop:
    def __init__(self, gateway: Gateway, reply: Callable[..., web.Response]) -> None:
        self._gateway, self._reply = gateway, reply
        self._numbers = itertools.count(1)
        self.clock: Callable[[], datetime] = lambda: datetime.fromisoformat("2026-11-24T12:00:00+00:00")
        self.skus: dict[str, Thing] = {}
        self.entitlements: dict[str, Thing] = {}
        self.subscriptions: dict[str, Thing] = {}
        self.told: list[tuple[str, Thing]] = []  # every event so far
        self.silent = False
        self.consumed: list[str] = []

    def routes(self, api: str) -> list[web.RouteDef]:
        held = f"{api}/applications/{{app}}/entitlements"
        return [
            web.get(f"{api}/applications/{{app}}/skus", self._skus),
            web.get(held, self._list), web.post(held, self._grant),
            web.get(f"{held}/{{id}}", self._get), web.delete(f"{held}/{{id}}", self._take),
            web.post(f"{held}/{{id}}/consume", self._consume),
            web.get(f"{api}/skus/{{sku}}/subscriptions", self._subscriptions),
        ]  # fmt: skip

    # --- what people do

    def sku(self, kind: int, *, flags: int = AVAILABLE) -> str:
        number = self._number()
        self.skus[number] = {
            "id": number, "type": kind, "application_id": APPLICATION, "name": f"SKU {number[-3:]}", "slug": "s",
            "flags": flags | (USER_SUBSCRIPTION if kind == SUBSCRIPTION and not flags & GUILD_SUBSCRIPTION else 0),
        }  # fmt: skip
        return number

    async def buys(self, person: str, sku: str, *, kind: int = PURCHASE) -> Thing:
        made = self._entitle(person, sku, kind)
        await self._tell("ENTITLEMENT_CREATE", made)
        return made

    async def subscribes(self, person: str, sku: str, *, guild: str | None = None) -> Thing:
        """In Discord's order: a subscription without an entitlement, the entitlement, both together."""
        number, start = self._number(), self.clock()
        made = self.subscriptions[number] = {
            "id": number, "user_id": person, "sku_ids": [sku], "entitlement_ids": [], "renewal_sku_ids": None,
            "status": 0, "canceled_at": None, **_period(start),
        }  # fmt: skip
        await self._tell("SUBSCRIPTION_CREATE", made)
        await self._grants(made, sku, guild)
        return made

    async def renews(self, subscription: Thing) -> None:
        subscription |= _period(datetime.fromisoformat(subscription["current_period_end"]))
        await self._tell("SUBSCRIPTION_UPDATE", subscription)

    async def cancels(self, subscription: Thing) -> None:
        subscription |= {"status": 1, "canceled_at": self.clock().isoformat()}
        await self._tell("SUBSCRIPTION_UPDATE", subscription)

    async def ends(self, subscription: Thing) -> None:
        await self._end_entitlement(subscription)
        subscription["status"] = 2
        await self._tell("SUBSCRIPTION_UPDATE", subscription)

    async def changes(self, subscription: Thing, sku: str) -> None:
        """To another tier, now: the old entitlement ends, a new period begins."""
        old = await self._end_entitlement(subscription)
        subscription |= {"sku_ids": [sku], "entitlement_ids": []} | _period(self.clock())
        await self._grants(subscription, sku, old["guild_id"])

    async def refunds(self, entitlement: Thing) -> None:
        entitlement["deleted"] = True
        await self._tell("ENTITLEMENT_DELETE", entitlement)

    def held_by(self, subscription: Thing) -> Thing:
        return self.entitlements[subscription["entitlement_ids"][-1]]

    def of(self, person: str, guild: str | None) -> list[Thing]:
        """What an interaction carries."""
        return [
            dict(each) for each in self.entitlements.values()
            if not each["deleted"] and (each["user_id"] == person or (guild and each["guild_id"] == guild))
        ]  # fmt: skip

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """What happens meanwhile is told to nobody."""
        self.silent = True
        yield
        self.silent = False

    async def _grants(self, subscription: Thing, sku: str, guild: str | None) -> None:
        held = self._entitle(subscription["user_id"], sku, APPLICATION_SUBSCRIPTION, guild=guild)
        held |= {"starts_at": self.clock().isoformat(), "subscription_id": subscription["id"]}
        await self._tell("ENTITLEMENT_CREATE", held)
        subscription["entitlement_ids"] = [held["id"]]
        await self._tell("SUBSCRIPTION_UPDATE", subscription)

    async def _end_entitlement(self, subscription: Thing) -> Thing:
        held = self.held_by(subscription)
        held["ends_at"] = self.clock().isoformat()
        await self._tell("ENTITLEMENT_UPDATE", held)
        return held

    def _entitle(self, person: str, sku: str, kind: int, *, guild: str | None = None) -> Thing:
        number = self._number()
        self.entitlements[number] = made = {
            "id": number, "sku_id": sku, "application_id": APPLICATION, "user_id": person, "guild_id": guild,
            "type": kind, "deleted": False, "consumed": False, "starts_at": None, "ends_at": None,
        }  # fmt: skip
        return made

    def _number(self) -> str:
        """A snowflake of the clock's time."""
        milliseconds = int(self.clock().timestamp() * 1000) - EPOCH_MS
        return str((milliseconds << 22) | next(self._numbers))

    async def _tell(self, kind: str, thing: Thing) -> None:
        event = dict(thing)
        self.told.append((kind, event))
        if not self.silent:
            await self._gateway.dispatch(kind, event)

    # --- what the bot asks

    async def _skus(self, _: web.Request) -> web.Response:
        return self._reply(list(self.skus.values()))

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        found = [
            each for each in self.entitlements.values()
            if query.get("user_id", each["user_id"]) == each["user_id"]
            and query.get("guild_id", each["guild_id"]) == each["guild_id"]
            and not (each["deleted"] and query.get("exclude_deleted", "true") == "true")
            and not (each["ends_at"] and query.get("exclude_ended") == "true")
        ]  # fmt: skip
        return self._reply(_page(found, query))

    async def _get(self, request: web.Request) -> web.Response:
        return self._reply(self._entitlement(request))

    async def _grant(self, request: web.Request) -> web.Response:
        """A test entitlement: it has no start and no end."""
        body = await request.json()
        owner, is_guild = body["owner_id"], body["owner_type"] == 1
        made = self._entitle(
            "" if is_guild else owner,
            body["sku_id"],
            APPLICATION_SUBSCRIPTION,
            guild=owner if is_guild else None,
        )
        await self._tell("ENTITLEMENT_CREATE", made)
        return self._reply(made)

    async def _take(self, request: web.Request) -> web.Response:
        """A test entitlement that is deleted is gone."""
        found = self._entitlement(request)
        del self.entitlements[found["id"]]
        await self._tell("ENTITLEMENT_DELETE", found | {"deleted": True})
        return web.Response(status=204)

    async def _consume(self, request: web.Request) -> web.Response:
        found = self._entitlement(request)
        if found["consumed"] or found["deleted"] or self.skus[found["sku_id"]]["type"] != CONSUMABLE:
            raise ApiError(400, 50035, "cannot be consumed")
        found["consumed"] = True
        self.consumed.append(found["id"])
        await self._tell("ENTITLEMENT_UPDATE", found)
        return web.Response(status=204)

    async def _subscriptions(self, request: web.Request) -> web.Response:
        if "user_id" not in request.query:
            raise ApiError(400, 50035, "user_id is required")
        found = [
            each for each in self.subscriptions.values()
            if request.match_info["sku"] in each["sku_ids"] and each["user_id"] == request.query["user_id"]
        ]  # fmt: skip
        return self._reply(_page(found, request.query))

    def _entitlement(self, request: web.Request) -> Thing:
        found = self.entitlements.get(request.match_info["id"])
        if found is None:
            raise ApiError(404, 10083, "Unknown Entitlement")
        return found


def _period(start: datetime) -> Thing:
    return {"current_period_start": start.isoformat(), "current_period_end": (start + MONTH).isoformat()}


def _page(found: list[Thing], query: Any) -> list[Thing]:
    """In the order of the ids."""
    later = [each for each in found if int(each["id"]) > int(query.get("after", 0))]
    return sorted(later, key=lambda each: int(each["id"]))[: int(query.get("limit", 100))]

"""Discord's shop: SKUs that Discord sells in its own client and pays out to the application's team.

Discord tells what is, not what happened: no event has a number or a time, and none is sent again. So each piece of
news is only a reason to ask. What an owner (a person, or a server) holds now is fetched and told whole, and the
hourly scan tells the same of everybody. What is absent from an answer is never taken away.

    entitlement   access. Of a one-time purchase it is the payment too; a refund marks it `deleted`
    subscription  the months that were paid for, and whether it goes on; it gives no access

Discord names no amounts: a payment counts with the usd price in config.toml. Speaks through a `Storefront`, which
the platform's client implements. Must not know discord.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from bot.chat import Locale
from bot.config import Config
from bot.jobs.allowances import MONTH
from bot.payments import products
from bot.payments.events import AnyEvent, Money, Paid, Period, Refunded, Subscribed
from bot.payments.products import Product
from bot.payments.provider import ErrandHopeless, Offer, ProviderAway
from storage import accounts
from storage.accounts import Identity
from storage.errands import Errand, Letter
from storage.payments import Order

NAME, PLATFORM = "discord", "discord"
CONSUMABLE, SUBSCRIPTION = 3, 5  # types of a SKU
DEVELOPER_GIFT, TEST_MODE, FREE_PURCHASE, APPLICATION_SUBSCRIPTION = 3, 4, 5, 8  # of an entitlement
ACTIVE = (
    0  # status of a subscription that will renew; Discord's two descriptions disagree on the other numbers
)
LATE = timedelta(days=35)  # after its end a subscription's last month has long been told
SAME_MOMENT = timedelta(
    minutes=1
)  # between the end of one tier's entitlement and the start of the next one's
EPOCH_MS = 1_420_070_400_000
NO_REFUNDS = (
    "Discord refunds purchases itself, and not through its API: ask the buyer to write to support.discord.com"
    " (Billing) with the date of purchase. What Discord gives back is taken back here by itself."
)
NO_CANCELS = (
    "At Discord only subscribers cancel (User Settings, Subscriptions); access lasts until the period ends."
)


class Sku(msgspec.Struct, frozen=True):
    id: str
    type: int = 0
    flags: int = 0
    name: str = ""


class Entitlement(msgspec.Struct, frozen=True):
    """`guild_id` is set on what a server owns. A test entitlement of a subscription has no start."""

    id: str
    sku_id: str
    type: int = 0
    user_id: str | None = None
    guild_id: str | None = None
    deleted: bool = False
    consumed: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    subscription_id: str | None = None

    @property
    def made_at(self) -> datetime:
        """Ids of Discord count milliseconds in their upper bits."""
        return self.starts_at or datetime.fromtimestamp(((int(self.id) >> 22) + EPOCH_MS) / 1000, UTC)

    @property
    def owner(self) -> Identity | None:
        if self.guild_id:
            return accounts.place(PLATFORM, self.guild_id)
        return Identity(platform=PLATFORM, external_id=self.user_id) if self.user_id else None


class Subscription(msgspec.Struct, frozen=True):
    id: str
    user_id: str
    sku_ids: tuple[str, ...]
    entitlement_ids: tuple[str, ...]
    current_period_start: datetime
    current_period_end: datetime
    status: int = ACTIVE

    def pays(self, entitlement: Entitlement) -> bool:
        """Whether its present period is one of this entitlement."""
        if entitlement.sku_id not in self.sku_ids:
            return False
        return entitlement.id in self.entitlement_ids or entitlement.subscription_id == self.id


class Tidings(msgspec.Struct, frozen=True):
    """A letter's body: what was heard of."""

    entitlements: tuple[Entitlement, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()


class Storefront(Protocol):
    """What the platform's client asks Discord for us. Everything raises ProviderAway."""

    async def skus(self) -> list[Sku]: ...

    async def entitlements(self, *, owner: Identity | None = None) -> list[Entitlement]:
        """All of one owner, or of everybody; ended and deleted ones too."""
        ...

    async def entitlement(self, entitlement: str) -> Entitlement | None:
        """None: there is no such one."""
        ...

    async def subscriptions(self, sku: str, user: str) -> list[Subscription]: ...

    async def consume(self, entitlement: str) -> bool:
        """False: Discord refuses."""
        ...


class DiscordSku:
    """A `Provider`."""

    name, own_only = NAME, True

    def __init__(self, config: Config, storefront: Storefront, *, clock: Callable[[], datetime]) -> None:
        self._config, self._storefront, self._clock = config, storefront, clock
        self._kinds: dict[str, int] = {}  # SKU -> type

    def sells_on(self, platform: str) -> bool:
        return platform == PLATFORM

    def price(self, product: Product) -> Money | None:
        return product.money("usd") if product.discord_sku else None

    async def offer(self, order: Order, product: Product, *, locale: Locale) -> Offer:
        """Discord knows nothing of our orders: who buys is who pressed, and where."""
        return Offer(sku=product.discord_sku)

    async def read(self, letter: Letter) -> list[AnyEvent]:
        return await self.told(msgspec.json.decode(letter.body, type=Tidings))

    async def told(self, tidings: Tidings) -> list[AnyEvent]:
        """All that is true of those who were heard of, and the months that were. Raises ProviderAway."""
        at = self._clock()
        held = {each.id: each for each in tidings.entitlements if each.deleted}  # that is for good
        numbers = {each.id for each in tidings.entitlements}
        numbers |= {each for one in tidings.subscriptions for each in one.entitlement_ids}
        for number in numbers - held.keys():
            if found := await self._storefront.entitlement(number):
                held[number] = found
        for owner in {each.owner for each in held.values() if each.owner}:
            held = {each.id: each for each in await self._storefront.entitlements(owner=owner)} | held
        return await self._all(list(held.values()), tidings.subscriptions, at)

    async def run(self, errand: Errand) -> list[AnyEvent]:
        if errand.kind != "consume":
            raise ErrandHopeless(NO_REFUNDS if errand.kind == "refund" else NO_CANCELS)
        if not await self._storefront.consume(errand.target):
            found = await self._storefront.entitlement(errand.target)
            if found is not None and not found.consumed and not found.deleted:
                raise ProviderAway("Discord does not take it as consumed.")
        return []

    async def movements(self, since: datetime) -> AsyncIterator[AnyEvent]:
        """Everything that anybody holds; of what was bought and consumed before `since` nothing can change."""
        at = self._clock()
        listed = await self._storefront.entitlements()
        present = [each for each in listed if not each.consumed or each.deleted or each.made_at >= since]
        for event in await self._all(present, (), at):
            yield event

    # --- what it means

    async def _all(
        self, held: Sequence[Entitlement], heard: Iterable[Subscription], at: datetime
    ) -> list[AnyEvent]:
        await self._learn({each.sku_id for each in held})
        known = [*heard, *await self._subscriptions(held, at)]
        in_order = sorted((each for each in held if each.owner), key=lambda each: int(each.id))
        return [event for each in in_order for event in self._events(each, in_order, known, at)]

    async def _subscriptions(self, held: Sequence[Entitlement], at: datetime) -> list[Subscription]:
        asked = {(each.sku_id, each.user_id) for each in held if self._is_of_months(each, at)}
        return [
            found for sku, user in asked if user for found in await self._storefront.subscriptions(sku, user)
        ]

    async def _learn(self, skus: set[str]) -> None:
        if skus - self._kinds.keys():
            self._kinds |= {each.id: each.type for each in await self._storefront.skus()}

    def _is_of_months(self, held: Entitlement, at: datetime) -> bool:
        """Whether a subscription pays for it that may still tell something new."""
        is_late = held.ends_at is not None and at - held.ends_at > LATE
        return self._renews(held) and held.starts_at is not None and bool(held.user_id) and not is_late

    def _renews(self, held: Entitlement) -> bool:
        kind = self._kinds.get(held.sku_id)
        return held.type == APPLICATION_SUBSCRIPTION if kind is None else kind >= SUBSCRIPTION

    def _events(
        self, held: Entitlement, all_held: Sequence[Entitlement], known: Iterable[Subscription], at: datetime
    ) -> Iterator[AnyEvent]:
        if self._renews(held):
            yield from self._right(held, all_held, known, at)
            return
        yield self._bought(held)
        if held.deleted:
            yield Refunded(provider=NAME, at=at, payment=held.id)

    def _right(
        self, held: Entitlement, all_held: Sequence[Entitlement], known: Iterable[Subscription], at: datetime
    ) -> Iterator[AnyEvent]:
        """The months that were paid for, then how the right stands: what is true now has the last word."""
        is_test = held.starts_at is None
        paying = {each.current_period_start: each for each in known if each.pays(held)}
        periods = [Period(since, paying[since].current_period_end) for since in sorted(paying)]
        periods = [_test_month(held, at)] if is_test else periods
        for period in periods:
            yield self._month(held, period, all_held)
        if held.deleted and periods:
            yield Refunded(provider=NAME, at=at, payment=_payment(held, periods[-1]))
        if products.of_sku(self._config, held.sku_id) is not None:
            renews = is_test or (bool(paying) and paying[max(paying)].status == ACTIVE)
            yield self._stands(held, periods[-1] if periods else None, at, renews=renews)

    def _bought(self, held: Entitlement) -> Paid:
        consumable = self._kinds.get(held.sku_id) == CONSUMABLE
        return self._paid(
            held, held.id, at=held.made_at, consume=consumable and not held.consumed and not held.deleted
        )

    def _month(self, held: Entitlement, period: Period, all_held: Sequence[Entitlement]) -> Paid:
        before = self._upgraded(held, period, all_held)
        return self._paid(
            held, _payment(held, period), at=period.since, subscription=held.id, period=period, renews=True,
            before=before,
        )  # fmt: skip

    def _stands(self, held: Entitlement, paid: Period | None, at: datetime, *, renews: bool) -> Subscribed:
        since = paid.since if paid else held.made_at
        over = held.deleted or (held.ends_at is not None and held.ends_at <= at)
        return Subscribed(
            provider=NAME, at=at, subscription=held.id, product=self._product(held), payer=held.owner,
            period=Period(since, held.ends_at or since), open_ended=held.ends_at is None and not over,
            renews=renews and held.ends_at is None and not over, ended=over, test=_is_test(held),
        )  # fmt: skip

    def _paid(
        self, held: Entitlement, payment: str, *, at: datetime, subscription: str = "",
        period: Period | None = None, renews: bool = False, before: Product | None = None, consume: bool = False,
    ) -> Paid:  # fmt: skip
        product = products.of_sku(self._config, held.sku_id)
        free = held.type in (DEVELOPER_GIFT, FREE_PURCHASE)
        amount = 0 if product is None or free else _usd(product) - (_usd(before) if before else 0)
        return Paid(
            provider=NAME, at=at, payment=payment, money=Money(amount, "usd"), product=self._product(held),
            payer=held.owner, subscription=subscription, period=period, renews=renews,
            instead_of=before.id if before else "", test=_is_test(held), listed=True,
            consume=consume and product is not None,
        )  # fmt: skip

    def _product(self, held: Entitlement) -> str:
        """What is sold under this SKU now; a name of nothing, for admins to read, where nobody configured it."""
        product = products.of_sku(self._config, held.sku_id)
        return product.id if product else f"sku:{held.sku_id}"

    def _upgraded(self, held: Entitlement, period: Period, all_held: Sequence[Entitlement]) -> Product | None:
        """The lower tier that this one took the place of at once, for the difference in price; a new period began.
        A change to a lower tier waits for the period's end and is paid whole."""
        product = products.of_sku(self._config, held.sku_id)
        if product is None or not _at_once(period.since, held.made_at):
            return None
        for each in all_held:
            lower = products.of_sku(self._config, each.sku_id)
            if lower is not None and _usd(lower) <= _usd(product) and _gave_way(each, held):
                return lower
        return None


def _gave_way(before: Entitlement, held: Entitlement) -> bool:
    """Whether one tier's entitlement ended for the other's, in one subscription."""
    same = not before.subscription_id or before.subscription_id == held.subscription_id
    ended = before.ends_at is not None and _at_once(before.ends_at, held.made_at)
    return same and ended and before.owner == held.owner and before.id != held.id


def _at_once(one: datetime, other: datetime) -> bool:
    return abs(one - other) <= SAME_MOMENT


def _usd(product: Product) -> int:
    return product.price.get("usd", 0)


def _payment(held: Entitlement, period: Period) -> str:
    return f"{held.id}:{period.since:%Y-%m-%d}"


def _is_test(held: Entitlement) -> bool:
    """Bought in test mode, or a test entitlement of a subscription."""
    return held.type == TEST_MODE or (held.type == APPLICATION_SUBSCRIPTION and held.starts_at is None)


def _test_month(held: Entitlement, at: datetime) -> Period:
    """A test entitlement lasts until it is deleted; its months are counted from its making."""
    since = held.made_at + max(0, (at - held.made_at) // MONTH) * MONTH
    return Period(since, since + MONTH)

"""A shop that sells through Stripe: the real SDK against the fake's API, webhooks through the real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from bot import settings
from bot.jobs import entitlement, wallets
from bot.payments.cashier import Cashier
from bot.payments.inbox import Inbox
from bot.payments.reconcile import Report
from bot.payments.shop import Shop
from bot.payments.stripe.provider import StripeProvider
from bot.platforms.web.client import WebPlatform
from bot.platforms.web.hooks import signed_hook
from bot.platforms.web.settings import Probes, WebSettings
from bot.signing import Signer
from storage import accounts, entitlements, errands, flows, ledger, payments
from storage.accounts import Identity
from storage.database import Database
from storage.entitlements import Entitlement
from storage.payment_tables import NoticeRow
from storage.payments import Payment
from tests.bot.payments.till_world import Till
from tests.bot.platforms.web.scripted import ScriptedChat, boot
from tests.fakes.stripe.server import KEY, SECRET, FakeStripe


class Market:
    """Bot and Stripe share one clock. `buy` is what the page does, `fake.books` what people do at Stripe."""

    def __init__(self, database: Database, fake: FakeStripe, port: int, **environ: str) -> None:
        self.database, self.fake, self.books = database, fake, fake.books
        self.page = f"http://127.0.0.1:{port}"
        self.config = settings.load(None, {
            "ATELIER_STRIPE_KEY": KEY, "ATELIER_STRIPE_WEBHOOK_SECRET": SECRET,
            "ATELIER_STRIPE_API_BASE": fake.url, "ATELIER_ADMINS_OWNER": "web:owner", **environ,
        })  # fmt: skip
        self.inbox = Inbox(database, self.config, clock=self.now)
        self.provider = StripeProvider(self.config, self.inbox, page=self.page, clock=self.now)
        self.shop = Shop(database, self.config, [self.provider], clock=self.now)
        self.cashier = Cashier(database, self.inbox, [self.provider], clock=self.now)
        self.platform = WebPlatform(
            ScriptedChat(), None, WebSettings(port=port), Signer(b"k" * 32), boot,
            Probes(health=_healthy, metrics=_nothing), hooks={"stripe": signed_hook(self.provider.hear)},
        )  # fmt: skip

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.books.now, UTC)

    # --- people -------------------------------------------------------------------------------------------

    async def person(self, name: str) -> int:
        await self.do(flows.define_tiers, {"free": 1})
        return await self.do(accounts.resolve, Identity(platform="web", external_id=name), self.now())

    async def buy(self, account: int, product: str, *, receiver: int | None = None) -> str:
        """The address of the page where it is paid."""
        (way,) = [each for each in self.shop.ways("web") if each.product.id == product]
        return (await self.shop.sell(way, buyer=account, account=receiver or account, locale="en")).url

    async def subscribed(self, account: int, product: str = "plan:basic") -> dict[str, Any]:
        """Buys a plan and hears of it; the subscription at Stripe."""
        session = self.books.pay(await self.buy(account, product))
        await self.deliver()
        return self.books.get(session["subscription"])

    # --- news ---------------------------------------------------------------------------------------------

    @property
    def hook(self) -> str:
        return f"{self.page}/hooks/stripe"

    async def deliver(self, events: list[dict[str, Any]] | None = None) -> None:
        for event in self.fake.unsent if events is None else events:
            assert await self.fake.post(self.hook, event) == 200
        await self.opened()

    async def opened(self) -> None:
        """Whatever was heard of has been looked into, and what could not be then, again."""
        while opening := self.provider._opening:
            await asyncio.wait(opening)
        await self.cashier.letters()

    async def reconcile(self) -> Report:
        report = await self.cashier.reconcile("stripe")
        assert report is not None
        return report

    # --- how things stand ---------------------------------------------------------------------------------

    async def do(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.database.run(function, *args, **kwargs)

    async def credits(self, account: int) -> int:
        return sum(lot.remaining for lot in await self.do(ledger.lots, account, self.now()))

    async def plan(self, account: int) -> str:
        await self.do(entitlement.derive_due, self.config, self.now())
        name, _ = wallets.plan_of(self.config, await self.do(accounts.get, account))
        return name

    async def stands(self, account: int) -> tuple[str, int]:
        return await self.plan(account), await self.credits(account)

    async def right(self, account: int) -> Entitlement:
        (found,) = await self.do(entitlements.of_account, account)
        return found

    async def payments(self, account: int) -> list[Payment]:
        return await self.do(payments.of_account, account)

    async def told(self) -> list[str]:
        """What people were told."""
        return await self.do(
            lambda session: list(session.scalars(select(NoticeRow.message).order_by(NoticeRow.id)))
        )

    async def flags(self) -> list[str]:
        return [each.flag for each in await self.do(payments.flagged)]

    async def snapshot(self, *people: int) -> Any:
        till = Till(self.database)
        till.at = self.now()
        await self.do(entitlement.derive_due, self.config, self.now())
        return await till.snapshot(people)

    async def errand(self, kind: Any, target: str, *, amount: int = 0) -> None:
        """What an admin's command asks of the provider."""
        await self.do(
            errands.send, datetime.now(UTC), key=f"{kind}:{target}:{amount}", provider="stripe", kind=kind,
            target=target, amount=amount,
        )  # fmt: skip
        await self.cashier.errands()


@asynccontextmanager
async def trading(
    database: Database, *, fake: FakeStripe | None = None, **environ: str
) -> AsyncIterator[Market]:
    """With a Stripe of its own, or another market's."""
    own = FakeStripe() if fake is None else None
    if own is not None:
        await own.start()
    fake = own or fake
    assert fake
    made = Market(database, fake, _free_port(), **environ)
    serving = asyncio.create_task(made.platform.run())
    try:
        async with asyncio.timeout(5):
            await made.platform.started.wait()
        yield made
        assert fake.complaints == []
        assert await database.run(ledger.check) == []
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await made.provider.close()
        if own is not None:
            await own.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def _healthy() -> dict[str, str]:
    return {}


async def _nothing() -> bytes:
    return b""

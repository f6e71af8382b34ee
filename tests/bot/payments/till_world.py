"""A till over a real database: people, prices, and short words for what providers say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from bot import settings
from bot.config import Config
from bot.jobs import wallets
from bot.payments import till
from bot.payments.events import AnyEvent, Disputed, Money, Paid, Period, Refunded, Subscribed
from storage import accounts, entitlements, flows, ledger, payments
from storage.accounts import Account, Identity
from storage.database import Database, Session
from tests.conftest import NOON

DAY = timedelta(days=1)
MONTH = timedelta(days=30)
USD_SMALL, USD_BASIC = Money(199, "usd"), Money(499, "usd")


def config() -> Config:
    return settings.load(None, {})


class Till:
    """`at` moves the clock; events carry their own time."""

    def __init__(self, database: Database) -> None:
        self.database, self.config, self.at = database, config(), NOON

    async def do(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.database.run(function, *args, **kwargs)

    async def person(self, name: str) -> int:
        await self.do(flows.define_tiers, {"free": 1})
        return await self.do(accounts.resolve, payer(name), self.at)

    async def order(self, account: int, product: str, money: Money, *, provider: str = "stripe") -> str:
        token = f"order-{account}-{product}-{money.amount}"
        new = payments.NewOrder(
            token=token, buyer=account, account=account, provider=provider, product=product,
            amount=money.amount, currency=money.currency, expires_at=self.at + timedelta(hours=1),
        )  # fmt: skip
        await self.do(payments.add_order, new, self.at)
        return token

    async def apply(self, *events: AnyEvent) -> list[till.Outcome]:
        return [await self.do(till.apply, self.config, event, self.at) for event in events]

    async def one(self, event: AnyEvent) -> till.Outcome:
        (outcome,) = await self.apply(event)
        return outcome

    async def credits(self, account: int) -> int:
        return sum(lot.remaining for lot in await self.do(ledger.lots, account, self.at))

    async def account(self, account: int) -> Account:
        found = await self.do(accounts.get, account)
        assert found is not None
        return found

    async def plan(self, account: int) -> str:
        """The plan in force by now."""
        await self.do(_derive, self.config, self.at)
        name, _ = wallets.plan_of(self.config, await self.account(account))
        return name

    async def spend(self, account: int, amount: int) -> None:
        await self.do(_spend, account, amount, self.at)

    async def snapshot(self, people: Iterable[int]) -> dict[str, Any]:
        """What must not depend on how often and in which order the news came."""
        return await self.do(_snapshot, list(people), self.at)


def payer(name: str) -> Identity:
    return Identity(platform="web", external_id=name)


def pays(name: str, payment: str, product: str = "pack:small", **more: Any) -> Paid:
    usual: dict[str, Any] = {
        "provider": "stripe", "at": NOON, "money": USD_SMALL, "product": product, "payer": payer(name),
    }  # fmt: skip
    return Paid(payment=payment, **(usual | more))


def subscribes(name: str, payment: str, *, month: int = 0, **more: Any) -> Paid:
    """The payment of one month of `basic`."""
    since = NOON + month * MONTH
    usual: dict[str, Any] = {
        "subscription": f"sub-{name}", "period": Period(since, since + MONTH), "renews": True,
        "product": "plan:basic", "money": USD_BASIC, "at": since,
    }  # fmt: skip
    return pays(name, payment, **(usual | more))


def stands(name: str, *, at: datetime, plan: str = "basic", month: int = 0, **more: Any) -> Subscribed:
    since = NOON + month * MONTH
    return Subscribed(
        provider="stripe", at=at, subscription=f"sub-{name}", product=f"plan:{plan}", payer=payer(name),
        period=Period(since, since + MONTH), **more,
    )  # fmt: skip


def refunds(
    payment: str, total: int | None = None, *, failed: int = 0, at: datetime = NOON + DAY
) -> Refunded:
    return Refunded(provider="stripe", at=at, payment=payment, total=total, failed=failed)


def disputes(payment: str, state: Any, *, at: datetime = NOON + DAY) -> Disputed:
    return Disputed(provider="stripe", at=at, payment=payment, state=state)


def _derive(session: Session, config: Config, now: datetime) -> None:
    from bot.jobs import entitlement

    entitlement.derive_due(session, config, now)


def _spend(session: Session, account: int, amount: int, now: datetime) -> None:
    from storage import jobs

    key = f"spend:{account}:{amount}:{now.timestamp()}"
    new = jobs.NewJob(key=key, account=account, tier="free", kind="image", model="m", words="w", request=b"{}",
                      address=b"{}", cost_us=1, price=amount)  # fmt: skip
    accounts.lock(session, account)
    job = jobs.add(session, new, now, cap=9)
    ledger.hold(session, account, job, amount, now, live=ledger.lots(session, account, now))
    ledger.settle(session, account, job, amount, now)
    found = jobs.get(session, job)
    assert found is not None
    jobs.cancel(session, found, now)


def _snapshot(session: Session, people: list[int], now: datetime) -> dict[str, Any]:
    assert ledger.check(session) == []
    found: dict[str, Any] = {"books": ledger.balance_of_books(session)}
    for person in people:
        account = accounts.get(session, person)
        assert account is not None
        rights = [
            (each.external_id, each.plan, each.until, each.renews, each.revoked, each.ended_at is None)
            for each in entitlements.of_account(session, person)
        ]
        paid = [
            msgspec.structs.replace(each, id=0, corrections=0, order=0, lot=each.lot.partition(":")[0])
            for each in payments.of_account(session, person, limit=100)
        ]
        found[f"person {person}"] = {
            "plan": account.plan, "rights": sorted(rights),
            "available": sum(lot.remaining for lot in ledger.lots(session, person, now)),
            "payments": sorted(paid, key=lambda each: each.external_id),
        }  # fmt: skip
    return found

"""What operators do and see of money: beside `bot.operations`, for the same three doors (chats, terminal, page).

Each change is one transaction with an audit row. What providers have to do (refund, reconcile) is an errand that
the running bot's cashier takes up, so that every door works, also beside a running bot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from bot import takings
from bot.chat import Table
from bot.config import Config
from bot.jobs import entitlement
from bot.jobs.refusals import Refusal
from bot.operations import Actor, account_of
from bot.payments import products, provider, till
from bot.payments.events import Money
from bot.payments.pricelist import Done, Report, dry_run
from generators import requests
from storage import accounts, entitlements, errands, jobs, ledger, payments, promos, records
from storage.database import Database, Session
from storage.entitlements import News
from storage.payments import Payment
from storage.promos import Promo

LIMITS = frozenset({"per_minute", "running", "waiting", "count_max", "pixels_max", "steps_max", "tokens_max"})
"""What admins may set for one account instead of its plan's."""


class Refunding(msgspec.Struct, frozen=True, kw_only=True):
    """What a refund would mean: credits that are taken back, and those of them that were spent and become a debt."""

    payment: Payment
    money: Money
    taken: int
    owed: int


class Office:
    def __init__(self, database: Database, config: Config, *, clock: Callable[[], datetime]) -> None:
        self._database, self._config, self._clock = database, config, clock

    # --- changes ----------------------------------------------------------------------------------------

    async def gift(self, who: str, plan: str, *, days: int, actor: Actor) -> None:
        """Days of a plan, beside what the person has. Raises Refusal."""
        if plan not in self._config.plans or plan == entitlement.FREE:
            raise Refusal("admin-no-plan", plan=plan, plans=", ".join(sorted(self._config.plans)))
        await self._database.run(self._gift, who, plan, days, actor)

    async def limit(self, who: str, limits: Mapping[str, int], *, actor: Actor) -> None:
        """Limits for one account; none at all gives the plan's back. Raises Refusal."""
        wrong = [name for name, value in limits.items() if name not in LIMITS or value < 0]
        if wrong:
            raise Refusal("admin-no-limit", name=wrong[0][:40], all=", ".join(sorted(LIMITS)))
        await self._database.run(self._limit, who, dict(limits), actor)

    async def refunding(self, payment: int) -> Refunding:
        """What `refund` would do. Raises Refusal."""
        return await self._database.read(_refunding, payment, self._clock())

    async def refund(self, payment: int, *, actor: Actor) -> Refunding:
        """Asks the provider for it; credits go back with its answer. Raises Refusal."""
        return await self._database.run(self._refund, payment, actor)

    async def settle(self, payment: int, who: str, product: str, *, actor: Actor) -> None:
        """Says whose a flagged payment is and for what. Raises Refusal."""
        await self._database.run(self._settle, payment, who, product, actor)

    async def promo(self, promo: Promo, *, actor: Actor) -> None:
        """A new code. Raises Refusal."""
        if promo.plan and promo.plan not in self._config.plans:
            raise Refusal("admin-no-plan", plan=promo.plan, plans=", ".join(sorted(self._config.plans)))
        await self._database.run(self._promo, promo, actor)

    async def end_promo(self, code: str, *, actor: Actor) -> None:
        await self._database.run(self._end_promo, code.upper(), actor)

    async def reconcile(self, name: str, *, actor: Actor) -> None:
        """Asks the running bot to compare with the provider now; what it finds is in the audit log. Raises Refusal."""
        there = provider.set_up(self._config)
        if name not in there:
            raise Refusal("admin-no-provider", name=name[:40], providers=", ".join(there) or "none")
        await self._database.run(self._ask, "reconcile", name, name, actor)

    async def replay(self, letter: int, *, actor: Actor) -> None:
        """Asks the running bot to apply news that had no effect so far. Raises Refusal."""
        found = await self._database.read(errands.letter, letter)
        if found is None:
            raise Refusal("admin-no-letter", letter=letter)
        await self._database.run(self._ask, "replay", found.provider, str(letter), actor)

    # --- views ------------------------------------------------------------------------------------------

    async def payments(self, who: str) -> Table:
        """An account's rights to plans and its payments. Raises Refusal."""
        return await self._database.read(_payments_table, who)

    async def flagged(self) -> Table:
        """All that an admin has to look at: payments, news without effect, errands that fail."""
        return await self._database.read(takings.flagged)

    async def revenue(self, days: int) -> Table:
        """By day, provider and product, refunds taken off."""
        return await self._database.read(takings.revenue, self._clock() - timedelta(days=days))

    async def promos(self) -> Table:
        return await self._database.read(_promos_table)

    async def try_prices(self, new: Config, days: int) -> Report:
        """What a price list would have meant for the jobs of the last days."""
        return await self._database.read(_try_prices, new, self._clock() - timedelta(days=days))

    # --- inside -----------------------------------------------------------------------------------------

    def _gift(self, session: Session, who: str, plan: str, days: int, actor: Actor) -> None:
        now = self._clock()
        account = accounts.lock(session, account_of(session, who).id)
        assert account is not None
        key = f"gift:{actor.event}"
        until = now + timedelta(days=days)
        news = News(source="gift", external_id=key, plan=plan, since=now, until=until, at=now)
        entitlement.give(session, self._config, account.id, news, now, key=key)
        self._audit(session, actor, "gift", account.id, plan=plan, days=days)

    def _limit(self, session: Session, who: str, limits: dict[str, int], actor: Actor) -> None:
        account = account_of(session, who)
        accounts.set_limits(session, account.id, limits)
        self._audit(session, actor, "limit", account.id, limits=limits)

    def _refund(self, session: Session, number: int, actor: Actor) -> Refunding:
        now = self._clock()
        found = _refunding(session, number, now)
        payment = found.payment
        again = f":{payment.bounced}" if payment.bounced else ""  # what did not arrive may be sent anew
        key = f"refund:{payment.provider}:{payment.external_id}{again}"
        errands.send(
            session, now, key=key, provider=payment.provider, kind="refund", target=payment.external_id,
            amount=found.money.amount, person=payment.payer,
        )  # fmt: skip
        self._audit(
            session, actor, "refund", payment.account, payment=number, amount=found.money.amount,
            currency=found.money.currency, taken=found.taken, owed=found.owed,
        )  # fmt: skip
        return found

    def _settle(self, session: Session, number: int, who: str, product: str, actor: Actor) -> None:
        payment = _payment(session, number)
        known = products.known(self._config, product)
        if not payment.flag or known is None:
            raise Refusal(
                "admin-not-flagged" if known else "admin-no-product", payment=number, product=product[:40]
            )
        account = account_of(session, who)
        till.settle(session, self._config, payment, account.id, known, self._clock())
        self._audit(session, actor, "settle", account.id, payment=number, product=product)

    def _promo(self, session: Session, promo: Promo, actor: Actor) -> None:
        if not promos.add(session, promo, actor.name):
            raise Refusal("admin-promo-exists", code=promo.code)
        self._audit(session, actor, "promo", None, code=promo.code, uses=promo.uses_max)

    def _end_promo(self, session: Session, code: str, actor: Actor) -> None:
        if not promos.end(session, code):
            raise Refusal("redeem-unknown")
        self._audit(session, actor, "promo-end", None, code=code)

    def _ask(self, session: Session, kind: Any, provider: str, target: str, actor: Actor) -> None:
        key = f"{kind}:{provider}:{target}:{actor.event}"[:200]
        errands.send(session, self._clock(), key=key, provider=provider, kind=kind, target=target)
        self._audit(session, actor, kind, None, provider=provider, target=target)

    def _audit(
        self, session: Session, actor: Actor, action: str, account: int | None, **details: Any
    ) -> None:
        records.audit(
            session,
            self._clock(),
            actor=actor.name,
            action=action,
            account=account,
            reason=actor.reason,
            **details,
        )


def _payment(session: Session, number: int) -> Payment:
    found = payments.get(session, number)
    if found is None or not found.arrived:
        raise Refusal("admin-no-payment", payment=number)
    return found


def _refunding(session: Session, number: int, now: datetime) -> Refunding:
    payment = _payment(session, number)
    left = payment.amount - payment.refunded
    if left <= 0:
        raise Refusal("admin-refunded", payment=number)
    granted = ledger.granted(session, payment.lot) - payment.taken_back
    live = ledger.lots(session, payment.account, now) if payment.account is not None else []
    there = sum(lot.remaining for lot in live if lot.key == payment.lot or lot.kind != "daily")
    return Refunding(
        payment=payment, money=Money(left, payment.currency), taken=granted, owed=max(granted - there, 0)
    )


def _payments_table(session: Session, who: str) -> Table:
    account = account_of(session, who)
    rights = [
        (f"right #{each.id}", each.source, each.plan, f"{each.since:%Y-%m-%d}", takings.day(each.until),
         "revoked" if each.revoked else "ended" if each.ended_at else "renews" if each.renews else "")
        for each in entitlements.of_account(session, account.id)
    ]  # fmt: skip
    paid = [
        (
            f"payment #{each.id}",
            each.provider,
            each.product,
            f"{each.paid_at:%Y-%m-%d}",
            takings.money(each),
            _state(each),
        )
        for each in payments.of_account(session, account.id, limit=50)
    ]
    owed = [("debt", "", "", "", str(account.debt), "")] if account.debt else []
    columns = ("what", "from", "product", "since", "until or amount", "state")
    return Table(title=f"payments of #{account.id}", columns=columns, rows=(*rights, *paid, *owed))


def _promos_table(session: Session) -> Table:
    rows = [
        (each.code, str(each.credits or each.plan), str(each.days), f"{each.uses} of {each.uses_max}",
         takings.day(each.expires_at))
        for each in promos.all_codes(session)
    ]  # fmt: skip
    return Table(title="promo codes", columns=("code", "gives", "days", "used", "until"), rows=tuple(rows))


def _try_prices(session: Session, new: Config, since: datetime) -> Report:
    done = [
        Done(account=job.account, plan=job.tier, model=job.model, request=requests.decode(job.request),
             paid=job.paid, at=job.created_at)
        for job in jobs.completed_since(session, since)
    ]  # fmt: skip
    return dry_run(done, new, payments.packs_since(session, since))


def _state(payment: Payment) -> str:
    if payment.flag:
        return f"flagged: {payment.flag}"
    if payment.disputed:
        return f"dispute {payment.disputed}"
    return f"refunded {payment.refunded}" if payment.refunded else "test" if payment.test else "paid"

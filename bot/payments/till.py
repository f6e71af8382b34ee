"""The one function through which all money comes: any event of any provider, credited exactly once.

    Paid ──> payment's row ──> credits, or a right to a plan and its month's credits
    Refunded, Disputed ──> the same row ──> credits taken back, or given again
    Subscribed ──> the right to a plan ──> the plan in force
    Failed ──> nothing but words

A payment's row says what is true of it; `_correct` brings the ledger to that, however often and in whatever order
the news came. Money that cannot be matched is kept with a flag for admins. Callers give one transaction.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, assert_never

import msgspec

from bot.config import Config
from bot.jobs import allowances, entitlement
from bot.payments import products
from bot.payments.events import AnyEvent, Disputed, Failed, Money, Paid, Period, Refunded, Subscribed
from bot.payments.products import Product
from storage import accounts, entitlements, errands, ledger, payments
from storage.accounts import Account, Identity
from storage.database import Session
from storage.entitlements import Entitlement, News
from storage.payments import Order, Payment

Flag = Literal["unknown_product", "unknown_payer", "wrong_amount", "banned", "paid_twice", "other_provider"]


class Unmatched(Exception):
    """News of something that is unknown here. It is kept, and can be applied once it is known."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`new` is False when all of it was known before; `flag` says why an admin has to look."""

    account: int | None = None
    product: Product | None = None
    payment: int | None = None
    new: bool = True
    flag: Flag | None = None
    taken: int = 0  # credits taken back; minus: given again

    @property
    def bought(self) -> int | None:
        """The account that something was bought for just now."""
        return self.account if self.new and self.flag is None else None


def apply(session: Session, config: Config, event: AnyEvent, now: datetime) -> Outcome:
    """Gives an event its effect, once. Raises Unmatched, and then nothing has changed."""
    match event:
        case Paid():
            return _paid(session, config, event, now)
        case Refunded():
            return _refunded(session, config, event, now)
        case Disputed():
            return _disputed(session, config, event, now)
        case Subscribed():
            return _subscribed(session, config, event, now)
        case Failed():
            return _failed(session, config, event, now)
        case _:
            assert_never(event)


def settle(
    session: Session, config: Config, payment: Payment, account: int, product: Product, now: datetime
) -> None:
    """An admin says whose payment it was and for what: it is given now, once."""
    accounts.lock(session, account)
    payments.change(session, payment.id, account_id=account, product=product.id, flag="")
    _give(
        session,
        config,
        payments.hear(session, payment.provider, payment.external_id, now),
        product,
        None,
        now,
    )


# --- payments ---------------------------------------------------------------------------------------------


def _paid(session: Session, config: Config, event: Paid, now: datetime) -> Outcome:
    payment = payments.hear(session, event.provider, event.payment, now)
    if payment.arrived and not _is_known_now(config, payment, event):
        _consume(session, event, payment.flag, now)
        return Outcome(account=payment.account, payment=payment.id, new=False)
    order = payments.order(session, event.order) if event.order else None
    right = _right(session, event.provider, event.subscription)
    account = _payee(session, order, right, event.payer, now)
    product = _product(config, event.product, order, right)
    flag = _objection(session, event, order, account, product)
    if order is not None:
        payments.pay_order(session, order.id)
    payments.change(
        session, payment.id, account_id=account.id if account else None, order_id=order.id if order else None,
        product=product.id if product else event.product, subscription=event.subscription,
        payer=event.payer.external_id if event.payer else "", amount=event.money.amount,
        currency=event.money.currency, test=event.test, flag=flag or "", arrived=True, paid_at=event.at,
        refunded=min(payment.refunded, _whole(event.money.amount)),
    )  # fmt: skip
    _consume(session, event, flag or "", now)
    if flag is None and product is not None:
        heard = payments.hear(session, event.provider, event.payment, now)
        _give(session, config, heard, product, event, now)
    return Outcome(account=account.id if account else None, product=product, payment=payment.id, flag=flag)


def _is_known_now(config: Config, payment: Payment, event: Paid) -> bool:
    """Whether it waited for a product that has been configured since."""
    return payment.flag == "unknown_product" and products.known(config, event.product) is not None


def _consume(session: Session, event: Paid, flag: str, now: datetime) -> None:
    """What was given may be bought again; what an admin has to look at stays as it is."""
    if event.consume and not flag:
        errands.send(
            session, now, key=f"consume:{event.provider}:{event.payment}", provider=event.provider,
            kind="consume", target=event.payment,
        )  # fmt: skip


def _give(
    session: Session, config: Config, payment: Payment, product: Product, event: Paid | None, now: datetime
) -> None:
    """The goods: credits into their lot, for a plan the right to it as well; then what was heard before them."""
    assert payment.account is not None
    period = event.period if event else None
    if product.kind == "pack":
        _grant(session, payment, product, payment.paid_at + timedelta(days=product.days), now)
    elif event is None or period is not None or not payment.subscription:
        period = period or Period(payment.paid_at, payment.paid_at + timedelta(days=product.days))
        _open(session, payment, product, period, renews=bool(event and event.renews))
        before = products.known(config, event.instead_of) if event and event.instead_of else None
        end = allowances.lapse(config.plans[product.name], _first_month(period))
        _grant(session, payment, product, end, now, before=before, period=period)
        entitlement.derive(session, config, payment.account, now)
    _correct(session, config, payments.hear(session, payment.provider, payment.external_id, now), now)


def _grant(
    session: Session, payment: Payment, product: Product, end: datetime, now: datetime,
    *, before: Product | None = None, period: Period | None = None,
) -> None:  # fmt: skip
    """An upgrade gives what its plan gives more, once a period however often one goes up and down."""
    assert payment.account is not None
    lot, amount = f"payment:{payment.id}", product.credits
    if before is not None and period is not None:
        source = f"{payment.provider}:{payment.subscription}:{period.since:%Y-%m-%d}"
        lot, amount = f"upgrade:{source}:{before.name}:{product.name}"[:200], product.credits - before.credits
    kind: ledger.LotKind = "pack" if product.kind == "pack" else "monthly"
    grant = ledger.Grant(key=lot, kind=kind, amount=amount, expires_at=end, reason=product.id)
    if ledger.grant(session, payment.account, [grant], now):
        payments.change(session, payment.id, lot=lot)


def _open(session: Session, payment: Payment, product: Product, period: Period, *, renews: bool) -> None:
    assert payment.account is not None
    news = News(
        source=payment.provider, external_id=_source_of(payment), plan=product.name, since=period.since,
        until=period.until, renews=renews, at=payment.paid_at, test=payment.test,
    )  # fmt: skip
    entitlements.hear(session, payment.account, news)


def _first_month(period: Period) -> datetime:
    """A longer period gives its credits month by month."""
    long = allowances.months(period.since, period.until) > 1
    return period.since + allowances.MONTH if long else period.until


def _source_of(payment: Payment) -> str:
    """What names the right that a payment gives: its subscription, or the payment itself."""
    return payment.subscription or payment.external_id


# --- refunds and disputes ---------------------------------------------------------------------------------


def _refunded(session: Session, config: Config, event: Refunded, now: datetime) -> Outcome:
    payment = payments.hear(session, event.provider, event.payment, now)
    whole = _whole(payment.amount) if payment.arrived else _ANY
    bounced = max(event.failed, payment.bounced)
    sent = whole + bounced if event.total is None else max(event.total, payment.refunded + payment.bounced)
    refunded = min(sent - bounced, whole)
    if (refunded, bounced) == (payment.refunded, payment.bounced):
        return Outcome(account=payment.account, payment=payment.id, new=False)
    payments.change(session, payment.id, refunded=refunded, bounced=bounced)
    return _corrected(session, config, event, now)


_ANY = 2**62
"""More than any payment: all of one that has not been heard of yet."""


def _whole(amount: int) -> int:
    """What a refund of all of it amounts to; something that was free can be taken back too."""
    return max(amount, 1)


def _disputed(session: Session, config: Config, event: Disputed, now: datetime) -> Outcome:
    """An outcome stands: the opening of a dispute that is over is passed over."""
    payment = payments.hear(session, event.provider, event.payment, now)
    if payment.disputed == event.state or (payment.disputed and event.state == "open"):
        return Outcome(account=payment.account, payment=payment.id, new=False)
    payments.change(session, payment.id, disputed=event.state)
    return _corrected(session, config, event, now)


def _corrected(session: Session, config: Config, event: Refunded | Disputed, now: datetime) -> Outcome:
    payment = payments.hear(session, event.provider, event.payment, now)
    taken = _correct(session, config, payment, now) if payment.arrived and not payment.flag else 0
    product = products.known(config, payment.product)
    return Outcome(account=payment.account, product=product, payment=payment.id, taken=taken)


def _correct(session: Session, config: Config, payment: Payment, now: datetime) -> int:
    """Brings the ledger to what the payment's refunds and disputes ask for; returns `Outcome.taken`."""
    product = products.known(config, payment.product)
    if product is None or payment.account is None:
        return 0
    accounts.lock(session, payment.account)
    if payment.disputed == "won":
        ledger.restore(session, payment.account, _dispute(payment), now, reason=product.id)
    taken = _take_refunded(session, payment, now)
    if payment.disputed in ("open", "lost"):
        key = _dispute(payment)
        found = ledger.reverse(session, payment.account, [payment.lot], now, key=key, reason=product.id)
        taken += found.taken + found.owed
    if product.kind == "plan":
        _revoke_or_revive(session, config, payment, now)
    return taken


def _take_refunded(session: Session, payment: Payment, now: datetime) -> int:
    """Credits in proportion to the money that is back with the payer, less those that went back before. Where it is
    less money than before, all are given again first: a reversal is undone as a whole."""
    assert payment.account is not None
    share = min(payment.refunded, _whole(payment.amount))
    due = ledger.granted(session, payment.lot) * share // _whole(payment.amount)
    before = payment.taken_back
    if due < before:
        for number in range(payment.corrections):
            ledger.restore(session, payment.account, _refund(payment, number), now, reason=payment.product)
        payment = msgspec.structs.replace(payment, taken_back=0)
    if due > payment.taken_back:
        payment = _take(session, payment, due - payment.taken_back, now)
    payments.change(session, payment.id, taken_back=payment.taken_back, corrections=payment.corrections)
    return payment.taken_back - before


def _take(session: Session, payment: Payment, more: int, now: datetime) -> Payment:
    assert payment.account is not None
    key = _refund(payment, payment.corrections)
    found = ledger.reverse(
        session, payment.account, [payment.lot], now, key=key, amount=more, reason=payment.product
    )
    taken = payment.taken_back + found.taken + found.owed
    return msgspec.structs.replace(payment, taken_back=taken, corrections=payment.corrections + 1)


def _refund(payment: Payment, number: int) -> str:
    return f"refund:{payment.id}:{number}"


def _dispute(payment: Payment) -> str:
    return f"dispute:{payment.id}"


def _gone(payment: Payment) -> bool:
    return payment.disputed in ("open", "lost") or payment.refunded >= _whole(payment.amount)


def _revoke_or_revive(session: Session, config: Config, payment: Payment, now: datetime) -> None:
    """The right ends with the money of its present period, and comes back with it."""
    assert payment.account is not None
    right = entitlements.find(session, payment.provider, _source_of(payment))
    all_of_it = payments.of_subscription(session, payment.provider, payment.subscription)
    is_newest = not payment.subscription or all_of_it[-1].id == payment.id
    if right is not None and is_newest and _gone(payment) != right.revoked:
        entitlements.revoke(session, right.id, revoked=_gone(payment))
        entitlement.derive(session, config, payment.account, now)


# --- subscriptions ----------------------------------------------------------------------------------------


def _subscribed(session: Session, config: Config, event: Subscribed, now: datetime) -> Outcome:
    order = payments.order(session, event.order) if event.order else None
    right = _right(session, event.provider, event.subscription)
    account = _payee(session, order, right, event.payer, now)
    product = _product(config, event.product, order, right)
    if account is None or product is None or product.kind != "plan":
        what = event.product or event.order or event.subscription
        raise Unmatched(f"{event.provider} speaks of {what[:80]}, which is not known here.")
    if right is None and event.period is None and not event.open_ended:
        raise Unmatched(
            f"{event.provider} has not told yet which period of {event.subscription[:80]} is paid."
        )
    accounts.lock(session, account.id)
    before = entitlements.find(session, event.provider, event.subscription)
    after = entitlements.hear(session, account.id, _news(event, product, right))
    entitlement.derive(session, config, account.id, now)
    is_new = before is None or msgspec.structs.replace(before, heard_at=after.heard_at) != after
    return Outcome(account=account.id, product=product, new=is_new)


def _failed(session: Session, config: Config, event: Failed, now: datetime) -> Outcome:
    order = payments.order(session, event.order) if event.order else None
    right = _right(session, event.provider, event.subscription)
    account = _payee(session, order, right, None, now)
    return Outcome(account=account.id if account else None, product=_product(config, "", order, right))


def _news(event: Subscribed, product: Product, right: Entitlement | None) -> News:
    since, until = (right.since, right.until) if right else (event.at, event.at)
    if event.period is not None:
        since, until = event.period.since, event.period.until
    return News(
        source=event.provider, external_id=event.subscription, plan=product.name, since=since,
        until=None if event.open_ended else until, renews=event.renews, ended=event.ended, at=event.at,
        test=event.test,
    )  # fmt: skip


# --- whose, and what for ----------------------------------------------------------------------------------


def _right(session: Session, provider: str, subscription: str) -> Entitlement | None:
    return entitlements.find(session, provider, subscription) if subscription else None


def _payee(
    session: Session, order: Order | None, right: Entitlement | None, payer: Identity | None, now: datetime
) -> Account | None:
    """Who gets it, locked: what the order says, whose subscription it is, or else who paid."""
    if order is not None:
        return accounts.lock(session, order.account)
    if right is not None:
        return accounts.lock(session, right.account)
    return accounts.lock(session, accounts.resolve(session, payer, now)) if payer else None


def _product(config: Config, named: str, order: Order | None, right: Entitlement | None) -> Product | None:
    """What the provider names, else what was ordered, else what the subscription is for."""
    if named or order is not None:
        return products.known(config, named or (order.product if order else ""))
    return products.known(config, f"plan:{right.plan}") if right else None


def _objection(
    session: Session, event: Paid, order: Order | None, account: Account | None, product: Product | None
) -> Flag | None:
    """Why the money cannot simply be turned into goods. An order that lapsed meanwhile is honoured."""
    if account is None:
        return "unknown_payer"
    if product is None:
        return "unknown_product"
    if order is not None and order.provider != event.provider:
        return "other_provider"
    if not _is_as_promised(session, event, order, product):
        return "wrong_amount"
    if account.banned_reason is not None:
        return "banned"
    if order is not None and _is_paid_otherwise(session, event, order):
        return "paid_twice"
    return None


def _is_as_promised(session: Session, event: Paid, order: Order | None, product: Product) -> bool:
    if event.listed or _is_later_payment(session, event):
        return True
    return event.money == _asked(event, order, product)


def _is_later_payment(session: Session, event: Paid) -> bool:
    """Of a subscription: a renewal at the price of its beginning, or a part of a price."""
    if not event.subscription:
        return False
    if event.period is None or event.instead_of:
        return True
    return bool(payments.of_subscription(session, event.provider, event.subscription))


def _asked(event: Paid, order: Order | None, product: Product) -> Money | None:
    """The price that was promised: the order's, or the one in config.toml; a subscription may have moved to another
    product before its first payment is heard of."""
    if order is not None and order.product == product.id:
        return Money(order.amount, order.currency)
    return product.money(event.money.currency)


def _is_paid_otherwise(session: Session, event: Paid, order: Order) -> bool:
    same = event.subscription
    return any(not same or each.subscription != same for each in payments.of_order(session, order.id))

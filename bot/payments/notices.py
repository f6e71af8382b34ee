"""Who is told of money that came or went, and in which words: the person, and admins where they have to look."""

from __future__ import annotations

from datetime import datetime

from bot.config import Config
from bot.payments import products
from bot.payments.events import AnyEvent, Failed, Paid, Refunded
from bot.payments.till import Outcome
from storage import accounts, notices, payments
from storage.accounts import Identity
from storage.database import Session
from storage.entitlements import Entitlement


def of_money(session: Session, config: Config, event: AnyEvent, outcome: Outcome, now: datetime) -> None:
    """Puts what the outcome gives cause for into the outbox, once."""
    if not outcome.new:
        return
    if outcome.flag is not None:
        _tell_admins(session, config, event, outcome, "notice-flagged", f"flag:{outcome.payment}", now)
        return
    key = f"{event.provider}:{outcome.payment}"
    if isinstance(event, Failed) and outcome.product is not None:
        what = "renewal" if event.subscription else "order"
        _tell(session, outcome, f"failed:{event.provider}:{event.attempt}", f"notice-failed-{what}", now)
    elif isinstance(event, Paid) and outcome.product is not None:
        _tell(session, outcome, f"paid:{key}", f"notice-paid-{outcome.product.kind}", now)
    elif outcome.taken > 0:
        facts = f"{event.total}:{event.failed}" if isinstance(event, Refunded) else "dispute"
        _tell(session, outcome, f"back:{key}:{facts}", "notice-refunded", now)
    elif isinstance(event, Refunded) and event.failed:
        key = f"bounced:{key}:{event.failed}"
        _tell(session, outcome, key, "notice-refund-failed", now)
        _tell_admins(session, config, event, outcome, "notice-refund-failed-admin", key, now)


def of_unpaid(
    session: Session, config: Config, right: Entitlement, to: Identity, now: datetime, *, key: str
) -> None:
    """A renewal could not be charged; it may be later."""
    product = products.known(config, f"plan:{right.plan}")
    if product is not None:
        notices.send(
            session, now, key=f"unpaid:{key}", account=right.account, to=to, message="notice-unpaid",
            product=product.title,
        )  # fmt: skip


def _tell(session: Session, outcome: Outcome, key: str, message: str, now: datetime) -> None:
    listener = _listener(session, outcome)
    if listener is not None and outcome.product is not None:
        account, to = listener
        notices.send(
            session, now, key=key, account=account, to=to, message=message,
            product=outcome.product.title, credits=outcome.taken or outcome.product.credits,
        )  # fmt: skip


def _listener(session: Session, outcome: Outcome) -> tuple[int, Identity] | None:
    """Whose it is; of what is a group's, who ordered it."""
    buyer = payments.buyer(session, outcome.payment) if outcome.payment is not None else None
    for account in (outcome.account, buyer):
        known = accounts.identities(session, account) if account is not None else []
        people = [each for each in known if not accounts.is_place(each)]
        if account is not None and people:
            return account, people[-1]
    return None


def _tell_admins(
    session: Session, config: Config, event: AnyEvent, outcome: Outcome, message: str, key: str, now: datetime
) -> None:
    for admin in dict.fromkeys((*config.admins.owner, *config.admins.billing)):
        platform, _, external = admin.partition(":")
        account = accounts.resolve(session, Identity(platform=platform, external_id=external), now)
        (who,) = (each for each in accounts.identities(session, account) if each.external_id == external)
        notices.send(
            session, now, key=f"{key}:{admin}", account=account, to=who, message=message,
            payment=outcome.payment or 0, flag=outcome.flag or "",
            provider=event.provider,
        )  # fmt: skip

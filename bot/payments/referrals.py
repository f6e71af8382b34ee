"""Who invited whom: a signed code, named once by a newcomer, and credits for both at the newcomer's first purchase.

Only real money starts the reward, so that making accounts does not pay.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.config import Config
from bot.jobs.refusals import Refusal
from bot.signing import Signer
from storage import accounts, ledger, notices, records
from storage.database import Session

PURPOSE = "referral"
DAYS = 90  # how long the credits last


def code(signer: Signer, account: int) -> str:
    """What one gives to friends; it lasts."""
    return signer.sign(PURPOSE, str(account))


def read(signer: Signer, text: str) -> int | None:
    """Whose code it is."""
    found = signer.verify(PURPOSE, text, now=0)
    return int(found) if found is not None else None


def accept(session: Session, config: Config, account: int, inviter: int, now: datetime) -> None:
    """A newcomer names who invited them, once. Raises Refusal."""
    locked = accounts.lock(session, account)
    there = accounts.get(session, inviter)
    if locked is None or there is None or not config.referral.credits:
        raise Refusal("redeem-unknown")
    if there.id == locked.id:
        raise Refusal("refer-oneself")
    if now - locked.created_at > timedelta(days=config.referral.newcomer_days):
        raise Refusal("refer-too-late", days=config.referral.newcomer_days)
    if not accounts.invite(session, locked.id, there.id):
        raise Refusal("redeem-again")


def reward(session: Session, config: Config, account: int, now: datetime) -> None:
    """At a purchase: what both get, once. The one who invites gets it so many times a month."""
    inviter = accounts.invited_by(session, account)
    amount = config.referral.credits
    if inviter is None or not amount or ledger.was_granted(session, f"referral:{account}"):
        return
    locked = accounts.lock_all(session, (account, inviter))
    friend, there = locked[account], locked[inviter]
    if friend is None or there is None or friend.id == there.id:
        return
    _give(session, friend.id, f"referral:{account}", amount, now)
    scope = f"referrals:{there.id}:{now:%Y-%m}"
    if records.spend(session, scope, 1, limit_us=config.referral.month_max):
        _give(session, there.id, f"referral:{there.id}:{account}", amount, now)


def _give(session: Session, account: int, key: str, amount: int, now: datetime) -> None:
    until = now + timedelta(days=DAYS)
    lot = ledger.Grant(key=key, kind="referral", amount=amount, expires_at=until, reason="referral")
    if not ledger.grant(session, account, [lot], now):
        return
    for who in accounts.identities(session, account)[-1:]:
        notices.send(
            session, now, key=key, account=account, to=who, message="notice-referral", credits=amount
        )

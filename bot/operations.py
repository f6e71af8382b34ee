"""What operators do and see: the same use cases for the command line, `/admin` and the admin page.

Each change is one transaction with an audit row that names who did it and why. Knows no platform.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from bot import fleet, takings
from bot.chat import Desk, Locale, Table
from bot.config import Config
from bot.jobs import entitlement, wallets
from bot.jobs.refusals import Refusal
from bot.replies import say
from bot.signing import Signer
from storage import accounts, deliveries, jobs, ledger, overview, records
from storage.accounts import Account, Identity
from storage.database import Database, Session
from storage.entitlements import News
from storage.ledger import Grant

PAGE_ROWS = 50
REVENUE_SPAN = timedelta(days=30)  # on the page
ADMIN_LINK = "admin-link"
LINK_SECONDS = 600
CLAIM = "claim"
CLAIM_SECONDS = 3600


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts: `cli`, or an identity such as `discord:123`. `event` makes a repeated command count once."""

    name: str
    event: str
    reason: str = ""


class Operations(Desk):
    sections = ("pool", "queue", "jobs", "accounts", "revenue", "flagged", "ledger", "audit")

    def __init__(
        self, database: Database, config: Config, signer: Signer, *, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._config, self._signer, self._clock = database, config, signer, clock

    # --- changes ----------------------------------------------------------------------------------------

    async def grant(self, who: str, amount: int, *, days: int | None, actor: Actor) -> int:
        """Gives credits (or takes them when negative); returns what the account now has. Raises Refusal."""
        return await self._database.run(self._grant, who, amount, days, actor, self._clock())

    async def plan(self, who: str, plan: str, *, days: int | None, actor: Actor) -> None:
        """Puts an account on a plan, for so many days or until changed; `free` ends that. Raises Refusal."""
        if plan not in self._config.plans:
            raise Refusal("admin-no-plan", plan=plan, plans=", ".join(sorted(self._config.plans)))
        await self._database.run(self._plan, who, plan, days, actor, self._clock())

    async def ban(self, who: str, *, banned: bool, actor: Actor) -> None:
        """Bans (the reason, if any, is shown to the person) or lifts a ban. Raises Refusal."""
        now = self._clock()

        def work(session: Session) -> None:
            account = account_of(session, who)
            accounts.set_ban(session, account.id, actor.reason if banned else None)
            _audit(session, now, actor, "ban" if banned else "unban", account.id)

        await self._database.run(work)

    async def drain(self, device: str, *, drained: bool, actor: Actor) -> None:
        """Gives a device no more jobs, or gives it some again. Raises Refusal."""
        now = self._clock()

        def work(session: Session) -> None:
            fleet.want(session, device, drained=drained)
            _audit(session, now, actor, "drain" if drained else "resume", None, device=device)

        await self._database.run(work)

    async def cancel(self, job: str, *, actor: Actor) -> None:
        """Ends anybody's job. Raises Refusal."""
        now = self._clock()

        def work(session: Session) -> None:
            cancelled = fleet.cancel(session, job, now)
            _audit(session, now, actor, "cancel", cancelled.account, job=cancelled.id)

        await self._database.run(work)

    def admin_link(self, base_url: str) -> str:
        """A link into the admin page: once, within ten minutes."""
        now = int(self._clock().timestamp())
        token = self._signer.sign(ADMIN_LINK, f"admin-{now}", expires=now + LINK_SECONDS)
        return f"{base_url.rstrip('/')}/admin?token={token}"

    async def redeem(self, token: str) -> bool:
        now = self._clock()
        if self._signer.verify(ADMIN_LINK, token, now=int(now.timestamp())) is None:
            return False
        key = f"{ADMIN_LINK}:{self._signer.digest(ADMIN_LINK, token)}"
        until = now + timedelta(seconds=2 * LINK_SECONDS)  # longer than the link lives by any clock
        return await self._database.run(records.first_time, key, expires_at=until)

    # --- views ------------------------------------------------------------------------------------------

    async def user(self, who: str, *, locale: Locale = "en") -> Table:
        """All about one account, but never a prompt. Raises Refusal."""
        return await self._database.read(_user_table, self._config, who, locale, self._clock())

    async def stats(self) -> Table:
        """The instance in figures."""
        return await self._database.read(_stats_table, self._clock())

    async def table(self, section: str, *, page: int = 0) -> Table:
        tables: dict[str, Callable[[Session, int], Table]] = {
            "pool": lambda session, _: fleet.table(session),
            "queue": _queue_table, "jobs": _jobs_table, "accounts": _accounts_table, "ledger": _ledger_table,
            "audit": _audit_table, "flagged": lambda session, at: _page(takings.flagged(session), at),
            "revenue": lambda session, at: _page(takings.revenue(session, self._clock() - REVENUE_SPAN), at),
        }  # fmt: skip
        reading: Awaitable[Table] = self._database.read(tables[section], max(page, 0) * PAGE_ROWS)
        return await reading

    def _plan(
        self, session: Session, who: str, plan: str, days: int | None, actor: Actor, now: datetime
    ) -> None:
        account = account_of(session, who)
        accounts.lock(session, account.id)
        news = News(
            source="admin", external_id=str(account.id), plan=plan, since=now, at=now,
            until=now + timedelta(days=days) if days is not None else None, ended=plan == entitlement.FREE,
        )  # fmt: skip
        entitlement.give(session, self._config, account.id, news, now, key=f"admin-plan:{actor.event}")
        _audit(session, now, actor, "plan", account.id, before=account.plan, plan=plan, days=days)

    def _grant(
        self, session: Session, who: str, amount: int, days: int | None, actor: Actor, now: datetime
    ) -> int:
        account = account_of(session, who)
        accounts.lock(session, account.id)
        key = f"admin:{actor.event}"
        expires = now + timedelta(days=days) if days is not None else None
        if amount > 0:
            lot = Grant(key=key, kind="gift", amount=amount, expires_at=expires, reason=f"admin {actor.name}")
            moved = ledger.grant(session, account.id, [lot], now)
        else:
            moved = -ledger.take(session, account.id, -amount, now, key=key, reason=f"admin {actor.name}")
        if moved:
            _audit(session, now, actor, "grant", account.id, amount=moved, days=days)
        return sum(lot.remaining for lot in ledger.lots(session, account.id, now))


def claim_code(signer: Signer, now: datetime) -> str:
    """Makes whoever sends it with `claim` an owner: once, within an hour."""
    return signer.sign(CLAIM, secrets.token_hex(4), expires=int(now.timestamp()) + CLAIM_SECONDS)


def account_of(session: Session, who: str) -> Account:
    """`12` or `#12` is an account, `discord:123` an identity. Raises Refusal."""
    bare = who.strip().removeprefix("#")
    platform, _, external = bare.partition(":")
    found = int(bare) if bare.isascii() and bare.isdigit() and len(bare) < 18 else None
    if found is None and external:
        found = accounts.find(session, Identity(platform=platform.lower(), external_id=external))
    account = accounts.get(session, found) if found is not None else None
    if account is None:
        raise Refusal("admin-no-account", who=who[:80] or "-")
    return account


def _audit(
    session: Session, now: datetime, actor: Actor, action: str, account: int | None, **details: Any
) -> None:
    records.audit(
        session, now, actor=actor.name, action=action, account=account, reason=actor.reason, **details
    )


def _user_table(session: Session, config: Config, who: str, locale: Locale, now: datetime) -> Table:
    account = account_of(session, who)
    plan, _ = wallets.plan_of(config, account)
    held = jobs.of_account(session, account.id, live=True)
    owed = [("debt", say(locale, "admin-debt", debt=account.debt))] if account.debt else []
    rows = [
        ("account", f"#{account.id}"),
        ("identities", ", ".join(f"{i.platform}:{i.external_id}" for i in accounts.identities(session, account.id))),
        ("since", _time(account.created_at)),
        ("plan", plan + (f" until {_time(account.plan_until)}" if account.plan_until else "")),
        ("banned", _ban(account.banned_reason) or "no"),
        *owed,
        *((f"lot {lot.kind}", f"{lot.remaining} of {lot.granted}, until {_time(lot.expires_at)}")
          for lot in ledger.lots(session, account.id, now)),
        *((f"job #{job.id}", f"{job.state}, {job.model}, holds {job.price}") for job in held),
        *((f"undelivered #{job}", "waits in /jobs") for job in deliveries.undelivered(session, account.id)),
    ]  # fmt: skip
    return Table(title=f"#{account.id}", columns=("what", "value"), rows=tuple(rows))


def _stats_table(session: Session, now: datetime) -> Table:
    waiting, oldest = deliveries.lag(session)
    books = ledger.balance_of_books(session)
    rows = [
        *((f"jobs {state}", str(count)) for state, count in sorted(jobs.counts(session).items())),
        ("accounts", str(overview.account_count(session))),
        ("deliveries waiting", f"{waiting}" + (f", oldest since {_time(oldest)}" if oldest else "")),
        *((f"book {book}", str(total)) for book, total in sorted(books.items())),
        ("free device-seconds today", str(records.spent(session, f"free:{now:%Y-%m-%d}") // 1_000_000)),
    ]
    return Table(title="stats", columns=("what", "value"), rows=tuple(rows))


def _page(table: Table, offset: int) -> Table:
    return msgspec.structs.replace(table, rows=table.rows[offset : offset + PAGE_ROWS])


def _queue_table(session: Session, offset: int) -> Table:
    rows = tuple(
        (
            f"#{job.id}",
            f"#{job.account}",
            job.tier,
            job.model,
            job.state,
            f"{job.cost_us / 1e6:.1f}",
            _time(job.created_at),
        )
        for job in jobs.recent(session, limit=PAGE_ROWS, offset=offset, live=True)
    )
    return Table(
        title="queue", columns=("job", "account", "tier", "model", "state", "seconds", "since"), rows=rows
    )


def _jobs_table(session: Session, offset: int) -> Table:
    rows = tuple(
        (f"#{job.id}", f"#{job.account}", job.model, job.state, job.error or "", str(job.attempt),
         f"{job.paid}/{job.price}", f"{job.used_us / 1e6:.1f}", _time(job.created_at))
        for job in jobs.recent(session, limit=PAGE_ROWS, offset=offset)
    )  # fmt: skip
    columns = ("job", "account", "model", "state", "error", "attempt", "paid/price", "seconds", "since")
    return Table(title="jobs", columns=columns, rows=rows)


def _accounts_table(session: Session, offset: int) -> Table:
    rows = tuple(
        (
            f"#{each.id}",
            each.identities,
            each.plan,
            _ban(each.banned_reason),
            str(each.credits),
            _time(each.created_at),
        )
        for each in overview.accounts(session, limit=PAGE_ROWS, offset=offset)
    )
    columns = ("account", "identities", "plan", "banned", "credits", "since")
    return Table(title="accounts", columns=columns, rows=rows)


def _ledger_table(session: Session, offset: int) -> Table:
    rows = tuple(
        (
            _time(each.at),
            f"#{each.account}",
            each.source,
            each.target,
            str(each.amount),
            each.key,
            each.reason,
        )
        for each in overview.entries(session, limit=PAGE_ROWS, offset=offset)
    )
    return Table(
        title="ledger", columns=("at", "account", "from", "to", "credits", "key", "reason"), rows=rows
    )


def _audit_table(session: Session, offset: int) -> Table:
    rows = tuple(
        (_time(each.at), each.actor, each.action, f"#{each.account or '-'}", each.reason, str(each.details))
        for each in records.audits(session, limit=PAGE_ROWS, offset=offset)
    )
    return Table(title="audit", columns=("at", "actor", "action", "account", "reason", "details"), rows=rows)


def _ban(reason: str | None) -> str:
    return "" if reason is None else reason or "yes"


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"

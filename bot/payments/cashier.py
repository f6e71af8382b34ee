"""What has to be done about money in the background: errands, letters that failed, the hourly reconciliation.

Runs in each process that serves chats; errands are leased, and one process at a time reconciles a provider.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from bot.payments.events import AnyEvent
from bot.payments.inbox import Inbox
from bot.payments.provider import ErrandHopeless, Provider, ProviderAway
from bot.payments.reconcile import Reconciler, Report
from storage import errands, places, records
from storage.database import Database, DatabaseUnavailable, Session
from storage.errands import Errand

ROUND_SECONDS = 2.0
LETTERS_SECONDS = 60.0
LETTERS_MAX = 50  # at a time
RECONCILE_SECONDS, AGAIN_SECONDS = 3600.0, 30.0  # after it was done; after nobody answered
LEASE_SECONDS = 120
BACKOFF_SECONDS_MAX = 3600.0
RECONCILED_BACK = timedelta(days=7)

log = structlog.get_logger(__name__)


class Cashier:
    def __init__(
        self,
        database: Database,
        inbox: Inbox,
        providers: Sequence[Provider],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._inbox, self._clock = database, inbox, clock
        self.providers = {each.name: each for each in providers}
        self._reconciler = Reconciler(database, inbox, clock=clock)
        self._owner = secrets.token_hex(8)
        self._looked_at = 0
        self.reports: dict[str, Report] = {}
        self._due: dict[str, datetime] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(ROUND_SECONDS, self.errands))
            group.create_task(self._every(LETTERS_SECONDS, self.letters))
            group.create_task(self._every(AGAIN_SECONDS, self.reconcile_all))

    async def errands(self) -> None:
        """Those that are due, one after the other."""
        for provider in self.providers.values():
            due = await self._database.run(errands.claim, provider.name, lease_seconds=LEASE_SECONDS)
            for errand in due:
                await self._run(provider, errand)

    async def letters(self) -> None:
        """News that has had no effect so far: some of it each time, so that what never fits keeps nothing waiting."""
        some = await self._database.read(errands.unapplied, after=self._looked_at, limit=LETTERS_MAX)
        for letter in some:
            if provider := self.providers.get(letter.provider):
                await self._inbox.open(provider, letter)
        self._looked_at = some[-1].id if len(some) == LETTERS_MAX else 0

    async def reconcile_all(self) -> None:
        """Each provider that is due; one that was away is asked again soon."""
        for name in self.providers:
            if self._due.get(name, self._clock()) > self._clock():
                continue
            lease, seconds = f"reconcile:{name}", int(RECONCILE_SECONDS) // 2
            leads = await self._database.run(places.lead, lease, self._owner, seconds=seconds)
            if not leads or await self.reconcile(name) is not None:
                self._due[name] = self._clock() + timedelta(seconds=RECONCILE_SECONDS)

    async def reconcile(self, name: str) -> Report | None:
        """None when the provider is away: nothing was compared, nothing is taken away."""
        try:
            report = await self._reconciler.run(self.providers[name], self._clock() - RECONCILED_BACK)
        except ProviderAway:
            log.warning("payments.provider_away", provider=name)
            return None
        self.reports[name] = report
        log.info("payments.reconciled", provider=name, seen=report.seen, differences=len(report.differences))
        return report

    async def _do(self, provider: Provider, errand: Errand) -> Sequence[AnyEvent]:
        """What is true after it. Raises ProviderAway and ErrandHopeless."""
        match errand.kind:
            case "reconcile":
                await self._reconcile_asked(provider)
                return ()
            case "replay":
                letter = await self._database.read(errands.letter, int(errand.target))
                if letter is None or not await self._inbox.open(provider, letter):
                    raise ErrandHopeless("The news could still not be applied: see its error.")
                return ()
            case _:
                return await provider.run(errand)

    async def _reconcile_asked(self, provider: Provider) -> None:
        report = await self.reconcile(provider.name)
        if report is None:
            raise ProviderAway(f"{provider.name} does not answer.")
        found = [f"{each.what} {each.payment}: {each.sentence}" for each in report.differences]
        await self._database.run(_audit, report, found, self._clock())

    async def _run(self, provider: Provider, errand: Errand) -> None:
        try:
            events = await self._do(provider, errand)
        except ProviderAway as away:
            wait = max(away.seconds, min(2.0**errand.attempts, BACKOFF_SECONDS_MAX))
            await self._database.run(errands.later, errand.id, wait, str(away))
        except ErrandHopeless as error:
            log.error("payments.errand_hopeless", provider=provider.name, kind=errand.kind, errand=errand.id)
            await self._database.run(errands.hopeless, errand.id, str(error))
        else:
            await self._inbox.apply(events)
            await self._database.run(errands.done, errand.id)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except DatabaseUnavailable:
                log.warning("cashier.database_away")
            except Exception as error:
                log.error("cashier.broken", error=type(error).__name__)
            await asyncio.sleep(seconds)


def _audit(session: Session, report: Report, found: list[str], now: datetime) -> None:
    records.audit(
        session, now, actor="cashier", action="reconciled", account=None, reason=report.provider,
        seen=report.seen, differences=found[:50],
    )  # fmt: skip

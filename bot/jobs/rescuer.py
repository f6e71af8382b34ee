"""What time does: retries come due, lost jobs run again, late ones are given up, lots lapse, blobs are collected.

One round is a few small transactions; each may be run by several processes at once and twice without harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from bot.config import Config
from bot.jobs import ending, entitlement
from bot.jobs.submit import RELAXED
from storage import artifacts, jobs, ledger, places, rates, records
from storage.blobs import Blobs, BlobsUnavailable
from storage.database import Database, DatabaseUnavailable, Session
from storage.ledger import Drift

ROUND_SECONDS = 1.0
SWEEP_SECONDS = 60.0
CHECK_SECONDS = 3600.0
ORPHAN_AGE = timedelta(hours=24)
"""A blob without a row may belong to an attempt that is about to finish: it is left alone for so long."""

log = structlog.get_logger(__name__)


class Rescuer:
    def __init__(
        self, database: Database, blobs: Blobs, config: Config, *, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._blobs, self._config, self._clock = database, blobs, config, clock
        self.drift: list[Drift] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(ROUND_SECONDS, self.round))
            group.create_task(self._every(SWEEP_SECONDS, self.sweep))
            group.create_task(self._every(CHECK_SECONDS, self.check))

    async def round(self) -> None:
        """Jobs: due retries, lost leases, those that waited too long."""
        await self._database.run(jobs.due, self._clock())
        await self._database.run(_rescue_lost, self._clock())
        await self._database.run(_expire_late, self._config, self._clock())

    async def sweep(self) -> None:
        """Lots that lapsed, media past its time, one-time keys past theirs."""
        now = self._clock()
        while await self._database.run(ledger.expire, now):
            pass
        await self._database.run(entitlement.derive_due, self._config, now)
        await self._database.run(records.forget_nonces, now)
        await self._database.run(places.forget_tokens)
        await self._collect(now)

    async def check(self) -> None:
        """The books; paces that say nothing any more; blobs that no row answers for."""
        self.drift = await self._database.read(ledger.check)
        if self.drift:
            log.error("ledger.drift", drift=[repr(each) for each in self.drift[:20]])
        await self._database.run(rates.forget, self._clock())
        await self._collect_orphans(self._clock())

    async def _collect(self, now: datetime) -> None:
        while found := await self._database.read(artifacts.collectable, now):
            await self._blobs.delete([blob for _, blob in found])
            await self._database.run(artifacts.collected, [artifact for artifact, _ in found], now)
        while uploads := await self._database.read(artifacts.expired_uploads, now):
            await self._blobs.delete(uploads)
            await self._database.run(artifacts.forget_uploads, uploads)

    async def _collect_orphans(self, now: datetime) -> None:
        async for keys in self._blobs.older_than(now - ORPHAN_AGE):
            known = await self._database.read(artifacts.known, keys)
            await self._blobs.delete([key for key in keys if key not in known])

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (DatabaseUnavailable, BlobsUnavailable) as error:
                log.warning("rescuer.storage_away", error=str(error))
            except Exception:
                log.exception("rescuer.broken")
            await asyncio.sleep(seconds)


def _rescue_lost(session: Session, now: datetime) -> int:
    lost = jobs.lost(session)
    for job in lost:
        log.warning("job.rescued", job=job.id, attempt=job.attempt)
        ending.rescue(session, job, now)
    return len(lost)


def _expire_late(session: Session, config: Config, now: datetime) -> int:
    tiers = {name: config.timeouts.queue(name) for name in (*config.plans, RELAXED)}
    late = jobs.overdue(session, now, tiers=tiers)
    for job in late:
        ending.expire(session, job, now)
    return len(late)

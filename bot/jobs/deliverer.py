"""From the outbox to the person: each final card is sent by the platform's client until it arrives or can't.

Runs in the process that holds the client. A result is sent at least once; what was sent is marked at once, so
only a crash in between sends it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from bot.chat import Platform, TryLater, Undeliverable
from bot.config import Config
from bot.jobs.board import Board
from storage import deliveries
from storage.database import Database, DatabaseUnavailable
from storage.deliveries import Delivery
from storage.signals import Wake

LEASE_SECONDS = 60
BATCH = 16
IDLE_SECONDS = 1.0
BACKOFF_SECONDS_MAX = 300.0

log = structlog.get_logger(__name__)


class Deliverer:
    """Sends what is due for one platform."""

    def __init__(
        self, database: Database, platform: Platform, board: Board, config: Config,
        *, clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._database, self._platform, self._board = database, platform, board
        self._config, self._clock = config, clock
        self._wake = Wake(database.signals, "deliveries")

    async def run(self) -> None:
        while True:
            if not await self.round():
                await self._wake.wait(IDLE_SECONDS)

    async def round(self) -> int:
        """One batch; returns how many were due."""
        try:
            due = await self._database.run(
                deliveries.claim, self._platform.name, lease_seconds=LEASE_SECONDS, limit=BATCH
            )
            async with asyncio.TaskGroup() as group:
                for delivery in due:
                    group.create_task(self._deliver(delivery))
            return len(due)
        except* DatabaseUnavailable:
            log.warning("deliverer.database_away")
        return 0

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            message = await self._send(delivery)
        except TryLater as later:
            await self._postpone(delivery, later.seconds)
        except Undeliverable:
            log.info("delivery.undeliverable", job=delivery.job, platform=self._platform.name)
            await self._database.run(deliveries.undeliverable, delivery.id, self._clock())
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("delivery.broken", job=delivery.job)
            await self._postpone(delivery, min(2.0**delivery.attempts, BACKOFF_SECONDS_MAX))
        else:
            await self._database.run(deliveries.sent, delivery.id, message, self._clock())

    async def _send(self, delivery: Delivery) -> str:
        final = await self._board.final(delivery.job)
        if final is None:
            return "deleted"
        return await self._platform.deliver(delivery.account, final.address, final.card)

    async def _postpone(self, delivery: Delivery, seconds: float) -> None:
        given_up = delivery.created_at + timedelta(seconds=self._config.timeouts.delivery) < self._clock()
        ends: Awaitable[None] = (
            self._database.run(deliveries.undeliverable, delivery.id, self._clock())
            if given_up
            else self._database.run(deliveries.later, delivery.id, seconds)
        )
        await ends

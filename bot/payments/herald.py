"""From the outbox of notices to the person, in their language, until it arrives or cannot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from bot.chat import Platform, TryLater, Undeliverable, locale_of
from bot.config import Config
from bot.replies import say
from storage import notices
from storage.database import Database, DatabaseUnavailable
from storage.notices import Notice
from storage.signals import Wake

LEASE_SECONDS = 60
IDLE_SECONDS = 5.0
BACKOFF_SECONDS_MAX = 600.0

log = structlog.get_logger(__name__)


class Herald:
    """Tells what is due on one platform."""

    def __init__(
        self, database: Database, platform: Platform, config: Config, *, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._platform, self._config, self._clock = database, platform, config, clock
        self._wake = Wake(database.signals, "notices")

    async def run(self) -> None:
        while True:
            if not await self.round():
                await self._wake.wait(IDLE_SECONDS)

    async def round(self) -> int:
        """One batch; returns how many were due."""
        try:
            due = await self._database.run(notices.claim, self._platform.name, lease_seconds=LEASE_SECONDS)
            for notice in due:
                await self._tell(notice)
            return len(due)
        except DatabaseUnavailable:
            log.warning("herald.database_away")
            return 0

    async def _tell(self, notice: Notice) -> None:
        try:
            text = say(locale_of(notice.locale), notice.message, **notice.values)
            await self._platform.tell(notice.account, notice.person, text)
        except Undeliverable:
            await self._database.run(notices.close, notice.id)
        except TryLater as later:
            await self._postpone(notice, later.seconds)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            log.error("notice.broken", notice=notice.id, error=type(error).__name__)
            await self._postpone(notice, min(2.0**notice.attempts, BACKOFF_SECONDS_MAX))
        else:
            await self._database.run(notices.close, notice.id)

    async def _postpone(self, notice: Notice, seconds: float) -> None:
        given_up = notice.created_at + timedelta(seconds=self._config.timeouts.delivery) < self._clock()
        if given_up:
            await self._database.run(notices.close, notice.id)
        else:
            await self._database.run(notices.later, notice.id, seconds)

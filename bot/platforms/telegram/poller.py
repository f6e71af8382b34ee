"""Long polling: one poller among all processes, and an update is confirmed only once it is handled.

While something is still being handled, the same updates are asked for again (without waiting) and the ones that
are known are skipped: so the offset never passes what a crash would lose. A second poller would be told 409.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from telegram import Bot, Update
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from bot.platforms.telegram.wire import seconds_of
from storage import places
from storage.database import Database, DatabaseUnavailable

POLL_SECONDS = 25
BATCH = 100
PENDING_SECONDS = 0.25
LOST_SECONDS = 2.0
CONFLICT_SECONDS = 5.0
TOKEN_SECONDS = 60.0
LEASE_SECONDS = 9  # prolonged every third of it; what a crashed poller leaves deaf, with the next one's look
LOOK_SECONDS = 1.0
STOP_SECONDS = 2.0
ALLOWED = (
    "message", "callback_query", "inline_query", "chosen_inline_result", "my_chat_member", "pre_checkout_query",
    "subscription",
)  # fmt: skip
"""Edited messages are left out: they make no new jobs."""

log = structlog.stdlib.get_logger(__name__)
Raw = dict[str, Any]


class TolerantBot(Bot):
    """Updates come as they are, so that one that can't be read does not hide the others."""

    async def raw_updates(self, offset: int, *, seconds: int) -> list[Raw]:
        data = {"offset": offset, "limit": BATCH, "timeout": seconds, "allowed_updates": list(ALLOWED)}
        found = cast("object", await self._post("getUpdates", data, read_timeout=seconds + 10))
        if not isinstance(found, list):
            raise TelegramError("not a list of updates")
        updates = cast("list[object]", found)
        return [cast("Raw", each) for each in updates if isinstance(each, dict) and "update_id" in each]


def read(raw: Raw, bot: Bot) -> Update | None:
    """None for what the SDK can't read: it is logged without its content."""
    try:
        return Update.de_json(raw, bot)
    except Exception as error:
        log.warning("telegram.update_malformed", update=raw.get("update_id"), error=type(error).__name__)
        return None


class Poller:
    """Holds the bot's lease while it runs; `lead` is called by whoever gets it."""

    def __init__(
        self, bot: TolerantBot, database: Database, handle: Callable[[Update], Awaitable[None]],
        lead: Callable[[], Awaitable[None]], *, name: str, poll: bool,
    ) -> None:  # fmt: skip
        self._bot, self._database, self._handle, self._lead = bot, database, handle, lead
        self._name, self._polls = name, poll
        self._owner = secrets.token_hex(8)
        self._offset = 0
        self._pending: dict[int, asyncio.Task[None]] = {}
        self._handled: set[int] = set()
        self._again: set[int] = set()  # could not be handled: they are to come again

    async def run(self) -> None:
        """Leads whenever nobody else does, until cancelled; then another may at once."""
        try:
            while True:
                if await self._elected():
                    await self._reign()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._abdicate()

    async def _reign(self) -> None:
        """Does the leader's work until the lease is lost."""
        work = asyncio.create_task(self._work())
        try:
            while await self._elected():
                await asyncio.wait({work}, timeout=LEASE_SECONDS / 3)
                if work.done():
                    work.result()
                    work = asyncio.create_task(asyncio.sleep(3600))
            log.warning("telegram.lease_lost")
        finally:
            work.cancel()
            await asyncio.wait({work})

    async def _work(self) -> None:
        await persistently(self._lead)
        if self._polls:
            await persistently(self._bot.delete_webhook)
            log.info("telegram.polling")
            while True:
                await self._turn()

    async def _turn(self) -> None:
        """Asks for updates once and starts what is new."""
        try:
            found = await self._bot.raw_updates(self._next(), seconds=0 if self._pending else POLL_SECONDS)
        except Conflict as conflict:
            log.warning("telegram.other_poller")
            await asyncio.sleep(CONFLICT_SECONDS)
            if "webhook" in conflict.message:  # set by whoever used this token last
                await persistently(self._bot.delete_webhook)
            return
        except TelegramError as error:
            log.warning("telegram.unreachable", error=type(error).__name__)
            await asyncio.sleep(_seconds(error))
            return
        for raw in found:
            self._start(raw)
        if self._pending:
            await asyncio.wait(self._pending.values(), timeout=PENDING_SECONDS)

    def _start(self, raw: Raw) -> None:
        number: int = raw["update_id"]
        if number in self._pending or number in self._handled or number < self._offset:
            return
        self._again.discard(number)
        self._pending[number] = asyncio.create_task(self._take(number, raw))

    async def _take(self, number: int, raw: Raw) -> None:
        ended = self._again
        try:
            update = read(raw, self._bot)
            if update is not None:
                await self._handle(update)
            ended = self._handled
        except DatabaseUnavailable:
            await asyncio.sleep(LOST_SECONDS)
        finally:
            del self._pending[number]
            ended.add(number)

    def _next(self) -> int:
        """The offset: everything before it is handled. Ids are nearly consecutive, but may jump."""
        first = min((*self._pending, *self._again), default=None)
        done = {number for number in self._handled if first is None or number < first}
        self._handled -= done
        self._offset = max((self._offset, *(number + 1 for number in done)))
        return self._offset

    async def _elected(self) -> bool:
        try:
            return await self._database.run(places.lead, self._name, self._owner, seconds=LEASE_SECONDS)
        except DatabaseUnavailable:
            return False

    async def _abdicate(self) -> None:
        """Confirms what is handled, so that the next process does not answer it again, and frees the lease."""
        pending = list(self._pending.values())
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if self._polls and self._handled:
                    await self._bot.raw_updates(self._next(), seconds=0)
                await self._database.run(places.step_down, self._name, self._owner)
        except (TimeoutError, TelegramError, DatabaseUnavailable):
            log.warning("telegram.stopped_in_haste")


async def persistently(call: Callable[[], Awaitable[object]]) -> None:
    """Until it works: the API may be away when we start."""
    while True:
        try:
            await call()
        except TelegramError as error:
            log.warning("telegram.unreachable", error=type(error).__name__)
            await asyncio.sleep(_seconds(error))
        else:
            return


def _seconds(error: TelegramError) -> float:
    """How long to wait after this."""
    if isinstance(error, InvalidToken):
        return TOKEN_SECONDS
    return seconds_of(error) if isinstance(error, RetryAfter) else LOST_SECONDS

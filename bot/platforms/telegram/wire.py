"""Calls to the Bot API: within the budgets, with errors that say what to do next.

    Refused                 the API said no
    ├── Closed              this chat can't be written to: blocked, kicked, no rights, gone
    ├── TopicGone           the topic was deleted: the general one is left
    ├── MessageGone         the message to edit or delete is not there any more
    ├── Unreadable          its markup could not be read: send it plain
    ├── Unshowable          no photo of this: send it as a document
    └── TooLarge            over the API's limit for files
    bot.chat.TryLater       429, a token that is not taken: nothing was done
    └── Lost                5xx, a lost connection: it may have been done all the same

"message is not modified" counts as done. Limits: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import structlog
from telegram import Bot
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from bot.chat import TryLater
from bot.places import Places
from bot.platforms.pacing import Pacer, Rate

OVERALL = Rate(28, 2)  # at most 30 in any second
PRIVATE = Rate(1, 5)
GROUP = Rate(15 / 60, 5)  # at most 20 in any minute
LOST_SECONDS = 5.0
NO_ROOM_SECONDS = 1.0
TOKEN_SECONDS = 60.0
FLOODED_CHATS = 3  # that are paused at once: then it is us, not them

log = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")


class Refused(Exception):
    """The API will not do this."""


class Closed(Refused):
    pass


class TopicGone(Refused):
    pass


class MessageGone(Refused):
    pass


class Unreadable(Refused):
    pass


class Unshowable(Refused):
    pass


class TooLarge(Refused):
    pass


class Lost(TryLater):
    pass


_MEANINGS: tuple[tuple[str, type[Refused]], ...] = (
    ("thread not found", TopicGone), ("topic_deleted", TopicGone), ("topic_closed", TopicGone),
    ("can't parse", Unreadable), ("entity", Unreadable),
    ("to edit not found", MessageGone), ("can't be edited", MessageGone), ("to delete not found", MessageGone),
    ("can't be deleted", MessageGone), ("message_id_invalid", MessageGone), ("no text in the message", MessageGone),
    ("photo_invalid", Unshowable), ("image_process", Unshowable), ("photo_save", Unshowable),
    ("wrong type of the web page", Unshowable), ("too big", TooLarge), ("too large", TooLarge),
    ("chat not found", Closed), ("rights", Closed), ("write_forbidden", Closed), ("restricted", Closed),
    ("deactivated", Closed), ("peer_id_invalid", Closed), ("user not found", Closed), ("forbidden", Closed),
    ("kicked", Closed), ("not a member", Closed),
)  # fmt: skip
"""Words of the API's descriptions, which have no codes, and what they mean for us."""


def rate_of(chat: str) -> Rate:
    """Groups have negative ids."""
    return GROUP if chat.startswith("-") else PRIVATE


class Wire:
    """One bot's way to the API."""

    def __init__(self, bot: Bot, places: Places, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.bot, self._places, self._clock = bot, places, clock
        self.pacer = Pacer(OVERALL, rate_of, clock=clock)
        self._moved: dict[int, int] = {}
        self._flooded: dict[int, float] = {}

    def now_at(self, chat: int) -> int:
        """The id that a chat has now: a group becomes a supergroup under another."""
        return self._moved.get(chat, chat)

    async def result(
        self, chat: int, call: Callable[[int], Awaitable[T]], *, follow: bool = True
    ) -> T | None:
        """Waits for its turn. None where nothing had to change. Raises Refused and TryLater."""
        chat = self.now_at(chat)
        async with self.pacer.result(str(chat)):
            return await self.call(chat, call, follow=follow)

    async def at_once(
        self, chat: int, call: Callable[[int], Awaitable[T]], *, follow: bool = True
    ) -> T | None:
        """Now or not at all. Raises TryLater where there is no room, and Refused."""
        chat = self.now_at(chat)
        if not self.pacer.try_progress(str(chat)):
            raise TryLater(NO_ROOM_SECONDS)
        return await self.call(chat, call, follow=follow)

    async def call(self, chat: int, call: Callable[[int], Awaitable[T]], *, follow: bool = True) -> T | None:
        """Outside the budgets: for what sends no message. Raises Refused and TryLater.

        `follow` a group to its new id; not for edits, as its messages have other ids there: then MessageGone.
        """
        try:
            return await call(chat)
        except ChatMigrated as migrated:
            await self.move(chat, migrated.new_chat_id)
            if not follow:
                raise MessageGone from None
            return await self.call(migrated.new_chat_id, call)
        except RetryAfter as flood:
            raise self._pause(chat, flood) from None
        except Forbidden as error:
            raise Closed(error.message) from None
        except InvalidToken:
            log.error("telegram.token_refused")
            raise TryLater(TOKEN_SECONDS) from None
        except TelegramError as error:
            if "not modified" in error.message:
                return None
            raise _meaning(error) from None

    async def move(self, old: int, new: int) -> None:
        """A group has another id now."""
        if self._moved.get(old) != new:
            log.info("telegram.group_migrated")
            self._moved[old] = new
            await self._places.move("telegram", str(old), str(new))

    def _pause(self, chat: int, flood: RetryAfter) -> TryLater:
        """Several chats flooded at once mean that all are: nobody is asked before its time."""
        seconds, now = seconds_of(flood), self._clock()
        self._flooded = {each: until for each, until in self._flooded.items() if until > now}
        self._flooded[chat] = now + seconds
        everywhere = len(self._flooded) >= FLOODED_CHATS
        self.pacer.pause(None if everywhere else str(chat), seconds)
        log.warning("telegram.flood", seconds=seconds, everywhere=everywhere)
        return TryLater(seconds)


def seconds_of(flood: RetryAfter) -> float:
    """The wait that was asked for; the SDK is between two types for it."""
    wait = flood.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def _meaning(error: TelegramError) -> Exception:
    said = error.message.lower()
    for words, meaning in _MEANINGS:
        if words in said:
            return meaning(error.message)
    if isinstance(error, BadRequest) or not isinstance(error, NetworkError):
        return Refused(error.message)
    return Lost(LOST_SECONDS)

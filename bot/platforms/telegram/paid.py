"""`/sell 50 @channel`, in answer to a result: a creator's own picture, to be unlocked for Stars in their channel.

What it earns goes to the channel's balance, not to us. Both the bot and the person must manage the channel.
Telegram neither takes a nonce nor tells what a bot has posted: the intention is kept first, and where nobody knows
what became of it, the seller is told to look.
https://core.telegram.org/bots/api#sendpaidmedia
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from telegram import ChatFullInfo, ChatMemberAdministrator, ChatMemberOwner, InputPaidMediaPhoto
from telegram.constants import ChatType
from telegram.error import TelegramError

from bot.chat import Card, Chat, Invocation, Media, Reply, TryLater
from bot.payments.telegram_stars import STARS_MAX
from bot.platforms.telegram import pictures
from bot.platforms.telegram.results import PHOTO_BYTES_MAX
from bot.platforms.telegram.translate import Me
from bot.platforms.telegram.wire import Lost, Refused, Wire
from bot.replies import say
from storage import records
from storage.database import Database, Session

COMMAND = "sell"
REMEMBERED = timedelta(days=2)
"""Telegram keeps an update for a day."""
WORDS = re.compile(r"(\d{1,5})\s+(@[A-Za-z]\w{3,31}|-100\d{5,15})")


class Unsold(Exception):
    """What stands in the way, as a message's id."""


class PaidMedia:
    def __init__(
        self, me: Me, chat: Chat, wire: Wire, database: Database, *, clock: Callable[[], datetime]
    ) -> None:
        self._me, self._chat, self._wire = me, chat, wire
        self._database, self._clock = database, clock

    async def began(self, invocation: Invocation) -> bool:
        """Whether this event has led to a post, or may have."""
        return invocation.command == COMMAND and await self._database.read(
            records.happened, self._key(invocation)
        )

    async def sell(self, invocation: Invocation) -> Reply:
        """Says what became of it. Raises only DatabaseUnavailable."""
        locale = invocation.address.locale
        try:
            stars, channel = _asked(invocation.text)
            card = await self._own(invocation)
            where = await self._managed(channel, invocation.person.id)
            media = [
                InputPaidMediaPhoto(await self._shown(each.artifact, each.scale)) for each in card.pictures
            ]
            if await self._database.run(_begin, self._key(invocation), self._clock()):
                await self._post(self._key(invocation), where, stars, media, card.label)
        except Unsold as unsold:
            return Reply(text=say(locale, str(unsold), most=STARS_MAX), refused=True, only_for_requester=True)
        done = say(locale, "telegram-sell-done", stars=stars, channel=where.title or channel)
        return Reply(text=done, only_for_requester=True)

    async def _own(self, invocation: Invocation) -> Card:
        """The person's picture that the command answers."""
        job = invocation.origin or 0
        found = await self._chat.cards(invocation.person, before=job + 1, limit=1)
        if not found or found[0].job != job or not found[0].pictures:
            raise Unsold("telegram-sell-what")
        return found[0]

    async def _managed(self, channel: str, person: str) -> ChatFullInfo:
        bot = self._wire.bot
        try:
            where = await bot.get_chat(channel)
            members = [await bot.get_chat_member(where.id, each) for each in (self._me.id, int(person))]
        except (TelegramError, ValueError):
            raise Unsold("telegram-sell-where") from None
        if where.type != ChatType.CHANNEL or not all(_posts(each) for each in members):
            raise Unsold("telegram-sell-where")
        return where

    async def _post(
        self, key: str, where: ChatFullInfo, stars: int, media: list[InputPaidMediaPhoto], label: str
    ) -> None:
        try:
            await self._wire.result(
                where.id, lambda chat: self._wire.bot.send_paid_media(chat, stars, media, caption=label)
            )
        except Lost:
            raise Unsold("telegram-sell-perhaps") from None
        except (TryLater, Refused) as refused:
            await self._database.run(records.forget, key)
            reason = "later" if isinstance(refused, TryLater) else "where"
            raise Unsold(f"telegram-sell-{reason}") from None
        await self._database.run(records.first_time, _done(key), expires_at=self._clock() + REMEMBERED)

    def _key(self, invocation: Invocation) -> str:
        return f"sell:{self._me.id}:{invocation.event}"

    async def _shown(self, artifact: int, scale: int) -> bytes:
        media: Media | None = await self._chat.media(artifact)
        data = await pictures.enlarged(media.data, scale) if media else b""
        if not 0 < len(data) <= PHOTO_BYTES_MAX:
            raise Unsold("telegram-sell-what")
        return data


def _begin(session: Session, key: str, now: datetime) -> bool:
    """Keeps the intention; False where the same is posted already. Raises Unsold where it may be."""
    if records.first_time(session, key, expires_at=now + REMEMBERED):
        return True
    if records.happened(session, _done(key)):
        return False
    raise Unsold("telegram-sell-perhaps")


def _done(key: str) -> str:
    return f"{key}:done"


def _asked(text: str) -> tuple[int, str]:
    found = WORDS.fullmatch(text.strip())
    if found is None or not 1 <= int(found[1]) <= STARS_MAX:
        raise Unsold("telegram-sell-usage")
    return int(found[1]), found[2]


def _posts(member: object) -> bool:
    if isinstance(member, ChatMemberAdministrator):
        return bool(member.can_post_messages)
    return isinstance(member, ChatMemberOwner)

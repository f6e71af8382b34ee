"""From an update to what it asks for. An update counts as handled once its job is in the database and its answer
is sent or on its way; Telegram sends it again until then, and the same event makes no second job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import structlog
from telegram import Chat as TelegramChat
from telegram import ChatMember, Message, Update, User
from telegram.error import TelegramError

from bot.buttons import Buttons
from bot.chat import Attachment, AttachmentGone, Chat, Invocation, Locale, Person, Reply, TryLater
from bot.commands import REGISTRY
from bot.places import Places
from bot.platforms.telegram import paid, translate
from bot.platforms.telegram.albums import Albums
from bot.platforms.telegram.answers import Answers
from bot.platforms.telegram.drawing import Marks
from bot.platforms.telegram.inline import Inline
from bot.platforms.telegram.paid import PaidMedia
from bot.platforms.telegram.presses import Presses
from bot.platforms.telegram.resting import Naps
from bot.platforms.telegram.stars import Counter
from bot.platforms.telegram.translate import Me, Words
from bot.platforms.telegram.wire import Refused, Wire
from bot.replies import say
from storage.database import DatabaseUnavailable

STALE_SECONDS = 3600  # what was asked while we were away for longer is asked again by whoever still wants it
ANSWER_SECONDS = 5.0  # an answer that takes longer goes on by itself
TRIES = 4
WAIT_SECONDS_MAX = 120.0
PICTURES_MAX = 10
MANAGED = ("setup", "plans", "buy")  # commands that do more for those who manage the group
MODERATORS = frozenset({ChatMember.OWNER, ChatMember.ADMINISTRATOR})

log = structlog.stdlib.get_logger(__name__)


class Intake:
    def __init__(
        self, me: Me, chat: Chat, wire: Wire, places: Places, buttons: Buttons, answers: Answers,
        inline: Inline, marks: Marks, naps: Naps, counter: Counter, paid_media: PaidMedia,
        *, clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._me, self._chat, self._wire, self._places = me, chat, wire, places
        self._buttons, self._answers, self._inline, self._clock = buttons, answers, inline, clock
        self._counter, self._paid = counter, paid_media
        self._albums = Albums()
        self._tasks: set[asyncio.Task[None]] = set()
        self.presses = Presses(
            chat, wire, answers, buttons, marks, naps, locale_of=self._locale_of, moderates=self._moderates
        )

    async def handle(self, update: Update) -> None:
        """Raises only DatabaseUnavailable: what else can't be handled must not come again for ever."""
        try:
            await self._handle(update)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            log.error("telegram.update_broken", error=type(error).__name__, update=update.update_id)

    async def stop(self) -> None:
        """Ends the answers that are still on their way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks) if self._tasks else None

    async def _handle(self, update: Update) -> None:
        if await self._counter.take(update):
            return
        if update.message is not None:
            await self._message(update.message)
        elif update.callback_query is not None:
            if given := await self.presses.run(update.callback_query):
                await self._answer(partial(self._answers.give, *given))
        elif update.inline_query is not None:
            await self._inline.offer(update.inline_query)
        elif update.chosen_inline_result is not None:
            if invocation := self._inline.chosen(update.chosen_inline_result):
                reply = await self._chat.run(invocation)
                await self._answer(partial(self._inline.say, invocation.address, reply))
        else:
            log.info("telegram.update_ignored", update=update.update_id)

    async def _message(self, message: Message) -> None:
        if message.migrate_to_chat_id:
            await self._wire.move(message.chat.id, message.migrate_to_chat_id)
        if not _is_persons(message):
            return
        album = await self._albums.gathered(message)
        if album is None:
            return
        spoken = next((each for each in album if each.caption), album[0])
        origin = translate.origin_of(message.reply_to_message, self._me, self._buttons)
        words = translate.words_of(spoken, self._me, tuple(REGISTRY), origin)
        if words is not None:
            await self._asked(album, words)

    async def _asked(self, album: list[Message], words: Words) -> None:
        """A message that is meant for us."""
        first = album[0]
        person = translate.person_of(*_who(first))
        address = translate.address_of(first, person, await self._locale_of(str(first.chat.id), person))
        attachments = self._attachments(album, words)
        invocation = Invocation(
            event=translate.event_of(first),
            command=words.command,
            text=words.text,
            person=person,
            address=address,
            attachments=tuple(attachments),
            origin=words.origin,
            may_moderate=await self._may(first, words, person),
            group=first.chat.title or "",
        )
        refusal = await self._refusal(first, words, invocation)
        reply = Reply(text=refusal, refused=True) if refusal else await self._run(invocation)
        await self._answer(partial(self._answers.give, invocation, reply))

    async def _run(self, invocation: Invocation) -> Reply:
        """Commands of all platforms, and the one that only Telegram has."""
        if invocation.command == paid.COMMAND:
            return await self._paid.sell(invocation)
        return await self._chat.run(invocation)

    async def _refusal(self, message: Message, words: Words, invocation: Invocation) -> str:
        """What is wrong before a command is run at all; empty when nothing is."""
        address, locale = invocation.address, invocation.address.locale
        if (self._clock() - message.date).total_seconds() > STALE_SECONDS:
            return "" if await self._paid.began(invocation) else say(locale, "telegram-stale")
        if address.kind == "group":
            settings = await self._places.get(translate.NAME, address.place)
            allowed = translate.is_allowed(settings, address) or words.command == "setup"
            return "" if allowed else say(locale, "telegram-other-topic")
        if words.plain and not words.text:
            return say(locale, "telegram-what" if invocation.attachments else "telegram-only-words")
        return ""

    def _attachments(self, album: list[Message], words: Words) -> list[Attachment]:
        """The pictures sent; else the one answered, unless it is a result of ours."""
        sent = [each for message in album for each in translate.pictures_of(message, self._fetch)]
        answered = album[0].reply_to_message
        if not sent and answered is not None and words.origin is None:
            sent = translate.pictures_of(answered, self._fetch)
        return sent[:PICTURES_MAX]

    async def _fetch(self, file_id: str) -> bytes:
        """Raises AttachmentGone. https://core.telegram.org/bots/api#getfile"""
        try:
            file = await self._wire.bot.get_file(file_id)
            if (file.file_size or 0) > translate.DOWNLOAD_BYTES_MAX:
                raise AttachmentGone
            return bytes(await file.download_as_bytearray())
        except TelegramError:
            raise AttachmentGone from None

    async def _locale_of(self, place: str, person: Person) -> Locale:
        """The group's language where it has chosen one, else the person's."""
        if not place.startswith("-"):
            return person.locale
        return (await self._places.get(translate.NAME, place)).locale or person.locale

    async def _may(self, message: Message, words: Words, person: Person) -> bool:
        if words.command not in MANAGED or translate.kind_of(message.chat) == "private":
            return False
        return person.id == str(message.chat.id) or await self._moderates(message.chat.id, person)

    async def _moderates(self, chat: int, person: Person) -> bool:
        """Whether the person manages this group; those who write as the group itself do."""
        if person.id.startswith("-"):
            return int(person.id) == chat
        try:
            member = await self._wire.bot.get_chat_member(chat, int(person.id))
        except TelegramError:
            return False
        return member.status in MODERATORS

    async def _answer(self, give: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(_tried(give))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=ANSWER_SECONDS)


async def _tried(give: Callable[[], Awaitable[None]]) -> None:
    """Gives an answer, later where the platform asks to wait; a chat that is closed to us needs none."""
    for _ in range(TRIES):
        try:
            return await give()
        except TryLater as later:
            if later.seconds > WAIT_SECONDS_MAX:
                break
            await asyncio.sleep(later.seconds)
        except Refused:
            return None
        except Exception as error:
            log.error("telegram.answer_broken", error=type(error).__name__)
            return None
    log.warning("telegram.answer_dropped")
    return None


def _who(message: Message) -> tuple[User, TelegramChat | None]:
    user = message.from_user
    if user is None:
        raise ValueError("a message from nobody")
    return user, message.sender_chat


def _is_persons(message: Message) -> bool:
    """Not other bots' messages, nor our own that were sent inline, nor a channel's."""
    user = message.from_user
    if user is None or message.via_bot is not None or message.chat.type == TelegramChat.CHANNEL:
        return False
    if message.is_automatic_forward:
        return False
    return not user.is_bot or message.sender_chat is not None

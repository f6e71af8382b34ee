"""Plain words: a direct message, or a mention of us, works like the command; an answer to a result edits it.

Their content comes without the privileged intent, since they are meant for us.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping

import msgspec
import structlog

from bot.chat import Chat, Invocation, Locale, TryLater
from bot.platforms.discord import drawing, translate
from bot.platforms.discord.answers import Answers, Turn
from bot.platforms.discord.outlets import Bot
from bot.platforms.discord.rest import Refused, Rest, patiently
from bot.platforms.discord.translate import Read
from bot.platforms.discord.ways import Way, on_way
from bot.platforms.discord.wire import THREADED, THREADS, Channel, Message, User
from bot.replies import say

CHANNEL_SECONDS = 300.0  # how long a channel's facts are believed
CHANNELS_MAX = 10_000

log = structlog.stdlib.get_logger(__name__)


class Messages:
    def __init__(
        self, chat: Chat, rest: Rest, answers: Answers, read: Read, languages: Mapping[str, Locale]
    ) -> None:
        self._chat, self._rest, self._answers = chat, rest, answers
        self._read, self._languages = read, languages
        self._channels: OrderedDict[str, tuple[float, Channel]] = OrderedDict()

    async def handle(self, message: Message, me: str) -> None:
        author = message.author
        if author is None:
            return
        direct = message.guild_id is None
        place = translate.place_of(message.guild_id, message.channel_id, direct=direct)
        settings = await self._answers.settings(place)
        words = translate.words_of(message, me)
        locale = translate.locale_of_words(words, settings, self._languages.get(author.id))
        channel = (
            Channel(id=message.channel_id, type=1) if direct else await self._channel(message.channel_id)
        )
        way = _way(message, channel)
        outlet = Bot(rest=self._rest, way=way, person=author.id, locale=locale, alone=direct)
        if not translate.is_open(settings, way):
            channels = ", ".join(f"<#{each}>" for each in settings.channels)
            await self._say(outlet, say(locale, "discord-other-channel", channels=channels))
            return
        if not await self._say(outlet, say(locale, "discord-received")):
            return
        invocation = self._invocation(message, author, outlet, place, words)
        reply = await self._chat.run(invocation)
        threads = channel.type in THREADED and outlet.way.channel == channel.id
        turn = Turn(
            outlet=outlet, address=invocation.address, way=outlet.way, settings=settings, threads=threads
        )
        await self._answers.give(turn, reply)

    async def _say(self, outlet: Bot, words: str) -> bool:
        """The first sign of life; False where nothing of ours reaches the person."""
        try:
            await patiently(lambda: outlet.begin(drawing.words(words)[0]))
        except (Refused, TryLater) as error:
            log.info("discord.cannot_answer", error=str(error))
            return False
        return True

    def _invocation(self, message: Message, author: User, outlet: Bot, place: str, words: str) -> Invocation:
        answered = message.referenced_message
        origin = translate.job_of(answered, self._read)
        answers_text = origin is not None and answered is not None and not translate.shows_pictures(answered)
        command, text = translate.command_in(words, answers_text=answers_text)
        files = translate.pictures_in(message.attachments)
        if not text and not files and command == "imagine":
            command = "start"
        if origin is None and answered is not None and not files:
            files = translate.pictures_in(answered.attachments)  # somebody's picture, answered with a wish
        person = translate.person_of(author, outlet.locale)
        address = on_way(translate.address_of(person, outlet.way, place=place, private=False), outlet.way)
        return Invocation(
            event=message.id,
            command=command,
            text=text,
            person=person,
            address=address,
            attachments=translate.attachments_of(files),
            origin=origin,
        )

    async def _channel(self, channel: str) -> Channel:
        """What kind of channel it is; taken as an ordinary one where that cannot be learnt."""
        kept = self._channels.get(channel)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        try:
            found = translate.channel_of(await self._rest.channel(channel))
        except (Refused, TryLater, msgspec.ValidationError):
            return Channel(id=channel)
        self._channels[channel] = (time.monotonic() + CHANNEL_SECONDS, found)
        while len(self._channels) > CHANNELS_MAX:
            self._channels.popitem(last=False)
        return found


def _way(message: Message, channel: Channel) -> Way:
    parent = (channel.parent_id or "") if channel.type in THREADS else ""
    return Way(
        channel=message.channel_id, asked=message.id, bot=True, nsfw=channel.nsfw, parent=parent,
        direct=message.guild_id is None,
    )  # fmt: skip

"""Cards to Discord: progress where there is room, results by whatever way is still open.

    everyone  the interaction's own message -> its channel, edited or anew -> a direct message
    private   the interaction (only they see it) -> a direct message -> waits in `jobs`; never the channel

What took long arrives as a message of its own that mentions the requester, and the status message goes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bot.chat import Address, Audience, Card, Chat, Locale, Person, TryLater, Undeliverable
from bot.config import Config
from bot.places import Places
from bot.platforms.discord import drawing, pictures, wire
from bot.platforms.discord.drawing import Drawn, Extras
from bot.platforms.discord.rest import UNKNOWN_MESSAGE, UNKNOWN_WEBHOOK, Refused, Rest
from bot.platforms.discord.resting import Naps
from bot.platforms.discord.ways import NAME, Tokens, Way, Writer, Writers, way_of
from bot.replies import say
from storage import jobs
from storage.database import Database

EDIT_SECONDS = 2.0
LONG_SECONDS = 30.0
CONTENT_MAX = 2000  # characters of a plain message
NEEDED = ((wire.VIEW_CHANNEL, "view"), (wire.SEND_MESSAGES, "send"), (wire.ATTACH_FILES, "files"))

log = structlog.stdlib.get_logger(__name__)


@dataclass
class Parcel:
    """One card on its way out, and what was learnt on the way."""

    address: Address
    card: Card
    way: Way
    private: bool
    mention: str = ""
    denied: bool = False  # the bot may not write in the channel

    @property
    def person(self) -> str:
        return self.address.person

    @property
    def locked_up(self) -> bool:
        """Whether only messages that nobody else sees will do."""
        return self.private and not self.way.direct


Send = Callable[[Parcel], Awaitable[str]]


class Delivery:
    def __init__(
        self, chat: Chat, config: Config, database: Database, places: Places, rest: Rest, tokens: Tokens,
        writers: Writers, naps: Naps, *, clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._chat, self._config = chat, config
        self._database, self._places = database, places
        self._rest, self._tokens, self._writers = rest, tokens, writers
        self._naps, self._clock = naps, clock
        self._drawing: set[asyncio.Task[None]] = set()

    # --- progress

    def show(self, address: Address, card: Card) -> bool:
        """Draws in the background; False when there is no room for it now."""
        writer = self._writers.of(card.job)
        way = writer.way or way_of(address)
        if writer.closed or writer.gone or not way.message:
            return True
        now = time.monotonic()
        if writer.lock.locked() or now - writer.drawn_at < EDIT_SECONDS:
            return False
        token = self._tokens.has(address.person, way.message)
        if not (self._rest.hooks.try_progress(token) if token else self._rest.bot.try_progress(way.channel)):
            return False
        writer.drawn_at = now
        task = asyncio.create_task(self._draw(writer, parcel_of(address, card, way)))
        self._drawing.add(task)
        task.add_done_callback(self._drawing.discard)
        return True

    async def _draw(self, writer: Writer, parcel: Parcel) -> None:
        async with writer.lock:
            if writer.closed:
                return
            try:
                drawn = drawing.card(parcel.card, Extras(locale=parcel.address.locale))
                await self.edit(parcel, drawn, counted=True)
                await self.mend(parcel)
            except Refused as refused:
                writer.gone = True
                log.info("discord.progress_refused", job=parcel.card.job, code=refused.code)
            except TryLater:
                log.debug("discord.progress_dropped", job=parcel.card.job)
            except Exception as error:
                log.error("discord.progress_broken", job=parcel.card.job, error=type(error).__name__)

    # --- results

    async def deliver(self, address: Address, card: Card) -> str:
        """Raises Undeliverable or TryLater."""
        writer = self._writers.of(card.job)
        pressed = (writer.way or way_of(address)).pressed
        try:
            message = await self._deliver(address, card, writer)
        except Undeliverable:
            await self._naps.end(pressed, card.job)
            raise
        await self._naps.end(pressed, card.job)
        return message

    async def _deliver(self, address: Address, card: Card, writer: Writer) -> str:
        async with writer.lock:
            writer.closed = True
            parcel = parcel_of(address, card, writer.way or way_of(address))
            if self._took_long(card) and not (writer.gone and not parcel.way.message):
                parcel.mention = parcel.person
            return await self._first_open(parcel)

    async def tell(self, person: str, text: str) -> None:
        """Words in the person's direct chat. Raises Undeliverable or TryLater."""
        try:
            await self._rest.send(await self._rest.direct_chat(person), {"content": text[:CONTENT_MAX]})
        except Refused as refused:
            raise Undeliverable from refused

    async def _first_open(self, parcel: Parcel) -> str:
        """By the first way that is open."""
        ways: tuple[Send, ...] = (self._edited, self._followed_up, self._posted, self._direct)
        if parcel.mention:
            ways = (self._posted, self._followed_up, self._edited, self._direct)
        for send in ways:
            try:
                message = await send(parcel)
            except Refused as refused:
                parcel.denied = parcel.denied or refused.forbidden
                log.info("discord.way_closed", job=parcel.card.job, way=send.__name__, code=refused.code)
                continue
            if parcel.mention and parcel.way.message not in {"", message}:
                await self._remove(parcel)
            return message
        raise Undeliverable

    async def _edited(self, parcel: Parcel) -> str:
        if not parcel.way.message:
            raise Refused(404, UNKNOWN_MESSAGE)
        parcel = replace(parcel, mention="")
        return await self._fitting(parcel, parcel.way.limit, lambda drawn: self.edit(parcel, drawn))

    async def _followed_up(self, parcel: Parcel) -> str:
        way = parcel.way
        find = self._tokens.find
        token = await find(parcel.person, way.channel) or await find(parcel.person, way.message)
        if not token or not way.application:
            raise Refused(404, UNKNOWN_WEBHOOK)

        async def send(drawn: Drawn) -> str:
            body = drawing.body(drawn, private=parcel.locked_up, mention=parcel.mention)
            return await self._rest.follow_up(way.application, token, body, drawn.files)

        try:
            return await self._fitting(parcel, way.limit, send)
        except Refused as refused:
            if refused.code == UNKNOWN_WEBHOOK or refused.status == 401:
                self._tokens.forget(parcel.person, way.channel)
            raise

    async def _posted(self, parcel: Parcel) -> str:
        """A message of the bot in the channel: an answer to what was asked, sent once however often we try."""
        way = parcel.way
        if parcel.locked_up or not way.bot or not way.channel:
            raise Refused(404, 0)
        if parcel.denied:
            raise Refused(403, 0)
        return await self._fitting(
            parcel, wire.FILE_BYTES_MAX, lambda drawn: self._post(way.channel, parcel, drawn)
        )

    async def _direct(self, parcel: Parcel) -> str:
        channel = await self._rest.direct_chat(parcel.person)
        if channel == parcel.way.channel and parcel.denied:
            raise Refused(403, 0)
        away = replace(parcel, way=Way(channel=channel), mention="")
        notes = [moved(parcel.way, parcel.address.locale)] if parcel.denied else []
        return await self._fitting(
            away, wire.FILE_BYTES_MAX, lambda drawn: self._post(channel, away, drawn), notes
        )

    async def _post(self, channel: str, parcel: Parcel, drawn: Drawn) -> str:
        body = drawing.body(drawn, mention=parcel.mention)
        body |= {"nonce": f"{parcel.card.job}-{channel[-6:]}", "enforce_nonce": True}
        if parcel.way.asked:
            body["message_reference"] = {"message_id": parcel.way.asked, "fail_if_not_exists": False}
        return await self._rest.send(channel, body, drawn.files)

    async def _fitting(
        self,
        parcel: Parcel,
        bytes_max: int,
        send: Callable[[Drawn], Awaitable[str]],
        notes: list[str] | None = None,
    ) -> str:
        """Sends with files within the limit; once more with small ones when Discord's limit was another."""
        try:
            return await send(await self.drawn(parcel, bytes_max, notes))
        except Refused as refused:
            if not refused.too_large:
                raise
        small = min(bytes_max, pictures.SMALL_BYTES_MAX)
        return await send(await self.drawn(parcel, small, notes))

    # --- what both share, and first answers too

    async def drawn(
        self, parcel: Parcel, bytes_max: int, notes: list[str] | None = None, left: str = ""
    ) -> Drawn:
        """The card with its pictures, veiled where the place or the audience asks for it."""
        card, locale = parcel.card, parcel.address.locale
        made = await pictures.of_card(self._chat, card, bytes_max=bytes_max)
        notes = list(notes or [])
        if parcel.mention:
            notes.append(say(locale, "discord-for-you", person=f"<@{parcel.mention}>"))
        extras = Extras(
            pictures=made.files, shrunk=made.shrunk, spoiler=await self._veiled(parcel), notes=notes,
            locale=locale, left=left,
        )  # fmt: skip
        return drawing.card(card, extras)

    async def edit(self, parcel: Parcel, drawn: Drawn, *, counted: bool = False) -> str:
        """Changes the message by its own token, or as the bot. Raises Refused."""
        way = parcel.way
        body, files = drawing.body(drawn), drawn.files
        token = await self._tokens.find(parcel.person, way.message)
        if token and way.application:
            try:
                return await self._rest.edit_hook(
                    way.application, token, way.message, body, files, counted=counted
                )
            except Refused as refused:
                if refused.code == UNKNOWN_MESSAGE or refused.too_large or not way.bot or parcel.locked_up:
                    raise
                self._tokens.forget(parcel.person, way.message)
        if parcel.locked_up or not way.bot:
            raise Refused(404, UNKNOWN_WEBHOOK)
        return await self._rest.edit(way.channel, way.message, body, files, counted=counted)

    async def mend(self, parcel: Parcel) -> None:
        """Another process may have delivered while this one drew: then the result is drawn again."""
        if not self._config.discord.shards:
            return
        job = await self._database.read(jobs.get, parcel.card.job)
        if job is None or job.state not in jobs.TERMINAL:
            return
        person = Person(platform=NAME, id=parcel.person, locale=parcel.address.locale)
        for card in await self._chat.cards(person, before=job.id + 1, limit=1):
            if card.job == job.id:
                last = replace(parcel, card=card)
                await self.edit(last, await self.drawn(last, last.way.limit))

    async def _remove(self, parcel: Parcel) -> None:
        """The status message goes; where it cannot, it stays."""
        way = parcel.way
        try:
            token = await self._tokens.find(parcel.person, way.message)
            if token and way.application:
                await self._rest.delete_hook(way.application, token, way.message)
            elif way.bot and not parcel.locked_up:
                await self._rest.delete(way.channel, way.message)
        except (Refused, TryLater):
            log.info("discord.status_stays", job=parcel.card.job)

    async def _veiled(self, parcel: Parcel) -> bool:
        """Where the place wants it, and where adult pictures are allowed but the channel is for all ages."""
        address = parcel.address
        if address.kind == "private" or not parcel.card.pictures:
            return False
        settings = await self._places.get(NAME, address.place)
        return settings.spoilers or (self._config.safety.adult == "allow" and not parcel.way.nsfw)

    def _took_long(self, card: Card) -> bool:
        if card.state not in {"done", "failed"} or not card.created_at:
            return False
        return (self._clock() - datetime.fromisoformat(card.created_at)).total_seconds() > LONG_SECONDS


def moved(way: Way, locale: Locale) -> str:
    """Says that the bot may not write there, and what it lacks."""
    lacking = [name for bit, name in NEEDED if not (way.may and wire.may(way.may, bit))]
    names = ", ".join(say(locale, f"discord-permission-{name}") for name in lacking or ["send"])
    return say(locale, "discord-moved", channel=f"<#{way.channel}>", permissions=names)


def parcel_of(address: Address, card: Card, way: Way) -> Parcel:
    private = card.private or address.audience is Audience.PRIVATE
    return Parcel(address=address, card=card, way=way, private=private)

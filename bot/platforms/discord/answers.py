"""A `Reply` through an outlet: cards, words, files; what is for one person only is never left for all to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog

from bot.chat import Address, Audience, Card, Chat, Locale, Reply, TryLater
from bot.places import Places, PlaceSettings
from bot.platforms.discord import drawing, ways
from bot.platforms.discord.delivery import Delivery, parcel_of
from bot.platforms.discord.drawing import Drawn
from bot.platforms.discord.outlets import Bot, Hook
from bot.platforms.discord.rest import Refused, Rest, Upload, patiently
from bot.platforms.discord.resting import Naps
from bot.platforms.discord.ways import NAME, Tokens, Way, Writer, Writers
from bot.replies import say
from storage.database import Database, DatabaseUnavailable

THREAD_NAME_MAX = 90
FILES_MAX = 10

log = structlog.stdlib.get_logger(__name__)
Outlet = Hook | Bot


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One event on its way through: where it came from and how it is answered. `threads`: its channel has them."""

    outlet: Outlet
    address: Address
    way: Way
    settings: PlaceSettings
    threads: bool = False

    @property
    def locale(self) -> Locale:
        return self.address.locale


class Answers:
    def __init__(
        self, chat: Chat, database: Database, places: Places, rest: Rest, tokens: Tokens, writers: Writers,
        delivery: Delivery, naps: Naps,
    ) -> None:  # fmt: skip
        self._chat, self._database, self._places, self._rest = chat, database, places, rest
        self._tokens, self._writers, self._delivery, self._naps = tokens, writers, delivery, naps

    async def settings(self, place: str) -> PlaceSettings:
        """The place's settings; without a database, none."""
        try:
            return await self._places.get(NAME, place) if place else PlaceSettings()
        except DatabaseUnavailable:
            return PlaceSettings()

    async def give(self, turn: Turn, reply: Reply) -> None:
        """Shows the reply. What Discord refuses altogether is logged."""
        try:
            await self._give_in_any_way(turn, reply)
        except (Refused, TryLater) as error:
            log.warning("discord.answer_lost", error=str(error))

    async def _give_in_any_way(self, turn: Turn, reply: Reply) -> None:
        """A SKU that Discord does not sell spoils its button, and must not spoil the words."""
        try:
            await self._give(turn, reply)
        except Refused as refused:
            others = tuple(each for each in reply.buttons if not each.sku)
            if refused.status != 400 or others == reply.buttons:
                raise
            log.error(
                "discord.sku_refused", fix="run `atelier doctor`: it compares discord_sku with the shop"
            )
            await self._give(turn, msgspec.structs.replace(reply, buttons=others))

    async def _give(self, turn: Turn, reply: Reply) -> None:
        if reply.gone is not None:
            await self._remove(turn, reply.gone)
            return
        if reply.files:
            await self._hand_over(turn, reply)
            return
        if len(reply.cards) == 1 and not reply.text:
            await self._begin(turn, reply, reply.cards[0])
            return
        await self._tell(turn, reply)

    # --- one job: its message lives from now on

    async def _begin(self, turn: Turn, reply: Reply, card: Card) -> None:
        writer = self._writers.of(card.job)
        address = turn.address
        if card.private:
            address = msgspec.structs.replace(address, audience=Audience.PRIVATE)
        async with writer.lock:
            if not writer.closed:
                await self._show_first(turn, reply, card, address, writer)
                await self._delivery.mend(parcel_of(address, card, writer.way or turn.way))
        await self._keep_tokens(turn, writer.way or turn.way)

    async def _show_first(
        self, turn: Turn, reply: Reply, card: Card, address: Address, writer: Writer
    ) -> None:
        way = turn.way
        left = say(turn.locale, "submitted-left", left=reply.left) if reply.left is not None else ""
        drawn = await self._delivery.drawn(parcel_of(address, card, way), way.limit, left=left)
        changed = await self._placed(turn, card, drawn)
        if changed != way:
            writer.way = changed
            await ways.move(self._database, card.job, ways.on_way(address, changed))

    async def _placed(self, turn: Turn, card: Card, drawn: Drawn) -> Way:
        """Shows the first card where it belongs; returns the way to it."""
        outlet = turn.outlet
        if card.private and not outlet.private and not outlet.alone:
            message = await self._instead(turn, drawn)
            return msgspec.structs.replace(outlet.way, message=message)
        if (
            turn.threads
            and turn.settings.threads
            and not outlet.private
            and card.state in {"waiting", "running"}
        ):
            thread = await self._in_thread(turn, card, drawn)
            if thread is not None:
                return thread
        message = await patiently(lambda: outlet.put(drawn))
        return msgspec.structs.replace(outlet.way, message=message)

    async def _instead(self, turn: Turn, drawn: Drawn) -> str:
        """Takes back what all could see and answers the requester alone."""
        try:
            await patiently(turn.outlet.remove)
        except Refused:
            log.info("discord.placeholder_stays")
        return await patiently(lambda: turn.outlet.add(drawn, private=True))

    async def _in_thread(self, turn: Turn, card: Card, drawn: Drawn) -> Way | None:
        """The request as a line in the channel, its job in a thread under it; None where that is not allowed."""
        line = drawing.words(f"> {drawing.quoted(card.prompt)}\n-# <@{turn.address.person}>")[0]
        name = " ".join(card.prompt.split())[:THREAD_NAME_MAX] or say(turn.locale, "discord-thread-name")
        message = await patiently(lambda: turn.outlet.put(line))
        try:
            thread = await patiently(lambda: self._rest.open_thread(turn.way.channel, message, name))
            shown = await patiently(lambda: self._rest.send(thread, drawing.body(drawn), drawn.files))
        except Refused as refused:
            log.info("discord.thread_refused", code=refused.code)
            note = drawing.words(say(turn.locale, "discord-thread-denied"))[0]
            await patiently(lambda: turn.outlet.add(note, private=True))
            return None
        return msgspec.structs.replace(
            turn.way, channel=thread, parent=turn.way.channel, message=shown, application="", asked=""
        )

    async def _keep_tokens(self, turn: Turn, way: Way) -> None:
        """So that the next process can still use what this interaction opened."""
        outlet = turn.outlet
        if not isinstance(outlet, Hook) or outlet.began is None:
            return
        where = (way.message, way.channel) if way.application else (turn.way.channel,)
        try:
            await self._tokens.keep(turn.address.person, outlet.interaction.token, *where)
        except DatabaseUnavailable:
            log.warning("discord.tokens_not_kept")

    # --- words, lists, files

    async def _tell(self, turn: Turn, reply: Reply) -> None:
        said = drawing.words(reply.text, reply.buttons) if reply.text or not reply.cards else []
        listed = [card for card in reply.cards if card.state != "done"]
        finished = [card for card in reply.cards if card.state == "done"][: drawing.CARDS_MAX]
        for start in range(0, len(listed), drawing.CARDS_MAX):
            said.append(drawing.cards("", listed[start : start + drawing.CARDS_MAX]))
        for card in finished:
            said.append(await self._delivery.drawn(parcel_of(turn.address, card, turn.way), turn.way.limit))
        private = reply.refused or reply.only_for_requester or any(card.private for card in reply.cards)
        await self._say_all(turn, said, private=private)

    async def _say_all(self, turn: Turn, said: Sequence[Drawn], *, private: bool) -> None:
        outlet = turn.outlet
        private = (private or outlet.private) and not outlet.alone
        first, *rest = said
        if isinstance(outlet, Hook) and outlet.began == "update":
            rest = list(said)
        elif private and not outlet.private and isinstance(outlet, Hook) and outlet.began is not None:
            await self._instead(turn, first)
        else:
            await patiently(lambda: outlet.put(first))
        for drawn in rest:
            await patiently(lambda drawn=drawn: outlet.add(drawn, private=private))

    async def _hand_over(self, turn: Turn, reply: Reply) -> None:
        files: list[Upload] = []
        notes: list[str] = [reply.text] if reply.text else []
        limit = turn.way.limit
        for number, artifact in enumerate(reply.files[:FILES_MAX]):
            media = await self._chat.media(artifact)
            if media is None:
                notes.append(say(turn.locale, "discord-file-gone"))
            elif len(media.data) > limit:
                megabytes = f"{len(media.data) / 2**20:.1f}"
                notes.append(
                    say(turn.locale, "discord-too-large", megabytes=megabytes, limit=f"{limit / 2**20:.0f}")
                )
            else:
                stem, _, extension = drawing.safe_name(media.name).rpartition(".")
                name = f"{stem}-{number + 1}.{extension}"
                files.append(Upload(name=name, data=media.data, media_type=media.media_type))
        await self._say_all(turn, [drawing.documents(files, notes)], private=turn.outlet.private)

    async def _remove(self, turn: Turn, job: int) -> None:
        """The pressed message goes, by the interaction or as the bot."""
        writer = self._writers.of(job)
        async with writer.lock:
            writer.closed = True
            try:
                await patiently(turn.outlet.remove)
            except Refused:
                if turn.way.bot and turn.way.message:
                    await patiently(lambda: self._rest.delete(turn.way.channel, turn.way.message))
        await self._naps.cut_short(job)

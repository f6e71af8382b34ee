"""Where one event is answered: through an interaction's token, or as the bot in a channel.

The first answer takes the place of what was sent as an acknowledgement; the others are added under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
import structlog

from bot.chat import Locale, TryLater
from bot.platforms.discord import drawing
from bot.platforms.discord.delivery import moved
from bot.platforms.discord.drawing import Drawn
from bot.platforms.discord.rest import ACKNOWLEDGED, Refused, Rest
from bot.platforms.discord.ways import Way
from bot.platforms.discord.wire import EPHEMERAL, Interaction

MESSAGE, DEFERRED, DEFERRED_UPDATE, CHOICES, MODAL = 4, 5, 6, 8, 9  # kinds of first answers

log = structlog.stdlib.get_logger(__name__)


class Outlet(Protocol):
    """`private`: whether what has been sent is for the requester's eyes only; `alone`: so is the whole chat."""

    private: bool
    alone: bool

    async def put(self, drawn: Drawn) -> str:
        """In the place of the acknowledgement; returns the message's id. Raises Refused and TryLater."""
        ...

    async def add(self, drawn: Drawn, *, private: bool) -> str:
        """Another message."""
        ...

    async def remove(self) -> None:
        """Takes the first message away; it may be gone already."""
        ...


@dataclass
class Hook:
    """An interaction. `began` says how it was acknowledged; None: it was not, and the token is good for nothing.

    `again`: a process before this one may have acknowledged it; if it did not, nobody waits for it any more.
    """

    rest: Rest
    interaction: Interaction
    way: Way
    locale: Locale
    private: bool = False
    alone: bool = False
    again: bool = False
    began: Literal["message", "update"] | None = None
    message: str = ""

    async def defer(self, *, private: bool) -> None:
        """Says “thinking …” to all, or to the requester only."""
        self.private = private and not self.alone
        body: dict[str, Any] = {"type": DEFERRED}
        if self.private:
            body["data"] = {"flags": EPHEMERAL}
        await self._begin(body, "message")

    async def defer_update(self, *, private: bool) -> None:
        """Accepts the press; the message, seen by all or not, stays as it is."""
        self.private = private and not self.alone
        await self._begin({"type": DEFERRED_UPDATE}, "update")

    async def say(self, drawn: Drawn, *, private: bool = True) -> None:
        """The whole answer at once."""
        body = drawing.body(drawn, private=private and not self.alone)
        body.pop("attachments")
        await self._first({"type": MESSAGE, "data": body})

    async def ask(self, modal: dict[str, Any]) -> None:
        await self._first({"type": MODAL, "data": modal})

    async def offer(self, choices: list[dict[str, str]]) -> None:
        await self._first({"type": CHOICES, "data": {"choices": choices}})

    async def put(self, drawn: Drawn) -> str:
        if self.began is None:
            return await self._as_bot(drawn)
        application, token = self.interaction.application_id, self.interaction.token
        return await self.rest.edit_hook(application, token, "@original", drawing.body(drawn), drawn.files)

    async def add(self, drawn: Drawn, *, private: bool) -> str:
        if self.began is None:
            return await self._as_bot(drawn)
        body = drawing.body(drawn, private=private and not self.alone)
        application, token = self.interaction.application_id, self.interaction.token
        return await self.rest.follow_up(application, token, body, drawn.files)

    async def remove(self) -> None:
        application, token = self.interaction.application_id, self.interaction.token
        await self.rest.delete_hook(application, token)

    async def _begin(self, body: dict[str, Any], kind: Literal["message", "update"]) -> None:
        """Acknowledges. One that came too late is answered as the bot, later. Raises Refused if it is `again`."""
        try:
            self.message = await self.rest.acknowledge(self.interaction.id, self.interaction.token, body)
            self.began = kind
        except Refused as refused:
            if refused.code == ACKNOWLEDGED:
                self.began = kind
            elif self.again:
                raise
            log.info("discord.acknowledge_refused", code=refused.code)
        except TryLater:
            log.warning("discord.acknowledge_failed")
        if kind == "message" and not self.message:
            await self._find_message()

    async def _find_message(self) -> None:
        """What an acknowledgement made whose own answer was lost on the way."""
        application, token = self.interaction.application_id, self.interaction.token
        try:
            self.message = await self.rest.original(application, token)
            self.began = "message"
        except (Refused, TryLater) as error:
            log.info("discord.original_unknown", error=str(error))

    async def _first(self, body: dict[str, Any]) -> None:
        try:
            await self.rest.acknowledge(self.interaction.id, self.interaction.token, body)
        except (Refused, TryLater) as error:
            log.info("discord.answer_lost", error=str(error))

    async def _as_bot(self, drawn: Drawn) -> str:
        """Without a token: in the channel if the bot is there, unless this is for one person; else directly."""
        person = self.interaction.person
        self.way = msgspec.structs.replace(self.way, application="")
        if self.way.bot and (self.way.direct or not self.private):
            try:
                return await self.rest.send(self.way.channel, drawing.body(drawn), drawn.files)
            except Refused as refused:
                log.info("discord.way_closed", way="channel", code=refused.code)
        self.way = await direct_way(self.rest, person.id if person else "0")
        return await self.rest.send(self.way.channel, drawing.body(drawn), drawn.files)


@dataclass
class Bot:
    """A message that somebody wrote, answered by the bot's own."""

    rest: Rest
    way: Way
    person: str
    locale: Locale
    private: bool = False
    alone: bool = False
    message: str = ""

    async def begin(self, drawn: Drawn) -> None:
        """The first sign; in a direct message, saying why, where the channel is closed to us."""
        body = drawing.body(drawn)
        answering = body | {"message_reference": {"message_id": self.way.asked, "fail_if_not_exists": False}}
        try:
            self.message = await self.rest.send(self.way.channel, answering)
        except Refused as refused:
            if self.alone:
                raise
            log.info("discord.way_closed", way="channel", code=refused.code)
            note = drawing.text(moved(self.way, self.locale))
            self.way, self.alone = await direct_way(self.rest, self.person), True
            self.message = await self.rest.send(
                self.way.channel, body | {"components": [note, *drawn.components]}
            )
        self.way = msgspec.structs.replace(self.way, message=self.message, bot=True)

    async def put(self, drawn: Drawn) -> str:
        return await self.rest.edit(self.way.channel, self.message, drawing.body(drawn), drawn.files)

    async def add(self, drawn: Drawn, *, private: bool) -> str:
        if private and not self.alone:
            self.way, self.alone = await direct_way(self.rest, self.person), True
        return await self.rest.send(self.way.channel, drawing.body(drawn), drawn.files)

    async def remove(self) -> None:
        await self.rest.delete(self.way.channel, self.message)


async def direct_way(rest: Rest, person: str) -> Way:
    """To the person alone. Raises Refused and TryLater."""
    return Way(channel=await rest.direct_chat(person), bot=True, direct=True)

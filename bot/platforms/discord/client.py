"""The Discord platform: lives of the gateway one after the other, events to their handlers, cards to people.

An event becomes a task of its own, and whatever goes wrong in it ends in words for the person.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any

import aiohttp
import discord
import msgspec
import structlog

from bot import settings
from bot.buttons import Buttons
from bot.chat import Address, Card, Chat, TryLater, locale_of
from bot.config import Config
from bot.places import Places
from bot.platforms.discord import declarations, drawing, translate, ways, wire
from bot.platforms.discord.answers import Answers
from bot.platforms.discord.delivery import Delivery
from bot.platforms.discord.gateway import Event, Gateway, shards_of
from bot.platforms.discord.interactions import Interactions
from bot.platforms.discord.journal import Journal
from bot.platforms.discord.messages import Messages
from bot.platforms.discord.outlets import MESSAGE
from bot.platforms.discord.rest import Refused, Rest
from bot.platforms.discord.resting import Naps
from bot.platforms.discord.storefront import ENTITLEMENT_EVENTS, SUBSCRIPTION_EVENTS, ShopNews
from bot.platforms.discord.ways import Tokens, Writers
from bot.replies import say
from storage import places as places_storage
from storage.database import Database, DatabaseUnavailable

PUBLISHED = "commands"  # the place under which the registered commands' fingerprint is kept
PUBLISH_SECONDS = 60.0  # between tries
AWAY_SECONDS, STABLE_SECONDS = 5.0, 600.0  # before the next life, doubled while lives are short
UNREACHED_SECONDS_MAX = 30.0  # nothing is lost by trying often
SHORT_SECONDS_MAX = 600.0  # each life costs one of a thousand identifies a day; more, and the token is reset
FINISH_SECONDS = 3.0  # for events that are being answered when the bot stops
INVITE_PERMISSIONS = (
    wire.VIEW_CHANNEL | wire.SEND_MESSAGES | wire.ATTACH_FILES | wire.READ_HISTORY
    | wire.CREATE_THREADS | wire.SEND_IN_THREADS
)  # fmt: skip

log = structlog.stdlib.get_logger(__name__)


def invite_url(application: str) -> str:
    """Where a server's manager adds the bot, with the least that it needs."""
    return (
        f"https://discord.com/oauth2/authorize?client_id={application}"
        f"&scope=bot+applications.commands&permissions={INVITE_PERMISSIONS}"
    )


class DiscordPlatform:
    """A `Platform`. `ready` is set while a gateway has a session."""

    name = ways.NAME

    def __init__(
        self, chat: Chat, config: Config, database: Database, places: Places, buttons: Buttons,
        *, clock: Callable[[], datetime], rest: Rest | None = None, shop: ShopNews | None = None,
    ) -> None:  # fmt: skip
        """`rest` is shared with the payment provider, `shop` brings it the news; without, nothing is sold here."""
        shards_of(config.discord.shards)  # a wrong one is refused at start
        self._config, self._database = config, database
        self._rest, self._shop = rest or Rest(), shop
        tokens, writers = Tokens(database), Writers()
        naps = Naps(self._rest, writers)
        self._delivery = Delivery(
            chat, config, database, places, self._rest, tokens, writers, naps, clock=clock
        )
        answers = Answers(chat, database, places, self._rest, tokens, writers, self._delivery, naps)
        self._interactions = Interactions(
            chat, config, buttons, self._rest, tokens, answers, naps, clock=clock
        )
        self._messages = Messages(
            chat, self._rest, answers, self._interactions.read, self._interactions.languages
        )
        part = re.sub(r"[^0-9]+", "-", config.discord.shards) or "all"
        self._journal = Journal(settings.home(config) / "discord" / f"{part}.journal")
        self._left = self._journal.left()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = False
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Serves until cancelled; what ends a life of the gateway is logged, and the next begins."""
        for name in (
            "discord.http",
            "discord.state",
        ):  # warnings that quote addresses with tokens, and of no intent
            logging.getLogger(name).setLevel(logging.ERROR)
        pause = AWAY_SECONDS
        while True:
            began = time.monotonic()
            pause_max = await self._live()
            if time.monotonic() - began > STABLE_SECONDS:
                pause = AWAY_SECONDS
            await asyncio.sleep(min(pause, pause_max))
            pause *= 2

    async def show(self, account: int, address: Address, card: Card) -> bool:
        return self._delivery.show(address, card)

    async def deliver(self, account: int, address: Address, card: Card) -> str:
        return await self._delivery.deliver(address, card)

    async def tell(self, account: int, person: str, text: str) -> None:
        await self._delivery.tell(person, text)

    # --- lives

    async def _live(self) -> float:
        """One life; returns how many seconds until the next are the most that make sense."""
        events = {"INTERACTION_CREATE": self._on_interaction, "MESSAGE_CREATE": self._on_message}
        if self._shop is not None:
            for kind in (*ENTITLEMENT_EVENTS, *SUBSCRIPTION_EVENTS):
                events[kind] = partial(self._on_shop, self._shop, kind)
        gateway = Gateway(self._config.discord, events, self.ready)
        publishing = asyncio.create_task(self._publish(gateway))
        resuming = asyncio.create_task(self._resume())
        try:
            async with gateway:
                await gateway.login(self._config.secrets.discord_token)
                self._rest.gateway = gateway
                await self._connected(gateway)
        except discord.LoginFailure:
            log.error("discord.token_refused", fix="set ATELIER_DISCORD_TOKEN to the portal's Bot token")
        except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
            log.warning("discord.away", error=type(error).__name__, code=getattr(error, "code", None))
            if self._rest.gateway is None:
                return UNREACHED_SECONDS_MAX
        except Exception as error:
            log.error("discord.broken", error=type(error).__name__, where=_where(error))
        finally:
            self._rest.gateway = None
            self.ready.clear()
            publishing.cancel()
            resuming.cancel()
        return SHORT_SECONDS_MAX

    async def _connected(self, gateway: Gateway) -> None:
        """Listens; what is being answered is finished before the connection closes."""
        self._listening = True
        try:
            await gateway.connect()
        finally:
            self._listening = False
            await self._finish()

    async def _publish(self, gateway: Gateway) -> None:
        """Registers the commands if they are not as they were last registered."""
        await self.ready.wait()
        application = str(gateway.application_id)
        wanted = declarations.fingerprint(application)
        while True:
            try:
                if await self._database.read(places_storage.settings, self.name, PUBLISHED) != wanted:
                    await self._rest.publish(application, declarations.payload())
                    await self._database.run(places_storage.set_settings, self.name, PUBLISHED, wanted)
                    log.info("discord.commands_registered")
                return
            except (Refused, TryLater, DatabaseUnavailable) as error:
                log.warning("discord.commands_not_registered", error=str(error))
                await asyncio.sleep(PUBLISH_SECONDS)

    async def _resume(self) -> None:
        """Goes on with what the process before this one heard and did not answer."""
        await self.ready.wait()
        left, self._left = self._left, []
        for event in left:
            self._on_interaction(event, again=True)

    async def _finish(self) -> None:
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=FINISH_SECONDS)
        for task in list(self._tasks):
            task.cancel()

    # --- events

    def _on_interaction(self, event: Event, *, again: bool = False) -> None:
        try:
            interaction = msgspec.convert(event, wire.Interaction)
        except msgspec.ValidationError:
            self._begin(self._apologize(event))
            raise
        if interaction.type == wire.AUTOCOMPLETE:
            self._begin(self._guarded(event, lambda: self._interactions.handle(interaction)))
        else:
            self._begin(self._kept(event, interaction, again=again))
        if self._shop is not None and (held := self._shop.unseen(interaction.entitlements)):
            self._begin(self._guarded({}, partial(self._shop.hear_of, held)))

    def _on_shop(self, shop: ShopNews, kind: str, event: Event) -> None:
        self._begin(self._guarded({}, partial(shop.hear, kind, event)))

    def _on_message(self, event: Event) -> None:
        gateway = self._rest.gateway
        me = str(gateway.user.id) if gateway and gateway.user else ""
        if me and translate.is_for_us(event, me):
            message = msgspec.convert(event, wire.Message)
            self._begin(self._guarded(event, lambda: self._messages.handle(message, me)))

    async def _kept(self, event: Event, interaction: wire.Interaction, *, again: bool) -> None:
        with self._journal.keeping(interaction.id, event):
            await self._guarded(event, lambda: self._interactions.handle(interaction, again=again))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if not self._listening:
            work.close()
            return
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, event: Event, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (Refused, TryLater) as error:
            log.warning("discord.event_unanswered", error=str(error))
        except Exception as error:  # its message may quote a prompt
            log.error("discord.event_broken", error=type(error).__name__, where=_where(error))
            await self._apologize(event)

    async def _apologize(self, event: Event) -> None:
        """Words for an interaction that we could not read or that broke, whether acknowledged or not."""
        try:
            known = msgspec.convert(event, wire.Answerable)
        except msgspec.ValidationError:
            return
        drawn = drawing.words(say(locale_of(known.locale), "refused-internal"))[0]
        body = drawing.body(drawn, private=True)
        body.pop("attachments")
        try:
            await self._rest.acknowledge(known.id, known.token, {"type": MESSAGE, "data": body})
        except TryLater:
            return
        except Refused:
            await self._follow_up(event, known.token, drawn)

    async def _follow_up(self, event: Event, token: str, drawn: drawing.Drawn) -> None:
        try:
            await self._rest.follow_up(
                str(event.get("application_id", "")), token, drawing.body(drawn, private=True)
            )
        except (Refused, TryLater) as error:
            log.warning("discord.event_unanswered", error=str(error))


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""

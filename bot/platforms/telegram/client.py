"""The Telegram platform's socket: long polling or a webhook, status messages, results.

The API is at `[telegram] api_base`, which may be a self-hosted server. The webhook's handler is mounted on the web
platform's server by whoever builds both.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from collections.abc import Callable
from datetime import datetime

import msgspec
import structlog
from aiohttp import web
from telegram.constants import ParseMode
from telegram.error import TelegramError

from bot.buttons import Buttons
from bot.chat import Address, Card, Chat, TryLater, Undeliverable
from bot.config import Config
from bot.payments.telegram_stars import TelegramStars
from bot.places import Places
from bot.platforms.telegram import markup, menus, translate
from bot.platforms.telegram.answers import Answers
from bot.platforms.telegram.drawing import Marks
from bot.platforms.telegram.inline import Inline
from bot.platforms.telegram.intake import Intake
from bot.platforms.telegram.paid import PaidMedia
from bot.platforms.telegram.poller import ALLOWED, Poller, TolerantBot, read
from bot.platforms.telegram.request import AiohttpRequest, environment_proxy
from bot.platforms.telegram.resting import Naps
from bot.platforms.telegram.results import Results
from bot.platforms.telegram.sheets import Sheets
from bot.platforms.telegram.stars import BotStars, Counter
from bot.platforms.telegram.steps import Steps
from bot.platforms.telegram.translate import Me
from bot.platforms.telegram.wire import Refused, Wire
from bot.signing import Signer
from storage.database import Database, DatabaseUnavailable

CONNECTIONS = 64
UPLOAD_SECONDS = 60.0
UPDATE_BYTES_MAX = 1024 * 1024
GREET_SECONDS = 30.0
NOT_YET_SECONDS = 2.0
SEEN_MAX = 10_000
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105

log = structlog.stdlib.get_logger(__name__)


def bot_of(config: Config) -> TolerantBot:
    """The SDK's client; nothing is sent yet."""
    os.environ.setdefault("PTB_TIMEDELTA", "1")  # as its next major version; else it warns at each flood
    logging.getLogger("telegram").setLevel(logging.CRITICAL)  # it logs answers
    base, test = config.telegram.api_base.rstrip("/"), "/test" if config.telegram.test_environment else ""
    proxy = environment_proxy(base)
    return TolerantBot(
        config.secrets.telegram_token,
        base_url=f"{base}/bot{{token}}{test}",
        base_file_url=f"{base}/file/bot{{token}}{test}",
        request=AiohttpRequest(
            connections=CONNECTIONS, proxy=proxy, read_seconds=UPLOAD_SECONDS, upload_seconds=UPLOAD_SECONDS
        ),
        get_updates_request=AiohttpRequest(connections=2, proxy=proxy),
    )


class TelegramPlatform:
    """A `Platform`. One instance serves once; `started` is set once the bot knows who it is."""

    name = translate.NAME

    def __init__(
        self, chat: Chat, config: Config, database: Database, places: Places, signer: Signer,
        *, bot: TolerantBot, stars: TelegramStars, clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._chat, self._config, self._database = chat, config, database
        self._places, self._clock = places, clock
        self._bot, self._counter = bot, Counter(bot, stars)
        self._marks = Marks(signer=signer)
        self._buttons = Buttons(signer, lifetime_seconds=config.timeouts.buttons)
        self._wire = Wire(self._bot, places, clock=time.monotonic)
        self._sheets = Sheets(database)
        self._results = Results(chat, self._wire, self._sheets, places, self._marks, clock=clock)
        self._naps = Naps(chat, self._wire, self._sheets, self._marks)
        self._steps = Steps(self._wire, self._sheets, self._marks)
        self._inline: Inline | None = None
        self._intake: Intake | None = None
        self._seen: dict[int, None] = {}
        self._busy: set[int] = set()
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Serves until cancelled."""
        try:
            me = await self._greet()
            self._inline = Inline(me, self._wire, self._results, vault=self._config.telegram.vault_chat)
            self._intake = self._take_in(me, self._inline)
            self.started.set()
            poller = Poller(
                self._bot, self._database, self._intake.handle, self._lead,
                name=f"telegram:{me.id}", poll=not self._config.telegram.webhook_url,
            )  # fmt: skip
            await poller.run()
        finally:
            if self._intake is not None:
                await self._intake.stop()
            await self._naps.stop()
            await self._shutdown()

    async def show(self, account: int, address: Address, card: Card) -> bool:
        """Groups see no steps: a message there goes from its place in line to its result."""
        if not self.started.is_set():
            return False
        return await self._steps.show(address, card)

    async def deliver(self, account: int, address: Address, card: Card) -> str:
        if not self.started.is_set() or self._inline is None:
            raise TryLater(NOT_YET_SECONDS)
        if "inline" in address.route:
            return await self._inline.deliver(address, card)
        sheet = self._sheets.of(card.job)
        async with sheet.lock:
            sheet.closed = True
            message = await self._results.deliver(address, card, sheet)
        self._naps.end(address, card)
        return message

    async def tell(self, account: int, person: str, text: str) -> None:
        words = markup.rendered(text)
        try:
            await self._wire.result(
                int(person), lambda chat: self._bot.send_message(chat, words, parse_mode=ParseMode.HTML)
            )
        except Refused as refused:
            raise Undeliverable from refused

    async def webhook(self, request: web.Request) -> web.Response:
        """One pushed update: 200 once it is handled, 503 to have it again. Nothing is read without the secret."""
        secret = self._config.secrets.telegram_webhook_secret
        sent = request.headers.get(SECRET_HEADER, "")
        if not secret or not hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), secret.encode()):
            return web.Response(status=403)
        if self._intake is None:
            return web.Response(status=503)
        body = await _bounded(request)
        if body is None:
            return web.Response(status=413)
        return web.Response(status=await self._pushed(body, self._intake))

    async def _pushed(self, body: bytes, intake: Intake) -> int:
        try:
            raw = msgspec.json.decode(body, type=dict[str, object])
        except msgspec.DecodeError:
            log.warning("telegram.update_malformed")
            return 200  # it would come again for ever
        update = read(raw, self._bot)
        if update is None or update.update_id in self._seen:
            return 200
        if update.update_id in self._busy:
            return 503  # what is not handled yet must come again, should we die meanwhile
        self._busy.add(update.update_id)
        try:
            await intake.handle(update)
        except DatabaseUnavailable:
            return 503
        finally:
            self._busy.discard(update.update_id)
        self._seen[update.update_id] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return 200

    async def _lead(self) -> None:
        """What one process does for all: the webhook where there is one, and the menus."""
        if url := self._config.telegram.webhook_url:
            await self._bot.set_webhook(
                url, secret_token=self._config.secrets.telegram_webhook_secret, allowed_updates=ALLOWED
            )
        try:
            changed = await menus.synchronise(self._bot)
            log.info("telegram.leading", menus_changed=changed)
        except TelegramError as error:
            log.warning("telegram.no_menus", error=type(error).__name__)

    async def _greet(self) -> Me:
        """Learns who we are; asks until the API answers and takes the token."""
        seconds = 1.0
        while True:
            try:
                await self._bot.initialize()
                user = self._bot.bot
                log.info("telegram.started", bot=user.id)
                return Me(user.id, user.username or "")
            except TelegramError as error:
                log.error("telegram.no_greeting", error=type(error).__name__)
                await asyncio.sleep(seconds)
                seconds = min(seconds * 2, GREET_SECONDS)

    def _take_in(self, me: Me, inline: Inline) -> Intake:
        answers = Answers(me, self._chat, self._wire, self._sheets, self._results, self._marks)
        paid = PaidMedia(me, self._chat, self._wire, self._database, clock=self._clock)
        return Intake(
            me, self._chat, self._wire, self._places, self._buttons, answers, inline, self._marks, self._naps,
            self._counter, paid, clock=self._clock,
        )  # fmt: skip

    async def _shutdown(self) -> None:
        try:
            await self._bot.shutdown()
        except TelegramError:
            log.warning("telegram.stopped_in_haste")


async def _bounded(request: web.Request) -> bytes | None:
    """The body; None for one that no update needs."""
    if (request.content_length or 0) > UPDATE_BYTES_MAX:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > UPDATE_BYTES_MAX:
            return None
    return bytes(body)


__all__ = ["BotStars", "TelegramPlatform", "TolerantBot", "bot_of"]

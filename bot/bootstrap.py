"""The one place where concrete classes meet: builds an instance from its configuration and runs its roles.

    chat      platforms, commands, deliverer, board
    generate  pool, dispatcher

Both in one process by default; the rescuer runs in each. SQLite is one process's: a second is refused.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

import structlog

from bot import settings
from bot.buttons import Buttons
from bot.chat import Locale, Platform
from bot.commands.context import Context
from bot.config import Config, ConfigError
from bot.jobs import submit
from bot.jobs.abilities import Abilities
from bot.jobs.board import Board
from bot.jobs.cards import Cards
from bot.jobs.deliverer import Deliverer
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.progress import Reporter
from bot.jobs.rescuer import Rescuer
from bot.jobs.roster import Roster
from bot.metrics import Monitor
from bot.office import Office
from bot.operations import Operations
from bot.page import boot
from bot.payments.cashier import Cashier
from bot.payments.discord_sku import DiscordSku
from bot.payments.herald import Herald
from bot.payments.inbox import Inbox
from bot.payments.provider import Provider, set_up
from bot.payments.shop import Shop
from bot.payments.telegram_stars import TelegramStars
from bot.places import Places
from bot.platforms.discord.client import DiscordPlatform
from bot.platforms.discord.rest import Rest
from bot.platforms.discord.storefront import ShopNews, Storefront
from bot.platforms.telegram.client import BotStars, TelegramPlatform, TolerantBot
from bot.platforms.telegram.client import bot_of as telegram_bot
from bot.platforms.web.boot import Boot
from bot.platforms.web.client import WebPlatform
from bot.platforms.web.hooks import Hook, signed_hook
from bot.platforms.web.settings import Probes, WebSettings
from bot.service import Service
from bot.signing import Signer, load_key
from generators import embedded
from generators.pool import Pool, PoolSettings
from storage import deliveries, flows, jobs, places, schema
from storage.blobs import Blobs, open_blobs
from storage.database import Database, connect

if TYPE_CHECKING:
    from bot.payments.stripe.provider import StripeProvider

Role = Literal["chat", "generate"]
ROLES: tuple[Role, ...] = ("chat", "generate")
SUGGESTIONS = 12
SEED_BITS = 32
RESTART_SECONDS_MAX = 60.0

log = structlog.get_logger(__name__)


def now() -> datetime:
    return datetime.now(UTC)


def signer_of(config: Config) -> Signer:
    """The instance's keys: from the environment, or from the home folder, where they are made once."""
    if config.secrets.signing_key:
        return Signer(bytes.fromhex(config.secrets.signing_key))
    return Signer(load_key(settings.home(config) / "keys" / "signing.key"))


@asynccontextmanager
async def storage_of(config: Config, *, alone: bool = False) -> AsyncGenerator[tuple[Database, Blobs]]:
    """The instance's database, migrated, and its blobs. `alone`: no other process may hold a SQLite database.

    Raises ConfigError when one does, StorageError for a URL that means nothing.
    """
    url = settings.database_url(config)
    path = schema.sqlite_path(url)
    async with AsyncExitStack() as stack:
        if alone and path is not None:
            try:
                stack.enter_context(schema.only_process(path))
            except schema.InUse as error:
                raise ConfigError(
                    f"{error} by another Atelier: stop that one, or point ATELIER_HOME at another folder."
                ) from None
        database = connect(url, pool=config.database.pool)
        stack.push_async_callback(database.close)
        await schema.upgrade(database, url, backups=settings.home(config) / "backups")
        await database.run(flows.define_tiers, submit.tier_weights(config))
        yield database, open_blobs(settings.blobs_url(config))


def operations_of(config: Config, database: Database) -> Operations:
    return Operations(database, config, signer_of(config), clock=now)


async def run(config: Config, roles: Sequence[Role] = ROLES) -> None:
    """Runs the roles until SIGTERM or SIGINT, then drains: what runs finishes or goes back, nothing is lost."""
    if tuple(roles) != ROLES and schema.sqlite_path(settings.database_url(config)):
        raise ConfigError(
            "SQLite serves one process with all roles: for --role use postgresql:// as database.url."
        )
    async with storage_of(config, alone=True) as (database, blobs):
        instance = Instance(config, roles, database, blobs)
        try:
            await instance.run(_stop_signal())
        except* OSError as group:
            where = f"{config.web.host}:{config.web.port}"
            raise ConfigError(
                f"Nothing can listen at {where}: {_reason(group)}. Set web.port (ATELIER_WEB_PORT) or web.host."
            ) from None


class Instance:
    """All parts of one process, wired."""

    def __init__(self, config: Config, roles: Sequence[Role], database: Database, blobs: Blobs) -> None:
        self._config, self._roles, self._database, self._blobs = config, roles, database, blobs
        self._signer = signer_of(config)
        self._pool = Pool(pool_settings(config), config.models) if "generate" in roles else None
        buttons = Buttons(self._signer, lifetime_seconds=config.timeouts.buttons)
        abilities = Abilities(config.models)
        self.board = Board(database, blobs, Cards(config, buttons, abilities), clock=now)
        self._rescuer = Rescuer(database, blobs, config, clock=now)
        self._operations = operations_of(config, database)
        self._inbox = Inbox(database, config, clock=now)
        self._rest = Rest()
        there = set_up(config)
        self._skus = self._sell_skus(self._rest) if "discord" in there else None
        self._telegram = telegram_bot(config) if "stars" in there else None
        self._stars = self._sell_for_stars(self._telegram) if self._telegram else None
        self._stripe = _stripe(config, self._inbox) if "stripe" in there else None
        made = (self._skus, self._stars, self._stripe)
        self._providers: list[Provider] = [each for each in made if each is not None]
        self.places = Places(database)
        shop = Shop(database, config, self._providers, clock=now)
        self._context = Context(
            database=database, blobs=blobs, config=config, abilities=abilities, board=self.board, buttons=buttons,
            signer=self._signer, operations=self._operations, places=self.places, shop=shop,
            office=Office(database, config, clock=now), clock=now,
            seed=partial(secrets.randbits, SEED_BITS), suggestions=embedded.suggestions(2026, SUGGESTIONS),
        )  # fmt: skip
        self.platforms = self._platforms() if "chat" in roles else []

    async def run(self, stop: asyncio.Event) -> None:
        """Serves until `stop` is set, then drains."""
        await self._take_over()
        if self._pool is not None:
            await self._pool.start()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._rescuer.run(), name="rescuer")]
                dispatcher = self._dispatch(group, tasks)
                self._serve_chat(group, tasks)
                group.create_task(self._drain(stop, dispatcher, tasks), name="drain")
        finally:
            if self._pool is not None:
                await self._pool.stop(grace_seconds=0)
            if self._stripe is not None:
                await self._stripe.close()

    async def _take_over(self) -> None:
        """What a process that alone owns the database knows: whoever held a lease before is gone."""
        if schema.sqlite_path(settings.database_url(self._config)) is None:
            return
        lost = await self._database.run(jobs.all_lost)
        for platform in self.platforms:
            await self._database.run(deliveries.release_all, platform.name)
        await self._database.run(places.nobody_leads)
        log.info("instance.start", jobs_to_rescue=lost)

    def _dispatch(self, group: asyncio.TaskGroup, tasks: list[asyncio.Task[None]]) -> Dispatcher | None:
        if self._pool is None:
            return None
        shared = schema.sqlite_path(settings.database_url(self._config)) is None
        reporter = Reporter(self._database, hear=self.board.hear, shared=shared)
        owner = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
        roster = Roster(self._database, self._pool, owner=owner)
        dispatcher = Dispatcher(
            self._database, self._blobs, self._pool, reporter, self._config, owner=owner, clock=now
        )
        tasks += [
            group.create_task(dispatcher.run(), name="dispatcher"),
            group.create_task(reporter.run(), name="reporter"),
            group.create_task(roster.run(), name="roster"),
            group.create_task(_wake_when_ready(self._pool, dispatcher), name="ready"),
        ]
        return dispatcher

    def _serve_chat(self, group: asyncio.TaskGroup, tasks: list[asyncio.Task[None]]) -> None:
        for platform in self.platforms:
            if isinstance(platform, WebPlatform):
                tasks.append(group.create_task(_greet(self._config, platform), name="greet"))
            self.board.add(platform)
            deliverer = Deliverer(self._database, platform, self.board, self._config, clock=now)
            tasks.append(group.create_task(_persistently(platform), name=platform.name))
            tasks.append(group.create_task(deliverer.run(), name=f"deliver-{platform.name}"))
            herald = Herald(self._database, platform, self._config, clock=now)
            tasks.append(group.create_task(herald.run(), name=f"tell-{platform.name}"))
        if self.platforms:
            cashier = Cashier(self._database, self._inbox, self._providers, clock=now)
            tasks.append(group.create_task(cashier.run(), name="cashier"))
            tasks.append(group.create_task(self.board.run(), name="board"))

    async def _drain(
        self, stop: asyncio.Event, dispatcher: Dispatcher | None, tasks: list[asyncio.Task[None]]
    ) -> None:
        await stop.wait()
        log.info("instance.draining", running=dispatcher.busy if dispatcher else 0)
        if dispatcher is not None:
            await dispatcher.drain(self._config.timeouts.drain)
        for task in tasks:
            task.cancel()

    def _sell_skus(self, rest: Rest) -> DiscordSku:
        return DiscordSku(self._config, Storefront(rest), clock=now)

    def _sell_for_stars(self, bot: TolerantBot) -> TelegramStars:
        return TelegramStars(BotStars(bot), self._inbox, self._database, self._config, clock=now)

    def _platforms(self) -> list[Platform]:
        """The chats whose tokens are set, and the page."""
        chat, config = Service(self._context), self._config
        made: list[Platform] = []
        hooks: dict[str, Hook] = {}
        if self._skus is not None:
            made.append(
                DiscordPlatform(
                    chat, config, self._database, self.places, self._context.buttons, clock=now, rest=self._rest,
                    shop=ShopNews(self._inbox, self._skus),
                )
            )  # fmt: skip
        if self._telegram is not None and self._stars is not None:
            telegram = TelegramPlatform(
                chat, config, self._database, self.places, self._signer, bot=self._telegram,
                stars=self._stars, clock=now,
            )  # fmt: skip
            made.append(telegram)
            hooks[telegram.name] = telegram.webhook
        if self._stripe is not None:
            hooks[self._stripe.name] = signed_hook(self._stripe.hear)
        if config.web.enabled:
            made.append(self._page(chat, hooks))
        return made

    def _page(self, chat: Service, hooks: dict[str, Hook]) -> WebPlatform:
        monitor = Monitor(self._database, self._rescuer, self._pool, self.board.accuracy, clock=now)
        probes = Probes(health=monitor.health, metrics=monitor.metrics)
        page = WebPlatform(
            chat, self._operations, web_settings(self._config), self._signer, self._boot, probes, hooks=hooks
        )
        self._database.signals.on("accounts", page.part)
        return page

    def _boot(self, locale: Locale) -> Boot:
        sells = bool(self._context.shop.ways("web"))
        context = self._context
        return boot(self._config, context.suggestions, locale, context.abilities, sells=sells)


def _stripe(config: Config, inbox: Inbox) -> StripeProvider:
    """Its SDK takes half a second to import: only where it is used."""
    from bot.payments.stripe.provider import StripeProvider

    return StripeProvider(config, inbox, page=settings.page_url(config), clock=now)


def pool_settings(config: Config) -> PoolSettings:
    pool = config.pool
    return PoolSettings(
        engine=pool.engine,
        ray_address=pool.ray_address,
        devices=pool.devices or "auto",
        gpu_share=pool.gpu_share,
        batch_max=pool.batch_max,
        texts_max=pool.texts_max,
        text_cache_bytes=round(pool.text_cache_gb * 2**30),
        memory_bytes=round(pool.memory_gb * 2**30),
        heartbeat_seconds=pool.heartbeat,
        silent_seconds=pool.silent,
        stall_seconds=pool.stall,
        load_seconds=pool.load,
        affinity_seconds=pool.affinity,
        cache=str(settings.home(config) / "cache"),
        preview_every=pool.preview_every,
        threads=pool.threads,
    )


def web_settings(config: Config) -> WebSettings:
    web = config.web
    return WebSettings(
        name=config.atelier.name,
        host=web.host,
        port=web.port,
        public_url=web.public_url,
        hosts=web.hosts,
        trusted_proxies=web.trusted_proxies,
        secure_cookies=web.public_url.startswith("https://"),
        upload_bytes_max=web.upload_bytes_max,
        link_seconds=web.link_seconds,
    )


async def _persistently(platform: Platform) -> None:
    """A chat that breaks is begun again, and disturbs no other. A page that cannot listen ends the start."""
    wait = 1.0
    while True:
        try:
            await platform.run()
        except OSError:
            if isinstance(platform, WebPlatform):
                raise
            log.warning("platform.away", platform=platform.name)
        except Exception as error:
            log.error("platform.broken", platform=platform.name, error=type(error).__name__)
        await asyncio.sleep(wait)
        wait = min(wait * 2, RESTART_SECONDS_MAX)


async def _greet(config: Config, page: WebPlatform) -> None:
    """Once it is true: a port that is taken, or a database in use, is said instead."""
    await page.started.wait()
    where = config.web.public_url or page.url
    print(f"{config.atelier.name} opens at {where}", flush=True)  # noqa: T201  # for whoever started it


def _reason(group: BaseExceptionGroup[OSError]) -> str:
    first = group.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return _reason(first)
    known = isinstance(first.errno, int) and first.errno > 0 and not isinstance(first, socket.gaierror)
    return os.strerror(first.errno or 0) if known else (first.strerror or str(first))


async def _wake_when_ready(pool: Pool, dispatcher: Dispatcher) -> None:
    await pool.ready()
    dispatcher.wake()


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM and SIGINT; a second one kills as usual."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def heard(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard, number)
    return stop

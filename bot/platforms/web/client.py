"""The web platform's socket: puts the routes together, serves them, pushes cards to open pages.

A result on the web needs no sending: it rests in the person's gallery, and pages that are open hear of it. So
delivery always succeeds, and a page that was closed or cut off finds everything when it comes back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog
from aiohttp import web

from bot.chat import Address, Card, Chat, Desk, Locale, TryLater
from bot.platforms.web.api import Api
from bot.platforms.web.boot import Boot
from bot.platforms.web.errors import answer_errors
from bot.platforms.web.feeds import Feeds
from bot.platforms.web.guard import HOOKS, add_security_headers, guarding
from bot.platforms.web.hooks import Hook
from bot.platforms.web.media import Links, MediaRoutes
from bot.platforms.web.pages import AdminPages, ChatPage, ProbePages, ReturnPages
from bot.platforms.web.session import Sessions
from bot.platforms.web.settings import NAME, Probes, Signer, WebSettings

log = structlog.stdlib.get_logger(__name__)


CLOSED_SECONDS = 60.0  # nobody has the page open: words wait for so long before they are tried again


def wall_clock() -> int:
    return int(time.time())


class WebPlatform:
    """A `Platform`. One instance serves once; `started` is set, and `bound` known, once it listens."""

    name = "web"

    def __init__(
        self,
        chat: Chat,
        desk: Desk | None,
        settings: WebSettings,
        signer: Signer,
        boot: Callable[[Locale], Boot],
        probes: Probes,
        *,
        hooks: Mapping[str, Hook] | None = None,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._settings = settings
        self._feeds = Feeds(settings)
        sessions = Sessions(settings=settings, signer=signer, clock=clock)
        links = Links(signer=signer, clock=clock, seconds=settings.link_seconds)
        self._routes = [
            *ChatPage(settings=settings, sessions=sessions, boot=boot).routes(),
            *Api(chat=chat, settings=settings, sessions=sessions, links=links, feeds=self._feeds).routes(),
            *MediaRoutes(chat=chat, links=links).routes(),
            *(AdminPages(desk=desk, sessions=sessions).routes() if desk else ()),
            *ReturnPages().routes(),
            *ProbePages(probes=probes, settings=settings).routes(),
            *(web.post(f"{HOOKS}{name}", hook) for name, hook in (hooks or {}).items()),
        ]
        self.started = asyncio.Event()
        self.bound: tuple[str, int] = (settings.host, settings.port)

    @property
    def url(self) -> str:
        """Where this process listens; people may know another address (`public_url`)."""
        host, port = self.bound
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def app(self) -> web.Application:
        app = web.Application(
            middlewares=[answer_errors, guarding(self._settings)],
            client_max_size=self._settings.upload_bytes_max,
        )
        app[NAME] = self._settings.name
        app.add_routes(self._routes)
        app.on_response_prepare.append(add_security_headers)
        app.on_shutdown.append(self._shut)
        return app

    async def run(self) -> None:
        """Serves until cancelled. Raises OSError where it cannot listen."""
        limit = self._settings.shutdown_seconds_max
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=limit)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._settings.host, self._settings.port).start()
            self.bound = (self._settings.host, int(runner.addresses[0][1]))
            log.info("web.started", url=self.url)
            self.started.set()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()
            log.info("web.stopped")

    def part(self, merged: str) -> None:
        """An account was merged into another: its open pages come back as the other's."""
        self._feeds.part(merged)

    async def show(self, account: int, address: Address, card: Card) -> bool:
        self._feeds.push(account, card)
        return True

    async def deliver(self, account: int, address: Address, card: Card) -> str:
        self._feeds.push(account, card)
        return f"web-{card.job}"

    async def tell(self, account: int, person: str, text: str) -> None:
        if not self._feeds.tell(account, text):
            raise TryLater(CLOSED_SECONDS)

    async def _shut(self, _app: web.Application) -> None:
        self._feeds.shut()

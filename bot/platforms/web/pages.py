"""What a browser opens: the chat page, its static files, the operators' pages, the probes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources

import msgspec
from aiohttp import web

from bot.chat import Desk, Locale
from bot.platforms.web.boot import Boot, Limits
from bot.platforms.web.drawing import admin_page, chat_page, notice_page
from bot.platforms.web.errors import Refusal
from bot.platforms.web.guard import may_read_metrics
from bot.platforms.web.language import chosen, language_of
from bot.platforms.web.session import Sessions
from bot.platforms.web.settings import NAME, Probes, WebSettings
from bot.platforms.web.words import page_strings
from bot.replies import say

STATIC_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
PAGE_MAX = 100_000


def load_static() -> dict[str, bytes]:
    """Every file that the page may fetch, read once."""
    folder = resources.files(__package__ or "") / "static"
    return {
        file.name: file.read_bytes() for file in folder.iterdir() if file.name.rsplit(".")[-1] in STATIC_TYPES
    }


class ChatPage:
    def __init__(self, *, settings: WebSettings, sessions: Sessions, boot: Callable[[Locale], Boot]) -> None:
        self._settings = settings
        self._sessions = sessions
        self._boot = boot
        self._static = load_static()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self.page), web.get("/static/{name}", self.static)]

    async def page(self, request: web.Request) -> web.Response:
        locale = language_of(request)
        response = web.Response(content_type="text/html")
        account = self._sessions.remember_account(response, self._sessions.account_of(request))
        if chosen(request.query.get("lang")):
            self._sessions.remember_language(response, locale)
        response.text = chat_page(self._booted(locale, account))
        response.headers["Vary"] = "Cookie, Accept-Language"
        return response

    def _booted(self, locale: Locale, account: str) -> Boot:
        settings = self._settings
        return msgspec.structs.replace(
            self._boot(locale),
            locale=locale,
            name=settings.name,
            csrf=self._sessions.csrf(account),
            strings=page_strings(locale),
            limits=Limits(upload_bytes=settings.upload_bytes_max, text_bytes=settings.text_bytes_max),
        )

    async def static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        data = self._static.get(name)
        if data is None:
            raise Refusal(404, "web-error-missing")
        tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        kind = STATIC_TYPES[name.rsplit(".")[-1]]
        return web.Response(body=data, content_type=kind, charset="utf-8", headers=headers)


class ReturnPages:
    """Where payment providers send people back to: what happens next."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/paid", self.paid), web.get("/unpaid", self.unpaid)]

    async def paid(self, request: web.Request) -> web.Response:
        return _notice(request, "web-paid")

    async def unpaid(self, request: web.Request) -> web.Response:
        return _notice(request, "web-unpaid")


def _notice(request: web.Request, sentence: str) -> web.Response:
    locale = language_of(request)
    drawn = notice_page(request.app[NAME], locale, say(locale, sentence))
    return web.Response(text=drawn, content_type="text/html")


class AdminPages:
    """Tables for operators. The one-time link becomes a signed cookie and leaves the address bar."""

    def __init__(self, *, desk: Desk, sessions: Sessions) -> None:
        self._desk = desk
        self._sessions = sessions

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/admin", self.enter, allow_head=False),
            web.get("/admin/{section}", self.section, allow_head=False),
        ]

    async def enter(self, request: web.Request) -> web.Response:
        token = request.query.get("token", "")[:512]
        good = await self._desk.redeem(token) if token else self._sessions.is_admin(request)
        if not good:
            raise Refusal(403, "web-error-admin")
        response = web.Response(status=303, headers={"Location": f"/admin/{self._desk.sections[0]}"})
        if token:
            self._sessions.remember_admin(response)
        return response

    async def section(self, request: web.Request) -> web.Response:
        if not self._sessions.is_admin(request):
            raise Refusal(403, "web-error-admin")
        section, page = request.match_info["section"], page_of(request.query.get("page", "0"))
        try:
            table = await self._desk.table(section, page=page)
        except KeyError:
            raise Refusal(404, "web-error-missing") from None
        sections = self._desk.sections
        drawn = admin_page(
            request.app[NAME], language_of(request), table, sections=sections, section=section, page=page
        )
        return web.Response(text=drawn, content_type="text/html")


def page_of(text: str) -> int:
    return min(int(text), PAGE_MAX) if text.isascii() and text.isdigit() and len(text) < 8 else 0


class ProbePages:
    def __init__(self, *, probes: Probes, settings: WebSettings) -> None:
        self._probes = probes
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self.health), web.get("/metrics", self.metrics)]

    async def health(self, request: web.Request) -> web.Response:
        parts = await self._probes.health()
        return web.json_response(parts, status=200 if all(said == "ok" for said in parts.values()) else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        if not may_read_metrics(request, self._settings):
            raise Refusal(404, "web-error-missing")
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return web.Response(body=await self._probes.metrics(), headers={"Content-Type": kind})

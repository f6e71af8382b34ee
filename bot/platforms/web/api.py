"""The page's own calls: say, press, cards, feed, language. Each is one event of the chat vocabulary."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from bot.chat import Chat, Invocation
from bot.platforms.web.bodies import Bodies
from bot.platforms.web.errors import Refusal
from bot.platforms.web.feeds import HELLO, Feed, Feeds, FeedsFull
from bot.platforms.web.language import chosen
from bot.platforms.web.media import Links
from bot.platforms.web.session import Sessions
from bot.platforms.web.settings import WebSettings
from bot.platforms.web.translate import (
    LanguageChoice,
    Press,
    card_fields,
    origin_of,
    pressed,
    reply_fields,
    said,
)

FEED_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Api:
    def __init__(
        self, *, chat: Chat, settings: WebSettings, sessions: Sessions, links: Links, feeds: Feeds
    ) -> None:
        self._chat = chat
        self._settings = settings
        self._sessions = sessions
        self._links = links
        self._feeds = feeds
        self._bodies = Bodies(settings)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/say", self.say),
            web.post("/api/press", self.press),
            web.post("/api/language", self.language),
            web.get("/api/cards", self.cards, allow_head=False),
            web.get("/api/feed", self.feed, allow_head=False),
        ]

    async def say(self, request: web.Request) -> web.Response:
        person = self._sessions.posting_person(request)
        return await self._run(said(await self._bodies.form(request), person))

    async def press(self, request: web.Request) -> web.Response:
        person = self._sessions.posting_person(request)
        return await self._run(pressed(await self._bodies.json(request, Press), person))

    async def _run(self, invocation: Invocation) -> web.Response:
        reply = await self._chat.run(invocation)
        return web.json_response(reply_fields(reply, self._links.link))

    async def cards(self, request: web.Request) -> web.Response:
        person = self._sessions.person(request)
        before = origin_of(request.query.get("before", ""))
        limit = self._settings.cards_max
        cards = await self._chat.cards(person, before=before, limit=limit)
        drawn = [card_fields(card, self._links.link) for card in cards]
        return web.json_response({"cards": drawn, "more": len(cards) >= limit})

    async def language(self, request: web.Request) -> web.Response:
        self._sessions.posting_person(request)
        locale = chosen((await self._bodies.json(request, LanguageChoice)).locale)
        if locale is None:
            raise Refusal(400, "web-error-body")
        response = web.json_response({"locale": locale})
        self._sessions.remember_language(response, locale)
        return response

    async def feed(self, request: web.Request) -> web.StreamResponse:
        account = await self._chat.account(self._sessions.person(request))
        try:
            feed = self._feeds.open(account)
        except FeedsFull:
            raise Refusal(429, "web-error-feeds") from None
        try:
            return await self._stream(request, feed)
        finally:
            self._feeds.close(account, feed)

    async def _stream(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        response = web.StreamResponse(headers=FEED_HEADERS)
        with suppress(ConnectionError, TimeoutError):  # the reader went away, or takes nothing
            await response.prepare(request)
            data: bytes | None = HELLO
            while data is not None:
                async with asyncio.timeout(self._settings.stall_seconds_max):
                    await response.write(data)
                data = await feed.next(self._links.link, heartbeat_seconds=self._settings.heartbeat_seconds)
        return response

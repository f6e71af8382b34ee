"""Discord's REST, as far as we call it. Every failure is one of three:

Refused    this way is closed: gone, forbidden, malformed (its code is Discord's)
TryLater   too fast, or Discord or the network is away
anything else is a bug

Everything but first answers to interactions is counted against our own budgets; a wait that Discord asks for
pauses its channel or interaction there. Rate-limit buckets are discord.py's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import discord
import msgspec
from discord.http import Route

from bot.chat import AttachmentGone, TryLater
from bot.platforms.discord.gateway import Gateway
from bot.platforms.pacing import Pacer, Rate

Body = dict[str, Any]
CALL_SECONDS_MAX = 20.0
BOT_ALL, HOOK_ALL = Rate(45, 45), Rate(400, 400)  # 50 a second for a bot; interactions are outside that
BOT_CHANNEL, HOOK_EACH = Rate(2, 10), Rate(2, 5)  # five new ones and five edits in 5 s; five in 2 s
ACKNOWLEDGE_SECONDS_MAX = 2.8  # an interaction that nobody answered is lost after 3 s
AWAY_SECONDS = 5.0
TRIES, WAIT_SECONDS_MAX = 3, 10.0
UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION = 10003, 10008, 10015, 10062
TOO_LARGE, ACKNOWLEDGED = 40005, 40060
NO_ACCESS, NO_DM, NO_PERMISSION = 50001, 50007, 50013
FORBIDDEN = frozenset({NO_ACCESS, NO_PERMISSION})

T = TypeVar("T")


class Refused(Exception):
    """Discord will not do this, however often it is asked."""

    def __init__(self, status: int, code: int) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code = status, code

    @property
    def forbidden(self) -> bool:
        return self.code in FORBIDDEN or (self.status == 403 and self.code != NO_DM)

    @property
    def too_large(self) -> bool:
        return self.code == TOO_LARGE or self.status == 413


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file on its way to Discord."""

    name: str
    data: bytes
    media_type: str
    description: str = ""


class _Made(msgspec.Struct, frozen=True):
    id: str = ""


class _Resource(msgspec.Struct, frozen=True):
    message: _Made = _Made()


class _Callback(msgspec.Struct, frozen=True):
    """What a first answer made."""

    resource: _Resource = _Resource()


class Rest:
    """Calls through the live gateway's client; without one, everything is TryLater."""

    def __init__(self) -> None:
        self.gateway: Gateway | None = None
        self.bot = Pacer(BOT_ALL, lambda _: BOT_CHANNEL, clock=time.monotonic)  # by channel
        self.hooks = Pacer(HOOK_ALL, lambda _: HOOK_EACH, clock=time.monotonic)  # by interaction token

    # --- interactions

    async def acknowledge(self, interaction: str, token: str, body: Body) -> str:
        """The first answer, due within 3 s; returns the id of the message that it made, or ""."""
        route = self._route(
            "POST",
            "/interactions/{webhook_id}/{webhook_token}/callback",
            webhook_id=interaction,
            webhook_token=token,
        )
        try:
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS_MAX):
                answer = await self._twice(route, body, with_response="true")
        except TimeoutError:
            raise TryLater(AWAY_SECONDS) from None
        return msgspec.convert(answer or {}, _Callback).resource.message.id

    async def original(self, application: str, token: str) -> str:
        """The id of an interaction's first message."""
        return str((await self._call(self._hook("GET", application, token, "@original")))["id"])

    async def edit_hook(
        self, application: str, token: str, message: str, body: Body, files: Sequence[Upload] = (),
        *, counted: bool = False,
    ) -> str:  # fmt: skip
        """`counted`: it is progress, for which there was room."""
        async with self._in_turn(self.hooks, token, counted=counted):
            found = await self._call(self._hook("PATCH", application, token, message), body, files)
        return str(found["id"])

    async def follow_up(self, application: str, token: str, body: Body, files: Sequence[Upload] = ()) -> str:
        path = "/webhooks/{webhook_id}/{webhook_token}"
        route = self._route("POST", path, webhook_id=application, webhook_token=token)
        async with self._in_turn(self.hooks, token):
            return str((await self._call(route, body, files, query={"wait": "true"}))["id"])

    async def delete_hook(self, application: str, token: str, message: str = "@original") -> None:
        await self._call(self._hook("DELETE", application, token, message))

    # --- as the bot

    async def send(self, channel: str, body: Body, files: Sequence[Upload] = ()) -> str:
        route = self._route("POST", "/channels/{channel_id}/messages", channel_id=channel)
        async with self._in_turn(self.bot, channel):
            return str((await self._call(route, body, files))["id"])

    async def edit(
        self, channel: str, message: str, body: Body, files: Sequence[Upload] = (), *, counted: bool = False
    ) -> str:
        async with self._in_turn(self.bot, channel, counted=counted):
            return str((await self._call(self._message("PATCH", channel, message), body, files))["id"])

    async def components(self, channel: str, message: str) -> list[Body]:
        """What a message shows now."""
        found = await self._call(self._message("GET", channel, message))
        return list(found.get("components") or [])

    async def delete(self, channel: str, message: str) -> None:
        await self._call(self._message("DELETE", channel, message))

    async def direct_chat(self, person: str) -> str:
        """The channel of the person and the bot alone."""
        route = self._route("POST", "/users/@me/channels")
        return str((await self._call(route, {"recipient_id": person}))["id"])

    async def channel(self, channel: str) -> Body:
        return await self._call(self._route("GET", "/channels/{channel_id}", channel_id=channel))

    async def open_thread(self, channel: str, message: str, name: str) -> str:
        route = self._route(
            "POST",
            "/channels/{channel_id}/messages/{message_id}/threads",
            channel_id=channel,
            message_id=message,
        )
        return str((await self._call(route, {"name": name}))["id"])

    async def publish(self, application: str, commands: list[Body]) -> None:
        """Replaces all commands of the application."""
        route = self._route("PUT", "/applications/{application_id}/commands", application_id=application)
        await self._call(route, commands)

    # --- the shop

    async def ask(
        self, method: str, path: str, query: dict[str, str] | None = None, **parameters: str
    ) -> Any:
        """Any of the application's own endpoints; `{application_id}` in `path` is ours."""
        application = str(self.gateway.application_id) if self.gateway else ""
        return await self._call(
            self._route(method, path, application_id=application, **parameters), query=query
        )

    # --- the one way out

    @asynccontextmanager
    async def _in_turn(self, pacer: Pacer, key: str, *, counted: bool = False) -> AsyncGenerator[None]:
        """Raises TryLater when its turn is too far away."""
        try:
            if counted:
                yield
            else:
                async with pacer.result(key):
                    yield
        except TryLater as later:
            pacer.pause(key, later.seconds)
            raise

    async def _twice(self, route: Route, body: Body, **query: str) -> Any:
        """Once more at once when the connection broke: there is no time to wait."""
        try:
            return await self._call(route, body, query=query)
        except TryLater:
            return await self._call(route, body, query=query)

    async def _call(
        self,
        route: Route,
        body: Body | list[Body] | None = None,
        files: Sequence[Upload] = (),
        query: dict[str, str] | None = None,
    ) -> Any:
        if self.gateway is None:
            raise TryLater(AWAY_SECONDS)
        arguments: dict[str, Any] = {"params": query} if query else {}
        if files:
            arguments["form"] = _form(body, files)
        elif body is not None:
            arguments["json"] = body
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                return await self.gateway.http.request(route, **arguments)
        except discord.RateLimited as limited:
            raise TryLater(limited.retry_after) from None
        except discord.HTTPException as error:
            raise _failure(error) from None
        except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError, AttributeError):
            raise TryLater(AWAY_SECONDS) from None  # also discord.py's own, before login and after close

    @staticmethod
    def _route(method: str, path: str, **parameters: str) -> Route:
        return Route(method, path, **parameters)

    def _hook(self, method: str, application: str, token: str, message: str) -> Route:
        last = "@original" if message == "@original" else "{message_id}"
        path = f"/webhooks/{{webhook_id}}/{{webhook_token}}/messages/{last}"
        return self._route(method, path, webhook_id=application, webhook_token=token, message_id=message)

    def _message(self, method: str, channel: str, message: str) -> Route:
        path = "/channels/{channel_id}/messages/{message_id}"
        return self._route(method, path, channel_id=channel, message_id=message)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Tries again what Discord asks to wait for, as long as that is short. Raises Refused and TryLater."""
    for _ in range(TRIES - 1):
        try:
            return await call()
        except TryLater as later:
            if later.seconds > WAIT_SECONDS_MAX:
                raise
            await asyncio.sleep(later.seconds)
    return await call()


async def fetch(url: str, *, bytes_max: int) -> bytes:
    """A file that somebody attached. Raises AttachmentGone."""
    try:
        async with (
            asyncio.timeout(CALL_SECONDS_MAX),
            aiohttp.ClientSession() as session,
            session.get(url) as response,
        ):
            if response.status != 200:
                raise AttachmentGone
            data = b""
            async for chunk in response.content.iter_chunked(64 * 1024):
                data += chunk
                if len(data) > bytes_max:
                    break
            return data[:bytes_max]
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        raise AttachmentGone from None


def _failure(error: discord.HTTPException) -> Exception:
    if error.status == 429 or error.status >= 500:
        wait = error.response.headers.get("Retry-After", "")
        return TryLater(float(wait) if wait.replace(".", "", 1).isdigit() else AWAY_SECONDS)
    return Refused(error.status, error.code)


def _form(body: Any, files: Sequence[Upload]) -> list[Body]:
    payload = json.dumps(body, separators=(",", ":"))
    form: list[Body] = [{"name": "payload_json", "value": payload, "content_type": "application/json"}]
    form += [
        {
            "name": f"files[{number}]",
            "value": file.data,
            "filename": file.name,
            "content_type": file.media_type,
        }
        for number, file in enumerate(files)
    ]
    return form

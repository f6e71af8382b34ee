"""The fake's REST, with rate-limit headers and failures on order, and the server that carries gateway and files too."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fakes.discord import validate
from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.shop import Shop
from tests.fakes.discord.state import (
    APPLICATION,
    BOT,
    EPHEMERAL,
    GUILD,
    LOADING,
    V2,
    ApiError,
    Channel,
    Interaction,
    State,
    walk,
    words,
)  # fmt: skip

TOKEN = "good-token"
BODY, FILES = web.RequestKey("body", object), web.RequestKey("files", list)
VIEW, SEND, ATTACH, THREADS = 1 << 10, 1 << 11, 1 << 15, 1 << 35
NOTES = frozenset({"owner", "edits", "pings", "reference", "at", "unheard"})  # what it never tells
SENDING = ("components", "flags", "content", "embeds")


@dataclass
class Failure:
    """What happens to the next requests that fit. `drop`: "before" or "after" the request had its effect."""

    method: str
    fragment: str
    status: int = 0
    code: int = 0
    retry_after: float = 0.0
    drop: str = ""
    times: int = 1


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """discord.py compares the content type with `==`: no charset."""
    return web.Response(
        body=json.dumps(value).encode(),
        status=status,
        headers={**(headers or {}), "Content-Type": "application/json"},
    )


class FakeDiscord(State):
    def __init__(self) -> None:
        super().__init__()
        self.gateway = Gateway(TOKEN, user=self.users[BOT], application=APPLICATION)
        self.shop = Shop(self.gateway, reply)
        self.requests: list[tuple[str, str, Any]] = []
        self.problems: list[tuple[str, str, list[str]]] = []
        self.failures: list[Failure] = []
        self._before_kick: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self.base = ""

    async def start(self, port: int = 0) -> None:
        app = web.Application(middlewares=[self._serve], client_max_size=64 << 20)
        api = "/api/v10"
        hook = f"{api}/webhooks/{{app}}/{{token}}"
        message = f"{api}/channels/{{channel}}/messages/{{message}}"
        app.add_routes([
            web.get(f"{api}/users/@me", self._me), web.get(f"{api}/gateway/bot", self._gateway_bot),
            web.get(f"{api}/oauth2/applications/@me", self._application),
            web.get(f"{api}/applications/@me", self._application),
            web.put(f"{api}/applications/{{app}}/commands", self._register),
            web.post(f"{api}/interactions/{{id}}/{{token}}/callback", self._callback),
            web.post(hook, self._follow_up),
            web.get(f"{hook}/messages/{{message}}", self._hook_get),
            web.patch(f"{hook}/messages/{{message}}", self._hook_edit),
            web.delete(f"{hook}/messages/{{message}}", self._hook_delete),
            web.get(f"{api}/channels/{{channel}}", self._channel),
            web.post(f"{api}/channels/{{channel}}/messages", self._send),
            web.get(message, self._get), web.patch(message, self._edit), web.delete(message, self._delete),
            web.post(f"{message}/threads", self._thread),
            web.post(f"{api}/users/@me/channels", self._direct),
            *self.shop.routes(api),
            web.get("/gw/", self.gateway.handle), web.get("/cdn/{path:.*}", self._file),
        ])  # fmt: skip
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        bound = self._runner.addresses[0][1]
        self.base = f"http://127.0.0.1:{bound}"
        self.gateway.url = f"ws://127.0.0.1:{bound}/gw/"

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    @property
    def environ(self) -> dict[str, str]:
        """What points an instance here."""
        return {
            "ATELIER_DISCORD_API_BASE": f"{self.base}/api/v10", "ATELIER_DISCORD_GATEWAY_URL": self.gateway.url,
            "ATELIER_DISCORD_TOKEN": TOKEN,
        }  # fmt: skip

    def fail(self, method: str, fragment: str, status: int = 0, **more: Any) -> None:
        self.failures.append(Failure(method, fragment, status, **more))

    def calls(self, method: str, fragment: str) -> list[Any]:
        """Bodies of the requests so far that fit."""
        return [body for verb, path, body in self.requests if verb == method and fragment in path]

    async def until(self, true: Callable[[], Any], seconds: float = 5.0) -> Any:
        """Waits for something to become so; returns it."""
        async with asyncio.timeout(seconds):
            while not (found := true()):
                await asyncio.sleep(0.01)
        return found

    def expire(self, token: str = "") -> None:
        """Ends one interaction's token, or all of them."""
        for interaction in self.interactions.values():
            interaction.expired = interaction.expired or token in {"", interaction.token}

    async def kick(self) -> None:
        """The bot is thrown out of the server: it may do nothing there any more."""
        for channel in self.channels.values():
            if channel.guild == GUILD:
                self._before_kick[channel.id], channel.bot_may = channel.bot_may, 0
        await self.gateway.dispatch("GUILD_DELETE", {"id": GUILD})

    async def invite(self) -> None:
        """It is back, as it was before."""
        for number, may in self._before_kick.items():
            self.channels[number].bot_may = may
        facts = [each.facts() for each in self.channels.values() if each.guild == GUILD]
        guild = {
            "id": GUILD,
            "name": "Painters",
            "channels": facts,
            "members": [],
            "roles": [],
            "threads": [],
        }
        await self.gateway.dispatch("GUILD_CREATE", guild)

    # --- the way in

    @web.middleware
    async def _serve(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        body, files = await self._read(request)
        request[BODY], request[FILES] = body, files
        self.requests.append((request.method, request.path, body))
        wrong = validate.problems(
            request.method, request.path, body, multipart=bool(files), query=dict(request.query)
        )
        if wrong:
            self.problems.append((request.method, request.path, wrong))
        failure = self._failure(request)
        if failure and (failure.status or failure.drop == "before"):
            return self._fail(request, failure)
        try:
            answer = await handler(request)
        except ApiError as error:
            answer = reply({"message": error.message, "code": error.code}, error.status)
        if failure:
            self._note_unheard(answer)
            return self._fail(request, failure)
        answer.headers.update({"Via": "1.1 google", **_limits(request)})
        return answer

    def _note_unheard(self, answer: web.Response) -> None:
        """The bot never learns of this message, and may well send another."""
        made = json.loads(bytes(answer.body or b"{}"))  # type: ignore[arg-type]
        if message := self.messages.get(made.get("id", "") if isinstance(made, dict) else ""):
            message["unheard"] = True

    async def _read(self, request: web.Request) -> tuple[Any, list[tuple[str, str, bytes]]]:
        if not request.content_type.startswith("multipart"):
            return (await request.json() if request.can_read_body else None), []
        body, files = None, []
        async for part in await request.multipart():
            if part.name == "payload_json":
                body = json.loads(await part.text())
            else:
                kind = part.headers.get("Content-Type", "application/octet-stream")
                files.append((part.filename, kind, bytes(await part.read())))
        return body, files

    def _failure(self, request: web.Request) -> Failure | None:
        for failure in self.failures:
            if failure.method == request.method and failure.fragment in request.path:
                failure.times -= 1
                if failure.times <= 0:
                    self.failures.remove(failure)
                return failure
        return None

    def _fail(self, request: web.Request, failure: Failure) -> web.Response:
        if failure.drop:
            assert request.transport
            request.transport.abort()
            return web.Response(status=500)
        if failure.status == 429:
            wait = failure.retry_after
            headers = {
                "Via": "1.1 google",
                "Retry-After": str(wait),
                **_limits(request),
                "X-RateLimit-Scope": "user",
            }
            said = {"message": "You are being rate limited.", "retry_after": wait, "global": False}
            return reply(said, 429, headers)
        return reply(
            {"message": "failed on order", "code": failure.code}, failure.status, {"Via": "1.1 google"}
        )

    # --- the application

    async def _me(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bot {TOKEN}":
            raise ApiError(401, 0, "401: Unauthorized")
        return reply(self.users[BOT] | {"mfa_enabled": False})

    async def _application(self, _: web.Request) -> web.Response:
        return reply({
            "id": APPLICATION, "name": "Atelier", "icon": None, "description": "", "bot_public": True,
            "bot_require_code_grant": False, "verify_key": "0" * 64, "owner": self.users[BOT], "team": None, "flags": 0,
        })  # fmt: skip

    async def _gateway_bot(self, _: web.Request) -> web.Response:
        limit = {"total": 1000, "remaining": 999, "reset_after": 1, "max_concurrency": 1}
        return reply({"url": self.gateway.url, "shards": 1, "session_start_limit": limit})

    async def _register(self, request: web.Request) -> web.Response:
        self.registrations += 1
        self.commands = [
            {"id": self.new_id(), "application_id": APPLICATION, **each} for each in request[BODY]
        ]
        return reply(self.commands)

    async def _file(self, request: web.Request) -> web.Response:
        data = self.files.get(request.path)
        return web.Response(body=data) if data is not None else web.Response(status=404)

    # --- interactions

    async def _callback(self, request: web.Request) -> web.Response:
        found = self.interactions.get(request.match_info["token"])
        if found is None or found.id != request.match_info["id"]:
            raise ApiError(404, 10062, "Unknown interaction")
        if found.answer is not None:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        if time.monotonic() - found.asked_at > self.answer_seconds:
            raise ApiError(404, 10062, "Unknown interaction")
        found.answer = body = request[BODY]
        data = body.get("data") or {}
        resource: dict[str, Any] = {"type": body["type"]}
        if body["type"] in {4, 5}:
            found.private = bool(data.get("flags", 0) & EPHEMERAL)
            flags = data.get("flags", 0) | (LOADING if body["type"] == 5 else 0)
            resource["message"] = self._made(
                found, self._store(found.channel, {**data, "flags": flags}, request)
            )
            found.original = resource["message"]["id"]
        if request.query.get("with_response") != "true":
            return web.Response(status=204)
        return reply({"interaction": {"id": found.id, "type": found.type}, "resource": resource})

    def _made(self, interaction: Interaction, message: dict[str, Any]) -> dict[str, Any]:
        message["owner"] = interaction.user
        interaction.made.add(message["id"])
        return message

    def _hook(self, request: web.Request) -> Interaction:
        found = self.interactions.get(request.match_info["token"])
        if found is None or found.answer is None:
            raise ApiError(404, 10015, "Unknown Webhook")
        if found.expired:
            raise ApiError(401, 50027, "Invalid Webhook Token")
        return found

    def _hook_message(self, request: web.Request) -> tuple[Interaction, dict[str, Any]]:
        interaction = self._hook(request)
        number = request.match_info["message"]
        number = interaction.original if number == "@original" else number
        message = self.messages.get(number)
        if message is None or number not in interaction.made | {interaction.original}:
            raise ApiError(404, 10008, "Unknown Message")
        return interaction, message

    async def _hook_get(self, request: web.Request) -> web.Response:
        return reply(_shown(self._hook_message(request)[1]))

    async def _hook_edit(self, request: web.Request) -> web.Response:
        return reply(_shown(self._change(self._hook_message(request)[1], request)))

    async def _hook_delete(self, request: web.Request) -> web.Response:
        self.messages.pop(self._hook_message(request)[1]["id"])
        return web.Response(status=204)

    async def _follow_up(self, request: web.Request) -> web.Response:
        """The first one fills a deferred answer that is still there, and is seen by whom that said."""
        interaction = self._hook(request)
        original = self.messages.get(interaction.original)
        if original is not None and original["flags"] & LOADING:
            return reply(_shown(self._change(original, request)))
        interaction.follow_ups += 1
        if interaction.channel.guest and interaction.follow_ups > 5:
            raise ApiError(400, 40094, "This interaction has reached its maximum follow-up messages")
        return reply(
            _shown(self._made(interaction, self._store(interaction.channel, request[BODY], request)))
        )

    # --- as the bot

    def _channel_of(self, request: web.Request, wanted: int = VIEW) -> Channel:
        channel = self.channels.get(request.match_info["channel"])
        if channel is None:
            raise ApiError(404, 10003, "Unknown Channel")
        if channel.guest or not channel.bot_may & VIEW:
            raise ApiError(403, 50001, "Missing Access")
        if wanted & ~channel.bot_may:
            raise ApiError(403, 50013, "Missing Permissions")
        if channel.type == 1 and channel.people[0] in self.closed_to_bot and wanted & SEND:
            raise ApiError(403, 50007, "Cannot send messages to this user")
        return channel

    async def _channel(self, request: web.Request) -> web.Response:
        return reply(self._channel_of(request).facts())

    async def _send(self, request: web.Request) -> web.Response:
        channel = self._channel_of(request, SEND | (ATTACH if request[FILES] else 0))
        body = request[BODY]
        if body.get("enforce_nonce"):
            for message in self.in_channel(channel.id):
                if message.get("nonce") == body["nonce"]:
                    return reply(_shown(message))
        reference = body.get("message_reference")
        if (
            reference
            and reference["message_id"] not in self.messages
            and reference.get("fail_if_not_exists", True)
        ):
            raise ApiError(400, 50035, "Unknown message to answer")
        return reply(_shown(self._store(channel, body, request)))

    def _own(self, request: web.Request) -> dict[str, Any]:
        self._channel_of(request)
        message = self.messages.get(request.match_info["message"])
        if message is None or message["flags"] & EPHEMERAL:
            raise ApiError(404, 10008, "Unknown Message")
        return message

    async def _get(self, request: web.Request) -> web.Response:
        return reply(self.seen(self._own(request)))

    async def _edit(self, request: web.Request) -> web.Response:
        return reply(_shown(self._change(self._own(request), request)))

    async def _delete(self, request: web.Request) -> web.Response:
        self.messages.pop(self._own(request)["id"])
        return web.Response(status=204)

    async def _thread(self, request: web.Request) -> web.Response:
        parent = self._channel_of(request, THREADS)
        message = self._own(request)
        thread = Channel(
            id=message["id"], type=11, parent=parent.id, bot_may=parent.bot_may, name=request[BODY]["name"]
        )
        self.channels[thread.id] = thread
        return reply(thread.facts())

    async def _direct(self, request: web.Request) -> web.Response:
        return reply(self.direct_chat(request[BODY]["recipient_id"]).facts())

    # --- messages

    def seen(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message as Discord gives it out: its files have addresses that last for a while."""
        shown = copy.deepcopy(_shown(message))
        urls = {f"attachment://{each['filename']}": each["url"] for each in shown["attachments"]}
        for each in walk(shown["components"]):
            for media in [each.get("file"), *(item["media"] for item in each.get("items", []))]:
                if media:
                    media |= {"url": urls[media["url"]], "proxy_url": urls[media["url"]], "width": 32}
        return shown

    def _store(self, channel: Channel, body: dict[str, Any], request: web.Request) -> dict[str, Any]:
        message: dict[str, Any] = {
            "id": self.new_id(), "channel_id": channel.id, "author": self.users[BOT], "content": "", "type": 0,
            "flags": 0, "attachments": [], "components": [], "embeds": [], "mentions": [], "edits": 0,
            "timestamp": "2026-11-24T12:00:00+00:00", "nonce": body.get("nonce"),
            "reference": (body.get("message_reference") or {}).get("message_id"), "pings": [],
            "at": time.monotonic(),
        }  # fmt: skip
        self._fill(message, body, request)
        allowed = (body.get("allowed_mentions") or {"users": ["*"]}).get("users", [])
        message["pings"] = [each for each in self.users if f"<@{each}>" in words(message) and each in allowed]
        self.messages[message["id"]] = message
        return message

    def _change(self, message: dict[str, Any], request: web.Request) -> dict[str, Any]:
        body = dict(request[BODY])
        kept = message["flags"] & EPHEMERAL
        was_v2 = message["flags"] & V2
        if was_v2 and "flags" in body and not body["flags"] & V2:
            raise ApiError(400, 50035, "Components V2 cannot be taken back")
        body["flags"] = (body.get("flags", 0) & V2) | kept | was_v2
        self._fill(message, body, request)
        message["edits"] += 1
        return message

    def _fill(self, message: dict[str, Any], body: dict[str, Any], request: web.Request) -> None:
        message.update({name: body[name] for name in SENDING if body.get(name) is not None})
        for _, _, data in request[FILES]:
            if len(data) > self.bytes_max:
                raise ApiError(413, 40005, "Request entity too large")
        if "attachments" in body or request[FILES]:
            kept = {str(each["id"]) for each in body.get("attachments") or []}
            message["attachments"] = [each for each in message["attachments"] if each["id"] in kept]
            for name, kind, data in request[FILES]:
                made = self.attach(self.base, message["channel_id"], name, data, kind)
                message["attachments"].append(made)
        names = {each["filename"] for each in message["attachments"]}
        for each in walk(message["components"]):
            for media in [each.get("file"), *(item["media"] for item in each.get("items", []))]:
                if media and media["url"].removeprefix("attachment://") not in names:
                    raise ApiError(400, 50035, f"{media['url']} is not attached")


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in NOTES}


def _limits(request: web.Request) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "49", "X-RateLimit-Reset": str(time.time() + 1),
        "X-RateLimit-Reset-After": "1.000", "X-RateLimit-Bucket": f"{request.method}-{len(request.path.split('/'))}",
    }  # fmt: skip

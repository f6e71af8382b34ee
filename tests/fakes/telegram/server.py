"""A Bot API server on loopback: long polling and webhooks, messages with state, files, inline mode, and troubles.

Every request is checked against the specification; a wrong one is answered with 400 and kept in `problems`.
Troubles are put in `faults` and happen once each: errors with their parameters, lost connections.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from tests.fakes.telegram import entities, validate
from tests.fakes.telegram.messages import FILE_BYTES_MAX, ApiError, ChatState, Files, Json
from tests.fakes.telegram.stars import Sales

TOKEN = "123456789:ABCdefGHIjklMNOpqrSTUvwxYZ012345678"
DOWNLOAD_BYTES_MAX = 20 << 20
HOOK_TRIES = 3000  # a tenth of a second apart: the real one tries for hours


RIGHTS = (
    "can_be_edited", "is_anonymous", "can_manage_chat", "can_delete_messages", "can_manage_video_chats",
    "can_restrict_members", "can_promote_members", "can_change_info", "can_invite_users", "can_post_stories",
    "can_edit_stories", "can_delete_stories", "can_post_messages",
)  # fmt: skip
"""Of an administrator of a channel."""


GIFTS = dict.fromkeys(
    ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"), False
)


class Lost(Exception):
    """The connection breaks instead of an answer."""


@dataclass
class Fault:
    """Happens at the next call of `method` ("*": any but getUpdates) that concerns `chat` (0: any)."""

    method: str
    code: int = 0
    description: str = ""
    parameters: Json = field(default_factory=dict)
    chat: int = 0
    after: bool = False  # the call has its effect first


@dataclass(frozen=True)
class Call:
    method: str
    fields: Json
    files: Files
    at: float


class FakeTelegram(Sales):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.problems: list[tuple[str, list[str]]] = []
        self.faults: list[Fault] = []
        self.updates: list[Json] = []
        self.confirmed = 0
        self.menus: dict[tuple[str, str], list[Json]] = {}
        self.hook: Json | None = None
        self.hook_at = ""  # where the proxy in front of the bot hands updates to; empty: no proxy
        self.hook_statuses: list[int] = []
        self.answers: dict[str, asyncio.Future[Json]] = {}
        self._poll = 0
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self, port: int = 0) -> FakeTelegram:
        app = web.Application(client_max_size=FILE_BYTES_MAX + (10 << 20))
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        app.router.add_route("*", "/bot{token}/test/{method}", self._serve)
        app.router.add_get("/file/bot{token}/{path:.*}", self._download)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # --- what tests look at and arrange

    def called(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    def fail(self, method: str, code: int, description: str, *, chat: int = 0, times: int = 1, after: bool = False,
             **parameters: Any) -> None:  # fmt: skip
        self.faults += [Fault(method, code, description, parameters, chat, after) for _ in range(times)]

    def drop(self, method: str, *, after: bool = False, times: int = 1) -> None:
        """The connection is lost, before the call has its effect or after it."""
        self.faults += [Fault(method, after=after) for _ in range(times)]

    def busiest(self, chat: int, seconds: float) -> int:
        """The most messages and edits that came to a chat within so many seconds."""
        at = [
            call.at for call in self.calls
            if str(call.fields.get("chat_id")) == str(chat) and call.method.startswith(("send", "edit"))
        ]  # fmt: skip
        return max((sum(1 for other in at if start <= other < start + seconds) for start in at), default=0)

    def migrate(self, old: int) -> int:
        """A group becomes a supergroup; its old id only tells the new one."""
        new = -1_000_000_000_000 - next(self.numbers)
        self.chat(old).moved_to = new
        self.chats[new] = ChatState(new, forum=self.chat(old).forum, admins=self.chat(old).admins)
        return new

    async def push(self, **update: Any) -> Json:
        """An update for the bot: waits to be fetched, or goes to the webhook until that takes it."""
        update = {"update_id": 1000 + next(self.numbers), **update}
        if self.hook is not None:
            await self._push_to_hook(update)
            return update
        async with self._news:
            self.updates.append(update)
            self._news.notify_all()
        return update

    async def query(self, kind: str, *, seconds: float = 10, **fields: Any) -> Json:
        """Pushes a callback or inline query and waits for its answer."""
        number = str(next(self.numbers))
        answer = self.answers[number] = asyncio.get_running_loop().create_future()
        pushing = asyncio.create_task(self.push(**{kind: {"id": number, **fields}}))
        try:
            return await asyncio.wait_for(answer, seconds)
        finally:
            await pushing

    # --- the wire

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        fields, files = await _read(request)
        method = request.match_info["method"]
        call = Call(method, fields, files, time.monotonic())
        if method != "getUpdates":
            self.calls.append(call)
        try:
            if request.match_info["token"] != TOKEN:
                raise ApiError(401, "Unauthorized")
            return web.json_response({"ok": True, "result": await self._answer(call)})
        except Lost:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        except ApiError as error:
            body: Json = {"ok": False, "error_code": error.code, "description": error.description}
            if error.parameters:
                body["parameters"] = error.parameters
            return web.json_response(body, status=error.code)

    async def _answer(self, call: Call) -> Any:
        fault = self._fault(call)
        if fault is not None and not fault.after:
            _break(fault)
        if wrong := validate.problems(call.method, call.fields, call.files):
            self.problems.append((call.method, wrong))
            raise ApiError(400, f"Bad Request: {wrong[0]}")
        handler: Callable[[Json, Files], Any] | None = getattr(self, f"on_{_snake(call.method)}", None)
        if handler is None:
            raise ApiError(404, "Not Found")
        fields = {name: validate.decoded(value) for name, value in call.fields.items()}
        result = await handler(fields, call.files)
        if fault is not None:
            self._note_unheard(call, result)
            _break(fault)
        return result

    def _note_unheard(self, call: Call, result: Any) -> None:
        """The bot never learns of this message, and may well send another."""
        if isinstance(result, dict) and "message_id" in result:
            self.chat(int(call.fields["chat_id"])).messages[result["message_id"]]["unheard"] = True

    def _fault(self, call: Call) -> Fault | None:
        for fault in self.faults:
            anything = fault.method == "*" and call.method != "getUpdates"
            here = not fault.chat or str(fault.chat) == str(call.fields.get("chat_id"))
            if (anything or fault.method == call.method) and here:
                self.faults.remove(fault)
                return fault
        return None

    async def _download(self, request: web.Request) -> web.Response:
        data = self.files.get(request.match_info["path"])
        if data is None or request.match_info["token"] != TOKEN:
            return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)
        return web.Response(body=data)

    async def _push_to_hook(self, update: Json) -> None:
        assert self.hook is not None
        secret = self.hook.get("secret_token")
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
        self.updates.append(update)
        async with aiohttp.ClientSession() as session:
            for _ in range(HOOK_TRIES):
                with suppress(aiohttp.ClientError):  # nobody listens there at the moment
                    url = self.hook_at or self.hook["url"]
                    async with session.post(url, json=update, headers=headers) as response:
                        self.hook_statuses.append(response.status)
                        if response.status // 100 == 2:
                            break
                await asyncio.sleep(0.1)
        self.updates.remove(update)

    # --- updates

    async def on_get_updates(self, fields: Json, files: Files) -> list[Json]:
        if self.hook is not None:
            raise ApiError(409, "Conflict: can't use getUpdates method while webhook is active")
        self._poll += 1
        mine, offset = self._poll, int(fields.get("offset", 0))
        self.confirmed = max(self.confirmed, offset)
        self.updates = [update for update in self.updates if update["update_id"] >= offset]
        async with self._news:
            self._news.notify_all()
            ready = self._news.wait_for(lambda: self.updates or self._poll != mine)
            with suppress(TimeoutError):
                await asyncio.wait_for(ready, float(fields.get("timeout", 0)) or 0.01)
        if self._poll != mine:
            raise ApiError(
                409, "Conflict: terminated by other getUpdates request; make sure that only one runs"
            )
        return self.updates[: int(fields.get("limit", 100))]

    async def on_answer_callback_query(self, fields: Json, files: Files) -> bool:
        return self._answered(fields["callback_query_id"], fields)

    async def on_answer_inline_query(self, fields: Json, files: Files) -> bool:
        return self._answered(fields["inline_query_id"], fields)

    async def on_answer_pre_checkout_query(self, fields: Json, files: Files) -> bool:
        if str(fields["ok"]).lower() != "true" and not fields.get("error_message"):
            raise ApiError(400, "Bad Request: error_message is required")
        return self._answered(fields["pre_checkout_query_id"], fields)

    def _answered(self, number: str, fields: Json) -> bool:
        answer = self.answers.get(str(number))
        if answer is None or answer.done():
            raise ApiError(
                400, "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
        answer.set_result(fields)
        return True

    async def on_set_webhook(self, fields: Json, files: Files) -> bool:
        self.hook = fields if fields.get("url") else None
        return True

    async def on_delete_webhook(self, fields: Json, files: Files) -> bool:
        self.hook = None
        return True

    async def on_get_me(self, fields: Json, files: Files) -> Json:
        return self.me

    async def on_get_my_commands(self, fields: Json, files: Files) -> list[Json]:
        return self.menus.get(_menu(fields), [])

    async def on_set_my_commands(self, fields: Json, files: Files) -> bool:
        self.menus[_menu(fields)] = fields["commands"]
        return True

    async def on_get_chat_member(self, fields: Json, files: Files) -> Json:
        number = int(fields["user_id"])
        user = entities.user(number)
        if number == self.me["id"] and number in self.chat(int(fields["chat_id"])).admins:
            return {"status": "administrator", "user": self.me, **dict.fromkeys(RIGHTS, True)}
        if number in self.chat(int(fields["chat_id"])).admins:
            return {"status": "creator", "user": user, "is_anonymous": False}
        return {"status": "member", "user": user}

    async def on_get_chat(self, fields: Json, files: Files) -> Json:
        named = str(fields["chat_id"])
        for chat in self.chats.values():
            if named in (str(chat.id), f"@{chat.channel}"):
                return chat.json() | {
                    "accent_color_id": 0,
                    "max_reaction_count": 11,
                    "accepted_gift_types": GIFTS,
                }
        raise ApiError(400, "Bad Request: chat not found")

    async def on_get_file(self, fields: Json, files: Files) -> Json:
        path = next((path for path in self.files if path.endswith(f"/{fields['file_id']}")), None)
        if path is None:
            raise ApiError(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        if len(self.files[path]) > DOWNLOAD_BYTES_MAX:
            raise ApiError(400, "Bad Request: file is too big")
        return {"file_id": fields["file_id"], "file_unique_id": "u", "file_size": len(self.files[path]),
                "file_path": path}  # fmt: skip


def _break(fault: Fault) -> None:
    if not fault.code:
        raise Lost
    raise ApiError(fault.code, fault.description, **fault.parameters)


async def _read(request: web.Request) -> tuple[Json, Files]:
    fields: Json = dict(request.query)
    files: Files = {}
    if request.content_type.startswith("multipart"):
        async for part in await request.multipart():
            assert isinstance(part, aiohttp.BodyPartReader)
            if part.filename is not None:
                files[part.name or ""] = (part.filename, bytes(await part.read()))
            else:
                fields[part.name or ""] = await part.text()
    elif request.content_type == "application/json":
        fields |= await request.json()
    else:
        fields |= await request.post()
    return fields, files


def _menu(fields: Json) -> tuple[str, str]:
    return json.dumps(fields.get("scope") or {}), str(fields.get("language_code") or "")


def _snake(method: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", method)

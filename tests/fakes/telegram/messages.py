"""The fake server's messages: sent, edited and deleted, with their files, as the Bot API would."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.telegram import entities

PHOTO_BYTES_MAX, FILE_BYTES_MAX = 10 << 20, 50 << 20
NOTES = ("silent", "asks", "at", "unheard")  # what the server notes of a message and never tells
Json = dict[str, Any]
Files = dict[str, tuple[str, bytes]]


class ApiError(Exception):
    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


@dataclass
class ChatState:
    """What the server knows of a chat. `closed`: the error that everything sent there gets."""

    id: int
    title: str = ""
    language: str = "en"
    forum: bool = False
    messages: dict[int, Json] = field(default_factory=dict)
    admins: set[int] = field(default_factory=set)
    topics_gone: set[int] = field(default_factory=set)
    closed: str = ""
    moved_to: int = 0
    channel: str = ""  # its username

    def json(self) -> Json:
        if self.channel:
            return {
                "id": self.id,
                "type": "channel",
                "title": self.title or "Channel",
                "username": self.channel,
            }
        if self.id > 0:
            return {"id": self.id, "type": "private", "first_name": self.title or "Ann"}
        forum = {"is_forum": True} if self.forum else {}
        return {"id": self.id, "type": "supergroup", "title": self.title or "Group", **forum}


class Messages:
    """Chats and what is in them. `has_drafts`: whether this API knows sendMessageDraft."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.me: Json = {
            "id": 123456789, "is_bot": True, "first_name": "Atelier", "username": "atelier_bot",
            "can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": True,
        }  # fmt: skip
        self.chats: dict[int, ChatState] = {}
        self.inline: dict[str, Json] = {}
        self.files: dict[str, bytes] = {}
        self.drafts: list[Json] = []
        self.has_drafts = False
        self.answered: set[tuple[int, int]] = set()  # messages that were replied to, and still are

    def chat(self, number: int) -> ChatState:
        return self.chats.setdefault(number, ChatState(number))

    def new(self, chat: int, sender: Json, **fields: Any) -> Json:
        message = {
            "message_id": next(self.numbers), "date": int(time.time()), "chat": self.chat(chat).json(),
            "from": sender, "at": time.monotonic(), **fields,
        }  # fmt: skip
        self.chat(chat).messages[message["message_id"]] = message
        return message

    def store(self, data: bytes, kind: str, name: str = "") -> Json:
        number = f"F{next(self.numbers)}"
        self.files[f"{kind}s/{number}"] = data
        return {"file_id": number, "file_unique_id": f"u{number}", "file_size": len(data), "file_name": name}

    def vanish(self, file_id: str) -> None:
        self.files = {path: data for path, data in self.files.items() if not path.endswith(f"/{file_id}")}

    def data(self, message: Json) -> bytes:
        """The bytes of a message's photo or document."""
        file = message["photo"][-1] if "photo" in message else message["document"]
        return next(data for path, data in self.files.items() if path.endswith(f"/{file['file_id']}"))

    async def on_send_message(self, fields: Json, files: Files) -> Json:
        text, found = _words(fields, "text", 4096)
        if not text:
            raise ApiError(400, "Bad Request: message text is empty")
        return self._send(fields, text=text, entities=found)

    async def on_send_photo(self, fields: Json, files: Files) -> Json:
        caption, found = _words(fields, "caption", 1024)
        photo = self._photo(fields.get("photo", ""), files)
        spoiler = {"has_media_spoiler": True} if _true(fields.get("has_spoiler")) else {}
        return self._send(fields, photo=photo, caption=caption, caption_entities=found, **spoiler)

    async def on_send_document(self, fields: Json, files: Files) -> Json:
        caption, found = _words(fields, "caption", 1024)
        document = self._file("document", fields.get("document", ""), files, FILE_BYTES_MAX)
        return self._send(fields, document=document, caption=caption, caption_entities=found)

    async def on_send_message_draft(self, fields: Json, files: Files) -> bool:
        if not self.has_drafts:
            raise ApiError(404, "Not Found")
        self._open(int(fields["chat_id"]))
        self.drafts.append(fields)
        return True

    async def on_edit_message_text(self, fields: Json, files: Files) -> Json | bool:
        text, found = _words(fields, "text", 4096)
        if not fields.get("inline_message_id") and "text" not in self._editable(fields):
            raise ApiError(400, "Bad Request: there is no text in the message to edit")
        return self._edit(fields, {"text": text, "entities": found})

    async def on_edit_message_media(self, fields: Json, files: Files) -> Json | bool:
        media = fields["media"]
        if fields.get("inline_message_id") and files:
            raise ApiError(400, "Bad Request: can't upload a new file while editing an inline message")
        caption, found = _words(media, "caption", 1024)
        photo = self._photo(media["media"], files)
        new = {"photo": photo, "caption": caption, "caption_entities": found}
        if _true(media.get("has_spoiler")):
            new["has_media_spoiler"] = True
        return self._edit(fields, new)

    async def on_edit_message_caption(self, fields: Json, files: Files) -> Json | bool:
        caption, found = _words(fields, "caption", 1024)
        return self._edit(fields, {"caption": caption, "caption_entities": found})

    async def on_edit_message_reply_markup(self, fields: Json, files: Files) -> Json | bool:
        return self._edit(fields, {})

    async def on_delete_message(self, fields: Json, files: Files) -> bool:
        chat = self._open(int(fields["chat_id"]))
        gone = chat.messages.pop(int(fields["message_id"]), None)
        if gone is None:
            raise ApiError(400, "Bad Request: message to delete not found")
        if answered := gone.get("reply_to_message"):
            self.answered.discard((chat.id, answered["message_id"]))
        return True

    def _open(self, number: int) -> ChatState:
        chat = self.chat(number)
        if chat.moved_to:
            description = "Bad Request: group chat was upgraded to a supergroup chat"
            raise ApiError(400, description, migrate_to_chat_id=chat.moved_to)
        if chat.closed:
            raise ApiError(403, chat.closed)
        return chat

    def _send(self, fields: Json, **content: Any) -> Json:
        chat = self._open(int(fields["chat_id"]))
        more: Json = {}
        if topic := int(fields.get("message_thread_id") or 0):
            if topic in chat.topics_gone:
                raise ApiError(400, "Bad Request: message thread not found")
            more |= {"message_thread_id": topic, "is_topic_message": True}
        if reply := fields.get("reply_parameters"):
            answered = chat.messages.get(int(reply["message_id"]))
            if answered is None and not reply.get("allow_sending_without_reply"):
                raise ApiError(400, "Bad Request: message to be replied not found")
            if answered is not None:
                more["reply_to_message"] = unnested(answered)
                self.answered.add((chat.id, answered["message_id"]))
        if markup := fields.get("reply_markup"):
            more["reply_markup" if "inline_keyboard" in markup else "asks"] = markup
        more["silent"] = _true(fields.get("disable_notification"))
        return public(self.new(chat.id, self.me, **content, **more))

    def _edit(self, fields: Json, content: Json) -> Json | bool:
        message = self._editable(fields)
        before = {name: message.get(name) for name in content} | {"reply_markup": message.get("reply_markup")}
        if before == content | {"reply_markup": fields.get("reply_markup")}:
            raise ApiError(400, "Bad Request: message is not modified: specified new message content and reply markup"
                           " are exactly the same as a current content and reply markup of the message")  # fmt: skip
        for gone in ("text", "entities", "reply_markup") if content else ("reply_markup",):
            message.pop(gone, None)
        message.update(content, edit_date=int(time.time()))
        if fields.get("reply_markup"):
            message["reply_markup"] = fields["reply_markup"]
        return True if fields.get("inline_message_id") else public(message)

    def _editable(self, fields: Json) -> Json:
        if number := fields.get("inline_message_id"):
            return self.inline.setdefault(number, {})
        message = self._open(int(fields["chat_id"])).messages.get(int(fields["message_id"]))
        if message is None:
            raise ApiError(400, "Bad Request: message to edit not found")
        if message["from"] != self.me:
            raise ApiError(400, "Bad Request: message can't be edited")
        return message

    def _photo(self, named: str, files: Files) -> list[Json]:
        file = self._file("photo", named, files, PHOTO_BYTES_MAX)
        sizes = ((90, 90), (1024, 1024))
        return [{key: file[key] for key in ("file_id", "file_unique_id", "file_size")}
                | {"width": width, "height": height} for width, height in sizes]  # fmt: skip

    def _file(self, kind: str, named: str, files: Files, limit: int) -> Json:
        uploaded = files.get(named.removeprefix("attach://")) or files.get(kind)
        if uploaded is None:
            known = next((data for path, data in self.files.items() if path.endswith(f"/{named}")), None)
            if known is None:
                raise ApiError(400, "Bad Request: wrong file identifier/HTTP URL specified")
            return {"file_id": named, "file_unique_id": f"u{named}", "file_size": len(known)}
        name, data = uploaded
        if len(data) > limit:
            raise ApiError(413, "Request Entity Too Large")
        return self.store(data, kind, name)


def _words(fields: Json, name: str, limit: int) -> tuple[str, list[Json]]:
    try:
        text, found = entities.read(str(fields.get(name) or ""), fields.get("parse_mode"))
    except entities.Broken as error:
        raise ApiError(400, f"Bad Request: can't parse entities: {error}") from None
    if entities.units(text) > limit:
        raise ApiError(400, f"Bad Request: {'message' if limit > 1024 else 'media caption'} is too long")
    return text, found


def unnested(message: Json) -> Json:
    return {name: value for name, value in message.items() if name not in ("reply_to_message", *NOTES)}


def public(message: Json) -> Json:
    """Without what only the fake notes."""
    return {name: value for name, value in message.items() if name not in NOTES}


def _true(value: Any) -> bool:
    return str(value).lower() == "true"

"""A person with Telegram open: types, sends pictures, presses, replies, and looks at the chat."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.telegram.messages import Json, public
from tests.fakes.telegram.server import FakeTelegram

_albums = itertools.count(1)


@dataclass
class Person:
    """`at`: the chat they are in; their private chat with the bot unless a group's id is given."""

    server: FakeTelegram
    id: int
    name: str = "Ann"
    language: str = "en"
    at: int = 0
    topic: int = 0

    def __post_init__(self) -> None:
        self.at = self.at or self.id

    def json(self) -> Json:
        return {"id": self.id, "is_bot": False, "first_name": self.name, "language_code": self.language}

    def into(self, group: int, topic: int = 0) -> Person:
        """The same person in a group."""
        return Person(self.server, self.id, self.name, self.language, group, topic)

    async def say(self, text: str, *, reply: Json | None = None, **fields: Any) -> Json:
        return await self._push(reply, text=text, entities=_entities(text), **fields)

    async def photo(
        self, data: bytes, caption: str = "", *, reply: Json | None = None, **fields: Any
    ) -> Json:
        return await self._push(reply, **self._picture(data, caption), **fields)

    async def serves(self, **content: Any) -> Json:
        """A service message: Telegram tells the bot what the person did."""
        return await self._push(None, **content)

    async def document(self, data: bytes, caption: str, *, name: str, media_type: str) -> Json:
        """A file, which Telegram leaves as it is."""
        file = self.server.store(data, "document", name) | {"mime_type": media_type}
        return await self._push(None, document=file, caption=caption, caption_entities=_entities(caption))

    async def album(self, pictures: list[bytes], caption: str) -> list[Json]:
        """Each picture is a message and an update of its own; the words are under the first."""
        group = f"album{next(_albums)}"
        return [
            await self.photo(data, caption if number == 0 else "", media_group_id=group)
            for number, data in enumerate(pictures)
        ]

    async def press(self, message: Json, label: str, *, seconds: float = 10) -> Json:
        """Returns the answer to the callback query."""
        return await self.press_data(message, data_of(message, label), seconds=seconds)

    async def press_data(self, message: Json, data: str, *, seconds: float = 10) -> Json:
        fields = {"from": self.json(), "message": public(message), "chat_instance": "1", "data": data}
        return await self.server.query("callback_query", seconds=seconds, **fields)

    async def type_inline(self, text: str) -> Json:
        """Types `@bot text` somewhere; returns what is offered."""
        return await self.server.query("inline_query", **{"from": self.json(), "query": text, "offset": ""})

    async def choose(self, result: str, text: str) -> str:
        """Takes an offer; returns the id of the message that it became."""
        number = f"inline{next(self.server.numbers)}"
        self.server.inline[number] = {}
        chosen = {"result_id": result, "from": self.json(), "inline_message_id": number, "query": text}
        await self.server.push(chosen_inline_result=chosen)
        return number

    def block(self) -> None:
        self.server.chat(self.id).closed = "Forbidden: bot was blocked by the user"

    def unblock(self) -> None:
        self.server.chat(self.id).closed = ""

    @property
    def seen(self) -> list[Json]:
        """The bot's messages in the chat, oldest first."""
        messages = self.server.chat(self.at).messages.values()
        return [each for each in messages if each["from"] == self.server.me]

    @property
    def last(self) -> Json:
        return self.seen[-1]

    async def sees(self, *wanted: str, seconds: float = 8) -> Json:
        """Waits for a message of the bot's that has all these words in it."""
        return await self.finds(
            lambda each: all(part in words(each) for part in wanted), str(wanted), seconds
        )

    async def sees_photo(self, *wanted: str, seconds: float = 8) -> Json:
        def is_it(each: Json) -> bool:
            return "photo" in each and all(part in words(each) for part in wanted)

        return await self.finds(is_it, f"a photo {wanted}", seconds)

    async def finds(self, is_it: Callable[[Json], bool], what: str, seconds: float = 8) -> Json:
        found: list[Json] = []

        def look() -> bool:
            found[:] = [each for each in self.seen if is_it(each)]
            return bool(found)

        await until(look, lambda: f"{what} in {[words(each) for each in self.seen]}", seconds)
        return found[-1]

    def _picture(self, data: bytes, caption: str) -> Json:
        file = self.server.store(data, "photo")
        named = {key: file[key] for key in ("file_id", "file_unique_id", "file_size")}
        sizes = [{**named, "width": side, "height": side} for side in (90, 1024)]
        return {
            "photo": sizes,
            **({"caption": caption, "caption_entities": _entities(caption)} if caption else {}),
        }

    async def _push(self, reply: Json | None, **content: Any) -> Json:
        more: Json = {"message_thread_id": self.topic, "is_topic_message": True} if self.topic else {}
        if reply is not None:
            more["reply_to_message"] = {
                key: value for key, value in reply.items() if key != "reply_to_message"
            }
        date = content.pop("date", int(time.time()))
        message = self.server.new(self.at, content.pop("sender", self.json()), **content, **more, date=date)
        await self.server.push(message=public(message))
        return message


async def until(ready: Callable[[], Any], what: Callable[[], str] | str = "", seconds: float = 8) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        await asyncio.sleep(0.01)


def words(message: Json) -> str:
    return message.get("text") or message.get("caption") or ""


def keys(message: Json) -> list[str]:
    """The labels of a message's buttons."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [key["text"] for row in rows for key in row]


def data_of(message: Json, label: str) -> str:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    found = [
        key["callback_data"] for row in rows for key in row if key["text"] == label and "callback_data" in key
    ]
    assert found, f"no button {label!r} among {keys(message)}"
    return found[0]


def _entities(text: str) -> list[Json]:
    if not text.startswith("/"):
        return []
    return [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]

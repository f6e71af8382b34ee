"""What the fake Discord knows: people, channels, messages, interactions, files."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

APPLICATION, BOT, GUILD = "900000000000000001", "900000000000000002", "900000000000000003"
ALL = (1 << 53) - 1
MEMBER = (1 << 10) | (1 << 11) | (1 << 15) | (1 << 16)
MANAGER = MEMBER | (1 << 5) | (1 << 13)
EPHEMERAL, LOADING, V2 = 1 << 6, 1 << 7, 1 << 15


class ApiError(Exception):
    def __init__(self, status: int, code: int, message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message or str(code)


@dataclass
class Channel:
    """`bot_may`: the bot's permissions there; `guest`: a chat or server where the app is only a user's."""

    id: str
    type: int = 0
    guild: str | None = GUILD
    nsfw: bool = False
    parent: str | None = None
    bot_may: int = MEMBER | (1 << 35) | (1 << 38)
    guest: bool = False
    people: tuple[str, ...] = ()  # of a direct chat
    name: str = "gen"

    def facts(self) -> dict[str, Any]:
        return {
            "id": self.id, "type": self.type, "name": self.name, "nsfw": self.nsfw, "parent_id": self.parent,
            **({"guild_id": self.guild} if self.guild else {}),
        }  # fmt: skip


@dataclass
class Interaction:
    """`asked_at` and `deadline_seconds`: an answer after that is too late. `answer`: the callback's body."""

    id: str
    token: str
    user: str
    channel: Channel
    type: int
    asked_at: float = field(default_factory=time.monotonic)
    answer: dict[str, Any] | None = None
    original: str = ""  # the message that the answer made, or that was pressed
    made: set[str] = field(default_factory=set)
    follow_ups: int = 0
    expired: bool = False
    private: bool = False


class State:
    """One Discord. Ids grow, as snowflakes do."""

    def __init__(self) -> None:
        self._ids = itertools.count(910_000_000_000_000_000)
        self.users: dict[str, dict[str, Any]] = {BOT: user(BOT, "atelier", bot=True)}
        self.channels: dict[str, Channel] = {}
        self.messages: dict[str, dict[str, Any]] = {}
        self.interactions: dict[str, Interaction] = {}  # by token
        self.files: dict[str, bytes] = {}
        self.commands: list[dict[str, Any]] = []
        self.registrations = 0
        self.bytes_max = 10 * 1024 * 1024
        self.answer_seconds = 3.0
        self.closed_to_bot: set[str] = set()  # people who take no direct messages

    def new_id(self) -> str:
        return str(next(self._ids))

    def channel(self, **fields: Any) -> Channel:
        made = Channel(id=self.new_id(), **fields)
        self.channels[made.id] = made
        return made

    def direct_chat(self, person: str) -> Channel:
        for channel in self.channels.values():
            if channel.type == 1 and channel.people == (person,):
                return channel
        return self.channel(type=1, guild=None, people=(person,))

    def in_channel(self, channel: str) -> list[dict[str, Any]]:
        """Messages that are there, oldest first."""
        return [message for message in self.messages.values() if message["channel_id"] == channel]

    def attach(self, base: str, channel: str, name: str, data: bytes, kind: str) -> dict[str, Any]:
        number = self.new_id()
        path = f"/cdn/attachments/{channel}/{number}/{name}"
        self.files[path] = data
        url = f"{base}{path}?ex=1"
        return {
            "id": number,
            "filename": name,
            "size": len(data),
            "url": url,
            "proxy_url": url,
            "content_type": kind,
        }


def user(number: str, name: str, *, bot: bool = False) -> dict[str, Any]:
    return {
        "id": number, "username": name, "discriminator": "0", "global_name": None, "avatar": None, "bot": bot,
        "public_flags": 0, "flags": 0,
    }  # fmt: skip


def walk(components: Any) -> Iterator[dict[str, Any]]:
    """All components, however deep."""
    for each in components if isinstance(components, list) else [components] if components else []:
        yield each
        yield from walk(each.get("components"))
        yield from walk(each.get("component"))


def words(message: dict[str, Any]) -> str:
    """All text of a message."""
    parts = [
        message.get("content", ""),
        *(each.get("content", "") for each in walk(message.get("components"))),
    ]
    return "\n".join(part for part in parts if part)


def buttons(message: dict[str, Any]) -> dict[str, str]:
    """Labels and ids of those that tell the bot."""
    return {
        each["label"]: each["custom_id"] for each in walk(message.get("components")) if "custom_id" in each
        and each.get("type") == 2
    }  # fmt: skip


def skus(message: dict[str, Any]) -> list[str]:
    """What its premium buttons sell."""
    return [each["sku_id"] for each in walk(message.get("components")) if each.get("style") == 6]


def links(message: dict[str, Any]) -> list[str]:
    """Where its link buttons lead."""
    return [each["url"] for each in walk(message.get("components")) if each.get("style") == 5]


def gallery(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        item for each in walk(message.get("components")) if each.get("type") == 12 for item in each["items"]
    ]

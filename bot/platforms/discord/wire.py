"""What Discord sends, as far as we read it: events of the gateway, decoded strictly, unknown fields left out.

discord.py holds the connection but does not build its objects here: one event that it cannot read would end its
shard, while one that these structs cannot read is one log line. Field names are Discord's own.
"""

from __future__ import annotations

from typing import Any

import msgspec

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5  # interaction types
SLASH, ON_MESSAGE = 1, 3  # application command types
GUILD_CONTEXT, BOT_DM_CONTEXT, PRIVATE_CONTEXT = 0, 1, 2
DM_CHANNEL, GROUP_DM_CHANNEL = 1, 3
THREADS = frozenset({10, 11, 12})
THREADED = frozenset({0, 5})  # channels in which a thread can be opened from a message

ADMINISTRATOR = 1 << 3
MANAGE_GUILD = 1 << 5
VIEW_CHANNEL = 1 << 10
SEND_MESSAGES = 1 << 11
MANAGE_MESSAGES = 1 << 13
ATTACH_FILES = 1 << 15
READ_HISTORY = 1 << 16
CREATE_THREADS = 1 << 35
SEND_IN_THREADS = 1 << 38

EPHEMERAL = 1 << 6
COMPONENTS_V2 = 1 << 15

FILE_BYTES_MAX = 10 * 1024 * 1024  # where Discord names no other limit


class User(msgspec.Struct, frozen=True):
    id: str
    username: str = ""
    global_name: str | None = None
    bot: bool = False


class Member(msgspec.Struct, frozen=True):
    user: User | None = None
    permissions: str = "0"


class Channel(msgspec.Struct, frozen=True):
    id: str
    type: int = 0
    nsfw: bool = False
    parent_id: str | None = None


class File(msgspec.Struct, frozen=True):
    """An attachment."""

    id: str
    filename: str = ""
    size: int = 0
    url: str = ""
    content_type: str | None = None


class Message(msgspec.Struct, frozen=True):
    id: str
    channel_id: str = ""
    guild_id: str | None = None
    author: User | None = None
    content: str = ""
    flags: int = 0
    mentions: tuple[User, ...] = ()
    attachments: tuple[File, ...] = ()
    components: tuple[dict[str, Any], ...] = ()
    referenced_message: Message | None = None


class Resolved(msgspec.Struct, frozen=True):
    attachments: dict[str, File] = {}
    messages: dict[str, Message] = {}


class Option(msgspec.Struct, frozen=True):
    name: str
    value: str | int | float | bool | None = None
    focused: bool = False


class Data(msgspec.Struct, frozen=True):
    """What was invoked: the union of what commands, components and modals carry."""

    name: str = ""
    type: int = SLASH
    options: tuple[Option, ...] = ()
    resolved: Resolved = Resolved()
    target_id: str | None = None
    custom_id: str = ""
    components: tuple[dict[str, Any], ...] = ()


class Interaction(msgspec.Struct, frozen=True):
    id: str
    application_id: str
    token: str
    type: int
    data: Data = Data()
    guild_id: str | None = None
    channel_id: str | None = None
    channel: Channel | None = None
    member: Member | None = None
    user: User | None = None
    message: Message | None = None
    locale: str = "en-US"
    app_permissions: str = "0"
    attachment_size_limit: int = FILE_BYTES_MAX
    context: int | None = None
    authorizing_integration_owners: dict[str, str] = {}
    entitlements: tuple[dict[str, Any], ...] = ()  # of the person and of the server

    @property
    def person(self) -> User | None:
        return self.user or (self.member.user if self.member else None)

    @property
    def in_channel(self) -> str:
        return self.channel_id or (self.channel.id if self.channel else "")

    @property
    def in_direct_chat(self) -> bool:
        """Whether this is a chat of the person and the bot alone."""
        if self.context is not None:
            return self.context == BOT_DM_CONTEXT
        return self.guild_id is None

    @property
    def bot_is_there(self) -> bool:
        """Whether the bot itself may speak in this channel; a user-installed app is only a guest."""
        return self.in_direct_chat or "0" in self.authorizing_integration_owners


class Answerable(msgspec.Struct, frozen=True):
    """The least that is needed to answer an interaction at all."""

    id: str
    token: str
    locale: str = "en-US"


def permissions(bits: str) -> int:
    return int(bits) if bits.isascii() and bits.isdigit() else 0


def may(bits: int, wanted: int) -> bool:
    return bool(bits & (wanted | ADMINISTRATOR))

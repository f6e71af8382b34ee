"""Between Discord's events and the chat vocabulary. Pure but for the reading of attachments."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import msgspec

from bot.buttons import Press
from bot.chat import Action, Address, Attachment, AttachmentGone, Audience, Locale, Person, locale_of
from bot.places import PlaceSettings
from bot.platforms.discord import wire
from bot.platforms.discord.rest import fetch
from bot.platforms.discord.ways import NAME, Way
from bot.platforms.discord.wire import Channel, File, Interaction, Message, User

Read = Callable[[str], Press | None]  # what a button's id says, if it is one of ours
NAME_MAX = 64
DRAFTS_MAX = 2000
_HAN = re.compile("[\u3400-\u9fff]")
_PLAIN = frozenset({"help", "start", "jobs", "balance", "settings", "privacy", "setup", "admin"})
_WITH_WORDS = frozenset({"write", "imagine", "claim", "admin", "settings", "privacy"})
_PRIVATE = re.compile(r"(?:^|\s)(?:--|—|––)private(?!\w)(?!\s*=\s*(?:no|false|off|0))", re.IGNORECASE)


def person_of(user: User, locale: Locale) -> Person:
    return Person(
        platform=NAME, id=user.id, name=(user.global_name or user.username)[:NAME_MAX], locale=locale
    )


def locale_for(tag: str, settings: PlaceSettings) -> Locale:
    """The place's language, else the person's."""
    return settings.locale or locale_of(tag)


def locale_of_words(words: str, settings: PlaceSettings, known: Locale | None) -> Locale:
    """Messages say nothing of a person's language: what they write does."""
    if settings.locale:
        return settings.locale
    return "zh" if _HAN.search(words) else known or "en"


def place_of(guild: str | None, channel: str, *, direct: bool) -> str:
    """A server, or a chat of several people; "" for a chat with the bot alone."""
    return "" if direct else guild or channel


def way_from(interaction: Interaction) -> Way:
    channel = interaction.channel
    in_thread = channel is not None and channel.type in wire.THREADS
    return Way(
        channel=interaction.in_channel,
        application=interaction.application_id,
        limit=interaction.attachment_size_limit,
        may=wire.permissions(interaction.app_permissions),
        bot=interaction.bot_is_there,
        nsfw=channel.nsfw if channel else False,
        parent=(channel.parent_id or "") if channel and in_thread else "",
        direct=interaction.in_direct_chat,
    )


def with_message(way: Way, message: str) -> Way:
    return msgspec.structs.replace(way, message=message)


def address_of(person: Person, way: Way, *, place: str, private: bool) -> Address:
    return Address(
        platform=NAME,
        place=place,
        kind="group" if place else "private",
        audience=Audience.PRIVATE if private else Audience.EVERYONE,
        locale=person.locale,
        person=person.id,
        route=way.route(),
    )


def may_moderate(interaction: Interaction, command: str) -> bool:
    """Who manages messages may delete; who manages the server may set it up."""
    bits = wire.permissions(interaction.member.permissions) if interaction.member else 0
    return wire.may(bits, wire.MANAGE_GUILD if command == "setup" else wire.MANAGE_MESSAGES)


def is_open(settings: PlaceSettings, way: Way) -> bool:
    """Whether the bot may make things in this channel."""
    return not settings.channels or way.channel in settings.channels or way.parent in settings.channels


def wants_privacy(words: str) -> bool:
    """Whether a prompt says `--private`; only how it is acknowledged depends on this."""
    return _PRIVATE.search(words) is not None


def pictures_in(files: Iterable[File]) -> tuple[File, ...]:
    return tuple(file for file in files if (file.content_type or "image/").startswith("image/"))


def attachments_of(files: Iterable[File]) -> tuple[Attachment, ...]:
    return tuple(
        Attachment(
            name=file.filename, size_bytes=file.size, read=partial(fetch, file.url, bytes_max=file.size + 1)
        )
        for file in files
    )


def vanished() -> tuple[Attachment, ...]:
    """A picture that we knew of and that is no longer at hand."""

    async def read() -> bytes:
        raise AttachmentGone

    return (Attachment(name="", size_bytes=1, read=read),)


# --- messages that somebody wrote


def is_for_us(event: Mapping[str, Any], me: str) -> bool:
    """A cheap look at an undecoded message: people who write to us directly or mention us."""
    author = cast("dict[str, Any]", event.get("author") or {})
    if author.get("bot") or event.get("webhook_id") or author.get("id") == me:
        return False
    if event.get("type", 0) not in {0, 19}:  # default, reply
        return False
    mentions = cast("list[dict[str, Any]]", event.get("mentions") or [])
    return not event.get("guild_id") or any(each.get("id") == me for each in mentions)


def words_of(message: Message, me: str) -> str:
    """What was said, without the mention of us."""
    return re.sub(rf"<@!?{re.escape(me)}>", " ", message.content).strip()


def command_in(words: str, *, answers_text: bool) -> tuple[str, str]:
    """(command, text): a leading command's name, else a picture; an answer to a text goes on with the text."""
    first, _, rest = words.lstrip("/").partition(" ")
    name = first.lower()
    if words.startswith("/") and re.fullmatch(r"[a-z]{2,32}", name):
        return name, rest.strip()
    if (name in _PLAIN and not rest.strip()) or (name in _WITH_WORDS and rest.strip()):
        return name, rest.strip()
    return ("write" if answers_text else "imagine"), words


# --- messages of ours


def ids_in(components: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """All buttons' ids, however deep."""
    for component in components:
        if isinstance(custom_id := component.get("custom_id"), str):
            yield custom_id
        inner = component.get("components")
        if isinstance(inner, list | tuple):
            yield from ids_in(cast("Sequence[Mapping[str, Any]]", inner))


def job_of(message: Message | None, read: Read) -> int | None:
    """The job that a message of ours shows, from its signed buttons."""
    for custom_id in ids_in(message.components) if message else ():
        press = read(custom_id)
        if press is not None and press.action is not Action.ASK:
            return press.subject
    return None


def button_of(message: Message, action: Action, read: Read) -> str:
    """The id of the message's button for this action, or ""."""
    for custom_id in ids_in(message.components):
        press = read(custom_id)
        if press is not None and press.action is action:
            return custom_id
    return ""


def shows_pictures(message: Message) -> bool:
    return any(_has_type(each, 12) for each in message.components)


def _has_type(component: Mapping[str, Any], wanted: int) -> bool:
    if component.get("type") == wanted:
        return True
    inner = component.get("components")
    parts = cast("Sequence[Mapping[str, Any]]", inner) if isinstance(inner, list | tuple) else ()
    return any(_has_type(each, wanted) for each in parts)


# --- modals


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a modal goes on with: it travels in its id. `pictures` names files that wait in `Drafts`."""

    command: str
    origin: int | None = None
    pictures: str = ""

    def custom_id(self) -> str:
        return f"draft:{self.command}:{self.origin or ''}:{self.pictures}"


def draft_of(custom_id: str) -> Draft | None:
    """None for an id that no modal of ours has."""
    found = re.fullmatch(r"draft:([a-z]{1,20}):([0-9]{0,18}):([0-9]{0,20})", custom_id)
    if found is None:
        return None
    return Draft(command=found[1], origin=int(found[2]) if found[2] else None, pictures=found[3])


class Drafts:
    """Pictures that came with a command whose words are still being typed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[File, ...]] = OrderedDict()

    def keep(self, key: str, files: tuple[File, ...]) -> None:
        self._kept[key] = files
        while len(self._kept) > DRAFTS_MAX:
            self._kept.popitem(last=False)

    def attachments(self, key: str) -> tuple[Attachment, ...]:
        if not key:
            return ()
        files = self._kept.get(key)
        return attachments_of(files) if files else vanished()


def typed_in(components: Sequence[Mapping[str, Any]]) -> str:
    """The prompt in a submitted modal."""
    for component in components:
        if component.get("custom_id") == "prompt":
            value = component.get("value")
            return value if isinstance(value, str) else ""
        inner: Any = component.get("component") or component.get("components") or ()
        nested = cast("Sequence[Mapping[str, Any]]", [inner] if isinstance(inner, dict) else inner)
        if found := typed_in(nested):
            return found
    return ""


def channel_of(facts: Mapping[str, Any]) -> Channel:
    """Raises msgspec.ValidationError."""
    return msgspec.convert(facts, Channel)

"""Between Telegram's messages and the chat vocabulary. No sockets; files are fetched by what it is given."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from telegram import CallbackQuery, Chat, InlineKeyboardMarkup, Message, User

from bot.buttons import Buttons
from bot.chat import Action, Address, Attachment, Locale, Person, locale_of
from bot.places import PlaceSettings
from bot.platforms.telegram import markup
from bot.platforms.telegram.wire import Closed

NAME = "telegram"
DOWNLOAD_BYTES_MAX = 20 * 1024 * 1024  # https://core.telegram.org/bots/api#getfile
BUTTON_CHARS_MAX = 256
GENERAL = "1"  # the topic that messages without one are in
COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@(\w+))?(?:\s+|$)(.*)", re.DOTALL)
EDITING = re.compile(r"[?&]start=edit-(imagine|write)-(\d{1,18})$")

Fetch = Callable[[str], Awaitable[bytes]]  # a file's bytes by its id; raises AttachmentGone
Origin = tuple[int, str]  # a job (0: none) and the command that goes on from it


@dataclass(frozen=True)
class Me:
    """The bot itself."""

    id: int
    username: str

    def link(self, start: str) -> str:
        """Opens a private chat with the bot."""
        return f"https://t.me/{self.username}?start={start}"


@dataclass(frozen=True)
class Words:
    """What a message asks for. `plain`: no command was typed."""

    command: str
    text: str
    origin: int | None = None
    plain: bool = False


def kind_of(chat: Chat) -> Literal["private", "group"]:
    return "private" if chat.type == Chat.PRIVATE else "group"


def person_of(user: User, sender: Chat | None = None) -> Person:
    """Those who write as a group or channel are that group or channel: they share no account with others."""
    if sender is not None:
        return Person(platform=NAME, id=str(sender.id), name=markup.whole(sender.effective_name or ""))
    return Person(
        platform=NAME,
        id=str(user.id),
        name=markup.whole(user.full_name),
        locale=locale_of(user.language_code or "en"),
    )


def topic_of(message: Message) -> str:
    if message.is_topic_message and message.message_thread_id:
        return str(message.message_thread_id)
    return GENERAL if message.chat.is_forum else ""


def address_of(message: Message, person: Person, locale: Locale) -> Address:
    """`message` is what the answer replies to."""
    route = {"message": str(message.message_id)}
    if topic := topic_of(message):
        route["channel"] = topic
    return Address(
        platform=NAME,
        place=str(message.chat.id),
        kind=kind_of(message.chat),
        locale=locale,
        person=person.id,
        route=route,
    )


def is_allowed(settings: PlaceSettings, address: Address) -> bool:
    """Whether the bot answers in this topic."""
    return not settings.channels or address.route.get("channel", GENERAL) in settings.channels


def event_of(message: Message) -> str:
    return f"m{message.chat.id}.{message.message_id}"


def words_of(message: Message, me: Me, known: Sequence[str], origin: Origin | None) -> Words | None:
    """What is asked of us; None for what people say to each other or to other bots."""
    text = markup.whole(message.text or message.caption or "").strip()
    private = message.chat.type == Chat.PRIVATE
    if command := COMMAND.match(text):
        return _commanded(command, me, known, origin, private=private)
    mention = re.compile(rf"(?<!\w)@{re.escape(me.username)}(?!\w)", re.IGNORECASE)
    mentioned = mention.search(text) is not None
    if mentioned:
        text = mention.sub("", text, count=1).strip()
    if not (private or mentioned or (origin and text)):
        return None
    job, follow = origin or (0, "imagine")
    return Words(command=follow, text=text, origin=job or None, plain=True)


def _commanded(
    found: re.Match[str], me: Me, known: Sequence[str], origin: Origin | None, *, private: bool
) -> Words | None:
    name, bot, rest = found[1].lower(), (found[2] or "").lower(), found[3].strip()
    if bot and bot != me.username.lower():
        return None
    if not (private or bot) and name not in known:
        return None  # another bot's
    return Words(command=name, text=rest, origin=(origin[0] or None) if origin else None)


def origin_of(answered: Message | None, me: Me, buttons: Buttons) -> Origin | None:
    """The job that a message of ours shows, from the signed ids under it or the link inside it.

    An id that is too old to be pressed still tells. Whether this person may work with the job is not decided here.
    """
    if answered is None or answered.from_user is None or answered.from_user.id != me.id:
        return None
    if marked := _edited(answered):
        return marked
    presses = [
        press for data in _ids(answered.reply_markup) if (press := buttons.read(data, now=0)) is not None
    ]
    for press in presses:
        if press.action is not Action.ASK:
            actions = {each.action for each in presses}
            of_text = {Action.ORIGINAL, Action.EDIT} <= actions and Action.VARY not in actions
            is_text = of_text and not answered.photo
            return press.subject, "write" if is_text else "imagine"
    return None


def pictures_of(message: Message, fetch: Fetch) -> list[Attachment]:
    """The picture in a message: a photo, or a document that says it is one."""
    if message.photo:
        fitting = [each for each in message.photo if (each.file_size or 0) <= DOWNLOAD_BYTES_MAX]
        best = max(fitting or message.photo, key=lambda each: each.width * each.height)
        return [_attachment("photo.jpg", best.file_id, best.file_size or 0, fetch)]
    document = message.document
    if document is not None and (document.mime_type or "").startswith("image/"):
        return [
            _attachment(document.file_name or "picture", document.file_id, document.file_size or 0, fetch)
        ]
    return []


def editing_link(me: Me, command: str, job: int) -> str:
    """What marks the message that waits for an edit's words; people can't write such links into our messages."""
    return me.link(f"edit-{command or 'imagine'}-{job}")


def pressed_address(query: CallbackQuery, person: Person, locale: Locale) -> Address | None:
    """The answers to a button reply to the message that it is under; None where there is no such message."""
    message = query.message
    if message is None:
        return None
    if isinstance(message, Message):
        return address_of(message, person, locale)
    return Address(
        platform=NAME,
        place=str(message.chat.id),
        kind=kind_of(message.chat),
        locale=locale,
        person=person.id,
        route={"message": str(message.message_id)},
    )


def own_chat(address: Address) -> int:
    """The person's private chat. Raises Closed for those who write as a group: they have none."""
    if not address.person.isdigit():
        raise Closed
    return int(address.person)


def _attachment(name: str, file_id: str, size_bytes: int, fetch: Fetch) -> Attachment:
    async def read() -> bytes:
        return await fetch(file_id)

    return Attachment(name=name, size_bytes=size_bytes, read=read)


def _edited(message: Message) -> Origin | None:
    for entity in (*message.entities, *message.caption_entities):
        if entity.type == "text_link" and (found := EDITING.search(entity.url or "")):
            return int(found[2]), found[1]
    return None


def _ids(keyboard: InlineKeyboardMarkup | None) -> list[str]:
    rows = keyboard.inline_keyboard if keyboard else ()
    return [key.callback_data for row in rows for key in row if isinstance(key.callback_data, str)]

"""Between the chat vocabulary and what the page speaks: JSON out, forms and JSON in. No sockets, no clock."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from bot.chat import Address, Attachment, Audience, Card, Invocation, Person, Reply
from bot.platforms.web.errors import Refusal

ENDED = frozenset({"done", "failed", "cancelled", "deleted"})
COMMAND = re.compile(r"[a-z][a-z_-]{0,31}")
JOB_MAX = 2**63 - 1
Link = Callable[[int], str]  # an artifact's address for the next hour
Fields = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Form:
    """The parts of /api/say, as they were sent."""

    fields: dict[str, str]
    picture: bytes = b""
    picture_name: str = ""


class Press(msgspec.Struct, frozen=True, kw_only=True):
    """The body of /api/press."""

    event: str
    button: str
    private: bool = False


class LanguageChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The body of /api/language."""

    locale: str


def card_fields(card: Card, link: Link) -> Fields:
    """A card as the page draws it: previews as base64, pictures with links."""
    fields: Fields = msgspec.to_builtins(card)
    fields["ended"] = card.state in ENDED
    for picture, drawn in zip(card.pictures, fields["pictures"], strict=True):
        drawn["url"] = link(picture.artifact)
    return fields


def reply_fields(reply: Reply, link: Link) -> Fields:
    fields: Fields = msgspec.to_builtins(msgspec.structs.replace(reply, cards=()))
    fields["cards"] = [card_fields(card, link) for card in reply.cards]
    fields["files"] = [f"{link(each)}?download=1" for each in reply.files]
    return fields


def utf16_length(text: str) -> int:
    """How long JavaScript takes the text to be."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def only_text_grew(before: Card, after: Card) -> bool:
    same = msgspec.structs.replace(before, text=after.text, status=after.status, fraction=after.fraction)
    return after.state == "running" and same == after and after.text.startswith(before.text)


def sse(event: str, value: Fields) -> bytes:
    """One server-sent event; JSON has no bare newline, so one data line is enough."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), msgspec.json.encode(value))


def card_event(card: Card, before: Card | None, link: Link) -> bytes:
    """What a page that has seen `before` needs: the new text alone where nothing else changed.

    `offset` says where that text belongs, so that a page which missed something notices.
    """
    if before is not None and before.text and only_text_grew(before, card):
        delta = {
            "job": card.job,
            "offset": utf16_length(before.text),
            "text": card.text[len(before.text) :],
            "status": card.status,
            "fraction": card.fraction,
        }
        return sse("text", delta)
    fields = card_fields(card, link)
    if before is not None and before.preview == card.preview:
        del fields["preview"]
    return sse("card", fields)


def event_key(person: Person, event: str) -> str:
    """A page's own id of an event, made unique in the platform: nobody can name another's event."""
    try:
        return f"{person.id}:{uuid.UUID(event).hex}"
    except ValueError:
        raise Refusal(400, "web-error-body") from None


def address_of(person: Person, *, private: bool) -> Address:
    audience = Audience.PRIVATE if private else Audience.EVERYONE
    return Address(platform="web", place=person.id, kind="private", audience=audience, locale=person.locale)


def origin_of(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= JOB_MAX):
        raise Refusal(400, "web-error-body")
    return int(text)


def attachments_of(form: Form) -> tuple[Attachment, ...]:
    async def read() -> bytes:
        return form.picture

    if not (form.picture or form.picture_name):
        return ()
    return (Attachment(name=form.picture_name, size_bytes=len(form.picture), read=read),)


def said(form: Form, person: Person) -> Invocation:
    """What a person typed. Raises `Refusal` for a form that no page of ours sends."""
    command = form.fields.get("command", "")
    if not COMMAND.fullmatch(command) or command == "press":
        raise Refusal(400, "web-error-body")
    return Invocation(
        event=event_key(person, form.fields.get("event", "")),
        command=command,
        text=form.fields.get("text", ""),
        person=person,
        address=address_of(person, private=form.fields.get("private") == "1"),
        attachments=attachments_of(form),
        origin=origin_of(form.fields.get("origin", "")),
    )


def pressed(press: Press, person: Person) -> Invocation:
    """A button. That it is one of ours, and this person's to press, is for the chat to check."""
    return Invocation(
        event=event_key(person, press.event),
        command="press",
        person=person,
        address=address_of(person, private=press.private),
        button=press.button[:256],
    )

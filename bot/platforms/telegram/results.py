"""Final cards become messages: the status message turns into the result, or a reply does that rings.

What took long arrives as a reply, for the person to hear of it; edits and everything else are silent. A result
that came in several messages goes on where it was broken off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telegram import InlineKeyboardMarkup, InputMediaPhoto, LinkPreviewOptions, Message, ReplyParameters
from telegram.constants import ParseMode

from bot.chat import Address, Audience, Card, Chat, Media, TryLater, Undeliverable
from bot.places import Places
from bot.platforms.telegram import drawing, markup, pictures, translate
from bot.platforms.telegram.drawing import Marks
from bot.platforms.telegram.sheets import Sheet, Sheets
from bot.platforms.telegram.wire import (
    Closed,
    MessageGone,
    Refused,
    TooLarge,
    TopicGone,
    Unreadable,
    Unshowable,
    Wire,
)
from bot.replies import say

PHOTO_BYTES_MAX = 10 * 1024 * 1024
FILE_BYTES_MAX = 50 * 1024 * 1024
RING_SECONDS = 30.0
MESSAGES_MAX = 3  # a text that needs more is a document
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
PART_UNITS = 3600  # leaves room for the last part's footer


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a message goes: its chat and topic, what it replies to, and whether it rings."""

    chat: int
    topic: int | None = None
    answers: int | None = None
    rings: bool = False

    def keywords(self) -> dict[str, Any]:
        reply = ReplyParameters(self.answers, allow_sending_without_reply=True) if self.answers else None
        return {
            "message_thread_id": self.topic,
            "reply_parameters": reply,
            "disable_notification": not self.rings,
        }


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One message of a result. At most one of `photo` and `file`."""

    words: str  # HTML
    keyboard: InlineKeyboardMarkup | None = None
    photo: bytes = b""
    file: Media | None = None
    spoiler: bool = False


def spot_of(address: Address, *, private: bool = False, rings: bool = False) -> Spot:
    """In the chat of the request, or alone with the person. Raises Closed for who has no private chat."""
    apart = address.kind == "group" and (private or address.audience is Audience.PRIVATE)
    if apart:
        return Spot(chat=translate.own_chat(address), rings=rings)
    chat = int(address.place)
    topic = address.route.get("channel", "")
    answers = address.route.get("message", "")
    return Spot(
        chat=chat,
        topic=int(topic) if topic and topic != translate.GENERAL else None,
        answers=int(answers) if answers else None,
        rings=rings,
    )


class Results:
    def __init__(
        self, chat: Chat, wire: Wire, sheets: Sheets, places: Places, marks: Marks,
        *, clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._chat, self._wire, self._sheets = chat, wire, sheets
        self._places, self._marks, self._clock = places, marks, clock

    async def deliver(self, address: Address, card: Card, sheet: Sheet) -> str:
        """Returns the first message's id. Raises Undeliverable and TryLater. The sheet's lock is held."""
        rings = self._took_long(card)
        pieces = await self.pieces(address, card)
        try:
            spot = spot_of(address, private=card.private, rings=rings)
            await self._place(pieces, spot, sheet, edit=not rings and not sheet.drafted)
        except Closed as closed:
            await self._alone(address, pieces, sheet, rings=rings)
            if "rights" in str(closed).lower():
                await self._missing_rights(address)
        except Refused:
            raise Undeliverable from None
        if len(sheet.sent) > 1:
            await self._sheets.keep_parts(sheet, sheet.sent)
        return ".".join(str(each) for each in sheet.sent)

    async def pieces(self, address: Address, card: Card) -> list[Piece]:
        """The messages that show a final card."""
        keyboard = drawing.keyboard(card, self._marks)
        if card.kind == "text" and card.text:
            return _text(card, keyboard)
        if card.kind == "image" and card.pictures and card.state == "done":
            return [await self._picture(address, card, keyboard)]
        return [Piece(words=drawing.status(card), keyboard=keyboard)]

    async def send(self, piece: Piece, spot: Spot) -> Message | None:
        """One message, in the next best form where the API does not take the best. Raises Refused, TryLater."""
        try:
            return await self._send(piece, spot)
        except TopicGone:
            return await self._send(piece, Spot(chat=spot.chat, answers=spot.answers, rings=spot.rings))
        except Unreadable:
            return await self._send(piece, spot, parse=None)
        except (Unshowable, TooLarge) as refused:
            return await self._send(_unshown(piece, refused), spot)

    async def file(self, address: Address, media: Media, spot: Spot) -> None:
        """A document, untouched; a sentence where it is too large."""
        words = "" if len(media.data) <= FILE_BYTES_MAX else say(address.locale, "telegram-file-large")
        await self.send(Piece(words=words, file=None if words else media), spot)

    async def remove(self, chat: int, message: int) -> None:
        """Deletes a message; one that is too old to be deleted, or not ours to, stays."""
        try:
            if self._wire.now_at(chat) == chat:  # in a supergroup, the old id is another message's
                await self._wire.call(
                    chat, lambda same: self._wire.bot.delete_message(same, message), follow=False
                )
        except Refused:
            return

    async def _place(self, pieces: list[Piece], spot: Spot, sheet: Sheet, *, edit: bool) -> None:
        await self._sheets.load(sheet)
        same_chat = sheet.status_chat == self._wire.now_at(spot.chat)
        for piece in pieces[len(sheet.sent) :]:
            first = not sheet.sent
            if first and edit and sheet.status and same_chat and await self._edit(piece, spot, sheet.status):
                sheet.sent.append(sheet.status)
                sheet.status = 0
                continue
            sent = await self.send(piece, spot)
            sheet.sent.append(sent.message_id if sent else 0)
        if sheet.status:
            await self.remove(sheet.status_chat, sheet.status)
            sheet.status = 0

    async def _alone(self, address: Address, pieces: list[Piece], sheet: Sheet, *, rings: bool) -> None:
        """The group is closed to us: the person's own chat is left. For what is private there is no other way."""
        if address.kind == "private":
            raise Undeliverable
        sheet.sent.clear()
        try:
            spot = spot_of(address, private=True, rings=rings)
            await self._place(pieces, spot, sheet, edit=False)
        except Refused:
            raise Undeliverable from None

    async def _missing_rights(self, address: Address) -> None:
        """Says in the group what an admin would have to allow, where words at least are allowed."""
        try:
            await self.send(Piece(words=say(address.locale, "telegram-no-rights")), spot_of(address))
        except (Refused, TryLater):
            return

    async def _edit(self, piece: Piece, spot: Spot, message: int) -> bool:
        """Turns the status message into this; False where only a new message can show it."""
        if piece.file is not None:
            return False
        try:
            await self._wire.result(spot.chat, lambda chat: self._edited(piece, chat, message), follow=False)
        except (MessageGone, Unreadable, Unshowable, TooLarge):
            return False
        return True

    async def _edited(self, piece: Piece, chat: int, message: int) -> object:
        bot = self._wire.bot
        if not piece.photo:
            return await bot.edit_message_text(
                piece.words, chat, message, parse_mode=ParseMode.HTML, reply_markup=piece.keyboard,
                link_preview_options=NO_PREVIEW,
            )  # fmt: skip
        photo = InputMediaPhoto(
            piece.photo, caption=piece.words, parse_mode=ParseMode.HTML, has_spoiler=piece.spoiler
        )
        return await bot.edit_message_media(photo, chat, message, reply_markup=piece.keyboard)

    async def _send(self, piece: Piece, spot: Spot, parse: str | None = ParseMode.HTML) -> Message | None:
        words = piece.words if parse else markup.plain(piece.words)
        return await self._wire.result(spot.chat, lambda chat: self._sent(piece, chat, words, parse, spot))

    async def _sent(self, piece: Piece, chat: int, words: str, parse: str | None, spot: Spot) -> Message:
        bot = self._wire.bot
        more: dict[str, Any] = {**spot.keywords(), "parse_mode": parse, "reply_markup": piece.keyboard}
        if piece.photo:
            return await bot.send_photo(
                chat, piece.photo, caption=words, has_spoiler=piece.spoiler or None, **more
            )
        if piece.file is not None:
            return await bot.send_document(
                chat, piece.file.data, caption=words or None, filename=piece.file.name,
                disable_content_type_detection=True, **more,
            )  # fmt: skip
        return await bot.send_message(chat, words, link_preview_options=NO_PREVIEW, **more)

    async def _picture(self, address: Address, card: Card, keyboard: InlineKeyboardMarkup | None) -> Piece:
        media = await self._media(card)
        if not media:
            return Piece(words=drawing.status(card), keyboard=keyboard)
        scale = card.pictures[0].scale
        if len(media) > 1:
            shown = await pictures.grid([each.data for each in media], scale)
        else:
            shown = await pictures.enlarged(media[0].data, scale)
        settings = await self._places.get(translate.NAME, address.place) if address.kind == "group" else None
        fits = len(shown) <= PHOTO_BYTES_MAX
        return Piece(
            words=drawing.caption(card),
            keyboard=keyboard,
            photo=shown if fits else b"",
            file=None if fits else media[0],
            spoiler=bool(settings and settings.spoilers),
        )

    async def _media(self, card: Card) -> list[Media]:
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(_media(self._chat, each.artifact)) for each in card.pictures]
        return [media for read in reads if (media := read.result()) is not None]

    def _took_long(self, card: Card) -> bool:
        if not card.created_at:
            return False
        asked = datetime.fromisoformat(card.created_at)
        return (self._clock() - asked).total_seconds() > RING_SECONDS


async def _media(chat: Chat, artifact: int) -> Media | None:
    return await chat.media(artifact)


def _text(card: Card, keyboard: InlineKeyboardMarkup | None) -> list[Piece]:
    """The keyboard and the label are under the last part; a very long text is a document."""
    parts = markup.parts(card.text, PART_UNITS)
    if len(parts) > MESSAGES_MAX:
        data = f"{card.text}\n\n{card.label}\n".encode()
        media = Media(data=data, media_type="text/markdown", name=f"atelier-{card.job}.md")
        return [Piece(words=drawing.caption(card), keyboard=keyboard, file=media)]
    pieces = [Piece(words=markup.rendered(part)) for part in parts[:-1]]
    last = f"{markup.rendered(parts[-1])}\n\n{drawing.footer(card)}"
    return [*pieces, Piece(words=last, keyboard=keyboard)]


def _unshown(piece: Piece, refused: Refused) -> Piece:
    """A photo that can't be shown is a document; a file that is too large leaves its words."""
    if not piece.photo or isinstance(refused, TooLarge):
        return Piece(words=piece.words or "…", keyboard=piece.keyboard)
    media = Media(data=piece.photo, media_type="image/png", name="picture.png")
    return Piece(words=piece.words, keyboard=piece.keyboard, file=media)

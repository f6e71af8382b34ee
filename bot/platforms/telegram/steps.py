"""What a private chat sees while its job waits and runs: edits of the status message, or a streamed draft.

A picture that takes long shows its previews: then the status is a photo's caption.

Drafts (https://core.telegram.org/bots/api#sendmessagedraft) are tried once; an API that has none gets edits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from telegram import InputMediaPhoto
from telegram.constants import ParseMode
from telegram.error import BadRequest, InvalidToken, TelegramError

from bot.chat import Address, Card, TryLater
from bot.platforms.telegram import drawing, markup
from bot.platforms.telegram.drawing import Marks
from bot.platforms.telegram.results import Spot, spot_of
from bot.platforms.telegram.sheets import Sheet, Sheets
from bot.platforms.telegram.wire import MessageGone, Refused, Wire

EDIT_SECONDS = 1.5
PREVIEW_SECONDS = 4.0  # an upload each
DRAFT_SECONDS = 1.0
DRAFT_UNITS_MAX = 4000


class Steps:
    def __init__(
        self, wire: Wire, sheets: Sheets, marks: Marks, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wire, self._sheets, self._marks, self._clock = wire, sheets, marks, clock
        self._drafts: bool | None = None  # not known yet

    async def show(self, address: Address, card: Card) -> bool:
        """False when it is too early or there is no room; then the board draws again."""
        if "inline" in address.route or (spot := spot_of(address)).chat < 0:
            return True
        sheet = self._sheets.of(card.job)
        drafts = self._drafts is not False and card.kind == "text" and bool(card.text)
        since = self._clock() - sheet.shown_at
        if sheet.lock.locked() or sheet.closed or since < (DRAFT_SECONDS if drafts else EDIT_SECONDS):
            return False
        async with sheet.lock:
            await self._sheets.load(sheet)
            if sheet.closed:
                return False
            drafted = await self._draft(spot, card, sheet) if drafts else None
            return await self._edit(card, sheet) if drafted is None else drafted

    async def _edit(self, card: Card, sheet: Sheet) -> bool:
        """False while the newest preview is still to be shown."""
        if not sheet.status:
            return False
        words, now = drawing.status(card), self._clock()
        sheet.previewed_at = sheet.previewed_at or now  # what is over soon needs none
        due = card.preview != sheet.preview and now - sheet.previewed_at >= PREVIEW_SECONDS
        preview = card.preview if due else b""
        if words == sheet.shown and not preview:
            return card.preview == sheet.preview
        try:
            await self._wire.at_once(
                sheet.status_chat, lambda chat: self._edited(card, sheet, chat, words, preview), follow=False
            )
        except TryLater:
            return False
        except (
            MessageGone
        ):  # deleted: the result is a message of its own; or, before a restart, made a picture
            sheet.status, sheet.pictured = (0 if sheet.pictured else sheet.status), True
            return False
        except Refused:
            sheet.status = 0
        sheet.shown, sheet.shown_at = words, now
        if preview:
            sheet.preview, sheet.previewed_at, sheet.pictured = preview, now, True
        return card.preview == sheet.preview

    async def _edited(self, card: Card, sheet: Sheet, chat: int, words: str, preview: bytes) -> object:
        """A message that once was a picture stays one."""
        bot, keyboard = self._wire.bot, drawing.keyboard(card, self._marks)
        if preview:
            photo = InputMediaPhoto(preview, caption=words, parse_mode=ParseMode.HTML)
            return await bot.edit_message_media(photo, chat, sheet.status, reply_markup=keyboard)
        if sheet.pictured:
            return await bot.edit_message_caption(
                chat, sheet.status, caption=words, parse_mode=ParseMode.HTML, reply_markup=keyboard
            )
        return await bot.edit_message_text(
            words, chat, sheet.status, parse_mode=ParseMode.HTML, reply_markup=keyboard
        )

    async def _draft(self, spot: Spot, card: Card, sheet: Sheet) -> bool | None:
        """Streams the text so far; it ends when the text is sent as a message. None: this API has no drafts."""
        if not self._wire.pacer.try_progress(str(spot.chat)):
            return False
        sheet.shown_at = self._clock()
        text = markup.tail(card.text, DRAFT_UNITS_MAX)
        try:
            await self._wire.bot.send_message_draft(spot.chat, sheet.job, text, message_thread_id=spot.topic)
        except (BadRequest, InvalidToken):
            self._drafts = bool(
                self._drafts
            )  # an API that took one before has them, and did not like this one
            return None
        except TelegramError:
            return False
        self._drafts = sheet.drafted = True
        return True

"""What a private chat sees while its job waits and runs: edits of the status message, or a streamed draft.

Drafts (https://core.telegram.org/bots/api#sendmessagedraft) are tried once; an API that has none gets edits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from telegram.constants import ParseMode
from telegram.error import BadRequest, InvalidToken, TelegramError

from bot.chat import Address, Card, TryLater
from bot.platforms.telegram import drawing, markup
from bot.platforms.telegram.drawing import Marks
from bot.platforms.telegram.results import Spot, spot_of
from bot.platforms.telegram.sheets import Sheet, Sheets
from bot.platforms.telegram.wire import Refused, Wire

EDIT_SECONDS = 1.5
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
        words = drawing.status(card)
        if not sheet.status or words == sheet.shown:
            return bool(sheet.status)
        keyboard = drawing.keyboard(card, self._marks)
        try:
            await self._wire.at_once(
                sheet.status_chat,
                lambda chat: self._wire.bot.edit_message_text(
                    words, chat, sheet.status, parse_mode=ParseMode.HTML, reply_markup=keyboard
                ),
                follow=False,
            )
        except TryLater:
            return False
        except Refused:
            sheet.status = 0  # it was deleted: the result comes as a message of its own
        sheet.shown, sheet.shown_at = words, self._clock()
        return True

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

"""What a person gets back at once: words, the status message of a new job, files, the question for an edit.

In a group, what is only for the requester goes to their private chat; where that is closed, the group only
hears that it has to be opened first.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from telegram import ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, Message
from telegram.constants import ParseMode

from bot.chat import Address, Card, Chat, Invocation, Invoice, Reply
from bot.platforms.pacing import Pacer, Rate
from bot.platforms.telegram import drawing, markup, stars, translate
from bot.platforms.telegram.drawing import Marks
from bot.platforms.telegram.results import Piece, Results, Spot, spot_of
from bot.platforms.telegram.sheets import Sheets
from bot.platforms.telegram.translate import Me
from bot.platforms.telegram.wire import Closed, Wire
from bot.replies import say

DRAFT_UNITS_MAX = 3000
PLACEHOLDER_UNITS_MAX = 64
STATUSES_GROUP = Rate(6 / 60, 4)  # of a group's 20 messages a minute, most are left for results
STATUSES_ALL = Rate(1000, 1000)
LATE_MAX = 10  # results handed over by one /jobs


class Answers:
    def __init__(
        self, me: Me, chat: Chat, wire: Wire, sheets: Sheets, results: Results, marks: Marks
    ) -> None:
        self._me, self._chat, self._wire = me, chat, wire
        self._sheets, self._results, self._marks = sheets, results, marks
        self._statuses = Pacer(STATUSES_ALL, lambda _: STATUSES_GROUP, clock=time.monotonic)

    async def give(self, invocation: Invocation, reply: Reply) -> None:
        """All that a reply holds, in order. Raises TryLater, and Refused where the chat takes nothing."""
        address = invocation.address
        if reply.gone is not None:
            await self._remove(address, reply.gone)
        elif invocation.command == "jobs" and reply.cards:
            await self._list(address, reply)
        elif reply.invoice is not None:
            await self._bill(address, reply.invoice, private=reply.only_for_requester)
        else:
            if reply.text:
                await self.words(address, reply)
            for card in reply.cards:
                await self._status(address, card, fresh=reply.fresh)
        if reply.draft is not None:
            await self._ask(invocation, reply)
        await self._files(address, reply)

    async def words(self, address: Address, reply: Reply) -> None:
        """The sentences; in parts where they are long, the buttons under the last."""
        private = reply.only_for_requester
        keyboard = drawing.examples(reply.buttons)
        parts = [markup.rendered(part) for part in markup.parts(reply.text, markup.TEXT_UNITS_MAX - 100)]
        for number, part in enumerate(parts, 1):
            piece = Piece(words=part or "…", keyboard=keyboard if number == len(parts) else None)
            if not await self._privately(address, piece, private=private):
                return

    async def _bill(self, address: Address, invoice: Invoice, *, private: bool) -> None:
        """It says all by itself. A forwarded copy has no button to pay: it leads to us."""
        spot = spot_of(address, private=private)
        fields: dict[str, Any] = {**stars.bill(invoice), "start_parameter": "buy", **spot.keywords()}
        try:
            await self._wire.result(spot.chat, lambda chat: self._wire.bot.send_invoice(chat, **fields))
        except Closed:
            if address.kind == "private" or not private:
                raise
            await self.closed(address)

    async def closed(self, address: Address) -> None:
        """Says in the group that the private chat has to be opened first."""
        opens = InlineKeyboardButton(say(address.locale, "telegram-open"), url=self._me.link("hello"))
        piece = Piece(
            words=markup.escape(say(address.locale, "telegram-open-first")),
            keyboard=InlineKeyboardMarkup([[opens]]),
        )
        await self._results.send(piece, spot_of(address))

    async def _privately(self, address: Address, piece: Piece, *, private: bool) -> Message | None:
        """None where it could not be said because the private chat is closed."""
        try:
            return await self._results.send(piece, spot_of(address, private=private))
        except Closed:
            if address.kind == "private" or not private:
                raise
            await self.closed(address)
            return None

    async def _status(self, address: Address, card: Card, *, fresh: bool) -> None:
        """The one message of a new job. A job that is over has a delivery on its way instead."""
        sheet = self._sheets.of(card.job)
        async with sheet.lock:
            if not fresh:
                await self._sheets.load(sheet)
            if sheet.closed or sheet.status or card.state in drawing.ENDED:
                return
            sent = await self._first(address, card)
            if sent is None:
                return
            sheet.shown = drawing.status(card)
            if not await self._sheets.keep(sheet, sent.chat.id, sent.message_id):
                await self._results.remove(sent.chat.id, sent.message_id)

    async def _first(self, address: Address, card: Card) -> Message | None:
        piece = Piece(words=drawing.status(card), keyboard=drawing.keyboard(card, self._marks))
        if card.private or address.kind == "private":
            return await self._privately(address, piece, private=card.private)
        if not self._statuses.try_progress(address.place):
            return None  # a busy group: the result comes as a message of its own
        return await self._results.send(piece, spot_of(address))

    async def _list(self, address: Address, reply: Reply) -> None:
        """/jobs: what waits and runs as lines, what could not be brought as the results themselves."""
        live = [card for card in reply.cards if card.state not in drawing.ENDED]
        lines = [reply.text, *(f"- **#{card.job}** {card.prompt} — {card.status}" for card in live)]
        listed = msgspec.structs.replace(reply, text="\n".join(lines), only_for_requester=True)
        await self.words(address, listed)
        for card in [each for each in reply.cards if each.state in drawing.ENDED][:LATE_MAX]:
            for piece in await self._results.pieces(address, card):
                await self._results.send(piece, spot_of(address, private=True))

    async def _ask(self, invocation: Invocation, reply: Reply) -> None:
        """Asks for the words of an edit; the link inside tells later which job the answer is about."""
        address, locale = invocation.address, invocation.address.locale
        words = markup.shortened(reply.draft or "", DRAFT_UNITS_MAX)
        mark = translate.editing_link(self._me, reply.draft_command, reply.draft_origin or 0)
        who = ""
        if address.kind == "group":  # only the mentioned person's app opens its keyboard
            name = markup.escape(invocation.person.name or "…")
            who = f'<a href="tg://user?id={address.person}">{name}</a> '
        text = f'{who}<a href="{mark}">✏️</a> {markup.escape(say(locale, "telegram-edit"))}\n\n'
        text += f"<code>{markup.escape(words or '…')}</code>"
        field = ForceReply(
            selective=address.kind == "group",
            input_field_placeholder=markup.shortened(words, PLACEHOLDER_UNITS_MAX) or None,
        )
        spot = spot_of(address)
        await self._wire.result(spot.chat, lambda chat: self._forced(chat, text, field, spot))

    async def _forced(self, chat: int, text: str, field: ForceReply, spot: Spot) -> Message:
        return await self._wire.bot.send_message(
            chat, text, parse_mode=ParseMode.HTML, reply_markup=field, **spot.keywords()
        )

    async def _files(self, address: Address, reply: Reply) -> None:
        for artifact in reply.files:
            await self.file(address, artifact, private=reply.only_for_requester)

    async def file(self, address: Address, artifact: int, *, private: bool = False) -> bool:
        """One artifact as a document, untouched; False when it is deleted."""
        media = await self._chat.media(artifact)
        if media is None:
            return False
        spot = spot_of(address, private=private)
        await self._results.file(address, media, spot)
        return True

    async def _remove(self, address: Address, job: int) -> None:
        """The message whose button was pressed, and the other parts of the same result."""
        pressed = int(address.route.get("message", "0"))
        for message in dict.fromkeys([pressed, *await self._sheets.parts(job)]):
            if message:
                await self._results.remove(int(address.place), message)

"""Buttons that rest while their job is on its way: their keyboard says so, and a press asks “once more?” first.

Telegram has no buttons that can't be pressed. A keyboard that was changed before a restart is drawn anew from the
result that it belongs to. Groups, whose messages are few, see no change; nor do chats without room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from telegram import CallbackQuery, InlineKeyboardMarkup, Message

from bot.chat import Address, Card, Chat, TryLater
from bot.platforms.resting import Resting
from bot.platforms.telegram import drawing
from bot.platforms.telegram.drawing import Marks
from bot.platforms.telegram.sheets import Sheets
from bot.platforms.telegram.wire import Refused, Wire

RESTS = "rests"  # in an address: its message's keyboard rests until the job is over

WAITS_SECONDS = (0.0, 1.0, 1.0)  # a chat has no room just after a picture was sent there

log = structlog.stdlib.get_logger(__name__)


class Naps:
    def __init__(self, chat: Chat, wire: Wire, sheets: Sheets, marks: Marks) -> None:
        self._chat, self._wire, self._sheets, self._marks = chat, wire, sheets, marks
        self._resting = Resting()
        self._tasks: set[asyncio.Task[None]] = set()

    def is_asleep(self, message: Message, button: str) -> bool:
        return button in self._resting.of(_key(message.chat.id, message.message_id)).asleep

    def begin(self, query: CallbackQuery, job: int) -> None:
        """In the background; nothing happens when the job is over already, or there is no room."""
        message, button = query.message, query.data
        if isinstance(message, Message) and message.reply_markup is not None and button:
            self._later(self._begin(message, message.reply_markup, button, job))

    def end(self, address: Address, card: Card) -> None:
        """The job is over: its button is as before."""
        if RESTS in address.route and card.reply_to is not None:
            self._later(self._end(address, card.job, card.reply_to))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks) if self._tasks else None

    async def _begin(self, message: Message, keyboard: InlineKeyboardMarkup, button: str, job: int) -> None:
        chat, number = message.chat.id, message.message_id
        rests = self._resting.of(_key(chat, number))
        for wait in WAITS_SECONDS:
            await asyncio.sleep(wait)
            async with rests.lock:
                if self._sheets.of(job).closed:
                    return
                rests.buttons[job] = button
                if await self._draw(chat, number, drawing.rested(keyboard, rests.asleep), soon=True):
                    return

    async def _end(self, address: Address, job: int, origin: int) -> None:
        chat, number = int(address.place), int(address.route.get("message", "0"))
        rests = self._resting.of(_key(chat, number))
        card = await self._chat.card(origin)
        async with rests.lock:
            rests.buttons.pop(job, None)
            keyboard = drawing.keyboard(card, self._marks) if card else None
            if keyboard is not None:
                await self._draw(chat, number, drawing.rested(keyboard, rests.asleep), soon=False)

    async def _draw(self, chat: int, message: int, keyboard: InlineKeyboardMarkup, *, soon: bool) -> bool:
        """`soon`: now or not at all. False where it may be tried again."""
        if chat < 0:
            return True
        call = self._wire.at_once if soon else self._wire.result
        try:
            await call(
                chat,
                lambda now_at: self._wire.bot.edit_message_reply_markup(
                    now_at, message, reply_markup=keyboard
                ),
                follow=False,
            )
        except (Refused, TryLater) as error:
            log.info("telegram.rest_not_drawn", error=type(error).__name__)
            return isinstance(error, Refused)
        return True

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _key(chat: int, message: int) -> str:
    return f"{chat}/{message}"

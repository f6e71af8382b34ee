"""Pressed buttons. Each is answered at once, in words where there is something to say.

Who presses the same button again within a moment is asked whether they meant it; a third press means it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec
from telegram import CallbackQuery, Message
from telegram.error import TelegramError

from bot.buttons import Buttons
from bot.chat import Action, Address, Chat, Invocation, Locale, Person, Reply
from bot.platforms.telegram import drawing, markup, translate
from bot.platforms.telegram.answers import Answers
from bot.platforms.telegram.drawing import Marks
from bot.platforms.telegram.resting import RESTS, Naps
from bot.platforms.telegram.wire import Wire
from bot.replies import say

AGAIN_SECONDS = 3.0
PRESSED_MAX = 20_000
MANAGED = (Action.DELETE, Action.BUY)  # buttons that do more for those who manage the group

LocaleOf = Callable[[str, Person], Awaitable[Locale]]
Moderates = Callable[[int, Person], Awaitable[bool]]


class Presses:
    def __init__(
        self, chat: Chat, wire: Wire, answers: Answers, buttons: Buttons, marks: Marks, naps: Naps,
        *, locale_of: LocaleOf, moderates: Moderates, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._chat, self._wire, self._answers = chat, wire, answers
        self._buttons, self._marks, self._naps, self._clock = buttons, marks, naps, clock
        self._locale_of, self._moderates = locale_of, moderates
        self._pressed: dict[tuple[str, str], float] = {}

    async def run(self, query: CallbackQuery) -> tuple[Invocation, Reply] | None:
        """Answers the query; returns what is still to be sent."""
        person = translate.person_of(query.from_user)
        data = (query.data or "")[: translate.BUTTON_CHARS_MAX]
        place = str(query.message.chat.id) if query.message else ""
        locale = await self._locale_of(place, person)
        address = translate.pressed_address(query, person, locale)
        if address is None:
            return await self._say(query, say(locale, "refused-button"), alert=True)
        invocation = Invocation(
            event=f"c{query.id}", command="press", person=person, address=address, button=data
        )
        if (artifact := self._marks.read_picture(data)) is not None:
            return await self._picture(query, invocation, artifact)
        if self._repeated(query, person, data):
            return await self._say(query, say(locale, "refused-once-more"), alert=True)
        return await self._press(query, invocation)

    async def _press(self, query: CallbackQuery, invocation: Invocation) -> tuple[Invocation, Reply] | None:
        press = self._buttons.read(invocation.button, now=0)
        if press is not None and press.action in MANAGED and invocation.address.kind == "group":
            may = await self._moderates(int(invocation.address.place), invocation.person)
            invocation = replace(invocation, may_moderate=may)
        rests = press is not None and drawing.rests(press.action)
        if rests:
            invocation = replace(invocation, address=_resting(invocation.address))
        reply = await self._chat.run(invocation)
        if rests and reply.cards:
            self._naps.begin(query, reply.cards[0].job)
        words = markup.plain(markup.rendered(reply.text))
        speaks_alone = not reply.buttons and reply.invoice is None
        if speaks_alone and words and (reply.refused or markup.units(words) <= markup.ALERT_UNITS_MAX):
            await self._say(query, words, alert=reply.gone is None)
            return invocation, _without_words(reply)
        await self._say(query, reply.cards[0].status if reply.cards else "")
        return invocation, reply

    async def _picture(
        self, query: CallbackQuery, invocation: Invocation, artifact: int
    ) -> tuple[Invocation, Reply] | None:
        if await self._chat.media(artifact) is None:
            return await self._say(query, say(invocation.address.locale, "refused-deleted"), alert=True)
        await self._say(query, "")
        return invocation, Reply(files=(artifact,))

    async def _say(self, query: CallbackQuery, words: str, *, alert: bool = False) -> None:
        """A query that waited too long can't be answered any more; what it asked for is done all the same."""
        text = markup.shortened(words, markup.ALERT_UNITS_MAX)
        try:
            await self._wire.bot.answer_callback_query(query.id, text or None, show_alert=alert or None)
        except TelegramError:
            return

    def _repeated(self, query: CallbackQuery, person: Person, data: str) -> bool:
        """Only for what would be made, and paid, twice: pressed a moment ago, or resting still."""
        press = self._buttons.read(data, now=0)
        if press is None or not drawing.makes(press.action):
            return False
        now, key = self._clock(), (person.id, data)
        before = self._pressed.pop(key, None)
        asleep = isinstance(query.message, Message) and self._naps.is_asleep(query.message, data)
        if before is not None and (asleep or now - before < AGAIN_SECONDS):
            return True
        if len(self._pressed) >= PRESSED_MAX:
            self._pressed.clear()
        self._pressed[key] = now
        return False


def _resting(address: Address) -> Address:
    """Says to whoever delivers the job that a keyboard waits for it."""
    return msgspec.structs.replace(address, route=address.route | {RESTS: "1"})


def _without_words(reply: Reply) -> Reply:
    return Reply(
        cards=reply.cards, draft=reply.draft, draft_command=reply.draft_command,
        draft_origin=reply.draft_origin, files=reply.files, gone=reply.gone,
    )  # fmt: skip

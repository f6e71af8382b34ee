"""Buttons that rest while their job is on its way: disabled in their message by the bot, where it may edit.

Only its buttons are changed: the message is drawn again from what it has now. The job's way names it, so that after
a restart, too, its buttons wake. Without room in the channel, or in a message that only one person sees, nothing
rests, and who presses twice is asked “once more?”.
"""

from __future__ import annotations

import structlog

from bot.chat import TryLater
from bot.platforms.discord import drawing
from bot.platforms.discord.rest import Refused, Rest, patiently
from bot.platforms.discord.ways import Writers
from bot.platforms.resting import Resting

log = structlog.stdlib.get_logger(__name__)


class Naps:
    def __init__(self, rest: Rest, writers: Writers) -> None:
        self._rest, self._writers = rest, writers
        self._resting = Resting()

    async def begin(self, pressed: str, job: int, button: str) -> None:
        """`pressed`: channel/message. Nothing happens when the job is over already, or there is no room."""
        channel, _, _ = pressed.partition("/")
        rests = self._resting.of(pressed)
        async with rests.lock:
            if self._writers.of(job).closed or not self._rest.bot.try_progress(channel):
                return
            rests.buttons[job] = button
            await self._draw(pressed, rests.asleep)

    async def end(self, pressed: str, job: int) -> None:
        """The job is over: its button can be pressed again."""
        if not pressed:
            return
        rests = self._resting.of(pressed)
        async with rests.lock:
            rests.buttons.pop(job, None)
            await self._draw(pressed, rests.asleep)

    async def cut_short(self, job: int) -> None:
        """The job was deleted: there will be no result."""
        if pressed := self._resting.pressed_for(job):
            await self.end(pressed, job)

    async def _draw(self, pressed: str, asleep: frozenset[str]) -> None:
        channel, _, message = pressed.partition("/")
        try:
            shown = await patiently(lambda: self._rest.components(channel, message))
            components = drawing.rested(shown, asleep)
            if components != drawing.rested(shown):
                await patiently(lambda: self._rest.edit(channel, message, {"components": components}))
        except (Refused, TryLater) as error:
            log.info("discord.rest_not_drawn", error=str(error))

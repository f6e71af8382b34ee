"""Pictures sent together arrive as messages of their own: the first of an album waits for the others."""

from __future__ import annotations

import asyncio

from telegram import Message

GATHER_SECONDS = 0.7
PICTURES_MAX = 10  # Telegram's own limit of an album


class Albums:
    def __init__(self, *, seconds: float = GATHER_SECONDS) -> None:
        self._seconds = seconds
        self._open: dict[tuple[int, str], list[Message]] = {}

    async def gathered(self, message: Message) -> list[Message] | None:
        """All messages of an album, by their ids, for whichever of them came first; None for the others."""
        if not message.media_group_id:
            return [message]
        key = (message.chat.id, message.media_group_id)
        if key in self._open:
            self._open[key].append(message)
            return None
        self._open[key] = [message]
        try:
            await asyncio.sleep(self._seconds)
        finally:
            found = self._open.pop(key)
        unique = {each.message_id: each for each in found}
        return [unique[number] for number in sorted(unique)][:PICTURES_MAX]

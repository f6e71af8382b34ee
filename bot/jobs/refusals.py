"""What a person is told instead of getting a job: a sentence with the way out. Nobody is paged for one."""

from __future__ import annotations

from bot.chat import Locale
from bot.replies import say


class Refusal(Exception):
    """`message` is an id in `bot/replies/refusals.*.ftl`; `values` are its variables."""

    def __init__(self, message: str, **values: str | int | float) -> None:
        super().__init__(message)
        self.message, self.values = message, values

    def sentence(self, locale: Locale) -> str:
        return say(locale, self.message, **self.values)

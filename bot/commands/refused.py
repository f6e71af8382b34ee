"""What is wrong with a prompt: which rule, which words, where, and the nearest right spelling."""

from __future__ import annotations

from bot.chat import Locale
from bot.replies import say

_AROUND = 24
"""Characters of the prompt shown on each side of what is wrong."""


class PromptError(Exception):
    """A prompt that cannot be used. `code` is a message of `bot/replies/prompt.*.ftl`, `values` its variables.

    `start` and `end` bound the offending text in `original`, the prompt as the person wrote it; they are equal
    where the rule concerns the whole prompt, or a request made of it later.
    """

    def __init__(
        self,
        code: str,
        *,
        original: str = "",
        start: int = 0,
        end: int = 0,
        suggestion: str = "",
        **values: str,
    ) -> None:
        super().__init__(code)
        self.code, self.original, self.start, self.end = code, original, start, end
        self.suggestion, self.values = suggestion, values

    @property
    def offending(self) -> str:
        """The text that is wrong, as written."""
        return self.original[self.start : self.end]


def render(error: PromptError, locale: Locale) -> str:
    """The sentences that tell a person: what is wrong, where, and what was probably meant."""
    values = {name: value.replace("`", "'") for name, value in error.values.items()}
    sentences = [say(locale, error.code, **values)]
    if error.suggestion:
        sentences.append(say(locale, "prompt-suggestion", suggestion=error.suggestion))
    if error.offending:
        sentences.append(say(locale, "prompt-here", excerpt=excerpt(error)))
    return " ".join(sentences)


def excerpt(error: PromptError) -> str:
    """One line of the prompt with ▸marks◂ around what is wrong."""
    before, after = error.original[: error.start], error.original[error.end :]
    left = before if len(before) <= _AROUND else f"…{before[-_AROUND:]}"
    right = after if len(after) <= _AROUND else f"{after[:_AROUND]}…"
    inner = error.offending if len(error.offending) <= 60 else f"{error.offending[:60]}…"
    return "".join(" " if char.isspace() else char for char in f"{left}▸{inner}◂{right}" if _is_shown(char))


def _is_shown(char: str) -> bool:
    return char.isprintable() or char.isspace()

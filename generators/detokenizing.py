"""Token ids as text, piece by piece: what is said of a growing text is never taken back."""

from __future__ import annotations

from typing import Any


class Detokenizer:
    """A window of the newest ids is decoded with and without the last of them, as tokenizers decode a token
    differently at the start of a text; a character that is still incomplete (U+FFFD) waits for its last byte.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []  # of the window
        self._said = 0  # ids of the window before this have been said

    def add(self, token: int) -> str:
        """What has become certain with this token; often nothing."""
        self._ids.append(token)
        return self._fresh(is_last=False)

    def end(self) -> str:
        """The rest; half a character at the very end is left out."""
        return self._fresh(is_last=True)

    def _fresh(self, *, is_last: bool) -> str:
        before = self._decoded(self._ids[: self._said])
        known = self._decoded(self._ids)
        if known.endswith("\ufffd") and not is_last:
            return ""
        self._ids = self._ids[self._said :]
        self._said = len(self._ids)
        return known[len(before) :].rstrip("\ufffd")

    def _decoded(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

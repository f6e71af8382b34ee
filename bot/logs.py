"""Where log lines go. A full disk under the log must not stop the bot, nor turn an answer into an error."""

from __future__ import annotations

from contextlib import suppress
from typing import TextIO, cast


class _BestEffort:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def best_effort(stream: TextIO) -> TextIO:
    """The stream, but lines that cannot be written are dropped (all that loggers use is write and flush)."""
    return cast("TextIO", _BestEffort(stream))

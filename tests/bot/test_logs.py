"""Logs are written as well as they can be."""

from __future__ import annotations

import io

import structlog

from bot.logs import best_effort


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    structlog.PrintLoggerFactory(best_effort(FullDisk()))().msg("event=lost")


def test_otherwise_lines_are_written() -> None:
    stream = io.StringIO()
    structlog.PrintLoggerFactory(best_effort(stream))().msg("event=kept")
    assert stream.getvalue() == "event=kept\n"

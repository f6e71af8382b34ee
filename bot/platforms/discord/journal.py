"""Interactions that were heard and are not answered yet, in a file: after a crash the next process answers them.

Written before the acknowledgement, and without fsync, since it is for processes that die and not for machines; so
it costs a command some microseconds. It holds what people asked for and the tokens to answer, so only its owner may
read it, and it is emptied whenever nothing is on its way.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog

Event = dict[str, Any]
log = structlog.stdlib.get_logger(__name__)


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """Heard, or without an event: answered."""

    id: str
    event: Event | None = None


class Journal:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._open: set[str] = set()

    def left(self) -> list[Event]:
        """What the process before this one heard and did not answer, oldest first."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return []
        heard: dict[str, Event] = {}
        for line in lines:
            try:
                found = msgspec.json.decode(line, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # torn by the crash
            if found.event is None:
                heard.pop(found.id, None)
            else:
                heard[found.id] = found.event
        return list(heard.values())

    @contextmanager
    def keeping(self, number: str, event: Event) -> Generator[None]:
        """Keeps the event until it is answered or broke; one that is cancelled stays for the next process."""
        self._write(_Line(number, event))
        self._open.add(number)
        try:
            yield
        except Exception:
            self._close(number)
            raise
        self._close(number)

    def _close(self, number: str) -> None:
        self._open.discard(number)
        if self._open:
            self._write(_Line(number))
        elif self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)

    def _write(self, line: _Line) -> None:
        try:
            if self._descriptor < 0:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(self._descriptor, b"\n" + msgspec.json.encode(line))  # the one before may be torn
        except OSError as error:
            log.warning("discord.journal_unwritten", error=error.strerror)

"""How many rows a forward of one (model, device) should have, for each part and picture size: learnt in service.

Each has a search of its own (`knee`). What it settles, and what was found to fit into memory, is kept in the cache
folder, so that the next start begins there; a file that is damaged, or of another model or device, is ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from generators.knee import Knee

ROWS_MAX = 64


class Settled(msgspec.Struct):
    """Of one part at one size: `rows` of a forward, and how many are bearable (0: more never failed)."""

    rows: int = 0
    bearable: int = 0


class Profile(msgspec.Struct):
    """Of one model on one device; `subject` says which."""

    subject: str = ""
    sizes: dict[str, Settled] = {}


class Profiles:
    """The profile of one model on one device, and the file it rests in."""

    def __init__(self, folder: Path, subject: str) -> None:
        digest = hashlib.sha256(subject.encode()).hexdigest()[:16]
        self._file = folder / "profiles" / f"{digest}.json"
        self._profile = _read(self._file, subject)
        self._knees: dict[str, Knee] = {}

    def cap(self, what: str, start: int, most: int = ROWS_MAX) -> int:
        """Rows of the next forward, `start` where nothing is known, never more than `most`."""
        if what not in self._knees:
            known = self._profile.sizes.get(what, Settled())
            self._knees[what] = Knee(known.rows or start, min(most, known.bearable or most))
        return self._knees[what].cap

    def note(self, what: str, rows: int, seconds: float) -> None:
        """A forward of `rows`, of which there may be `cap`, took so long."""
        knee = self._knees[what]
        if knee.note(rows, seconds):
            self._settled(what).rows = knee.rows
            self._write()

    def ran_out(self, what: str, rows: int) -> None:
        """A forward of `rows` did not fit."""
        bearable = max(1, rows // 2)
        self._knees[what].limit(bearable)
        self._settled(what).bearable = bearable
        self._write()

    def _settled(self, what: str) -> Settled:
        return self._profile.sizes.setdefault(what, Settled())

    def _write(self) -> None:
        """Whole or not at all. Without a disk to write to, the next start searches again."""
        draft = self._file.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(msgspec.json.encode(self._profile))
            draft.replace(self._file)


def _read(file: Path, subject: str) -> Profile:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        found = msgspec.json.decode(file.read_bytes(), type=Profile)
        if found.subject == subject:
            return found
    return Profile(subject=subject)

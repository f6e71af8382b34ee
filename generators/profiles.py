"""How many rows a forward of one (model, device) should have, for each part and picture size: learnt in service.

Every forward's time is noted by its rows, in powers of two. A batch may grow while doubling it raises rows per
second by `GAIN`; beyond that knee, sharing only makes everybody slower. Running out of memory halves what is
bearable. All of this is kept in the cache folder, so that the next start knows; a file that is damaged, or of
another model or device, is ignored and measured anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

GAIN = 1.1
ROWS_MAX = 64
_TRUSTED = 8  # forwards of a size before its time counts, the first of which is a warm-up
_MEMORY = 32  # forwards over which a time is averaged: a machine's mood passes


class Timing(msgspec.Struct):
    """Forwards of about one number of rows."""

    count: int = 0
    seconds_per_row: float = 0.0

    def note(self, seconds_per_row: float) -> None:
        self.count += 1
        weight = 1 / min(max(self.count - 1, 1), _MEMORY)  # the second overwrites the first, the warm-up
        self.seconds_per_row += (seconds_per_row - self.seconds_per_row) * weight


class Curve(msgspec.Struct):
    """Of one part at one size. `bearable`: rows known to fit, 0 while nothing ran out of memory."""

    timings: dict[int, Timing] = {}
    bearable: int = 0

    def cap(self, start: int, most: int) -> int:
        """Rows of the next forward: `start` while nothing is known, then up or down to the knee."""
        limit = min(most, self.bearable or most)
        known = sorted(rows for rows, timing in self.timings.items() if timing.count >= _TRUSTED)
        best = known[0] if known else start
        for rows in known[1:]:
            if self.timings[best].seconds_per_row < GAIN * self.timings[rows].seconds_per_row:
                return min(best, limit)
            best = rows
        return min(max(2 * best, start) if known else start, limit)


class Profile(msgspec.Struct):
    """Of one model on one device; `subject` says which."""

    subject: str = ""
    curves: dict[str, Curve] = {}


class Profiles:
    """The profile of one model on one device, and the file it rests in."""

    def __init__(self, folder: Path, subject: str) -> None:
        digest = hashlib.sha256(subject.encode()).hexdigest()[:16]
        self._file = folder / "profiles" / f"{digest}.json"
        self._profile = _read(self._file, subject)

    def cap(self, what: str, start: int, most: int = ROWS_MAX) -> int:
        curve = self._profile.curves.get(what)
        return curve.cap(start, most) if curve else min(start, most)

    def note(self, what: str, rows: int, seconds: float) -> None:
        """A forward of `rows` took so long."""
        timing = self._curve(what).timings.setdefault(_rounded(rows), Timing())
        timing.note(seconds / rows)
        if timing.count == _TRUSTED or timing.count % 256 == 0:
            self._write()

    def ran_out(self, what: str, rows: int) -> None:
        """A forward of `rows` did not fit."""
        self._curve(what).bearable = max(1, rows // 2)
        self._write()

    def _curve(self, what: str) -> Curve:
        return self._profile.curves.setdefault(what, Curve())

    def _write(self) -> None:
        """Whole or not at all. Without a disk to write to, the next start measures again."""
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


def _rounded(rows: int) -> int:
    """Up to a power of two."""
    return 1 << (rows - 1).bit_length()

"""How many rows a forward should have, found while serving: where more of them together gain little. Pure.

A search by trial: what is settled is tried against twice as many rows, or half, forward by forward in turns, so that
a machine's moods fall on both. More rows win if they bring `GROW` more a second, fewer if they cost less than
`SHRINK`; between the two all stays as it is. A number that won goes on the same way at once; when neither way
leads further the search rests, and then looks again.
"""

from __future__ import annotations

GROW, SHRINK = 1.2, 1.1
SAMPLES = 8  # forwards of each number in a trial
PATIENCE = 8 * SAMPLES  # forwards that a trial may take: a quiet hour never fills a forward
SOON, LATER = SAMPLES, 512  # full forwards before the next trial


class Knee:
    """`rows`: where to start, and then what is settled, a power of two; at most `most`."""

    def __init__(self, rows: int, most: int) -> None:
        self.rows = _floored(min(rows, most))
        self._most = most
        self._growing = True
        self._failed = 0  # trials in a row that settled nothing new
        self._rest = SOON
        self._patience = 0
        self._trial: dict[int, list[float]] = {}  # rows -> seconds; empty between trials

    @property
    def cap(self) -> int:
        """Rows of the next forward."""
        return min(self._trial, key=lambda rows: len(self._trial[rows]), default=self.rows)

    def note(self, rows: int, seconds: float) -> bool:
        """A forward took so long. Whether something new is settled."""
        if self._trial:
            return self._compare(rows, seconds)
        self._rest -= rows == self.rows
        if self._rest <= 0:
            self._begin()
        return False

    def limit(self, most: int) -> None:
        """From now on at most so many: more did not fit."""
        self._most = _floored(most)
        self.rows = min(self.rows, self._most)
        self._end(won=0)

    def _begin(self) -> None:
        tried = 2 * self.rows if self._growing else self.rows // 2
        if 1 <= tried <= self._most:
            self._trial = {tried: [], self.rows: []}
            self._patience = PATIENCE
        else:
            self._end(won=0)

    def _compare(self, rows: int, seconds: float) -> bool:
        if rows in self._trial:
            self._trial[rows].append(seconds / rows)
        self._patience -= 1
        if min(map(len, self._trial.values())) >= SAMPLES:
            won = self._winner()
            self._end(won=won if won != self.rows else 0)
            return self._failed == 0
        if self._patience <= 0:
            self._end(won=0)
        return False

    def _winner(self) -> int:
        fewer, more = sorted(self._trial)
        gain = _typical(self._trial[fewer]) / _typical(self._trial[more])
        return more if gain >= (GROW if self._growing else SHRINK) else fewer

    def _end(self, *, won: int) -> None:
        """With the number that won over what is settled, or 0."""
        self._trial = {}
        if won:
            self.rows, self._failed = won, 0
        else:
            self._growing, self._failed = not self._growing, self._failed + 1
        self._rest = SOON if self._failed < 2 else LATER


def _typical(seconds: list[float]) -> float:
    """The lower quartile: what disturbs a machine only ever makes it slower."""
    return sorted(seconds)[len(seconds) // 4]


def _floored(rows: int) -> int:
    """Down to a power of two, at least 1."""
    return 1 << (max(rows, 1).bit_length() - 1)

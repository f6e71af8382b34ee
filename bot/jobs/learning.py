"""What jobs took teaches what jobs will take: a unit's device time, by model and shape of request. Pure.

Each is the lower median of the latest few, with what was predicted counted as the first of them. So neither the
first job on a cold device nor an outlier counts before a second one like it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from statistics import median_low

from bot.jobs import pricing
from generators.requests import Request

LATEST = 9
"""Samples that a median is taken of: four of them may be anything."""
SAMPLES_MIN = 2
"""Measured jobs of a shape before it is told from others."""
CHANGE = 0.05
"""A share by which a median must move to be told again."""


class Timings:
    """The samples of one process. Whoever starts again begins with what was told before."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], deque[int]] = defaultdict(lambda: deque(maxlen=LATEST))
        self._told: dict[tuple[str, str], int] = {}

    def learn(self, request: Request, *, predicted_us: int, took_us: int) -> dict[str, int]:
        """Takes in a finished job; returns the unit times (by shape, "" for any) that are worth keeping."""
        if took_us <= 0:
            return {}
        units = max(pricing.units(request), 1e-6)
        predicted, took = (max(1, round(each / units)) for each in (predicted_us, took_us))
        news = {
            shape: unit
            for shape in (pricing.shape(request), "")
            if (unit := self._observe((request.model, shape), predicted, took)) is not None
        }
        return news

    def _observe(self, key: tuple[str, str], predicted: int, took: int) -> int | None:
        samples = self._samples[key]
        if not samples:
            samples.append(predicted)
        samples.append(took)
        unit, told = median_low(samples), self._told.get(key, 0)
        if len(samples) <= SAMPLES_MIN or abs(unit - told) <= told * CHANGE:
            return None
        self._told[key] = unit
        return unit

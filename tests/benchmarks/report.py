"""Figures as people read them, and as one line of JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import quantiles

Figures = dict[str, float | int | str | bool]


def percentile(samples: Sequence[float], percent: int) -> float:
    """The value that `percent` of the samples do not pass."""
    return quantiles(samples, n=100, method="inclusive")[percent - 1]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | float]]) -> None:
    cells = [list(columns), *([_cell(each) for each in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        first, *others = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]))
        if number == 0:
            print("  ".join("-" * width for width in widths))


def last_line(figures: Figures) -> None:
    rounded = {
        name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()
    }
    print()
    print(json.dumps(rounded), flush=True)


def _cell(value: str | float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)

"""What a request costs: device time (predicted) and credits (asked before, charged after). Pure.

Work is counted in units that a model's time is proportional to: a picture's megapixel-steps, a text's tokens.
The price is the model entry's `credits` for one picture at its own size and steps, or for 100 tokens, scaled
by the units asked for, rounded up, and at least 1.
"""

from __future__ import annotations

from math import ceil, log2
from typing import assert_never

from bot.config import ModelEntry
from generators.requests import ImageToImage, Request, TextToImage, WriteText

TOKENS_PRICED = 100
FALLBACK_PIXELS, FALLBACK_STEPS = 1024 * 1024, 28  # for an entry that leaves size and steps to its model


def units(request: Request) -> float:
    """Megapixel-steps or tokens. Starting from a picture runs only a share of the steps."""
    match request:
        case ImageToImage():
            return _picture_units(request) * max(request.strength, 1 / max(request.steps, 1))
        case TextToImage():
            return _picture_units(request)
        case WriteText():
            return float(request.max_tokens)
        case _:
            assert_never(request)


def own_units(model: ModelEntry) -> float:
    """The units that the entry's `credits` and `seconds` speak of."""
    if model.kind == "text":
        return float(TOKENS_PRICED)
    pixels = (model.width * model.height) or FALLBACK_PIXELS
    return pixels * (model.steps or FALLBACK_STEPS) / 1e6


def price(request: Request, model: ModelEntry) -> int:
    """Whole credits. A part of a credit counts as one, less a rounding error in floating point."""
    return max(1, ceil(model.credits * units(request) / own_units(model) - 1e-9))


def shape(request: Request) -> str:
    """Requests of one shape take about equally long a unit: the same size and steps, or tokens, within a fifth."""
    match request:
        case ImageToImage():
            return f"from {_octaves(request.width * request.height)} {_octaves(units(request))}"
        case TextToImage():
            return f"{_octaves(request.width * request.height)} {_octaves(request.steps)}"
        case WriteText():
            return f"{_octaves(request.max_tokens)}"
        case _:
            assert_never(request)


def cost_us(request: Request, model: ModelEntry, unit_us: int | None) -> int:
    """Predicted device time in microseconds; `unit_us` is what a unit took lately, if anything is known."""
    per_unit = unit_us if unit_us else model.seconds * 1e6 / own_units(model)
    return max(1, round(units(request) * per_unit))


def share(price: int, done: float) -> int:
    """What a job that was cancelled with this share done costs: never more than was done."""
    return int(price * min(max(done, 0.0), 1.0))


def _picture_units(request: TextToImage) -> float:
    return request.count * request.width * request.height * request.steps / 1e6


def _octaves(amount: float) -> float:
    """To the next half octave: 256 is 8.0, 300 is 8.0, 360 is 8.5."""
    return round(2 * log2(max(amount, 1))) / 2

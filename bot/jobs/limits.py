"""A request as far as a plan and a model allow it: what goes beyond is made smaller, never refused here. Pure.

What people type is checked word by word before it becomes a request (`bot.commands.fitting`). This is for what
they take over from others, whose plan allows more, or from a time when theirs or the model did.
"""

from __future__ import annotations

from math import sqrt

import msgspec

from bot.config import ModelEntry, Plan
from generators.requests import Request, TextToImage, WriteText


def fitted(request: Request, model: ModelEntry, plan: Plan) -> Request:
    """The request itself if it is within the limits."""
    if isinstance(request, WriteText):
        tokens = min(request.max_tokens, model.max_tokens_max, plan.tokens_max)
        return msgspec.structs.replace(request, max_tokens=tokens)
    width, height = _size(request, model, plan)
    return msgspec.structs.replace(
        request,
        width=width,
        height=height,
        steps=min(request.steps, model.steps_max, plan.steps_max),
        count=min(request.count, model.count_max, plan.count_max),
    )


def shaped(ratio: float, area: int, *, multiple: int, limit: int) -> tuple[int, int]:
    """Width and height of this ratio and about this area on the model's grid, at most `limit` pixels."""
    sides = (sqrt(area * ratio), sqrt(area / ratio))
    width, height = (max(round(side / multiple), 1) * multiple for side in sides)
    if width * height > limit:
        width, height = (max(int(side / multiple + 1e-9), 1) * multiple for side in sides)
        width = min(width, max(limit // height // multiple, 1) * multiple)  # a side of one cell is no shorter
        height = min(height, max(limit // width // multiple, 1) * multiple)
    return width, height


def _size(request: TextToImage, model: ModelEntry, plan: Plan) -> tuple[int, int]:
    width, height = request.width, request.height
    limit = min(model.pixels_max, plan.pixels_max)
    if width * height <= limit:
        return width, height
    return shaped(width / height, limit, multiple=model.multiple, limit=limit)

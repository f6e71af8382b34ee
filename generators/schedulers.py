"""Schedulers by the names that people know (`scheduler_names`). Each picture has its own: instances keep state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

from generators import linear_steps
from generators.scheduler_names import NAMES


class Schedulers:
    """Makes new ones after the one that a model came with."""

    def __init__(self, original: Any) -> None:
        self._original = original
        self._templates: dict[str, Any] = {}
        self._tables: dict[str, linear_steps.Tables] = {}

    def fresh(self, name: str) -> Any:
        """A copy of one that never stepped: much cheaper than computing its tables again. Its tables and settings
        are replaced, never written to, and so shared."""
        if name not in self._templates:
            self._templates[name] = of_name(self._original, name)
        template = self._templates[name]
        parts: dict[str, Any] = template.__dict__
        tables = [each for each in parts.values() if isinstance(each, torch.Tensor)]
        scheduler = copy.deepcopy(template, {id(each): each for each in (*tables, template.config)})
        linear_steps.quicken(scheduler, self._tables.setdefault(name, {}))
        return scheduler


def watch(scheduler: Any, seen: Callable[[torch.Tensor], None]) -> None:
    """Show `seen` the latents after each step: every family's loop calls `step` once a step."""
    step = scheduler.step

    @wraps(step)
    def watched(*args: Any, **kwargs: Any) -> Any:
        output = step(*args, **kwargs)
        seen(output[0])
        return output

    scheduler.step = watched


def of_name(original: Any, name: str) -> Any:
    """A new scheduler of the friendly `name`, with the settings of the one that the model came with.

    An empty or unknown name means the model's own, and so does any name for a flow-matching model: the others
    solve another equation.
    """
    import diffusers

    if name not in NAMES or "FlowMatch" in type(original).__name__:
        return original.from_config(original.config)
    kind, changes = NAMES[name]
    library: Any = diffusers
    return getattr(library, kind).from_config(original.config, **changes)

"""What a scheduler does in a step, learnt from the scheduler itself: the fast path beside a forward.

A sampler that draws no noise only adds up: the latents after a step are a sum of the last few latents and model
outputs, each times a number that the schedule alone decides. These numbers are read off the library's own scheduler
by giving it a one among zeros, tried against it on noise, and kept by schedule. A step is then a handful of tensor
operations instead of dozens. No sampler's formulas are written here, and whatever is not such a sum (ancestral and
SDE samplers, clipping, thresholding, UniPC's endless memory) steps as ever.
"""

from __future__ import annotations

import copy
import inspect
from collections import deque
from collections.abc import Hashable, Sequence
from functools import cache, wraps
from typing import Any

import torch

MEMORY = 4  # steps that a sampler may look back: PNDM's, which skips one
SCHEDULES_MAX = 256
_TOLERANCE = 1e-4  # of the largest number: what is no such sum is off by far more

Numbers = tuple[float, ...]  # of now's latents and output, then of the step before, and so on
Table = Sequence[Numbers]  # one for each step
Tables = dict[Hashable, Table | None]


def quicken(scheduler: Any, tables: Tables) -> None:
    """Let a fresh scheduler step by a table where it can. `tables` are those of its like so far."""
    stock = scheduler.step
    given = deque[torch.Tensor](maxlen=2 * (MEMORY + 1))
    coming: list[tuple[int, Numbers]] | None = None  # number of each step after the first, and how to sum up

    @wraps(stock)
    def step(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, **how: Any) -> Any:
        nonlocal coming
        if coming is None:
            coming = _coming(scheduler, timestep, tables) if _is_plain(how) else []
        if not coming:
            return stock(model_output, timestep, sample, **how)
        number, numbers = coming.pop()
        given.extendleft((model_output, sample))
        if hasattr(
            scheduler, "_step_index"
        ):  # read between steps, by inpainting and to scale what comes next
            scheduler._step_index = number + 1
        return (_summed(given, numbers).to(model_output.dtype),)

    step.__signature__ = _signature(type(scheduler))  # type: ignore[attr-defined]
    scheduler.step = step


def learnt(scheduler: Any, first: int) -> Table | None:
    """The table of a scheduler whose times are set, from its step number `first` on; None if it is no such sum.
    The scheduler stays as it is."""
    times = scheduler.timesteps[first:].cpu()
    ones = torch.eye(2 * len(times) + 1)  # a place of its own for each tensor given, and one that stays zero
    lanes = [each.view(1, -1, 1, 1) for each in ones]
    taught = _copied(scheduler)
    table: list[Numbers] = []
    for at, time in enumerate(times):
        found = _stepped(taught, lanes[2 * at + 1], time, lanes[2 * at])
        weights = [float(each) for each in found.flatten()]
        oldest = max(0, at - MEMORY)
        if any(weights[: 2 * oldest]) or any(weights[2 * at + 2 :]):
            return None
        pairs = [weights[2 * step : 2 * step + 2] for step in range(at, oldest - 1, -1)]
        while len(pairs) > 1 and not any(pairs[-1]):
            pairs.pop()
        table.append(tuple(number for pair in pairs for number in pair))
    return table if _holds(table, _copied(scheduler), times) else None


def _holds(table: Table, scheduler: Any, times: torch.Tensor) -> bool:
    chance = torch.Generator().manual_seed(0)
    given = deque[torch.Tensor](maxlen=2 * (MEMORY + 1))
    for numbers, time in zip(table, times, strict=True):
        latents, output = 3 * torch.randn((2, 1, 4, 4, 4), generator=chance)
        given.extendleft((output, latents))
        genuine = _stepped(scheduler, output, time, latents)
        error = (_summed(given, numbers) - genuine).abs().max()
        if not error <= _TOLERANCE * genuine.abs().max():
            return False
    return True


def _coming(scheduler: Any, timestep: Any, tables: Tables) -> list[tuple[int, Numbers]]:
    """The steps from `timestep` on, last first; none if they are no such sums."""
    begin = getattr(scheduler, "begin_index", None)
    first = (scheduler.timesteps == timestep).nonzero()[0].item() if begin is None else begin
    schedule = (first, *scheduler.timesteps.tolist())
    if schedule not in tables:
        if len(tables) >= SCHEDULES_MAX:
            tables.clear()
        tables[schedule] = learnt(scheduler, first)
    return list(enumerate(tables[schedule] or (), first))[::-1]


@cache
def _signature(kind: Any) -> inspect.Signature:
    """Of a scheduler's bound `step`: pipelines look at it twice a picture, and it takes as long as ten steps."""
    _, *others = inspect.signature(kind.step).parameters.values()
    return inspect.Signature(others)


def _summed(given: Sequence[torch.Tensor], numbers: Numbers) -> torch.Tensor:
    """In float32, as the library's own schedulers do it."""
    found = given[0].float() * numbers[0]
    for tensor, number in zip(list(given)[1 : len(numbers)], numbers[1:], strict=True):
        if number:
            found.add_(tensor, alpha=number)
    return found


def _is_plain(how: dict[str, Any]) -> bool:
    """Whether a call asks for nothing but the step: no noise, no names around the result."""
    changes = {name: value for name, value in how.items() if name not in ("generator", "return_dict")}
    return how.get("return_dict") is False and not any(changes.values())


def _copied(scheduler: Any) -> Any:
    """One that can be stepped without a trace, on the CPU."""
    own = copy.copy(scheduler)
    parts: dict[str, Any] = scheduler.__dict__
    for name, value in parts.items():
        own.__dict__[name] = value.cpu() if isinstance(value, torch.Tensor) else copy.copy(value)
    return own


def _stepped(scheduler: Any, output: torch.Tensor, time: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    kind: Any = scheduler.__class__  # whose own `step` it is, whatever a task has put in its place
    return kind.step(scheduler, output, time, latents, return_dict=False)[0]

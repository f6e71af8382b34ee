"""Which calls of a module may become one, and how: arguments are joined along the batch, outputs cut apart again.

Pure. Only modules known to treat the rows of a batch independently are joined; whatever else a pipeline calls
runs by itself, so an unknown family is slower, never wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch

from generators.families import PLAIN, Joining

WORDS_BUCKET = 64  # tokens to a multiple of which words of a prompt's length are padded

Arguments = Mapping[str, Any]
_NOTHING = object()


def named(function: Callable[..., Any], args: Sequence[Any], kwargs: Arguments) -> dict[str, Any]:
    """A call's arguments by name, without what would be assumed anyway, so that calls which differ only in how they
    are written are alike."""
    defaults = _defaults(getattr(function, "__func__", function))
    names = list(defaults)[hasattr(function, "__func__") :]
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    return {name: each for name, each in given.items() if each is not defaults.get(name, _NOTHING)}


def rows(arguments: Arguments) -> int:
    """The batch of the first argument that has one: the sample, in every family."""
    return next((len(each) for each in arguments.values() if _is_batched(each)), 1)


def joinable(arguments: Arguments, joining: Joining) -> dict[str, Any]:
    """The same call with a row of each argument for every row of the sample, whole numbers of time as floats."""
    count = rows(arguments)
    spread = {
        name: each if name in joining.alike else _spread(each, count) for name, each in arguments.items()
    }
    return spread | (_padded(arguments, joining.masked) if joining.masked else {})


def signature(arguments: Arguments, joining: Joining = PLAIN) -> Hashable:
    """Calls of equal signature can be joined."""
    return tuple((name, _kind(each, name in joining.alike)) for name, each in sorted(arguments.items()))


def joined(calls: Sequence[Arguments], joining: Joining = PLAIN) -> dict[str, Any]:
    """One call of all rows; the calls are joinable and of one signature."""
    if len(calls) == 1:
        return dict(calls[0])
    return {
        name: each if name in joining.alike else _join([call[name] for call in calls])
        for name, each in calls[0].items()
    }


def cut(output: Any, first: int, after: int) -> Any:
    """The rows from `first` until before `after` of an output: a tensor, a sequence, or one of diffusers' own."""
    if isinstance(output, torch.Tensor):
        return output[first:after]
    if isinstance(output, (tuple, list)):
        parts = [cut(each, first, after) for each in _sequence(output)]
        return tuple(parts) if isinstance(output, tuple) else parts
    if hasattr(output, "to_tuple"):
        return type(output)(**{name: cut(each, first, after) for name, each in output.items()})
    return output


def words(arguments: Arguments) -> Hashable:
    """What a text encoder is asked, by value: token ids are few."""
    return tuple((name, _value(each)) for name, each in sorted(arguments.items()))


def tensor_bytes(output: Any) -> int:
    """What an output keeps in memory."""
    if isinstance(output, torch.Tensor):
        return output.nelement() * output.element_size()
    if isinstance(output, Mapping):
        return sum(tensor_bytes(each) for each in _mapping(output).values())
    if isinstance(output, (tuple, list)):
        return sum(tensor_bytes(each) for each in _sequence(output))
    return 0


@lru_cache(maxsize=64)
def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: each.default for name, each in inspect.signature(function).parameters.items()}


def _padded(arguments: Arguments, name: str) -> dict[str, Any]:
    """Words (rows, tokens, width) and their mask (rows, tokens), filled up with tokens that the mask leaves out."""
    found, mask = arguments[name], arguments.get(f"{name}_mask")
    if mask is None:
        mask = torch.ones(found.shape[:2], dtype=torch.bool, device=found.device)
    more = -found.shape[1] % WORDS_BUCKET
    pad = torch.nn.functional.pad
    return {name: pad(found, (0, 0, 0, more)), f"{name}_mask": pad(mask.bool(), (0, more))}


def _is_batched(argument: Any) -> bool:
    return isinstance(argument, torch.Tensor) and argument.dim() > 1


def _spread(argument: Any, count: int) -> Any:
    if isinstance(argument, torch.Tensor):
        if argument.dim() == 0 or (argument.dim() == 1 and len(argument) == 1 < count):
            argument = argument.expand(count)
        is_time = argument.dim() == 1 and not argument.is_floating_point()
        return argument.float() if is_time else argument
    if isinstance(argument, Mapping):
        return {name: _spread(each, count) for name, each in _mapping(argument).items()}
    return argument


def _kind(argument: Any, is_alike: bool) -> Hashable:
    match argument:
        case torch.Tensor():
            shape = argument.shape if is_alike else argument.shape[1:]
            return (tuple(shape), argument.dtype, argument.device)
        case dict():
            return signature(_mapping(argument))
        case list() | tuple():
            return tuple(_kind(each, is_alike) for each in _sequence(argument)[:1])
        case None | bool() | int() | float() | str():
            return argument
        case _:
            return id(argument)


def _join(values: Sequence[Any]) -> Any:
    match values[0]:
        case torch.Tensor():
            return torch.cat(list(values))
        case dict():
            return joined(values)
        case list():
            return [each for value in values for each in value]
        case _:
            return values[0]


def _value(argument: Any) -> Hashable:
    if isinstance(argument, torch.Tensor):
        flat: Any = argument.flatten()
        return (tuple(argument.shape), tuple(flat.tolist()))
    return repr(argument)


def _sequence(value: Any) -> Sequence[Any]:
    return value


def _mapping(value: Any) -> Arguments:
    return value

"""A stock pipeline whose modules are called through the hub. The pipeline's own code is not touched.

Every module of a pipeline is replaced, in a copy that shares the weights, by a proxy that looks like it. Outside a
task the proxy simply calls the module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import greenlet
import torch

from generators import families, merging
from generators.hub import Call, Hub, Task
from generators.pipelines import modules


def shelled(pipeline: Any, hub: Hub) -> Any:
    """A copy of `pipeline` with proxies for its modules."""
    shell = copy.copy(pipeline)
    shell.__class__ = _plain(pipeline.__class__)
    shell.__dict__["_device"] = pipeline.device
    for name, part in modules(pipeline).items():
        shell.__dict__[name] = Proxy(name, part, hub)
    return shell


def of_task(shell: Any, scheduler: Any) -> Any:
    """A copy for one task: pipelines keep what they are doing in their attributes, and schedulers too."""
    mine = copy.copy(shell)
    mine.__dict__["scheduler"] = scheduler
    return mine


@cache
def _plain(kind: Any) -> Any:
    """A pipeline's class without what it looks for again and again and we never have: parts that were moved off the
    device (a third of what a step cost beside its forward), and words that stand for learnt embeddings."""
    device: Callable[[Any], torch.device] = lambda pipeline: pipeline._device  # noqa: E731
    nothing: Callable[[Any], None] = lambda pipeline: None  # noqa: E731
    unchanged: Callable[[Any, Any, Any], Any] = lambda pipeline, prompt, tokenizer: prompt  # noqa: E731
    changes: dict[str, Any] = {
        "_execution_device": property(device),
        "maybe_free_model_hooks": nothing,
        "maybe_convert_prompt": unchanged,
    }
    return type(kind.__name__, (kind,), changes)


class Proxy:
    """Stands for a module: has its attributes, passes for its class, and hands its calls to the hub."""

    def __init__(self, name: str, module: Any, hub: Hub) -> None:
        self._name = name
        self._module = module
        self._hub = hub
        self.device = module.device
        self.dtype = module.dtype  # asked for often, and found by walking through all parameters

    @property
    def __class__(self) -> Any:
        return self._module.__class__

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise AttributeError("A proxy's class is its module's.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module = self._module
        arguments = merging.named(module.forward, args, kwargs)
        task = greenlet.getcurrent()
        if not isinstance(task, Task):
            return module(**arguments)
        if self._name.startswith("text_encoder"):
            return self._encoded(task, arguments)
        joining = families.DENOISERS.get(type(module).__name__)
        if joining is None:
            return task.ask(self._alone(task, module, arguments))
        return task.ask(self._step(task, arguments, joining))

    def to(self, *args: Any, **kwargs: Any) -> Proxy:
        """Stays as it is: SDXL would change the number format of a VAE that others are using."""
        return self

    def cache_context(self, name: str) -> AbstractContextManager[None]:
        """Caches between the steps of one picture cannot be shared, and are off."""
        return nullcontext()

    def encode(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        function = self._module.encode
        arguments = merging.named(function, (x.to(self.dtype), *args), kwargs)
        task = greenlet.getcurrent()
        return (
            task.ask(self._alone(task, function, arguments))
            if isinstance(task, Task)
            else function(**arguments)
        )

    def decode(self, z: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        function = self._module.decode
        arguments = merging.named(function, (z.to(self.dtype), *args), kwargs)
        task = greenlet.getcurrent()
        if not isinstance(task, Task):
            return function(**arguments)
        if type(self._module).__name__ not in families.DECODERS:
            return task.ask(self._alone(task, function, arguments))
        arguments.pop("generator", None)  # these decoders ignore it
        return task.ask(self._decoding(task, function, arguments))

    def _step(self, task: Task, arguments: dict[str, Any], joining: families.Joining) -> Call:
        arguments = merging.joinable(arguments, joining)
        return Call(
            task=task,
            part=self._name,
            function=self._module,
            arguments=arguments,
            sharing="joined",
            key=(self._name, task.size, task.loras, merging.signature(arguments, joining)),
            rows=merging.rows(arguments),
            loras=task.loras,
            is_step=True,
            joining=joining,
        )

    def _decoding(self, task: Task, function: Callable[..., Any], arguments: dict[str, Any]) -> Call:
        return Call(
            task=task,
            part=f"{self._name}.decode",
            function=function,
            arguments=arguments,
            sharing="joined",
            key=(f"{self._name}.decode", merging.signature(arguments)),
            rows=merging.rows(arguments),
        )

    def _encoded(self, task: Task, arguments: dict[str, Any]) -> Any:
        key = (self._name, task.loras, merging.words(arguments))
        known = self._hub.known(key)
        if known is not None:
            return known
        return task.ask(
            Call(
                task=task,
                part=self._name,
                function=self._module,
                arguments=arguments,
                sharing="same",
                key=key,
                rows=1,
                loras=task.loras,
            )
        )

    def _alone(self, task: Task, function: Callable[..., Any], arguments: dict[str, Any]) -> Call:
        return Call(
            task=task,
            part=self._name,
            function=function,
            arguments=arguments,
            sharing="alone",
            key=object(),
            rows=merging.rows(arguments),
            loras=task.loras,
        )

"""A model whose denoiser is compiled by torch: faster forwards, for a load that takes minutes longer.

Only an operator can say whether that pays, so a model's entry asks for it. It is compiled by drawing before the first
job comes: torch compiles for the first number of rows that it sees, at the second for any, and once more for many.
Another size than the model's own is compiled when it is first asked for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from generators.engine import ModelUnavailable, Runner
from generators.job import Job
from generators.messages import Failed, FromWorker, Submit
from generators.requests import TextToImage

BACKEND = "inductor"
COUNTS = (1, 2, 8)


def compile_steps(denoiser: Any, runner: Runner, request: TextToImage) -> None:
    """`request` has the model's own size and guidance. Raises `ModelUnavailable` where nothing can be compiled."""
    denoiser.compile(backend=BACKEND)
    for count in COUNTS:
        said: list[FromWorker] = []
        wanted = msgspec.structs.replace(request, count=count)
        runner.begin(Job(Submit(job="compiles", request=wanted), said.append))
        while runner.jobs():
            runner.step()
        if any(isinstance(event, Failed) and event.code == "internal" for event in said):
            raise ModelUnavailable(
                f"{request.model} cannot be compiled here: torch needs a C++ compiler. Or set compile = false."
            )

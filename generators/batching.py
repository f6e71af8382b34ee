"""Which waiting jobs share a forward pass, for runners that still run a batch as a whole: see `Whole`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import assert_never

from generators.engine import Runner, StepRunner
from generators.job import Job
from generators.requests import ImageToImage, Request, TextToImage, WriteText


def choose(waiting: Sequence[Job], model: str, batch_max: int) -> list[Job]:
    """The oldest job of `model` and those that can run with it, oldest first, up to `batch_max` pictures.

    The oldest always runs, however many pictures it asks for: the engine cuts a large batch into passes.
    """
    mine = [job for job in waiting if job.request.model == model]
    if not mine or mine[0].submit.alone:
        return mine[:1]
    wanted = likeness(mine[0].request)
    return _filled(
        [job for job in mine if likeness(job.request) == wanted and not job.submit.alone], batch_max
    )


def likeness(request: Request) -> Hashable:
    """Requests of equal likeness differ only in what a pipeline takes as a list: prompts, seeds and sources."""
    match request:
        case ImageToImage():
            return ("image_to_image", request.strength, *_picture(request))
        case TextToImage():
            return ("text_to_image", *_picture(request))
        case WriteText():
            return id(request)
        case _:
            assert_never(request)


def pictures(request: Request) -> int:
    return request.count if isinstance(request, TextToImage) else 1


def _picture(request: TextToImage) -> tuple[Hashable, ...]:
    size = (request.model, request.width, request.height, request.steps)
    return (*size, request.guidance, request.scheduler, request.loras)


def _filled(jobs: Sequence[Job], batch_max: int) -> list[Job]:
    batch: list[Job] = []
    room = batch_max
    for job in jobs:
        room -= pictures(job.request)
        if batch and room < 0:
            break
        batch.append(job)
    return batch


def stepped(runner: Runner | StepRunner) -> StepRunner:
    return runner if isinstance(runner, StepRunner) else Whole(runner)


class Whole:
    """A runner of whole batches as one that steps: a step is a batch."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._jobs: list[Job] = []

    def memory_bytes(self) -> int:
        return self._runner.memory_bytes()

    def room(self, job: Job) -> bool:
        return likeness(job.request) == likeness(self._jobs[0].request) and len(self._jobs) < 4

    def begin(self, job: Job) -> None:
        self._jobs.append(job)

    def step(self) -> None:
        self._runner.run(tuple(self._jobs))
        self._jobs = [job for job in self._jobs if not job.ended]
        for job in self._jobs:
            job.fail("internal", "The engine ended without a result.")
        self._jobs = []

    def jobs(self) -> Sequence[Job]:
        return tuple(self._jobs)

    def abandon(self) -> None:
        self._jobs = []

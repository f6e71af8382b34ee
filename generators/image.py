"""The engine for pictures: any stock diffusers pipeline, any number of jobs side by side, batched step by step.

A job is a sheet of rows, a row is one picture and one task of the hub. Jobs may differ in all that a request says;
those of one size and LoRA share forwards. Finished pictures become files in a thread, so that steps go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from generators import (
    compiling,
    faults,
    hardware,
    labels,
    pipelines,
    previews,
    reading,
    schedulers,
    shell,
    source,
    starts,
)
from generators.engine import Host, LoraUnavailable, ModelUnavailable
from generators.hub import Failure, Hub, Task
from generators.image_call import (
    SizeRefused,
    arguments,
    check_size,
    fitted,
    negative,
    rows_of_step,
    strength,
)
from generators.job import Job
from generators.models import Model
from generators.pipelines import Pipeline, Pipelines
from generators.profiles import Profiles
from generators.requests import Artifact, ImageToImage, Inpaint, TextToImage
from generators.sheets import Row, Sheet


def load(model: Model, host: Host) -> ImageRunner:
    """Raises `ModelUnavailable` and `MemoryError`."""
    loaded = pipelines.load(model, host.settings.device, Path(host.settings.cache))
    runner = ImageRunner(loaded, model, host)
    if model.compile:
        compiling.compile_steps(loaded.steps, runner, loaded.usual())
    return runner


class ImageRunner:
    def __init__(self, loaded: Pipelines, model: Model, host: Host) -> None:
        self._pipelines = loaded
        self._model = model
        self._host = host
        self._previewer = previews.fit(loaded.vae) if host.settings.preview_every else None
        self._hub = Hub(
            device=host.settings.device,
            profiles=Profiles(Path(host.settings.cache), _subject(model, host.settings.device)),
            rows=2 * host.settings.batch_max,
            adapt=loaded.adapt,
            relieve=lambda: host.relieve(),
            beat=host.pulse.beat,
        )
        self._shells: dict[type, Pipeline] = {}
        self._sheets: dict[Job, Sheet] = {}
        self._tasks: dict[Task, Row] = {}
        self._files: dict[Job, futures.Future[tuple[Artifact, ...]]] = {}
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="files")

    def memory_bytes(self) -> int:
        return self._pipelines.memory_bytes()

    def jobs(self) -> Sequence[Job]:
        return list(self._sheets)

    def room(self, job: Job) -> bool:
        """Whether its rows fit into the forwards that run. Pictures whose steps are done take no room, nor does
        what cannot be begun."""
        if not self._sheets or not isinstance(job.request, TextToImage):
            return True
        try:
            wanted = job.request.count * self._load(job.request)
        except ModelUnavailable:
            return True
        return wanted + sum(self._load(row.request) for row in self._tasks.values() if row.share < 1) <= 1

    def begin(self, job: Job) -> None:
        try:
            self._take(job)
        except (source.SourceRefused, SizeRefused) as error:
            job.fail("bad_input", str(error))
        except LoraUnavailable as error:
            job.fail("lora_unavailable", str(error))
        except ModelUnavailable as error:
            job.fail("model_unavailable", str(error))
        except MemoryError:
            job.fail("out_of_memory", f"A LoRA of {self._model.name} does not fit into the device.")

    def step(self) -> None:
        for job in [job for job in self._sheets if job.drop_if_cancelled()]:
            self._let_go(job)
        for ended in self._hub.turn():
            self._settle(self._tasks.pop(ended.task, None), ended.output)
        self._finish()

    def abandon(self) -> None:
        for job in self.jobs():
            self._let_go(job)

    def _take(self, job: Job) -> None:
        request = job.request
        if not isinstance(request, TextToImage):
            raise ModelUnavailable(f"{request.model} makes pictures and cannot answer this kind of request.")
        pipeline = self._pipelines.suiting(request)
        check_size(pipeline, self._model, request)
        self._pipelines.know(request.loras)
        start, mask = _start(job, request)
        job.unread = reading.unread(pipeline, prompt=request.prompt, negative=negative(pipeline, request))
        sheet = Sheet(job, request)
        sheet.rows += [Row(sheet, index, start, mask) for index in range(request.count)]
        self._sheets[job] = sheet
        sheet.report()
        for row in sheet.rows:
            self._hub.add(self._task(pipeline, row))

    def _task(self, pipeline: Pipeline, row: Row) -> Task:
        request = row.request

        def charge(seconds: float) -> None:
            row.job.device_seconds += seconds

        task = Task(
            lambda: self._draw(pipeline, row),
            size=(request.width, request.height),
            loras=request.loras,
            charge=charge,
        )
        self._tasks[task] = row
        return task

    def _draw(self, pipeline: Pipeline, row: Row) -> Any:
        """One picture, the stock pipeline's way: this is what a task runs."""
        request = row.request
        scheduler = self._pipelines.scheduler(request.scheduler)
        own = shell.of_task(self._shell(pipeline), scheduler)
        if isinstance(request, ImageToImage) and starts.can_start_late(pipeline):
            assert row.source is not None
            starts.start_late(own, row.source, strength(request), row.mask)
        schedulers.watch(scheduler, lambda latents: self._step_done(row, own, latents))
        return own(**arguments(own, row))

    def _shell(self, pipeline: Pipeline) -> Pipeline:
        if type(pipeline) not in self._shells:
            self._shells[type(pipeline)] = shell.shelled(pipeline, self._hub)
        return self._shells[type(pipeline)]

    def _step_done(self, row: Row, pipeline: Pipeline, latents: torch.Tensor) -> None:
        row.step_done(getattr(pipeline, "_num_timesteps", None) or len(pipeline.scheduler.timesteps))
        row.sheet.report(self._preview(row, pipeline, latents))

    def _preview(self, row: Row, pipeline: Pipeline, latents: torch.Tensor) -> bytes:
        """Of each job's first picture, every so many steps, but not of the last: that is the picture."""
        every = self._host.settings.preview_every
        if self._previewer is None or row.index > 0 or row.share == 1 or row.steps % every:
            return b""
        latents = previews.unpacked(pipeline, latents, row.request.width, row.request.height)
        return self._previewer.jpeg(latents[0]) if self._previewer.suits(latents) else b""

    def _settle(self, row: Row | None, output: Any) -> None:
        if row is None or row.job not in self._sheets:
            return
        match output:
            case Failure(code="out_of_memory"):
                row.job.fail(
                    "out_of_memory", f"One picture of {self._model.name} does not fit into the device."
                )
            case Failure(code=code, message=message):
                row.job.fail(code, message)
            case _:
                self._develop(row, output)
        if row.job.ended:
            self._let_go(row.job)
        elif row.sheet.is_drawn:
            self._files[row.job] = self._thread.submit(_artifacts, row.sheet)

    def _develop(self, row: Row, output: Any) -> None:
        pixels = output.images[0]
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            row.job.fail("bad_output", "The model's safety checker withheld a picture.")
        elif not np.isfinite(pixels).all():
            row.job.fail("bad_output", f"{self._model.name} made a picture of invalid numbers.")
        else:
            row.picture = _kept(Image.fromarray((pixels * 255).round().astype(np.uint8)), row)

    def _finish(self) -> None:
        """Answer the jobs whose files are ready; with nothing else to do, wait for one."""
        if self._files and not self._tasks:
            futures.wait(self._files.values(), return_when=futures.FIRST_COMPLETED)
        for job in [job for job, files in self._files.items() if files.done()]:
            try:
                job.finish(self._files[job].result())
            except Exception as error:
                faults.print_frames(error)
                job.fail("internal", faults.place(error))
            self._let_go(job)

    def _let_go(self, job: Job) -> None:
        """Forget a job and all that runs for it."""
        self._sheets.pop(job, None)
        self._files.pop(job, None)
        for task in [task for task, row in self._tasks.items() if row.job is job]:
            del self._tasks[task]
            self._hub.drop(task)

    def _load(self, request: TextToImage) -> float:
        """The share of a full forward that one of its pictures takes."""
        rows = rows_of_step(self._pipelines.suiting(request), request)
        return rows / self._hub.cap(self._pipelines.denoiser, (request.width, request.height))


def _start(job: Job, request: TextToImage) -> tuple[Image.Image | None, Image.Image | None]:
    """What a job starts from, and where that is drawn anew. Raises `SourceRefused`."""
    if not isinstance(request, ImageToImage):
        return None, None
    data = job.inputs.get(request.source, b"")
    if not isinstance(request, Inpaint):
        return fitted(source.decode(data), request), None
    picture, mask = source.cut_out(data)
    return fitted(picture, request), fitted(mask, request)


def _kept(picture: Image.Image, row: Row) -> Image.Image:
    """With a mask, what was not to be drawn anew is the source's, to the pixel: a VAE gives it back only nearly."""
    if row.mask is None or row.source is None:
        return picture
    return Image.composite(picture, row.source, row.mask)


def _artifacts(sheet: Sheet) -> tuple[Artifact, ...]:
    return tuple(_artifact(row) for row in sheet.rows)


def _artifact(row: Row) -> Artifact:
    picture = row.picture
    assert picture is not None
    data = labels.encode(picture, labels.label(row.request, seed=row.seed))
    return Artifact(
        media_type="image/png", data=data, width=picture.width, height=picture.height, seed=row.seed
    )


def _subject(model: Model, device: str) -> str:
    """What a profile of forwards is about."""
    return "|".join((model.source, model.revision, model.variant, model.dtype, hardware.name(device)))

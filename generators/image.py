"""The engine for pictures: any stock diffusers pipeline, batches of requests that differ in prompt, seed, source.

A batch is a list of rows, one a picture, run in passes of at most so many rows as memory has been seen to bear.
Within a pass a cancelled job's rows are computed to the end but dropped; when nobody wants any row, it stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generators import hardware, labels, pipelines, previews, source
from generators.engine import Host, ModelUnavailable
from generators.image_call import arguments, fitted
from generators.job import Job
from generators.models import Model
from generators.pipelines import Pipelines
from generators.requests import Artifact, ImageToImage, TextToImage
from generators.sheets import Abandoned, Row, Sheet, Watch

Size = tuple[int, int]


class OutOfMemory(Exception):
    """A pass did not fit."""


def load(model: Model, host: Host) -> ImageRunner:
    """Raises `ModelUnavailable` and `MemoryError`."""
    loaded = pipelines.load(model, host.settings.device, Path(host.settings.cache))
    return ImageRunner(loaded, model, host)


class ImageRunner:
    def __init__(self, loaded: Pipelines, model: Model, host: Host) -> None:
        self._pipelines = loaded
        self._model = model
        self._host = host
        self._previewer = previews.fit(loaded.vae) if host.settings.preview_every else None
        self._bearable: dict[Size, int] = {}  # rows in a pass, learnt from running out of memory

    def memory_bytes(self) -> int:
        return self._pipelines.memory_bytes()

    def run(self, jobs: Sequence[Job]) -> None:
        sheets = [sheet for job in jobs if (sheet := _sheet(job))]
        for sheet in sheets:
            sheet.report()
        waiting = [row for sheet in sheets for row in sheet.rows]
        while waiting := [row for row in waiting if not row.job.drop_if_cancelled()]:
            done = self._pass(waiting[: self._cap(waiting[0].request)])
            waiting = [row for row in waiting if row not in done]

    def _pass(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Run some rows; those that now are settled. After running out of memory: none, but the next pass is
        smaller; a row that does so alone fails."""
        try:
            self._settle(rows, self._drawn(rows))
            return rows
        except Abandoned:
            return rows
        except OutOfMemory:
            pass  # what follows must be outside: the traceback holds the failed pass's memory
        hardware.sweep()
        if len(rows) > 1:
            self._bearable[_size(rows[0].request)] = len(rows) // 2
        elif not self._host.relieve():
            rows[0].job.fail(
                "out_of_memory", f"One picture of {self._model.name} does not fit into the device."
            )
        return []

    def _drawn(self, rows: Sequence[Row]) -> Any:
        """The pipeline's output. Raises `OutOfMemory` and `Abandoned`."""
        request = rows[0].request
        watch = Watch(rows, self._host, self._previewer)
        try:
            pipeline = self._pipelines.prepared(
                from_picture=isinstance(request, ImageToImage),
                scheduler=request.scheduler,
                loras=request.loras,
            )
            return pipeline(**arguments(pipeline, rows, watch.step_done))
        except ModelUnavailable as error:
            for row in rows:
                row.job.fail("model_unavailable", str(error))
            raise Abandoned from error
        except (RuntimeError, MemoryError) as error:
            if hardware.is_out_of_memory(error):
                raise OutOfMemory from None
            raise
        finally:
            watch.charge()

    def _settle(self, rows: Sequence[Row], output: Any) -> None:
        withheld = getattr(output, "nsfw_content_detected", None) or [False] * len(rows)
        for row, pixels, hidden in zip(rows, output.images, withheld, strict=True):
            if hidden:
                row.job.fail("bad_output", "The model's safety checker withheld a picture.")
            elif not np.isfinite(pixels).all():
                row.job.fail("bad_output", f"{self._model.name} made a picture of invalid numbers.")
            else:
                row.picture = Image.fromarray((pixels * 255).round().astype(np.uint8))
        for sheet in dict.fromkeys(row.sheet for row in rows):
            _finish(sheet)

    def _cap(self, request: TextToImage) -> int:
        return self._bearable.get(_size(request), self._host.settings.batch_max)


def _sheet(job: Job) -> Sheet | None:
    """None for a job that cannot be begun: it has been answered."""
    request = job.request
    if not isinstance(request, TextToImage):
        job.fail(
            "model_unavailable", f"{request.model} makes pictures and cannot answer this kind of request."
        )
        return None
    sheet = Sheet(job, request)
    try:
        start = _start(job, request)
    except source.SourceRefused as error:
        job.fail("bad_input", str(error))
        return None
    sheet.rows += [Row(sheet, index, start) for index in range(request.count)]
    return sheet


def _start(job: Job, request: TextToImage) -> Image.Image | None:
    if not isinstance(request, ImageToImage):
        return None
    return fitted(source.decode(job.inputs.get(request.source, b"")), request)


def _finish(sheet: Sheet) -> None:
    pictures = [(row.seed, row.picture) for row in sheet.rows if row.picture is not None]
    if not sheet.job.drop_if_cancelled() and len(pictures) == len(sheet.rows):
        sheet.job.finish(tuple(_artifact(sheet.request, seed, picture) for seed, picture in pictures))


def _artifact(request: TextToImage, seed: int, picture: Image.Image) -> Artifact:
    data = labels.encode(picture, labels.label(request, seed=seed))
    return Artifact(media_type="image/png", data=data, width=picture.width, height=picture.height, seed=seed)


def _size(request: TextToImage) -> Size:
    return request.width, request.height

"""A job's pictures while they are made: one sheet a job, one row a picture, and who watches the steps of a pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from generators.engine import Host
from generators.job import Job
from generators.previews import Previewer, unpacked
from generators.requests import ImageToImage, TextToImage


@dataclass(eq=False)
class Sheet:
    job: Job
    request: TextToImage
    rows: list[Row] = field(default_factory=list["Row"])

    @property
    def steps(self) -> int:
        """Steps that are really run for a picture: starting from one leaves some out."""
        request = self.request
        share = request.strength if isinstance(request, ImageToImage) else 1.0
        return max(1, int(request.steps * share))

    def report(self, preview: bytes = b"") -> None:
        share = sum(row.share for row in self.rows) / len(self.rows)
        self.job.progress(int(share * self.steps + 1e-6), self.steps, preview)


@dataclass(eq=False)
class Row:
    """`share` in [0, 1] of its steps are done; `source` is what it starts from, `picture` what came out."""

    sheet: Sheet
    index: int
    source: Image.Image | None = None
    picture: Image.Image | None = None
    share: float = 0.0

    @property
    def job(self) -> Job:
        return self.sheet.job

    @property
    def request(self) -> TextToImage:
        return self.sheet.request

    @property
    def seed(self) -> int:
        return self.request.seed + self.index


class Abandoned(Exception):
    """Nobody wants the pass any more."""


class Watch:
    """Is told of each step of one pass: reports progress, charges time, sees cancels, raises `Abandoned`."""

    def __init__(self, rows: Sequence[Row], host: Host, previewer: Previewer | None) -> None:
        self._rows = rows
        self._host = host
        self._previewer = previewer
        self._steps = 0
        self._charged = time.monotonic()
        for row in rows:
            row.share = 0.0

    def step_done(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """In the form of diffusers' `callback_on_step_end`; `step` counts from 0."""
        self._host.pulse.beat()
        self.charge()
        self._steps += 1
        wanted = [row for row in self._rows if not row.job.drop_if_cancelled()]
        if not wanted:
            raise Abandoned
        self._report(pipeline, tensors)
        return tensors

    def charge(self) -> None:
        """The time since the last charge, shared out to the rows."""
        now = time.monotonic()
        for row in self._rows:
            row.job.device_seconds += (now - self._charged) / len(self._rows)
        self._charged = now

    def _report(self, pipeline: Any, tensors: dict[str, Any]) -> None:
        total = getattr(pipeline, "_num_timesteps", None) or self._rows[0].sheet.steps
        for row in self._rows:
            row.share = min(1.0, self._steps / total)
        previews = self._previews(pipeline, tensors) if self._is_preview_due(total) else {}
        for sheet in dict.fromkeys(row.sheet for row in self._rows):
            sheet.report(previews.get(sheet, b""))

    def _is_preview_due(self, total: int) -> bool:
        every = self._host.settings.preview_every
        return every > 0 and self._steps % every == 0 and self._steps < total

    def _previews(self, pipeline: Any, tensors: dict[str, Any]) -> dict[Sheet, bytes]:
        """Of each job's first picture in the pass."""
        latents, request = tensors.get("latents"), self._rows[0].request
        if self._previewer is None or latents is None:
            return {}
        latents = unpacked(pipeline, latents, request.width, request.height)
        if not self._previewer.suits(latents) or len(latents) != len(self._rows):
            return {}
        firsts = {row.sheet: at for at, row in reversed(list(enumerate(self._rows))) if not row.job.ended}
        return {sheet: self._previewer.jpeg(latents[at]) for sheet, at in firsts.items()}

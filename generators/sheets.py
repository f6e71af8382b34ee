"""A job's pictures while they are made: one sheet a job, one row a picture."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from generators.job import Job
from generators.requests import ImageToImage, TextToImage


@dataclass(eq=False)
class Sheet:
    job: Job
    request: TextToImage
    rows: list[Row] = field(default_factory=list["Row"])
    said: int = -1

    @property
    def steps(self) -> int:
        """Steps that are really run for a picture: starting from one leaves some out."""
        request = self.request
        share = request.strength if isinstance(request, ImageToImage) else 1.0
        return max(1, int(request.steps * share))

    @property
    def is_drawn(self) -> bool:
        return all(row.picture is not None for row in self.rows)

    def report(self, preview: bytes = b"") -> None:
        """Say how far all pictures are together, once a step; the job's share is exact between its steps too."""
        share = sum(row.share for row in self.rows) / len(self.rows)
        step = int(share * self.steps + 1e-6)
        if preview or step > self.said:
            self.said = step
            self.job.progress(step, self.steps, preview)
        self.job.share = share


@dataclass(eq=False)
class Row:
    """`share` in [0, 1] of its steps are done. `source` is what it starts from, `mask` white where that is drawn
    anew; `picture` is what came out."""

    sheet: Sheet
    index: int
    source: Image.Image | None = None
    mask: Image.Image | None = None
    picture: Image.Image | None = None
    steps: int = 0
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

    def step_done(self, total: int) -> None:
        self.steps += 1
        self.share = min(1.0, self.steps / total)

"""Tiny models as folders, made once a session, and a bench on which an engine runs within the test's process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")

import pytest

from generators import engine
from generators.engine import Host, Runner
from generators.job import Job
from generators.messages import Cancelled, Failed, FromWorker, Result, Submit
from generators.models import Model
from generators.requests import Request
from generators.settings import WorkerSettings
from tests.generators import tiny

FAMILIES = ("sd15", "sdxl", "sd3", "flux", "pixart", "sana", "qwen")
CACHE = Path(os.environ.get("ATELIER_TEST_CACHE") or Path(__file__).parents[2] / ".cache")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a tiny model lies, made when first asked for."""
    root = tmp_path_factory.mktemp("models")

    def made(name: str) -> Path:
        if not (root / name).exists():
            getattr(tiny, name)(root / name)
        return root / name

    return made


@dataclass
class Bench:
    """An engine without a worker around it: what it says is in `heard`."""

    host: Host
    heard: list[FromWorker] = field(default_factory=list)

    def load(self, model: Model) -> Runner:
        return engine.load(model, self.host)

    def job(self, name: str, request: Request, inputs: dict[str, bytes] | None = None) -> Job:
        return Job(Submit(job=name, request=request, inputs=inputs or {}), self.heard.append)

    def ending(self, name: str) -> Result | Failed | Cancelled:
        """The terminal event of a job, of which there must be exactly one, after all others."""
        of_job = [event for event in self.heard if getattr(event, "job", "") == name]
        endings = [event for event in of_job if isinstance(event, Result | Failed | Cancelled)]
        assert len(endings) == 1
        assert of_job[-1] is endings[0]
        return endings[0]


def run(runner: Runner, jobs: Sequence[Job]) -> None:
    """What the worker's loop does for one model: each joins when there is room, until all have ended."""
    waiting = deque(jobs)
    while waiting or runner.jobs():
        while waiting and (not runner.jobs() or runner.room(waiting[0])):
            runner.begin(waiting.popleft())
        runner.step()


def worker_settings(**changes: object) -> WorkerSettings:
    usual: dict[str, object] = {
        "device": "cpu", "batch_max": 4, "memory_bytes": 0, "heartbeat_seconds": 0.2, "cache": str(CACHE),
        "preview_every": 2, "threads": 0, "affinity_seconds": 10.0,
    }  # fmt: skip
    return WorkerSettings(**(usual | changes))  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Bench:
    return Bench(Host(worker_settings()))

"""An error that nobody foresaw costs the job that causes it, not its batchmates, and quotes no prompt."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from generators import worker
from generators.job import Job
from generators.messages import Failed, Result
from generators.requests import TextToImage
from tests.generators.conftest import Bench


class Fragile:
    """Breaks at a prompt it dislikes, and says which, as libraries do."""

    def memory_bytes(self) -> int:
        return 0

    def run(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            assert isinstance(job.request, TextToImage)
            if job.request.prompt == "secret wish":
                raise ValueError(f"cannot draw {job.request.prompt}")
        for job in jobs:
            job.finish(())


class Forgetful(Fragile):
    def run(self, jobs: Sequence[Job]) -> None:
        jobs[0].finish(())


def jobs(bench: Bench, *prompts: str) -> list[Job]:
    return [
        bench.job(
            str(at), TextToImage(model="m", prompt=prompt, width=8, height=8, steps=1, guidance=1.0, seed=1)
        )
        for at, prompt in enumerate(prompts)
    ]


def test_only_the_guilty_job_fails(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    worker.run(Fragile(), jobs(bench, "a cat", "secret wish", "a dog"))
    endings = [bench.ending(name) for name in "012"]
    assert [type(ending) for ending in endings] == [Result, Failed, Result]
    assert isinstance(endings[1], Failed)
    assert endings[1].code == "internal"
    assert "ValueError in test_isolation.py" in endings[1].message
    assert "secret" not in endings[1].message + "".join(capfd.readouterr())


def test_a_job_without_an_answer_gets_one(bench: Bench) -> None:
    worker.run(Forgetful(), jobs(bench, "a", "b", "c"))
    for name in "012":
        assert isinstance(bench.ending(name), Result)  # alone, each is the first


def test_an_engine_that_never_answers_is_answered_for(bench: Bench) -> None:
    silent = Forgetful()
    silent.run = lambda jobs: None  # type: ignore[method-assign]
    worker.run(silent, jobs(bench, "a"))
    assert isinstance(bench.ending("0"), Failed)
